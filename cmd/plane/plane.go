// Package plane is what the dashboard asks of the control plane: the interfaces of its screens,
// over the client of the REST API.
//
// What lives here: which calls answer a screen. What may not: what is drawn, and the local daemon.
// Only cmd/mezu imports it.
package plane

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// gatherTime is how long after a change what hangs together is asked for: an apply makes
	// many at once.
	gatherTime = 200 * time.Millisecond
	// lookEvery is how often what no stream tells of is asked for.
	lookEvery = 15 * time.Second
)

// Plane has a client for each profile that the dashboard looks at.
type Plane struct {
	inv *invocation.Invocation

	mu   sync.Mutex
	open map[string]*login
}

// login is a profile in use.
type login struct {
	client *api.Client
	self   *api.Self // nil while nobody has asked
}

// New makes it. What its calls would say beside is said to nobody: the terminal is the
// dashboard's.
func New(inv *invocation.Invocation) *Plane {
	quiet := *inv
	quiet.Out, quiet.Err, quiet.Quiet, quiet.PromptOff = io.Discard, io.Discard, true, true
	quiet.OutTerminal, quiet.ErrTerminal, quiet.InTerminal = false, false, false
	return &Plane{inv: &quiet, open: map[string]*login{}}
}

// Invocation is that of commands at a place.
func (p *Plane) Invocation(scope screen.Scope) *invocation.Invocation {
	inv := *p.inv
	inv.Flags.Profile, inv.Flags.Organization, inv.Flags.Project, inv.Flags.Environment = scope.Profile, scope.Organization, scope.Project, scope.Environment
	return &inv
}

// Start is the place of the context. err says why no control plane can be asked: the screens
// that need one say so.
func (p *Plane) Start(ctx context.Context) (scope screen.Scope, err error) {
	s, err := p.inv.Settings()
	if err != nil {
		return scope, err
	}
	scope = screen.Scope{Profile: s.Profile, Organization: s.Organization, Project: s.Project, Environment: s.Environment}
	return scope, nil
}

// Who is the person or account that is logged in; empty if nobody is.
func (p *Plane) Who(ctx context.Context, scope screen.Scope) string {
	_, self, err := p.self(ctx, scope)
	if err != nil {
		return ""
	}
	for _, name := range []string{self.Email, self.Name, self.ID} {
		if name != "" {
			return name
		}
	}
	return ""
}

// Close gives up idle connections.
func (p *Plane) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.open {
		l.client.CloseIdle()
	}
}

// at is the login of the profile of a place.
func (p *Plane) at(scope screen.Scope) (*login, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.open[scope.Profile]; l != nil {
		return l, nil
	}
	inv := *p.inv
	if scope.Profile != "" {
		inv.Flags.Profile = scope.Profile
	}
	s, err := inv.Settings()
	if err != nil {
		return nil, err
	}
	if s.API == "" {
		return nil, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "no control plane is named", Hint: "mezu login --api URL, or mezu dev 8080 for all of it on this machine"}
	}
	c, err := inv.Client(s)
	if err != nil {
		return nil, err
	}
	l := &login{client: c}
	p.open[scope.Profile] = l
	return l, nil
}

// client is that of a place.
func (p *Plane) client(scope screen.Scope) (*api.Client, error) {
	l, err := p.at(scope)
	if err != nil {
		return nil, err
	}
	return l.client, nil
}

// self is who is logged in.
func (p *Plane) self(ctx context.Context, scope screen.Scope) (*api.Client, api.Self, error) {
	l, err := p.at(scope)
	if err != nil {
		return nil, api.Self{}, err
	}
	p.mu.Lock()
	known := l.self
	p.mu.Unlock()
	if known != nil {
		return l.client, *known, nil
	}
	self, err := api.Invoke[api.Self](ctx, l.client, api.OpSelf, nil)
	if err != nil {
		return nil, self, err
	}
	p.mu.Lock()
	l.self = &self
	p.mu.Unlock()
	return l.client, self, nil
}

// environment is the client of a place, and the parameters of its environment.
func (p *Plane) environment(scope screen.Scope) (*api.Client, []string, error) {
	c, err := p.client(scope)
	if err != nil {
		return nil, nil, err
	}
	if scope.Organization == "" || scope.Project == "" || scope.Environment == "" {
		return nil, nil, &mezu.Error{Code: mezu.CodeInvalid, Detail: "no environment is chosen", Hint: ": and its name, or mezu use PROJECT/ENVIRONMENT"}
	}
	return c, []string{scope.Organization, scope.Project, scope.Environment}, nil
}

// explain says of a refusal which right is missing, and who has it.
func (p *Plane) explain(ctx context.Context, scope screen.Scope, right mezu.Permission, err error) error {
	if mezu.CodeOf(err) != mezu.CodeForbidden {
		return err
	}
	_, self, whoErr := p.self(ctx, scope)
	if whoErr != nil {
		return err
	}
	i := slices.IndexFunc(self.Organizations, func(m api.SelfMember) bool { return m.Organization == scope.Organization })
	if i < 0 {
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "this login has no " + string(right) + " in " + scope.Organization, Hint: "mezu login as somebody who has", Cause: err}
	}
	return &mezu.Error{Code: mezu.CodeForbidden, Detail: "your role, " + string(self.Organizations[i].Role) + ", has no " + string(right) + "; admins have it", Cause: err}
}

// watch follows a collection: see is called with all records by name, at first and after each
// change, once what came together is there.
func watch[T any](ctx context.Context, c *api.Client, op api.Operation, key func(T) string, see func([]T), params ...string) error {
	w, err := api.Watch[T](ctx, c, op, "", params...)
	if err != nil {
		return err
	}
	defer w.Close()
	records, sizes, all := map[string]T{}, map[string]held{}, held{}
	events, ended := make(chan api.WatchEvent[T]), make(chan error, 1)
	var reading sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	reading.Go(func() {
		for {
			e, err := w.Next()
			if err != nil {
				ended <- err
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	})
	defer reading.Wait()
	defer w.Close()
	defer cancel()
	gathered := time.NewTimer(time.Hour)
	defer gathered.Stop()
	synced := false
	for {
		select {
		case e := <-events:
			switch e.Kind {
			case api.WatchPut:
				var one held
				if name := key(e.Record); one.has(e.Record) {
					all.swap(sizes[name], one)
					records[name], sizes[name] = e.Record, one
				}
				if one.bytes > maxHeld || all.bytes > maxHeld || all.records > maxWatched {
					return endless(op)
				}
			case api.WatchDelete:
				all.swap(sizes[e.Deleted.Key], held{})
				delete(records, e.Deleted.Key)
				delete(sizes, e.Deleted.Key)
			case api.WatchReset:
				clear(records)
				clear(sizes)
				all, synced = held{}, false
			case api.WatchSynced:
				synced = true
				gathered.Reset(0)
				continue
			}
			if synced {
				gathered.Reset(gatherTime)
			}
		case <-gathered.C:
			names := make([]string, 0, len(records))
			for name := range records {
				names = append(names, name)
			}
			slices.Sort(names)
			sorted := make([]T, len(names))
			for i, name := range names {
				sorted[i] = records[name]
			}
			see(sorted)
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changes calls look whenever something of a collection has changed, at first too, and each time
// that tick says so. Without a tick, a collection that is too large to be watched is looked at
// now and then.
func changes[T any](ctx context.Context, c *api.Client, op api.Operation, key func(T) string, tick <-chan time.Time, look func() error, params ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	var watching sync.WaitGroup
	watching.Go(func() {
		ended <- watch(ctx, c, op, key, func([]T) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}, params...)
	})
	defer watching.Wait()
	defer cancel()
	for {
		select {
		case <-changed:
		case <-tick:
		case err := <-ended:
			if tick != nil || !errors.Is(err, errEndless) {
				return err
			}
			again := time.NewTicker(lookEvery)
			defer again.Stop()
			tick = again.C
		}
		if err := look(); err != nil {
			return err
		}
	}
}

// words joins what is not empty.
func words(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}
