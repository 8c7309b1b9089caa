package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

const (
	// maxHeld is how many tunnels one command holds. When it ends, each takes two of the daemon's
	// local.MaxClients, of which other commands need some.
	maxHeld = 24
	// atOnce is how many tunnels are opened at the same time, over two connections each.
	atOnce = 8
)

// each does something for tunnels, for so many at once, and gives what that came to for each.
func each(all []*opening, most int, do func(*opening) error) []error {
	errs := make([]error, len(all))
	places := make(chan struct{}, most)
	var doing sync.WaitGroup
	for i, t := range all {
		places <- struct{}{}
		doing.Go(func() {
			errs[i] = do(t)
			<-places
		})
	}
	doing.Wait()
	return errs
}

// open opens all tunnels.
func (r *opened) open(ctx context.Context) error {
	return cmp.Or(each(r.all, atOnce, func(t *opening) (err error) {
		t.begun = time.Now()
		if err := r.change(ctx, t); err != nil {
			return err
		}
		cfg := session.Config{
			Fresh:    t.site.Fresh,
			Stays:    r.shown.Load,
			Connect:  func(ctx context.Context) (*local.Client, error) { return r.Connect(ctx, r.settings) },
			Spec:     t.spec,
			Token:    func(ctx context.Context, hash string) (string, error) { return r.owner.Token(ctx, t.site, hash) },
			Enrolled: func(mezu.Tunnel) { r.lines.Again(r.who(ctx)) },
		}
		if r.settings.Socket == "" { // "mezu dev" is started by no command
			cfg.Stopped = r.Stopped
			cfg.Running = func(ctx context.Context) (*local.Client, error) { return r.Running(ctx, r.settings) }
		}
		if t.session, err = session.Open(ctx, cfg); err != nil {
			return err
		}
		return r.adapt(ctx, t)
	})...)
}

// adapt brings a tunnel that was there to what this run asks for.
func (r *opened) adapt(ctx context.Context, t *opening) error {
	is := t.session.Tunnel()
	t.before = is.Stats
	if id := is.Warpgate; id != "" {
		if err := r.owner.Served(ctx, t.site, id); err != nil {
			r.Warnf("%s", terminal.Clean(err.Error()))
		}
	}
	if !r.Detach || is.Detached {
		return nil
	}
	return t.session.Change(ctx, local.TunnelPatch{Detached: &r.Detach})
}

// change gives a tunnel that nobody holds the settings of this run.
func (r *opened) change(ctx context.Context, t *opening) error {
	if t.changes == "" {
		return nil
	}
	client, err := r.Connect(ctx, r.settings)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Change(ctx, t.changes, local.TunnelPatch{Target: &t.spec.TunnelTarget})
	return err
}

// who is whoever enrols.
func (r *opened) who(ctx context.Context) string {
	self, err := r.owner.Self(ctx)
	if err != nil {
		return "you"
	}
	return cmp.Or(self.Email, self.Name, self.ID)
}

// within is how long to wait for the first request to get through.
func (r *opened) within() time.Duration { return cmp.Or(r.Flags.Timeout, waitFor) }

// await waits until a tunnel can be reached, and says so.
func (r *opened) await(ctx context.Context, t *opening, within time.Duration) error {
	err := t.session.Await(ctx, within)
	if late, ok := errors.AsType[*session.LateError](err); ok {
		return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: fmt.Sprintf("%s does not answer yet: %s (%s)", cmp.Or(late.URL, t.site.URL, t.site.Text()), late.Stage, show.Limit(r.within())), Hint: "mezu doctor"}
	}
	if err != nil {
		return err
	}
	t.reached = true
	r.ready(ctx, t)
	return nil
}

// ready says that a tunnel can be reached.
func (r *opened) ready(ctx context.Context, t *opening) {
	is := t.session.Tunnel()
	said := show.Ready{Tunnel: is, To: target.Show(r.Dir, is.Target), Program: cmp.Or(t.target.Program(r.programs), target.Called(is.Workload.Program)), OpenTo: t.site.OpenTo(t.spec.BasicAuth != nil), Environment: t.site.Text(),
		News: news(t.site), User: r.User, Password: r.password, Detached: r.Detach}
	if r.Untrusted != nil && !r.JSON && t == r.all[0] { // the others have the same
		said.Trust = r.Untrusted(ctx, r.settings, is.URL)
	}
	r.kept(t)
	r.lines.Ready(said)
	if err := r.share(is); err != nil {
		what, hint := terminal.Explain(err)
		r.lines.Caution(is.Name, what, hint)
	}
}

// kept says what stays of what kept visitors out, and which routes answer nobody.
func (r *opened) kept(t *opening) {
	for _, what := range t.site.Closed {
		r.lines.Caution(t.session.Tunnel().Name, what, "")
	}
	for _, what := range t.site.Kept {
		r.lines.Caution(t.session.Tunnel().Name, what, "")
	}
}

// news says what is new about an environment.
func news(p *own.Site) string {
	switch {
	case p.MadeProject:
		return "made now, and its project; this address stays yours"
	case p.Made:
		return "made now; this address stays yours"
	}
	return ""
}
