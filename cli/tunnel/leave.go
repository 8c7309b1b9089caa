package tunnel

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

// leave leaves tunnels open in the daemon.
func (r *opened) leave(ctx context.Context) error {
	if r.Wait {
		return r.leaveReachable(ctx)
	}
	for _, t := range r.all {
		is := t.session.Tunnel()
		r.kept(t)
		r.lines.Left(show.Ready{Tunnel: is, To: target.Show(r.Dir, is.Target), OpenTo: t.site.OpenTo(t.spec.BasicAuth != nil), Environment: t.site.Text(), News: news(t.site), User: r.User, Password: r.password})
		if err := r.share(is); err != nil {
			return err
		}
	}
	return r.writeEnv()
}

// leaveReachable waits until requests get through and the workloads connect.
func (r *opened) leaveReachable(ctx context.Context) error {
	late := time.Now().Add(r.within())
	reached := each(r.all, atOnce, func(t *opening) error {
		following, end := context.WithCancel(ctx)
		var follower sync.WaitGroup
		defer follower.Wait()
		defer end()
		follower.Go(func() { _ = t.session.Run(following, func(local.Event) {}) }) // Await says what is wrong
		if err := r.await(ctx, t, time.Until(late)); err != nil {
			return err
		}
		if t.spec.Target == mezu.TargetCapture { // no workload has to connect
			return nil
		}
		return r.connects(ctx, t, late)
	})
	if err := cmp.Or(reached...); err != nil {
		return err
	}
	return r.writeEnv()
}

// workloadPoll is how often to look whether the workload connects.
const workloadPoll = 250 * time.Millisecond

func (r *opened) connects(ctx context.Context, t *opening, late time.Time) error {
	tick := time.NewTicker(workloadPoll)
	defer tick.Stop()
	for {
		looked, err := t.session.Probe(ctx)
		if err != nil {
			return err
		}
		w := looked.Workload
		if w.Up != nil && *w.Up {
			return nil
		}
		if time.Now().After(late) {
			is := t.session.Tunnel()
			return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: cmp.Or(w.Detail, "nothing answers at "+target.Show(r.Dir, is.Target)) + " (" + show.Limit(r.within()) + ")", Hint: w.Hint}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
