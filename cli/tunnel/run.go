package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/dashboard"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

// opening is one tunnel of a run.
type opening struct {
	target  target.Target
	spec    local.Open
	site    *own.Site
	session *session.Session
	// changes is the id of a tunnel that is open and gets other settings.
	changes string
	// reached says that a request got through.
	reached bool
	// before are the requests of the tunnel before this run.
	before mezu.TunnelStats
	begun  time.Time
	// left says that it was left open in the daemon.
	left atomic.Bool
	// ended gives how following it ended.
	ended chan error
}

// opened are the tunnels of a run.
type opened struct {
	*options
	settings invocation.Settings
	login    *api.Client
	owner    *own.Owner
	lines    *show.Lines
	all      []*opening
	password string // that was made for this run
	programs map[int]string
	// shown says that a dashboard shows the tunnels, which can start what it has stopped.
	shown atomic.Bool
}

func run(ctx context.Context, o *options) (err error) {
	if err := o.targets(ctx); err != nil {
		return err
	}
	s, err := o.Settings()
	if err != nil {
		return err
	}
	if s.API == "" {
		if s, err = o.noControlPlane(ctx); errors.Is(err, errServed) {
			return nil
		} else if err != nil {
			return err
		}
	}
	client, err := o.Client(s)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	r := &opened{options: o, settings: s, login: client, owner: own.New(o.Invocation, s, client), lines: &show.Lines{Streams: o.Streams, JSON: o.JSON, Several: len(o.Targets) > 1, Now: o.Now}}
	if len(o.Command) > 0 && !o.JSON {
		r.lines.Out = o.Err // stdout is the program's
		r.lines.OutTerminal = o.ErrTerminal
	}
	if o.Serving != nil {
		o.Serving()
	}
	defer r.lines.Close()
	defer func() {
		if err != nil {
			r.lines.Fail(err)
		}
	}()
	return r.run(ctx)
}

func (r *opened) run(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	defer r.closeAll()
	following, end := context.WithCancel(context.WithoutCancel(ctx))
	var followers sync.WaitGroup
	defer followers.Wait()
	defer end()
	if err := r.open(ctx); err != nil {
		return errors.Join(err, r.removeMade(ctx))
	}
	if r.Detach {
		return r.leave(ctx)
	}
	for _, t := range r.all {
		t.ended = make(chan error, 1)
		followers.Go(func() { t.ended <- t.session.Run(following, r.lines.Event) })
	}
	code, err := r.serve(ctx)
	if (ctx.Err() != nil || code == exit.Interrupted) && r.InTerminal && r.ErrTerminal {
		fmt.Fprintln(r.Err) // the terminal has written ^C, and no more
	}
	err = errors.Join(err, r.close(ctx), r.removeMade(ctx))
	if err == nil && code != 0 {
		err = &exit.ProgramError{Code: code}
	}
	return err
}

// serve waits until all tunnels can be reached, and then for the end: of ctx, of --exec's
// program, or of the tunnels.
func (r *opened) serve(ctx context.Context) (code int, err error) {
	serving, end := context.WithCancel(ctx)
	defer end()
	awaited := each(r.all, len(r.all), func(t *opening) error { return r.await(serving, t, r.within()) })
	if err := cmp.Or(awaited...); err != nil {
		return 0, err
	}
	if err := r.writeEnv(); err != nil {
		return 0, err
	}
	if len(r.Command) > 0 {
		return r.exec(ctx)
	}
	if r.shows() {
		return 0, r.dashboard(ctx)
	}
	return 0, cmp.Or(each(r.all, len(r.all), func(t *opening) error {
		select {
		case <-serving.Done():
			return nil
		case err := <-t.ended:
			t.ended <- err
			if errors.Is(err, session.ErrClosed) {
				return nil
			}
			end() // what can't be followed any more ends the run
			return err
		}
	})...)
}

// shows reports whether the run is shown on the whole terminal.
func (r *opened) shows() bool {
	return r.Dashboard != nil && !r.Plain && !r.JSON && !r.Quiet && dashboard.Shows(r.Invocation)
}

// dashboard shows the tunnels of the run until somebody quits. What lines would say is on it.
func (r *opened) dashboard(ctx context.Context) error {
	r.lines.Hush(true)
	defer r.lines.Hush(false)
	r.shown.Store(true)
	defer r.shown.Store(false)
	look := r.Look
	first := r.all[0].session.Tunnel()
	look.Organization, look.Project, look.Environment = first.Organization, first.Project, first.Environment
	for _, t := range r.all {
		look.Own = append(look.Own, t.session.Tunnel().ID)
	}
	look.Leave = func(ctx context.Context, id string) error {
		for _, t := range r.all {
			if t.session.Tunnel().ID == id {
				yes := true
				if err := t.session.Change(ctx, local.TunnelPatch{Detached: &yes}); err != nil {
					return err
				}
				t.left.Store(true)
			}
		}
		return nil
	}
	return r.Dashboard(ctx, r.Invocation, look)
}
