package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/local"
)

// close drains all tunnels that nobody else holds. The end of Cut cuts what is in flight.
func (r *opened) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var held []*opening
	for _, t := range r.all {
		if t.left.Load() {
			name := terminal.Clean(t.session.Tunnel().Name)
			r.Sayf("%s stays open; mezu tunnel stop %s closes it", name, name)
			continue
		}
		if ended(t) {
			r.closed(t)
			continue
		}
		is, err := t.session.Refresh(ctx)
		if err == nil && is.State == mezu.TunnelStopped { // by the dashboard
			r.closed(t)
			continue
		}
		if err == nil && !t.session.Held() {
			name := terminal.Clean(is.Name)
			r.Sayf("%s stays open; mezu tunnel stop %s closes it", name, name)
			continue
		}
		held = append(held, t)
	}
	errs := each(held, len(held), func(t *opening) error { return r.stop(ctx, t) })
	for _, t := range held {
		r.closed(t)
	}
	return errors.Join(errs...)
}

func ended(t *opening) bool {
	select {
	case err := <-t.ended:
		t.ended <- err
		return errors.Is(err, session.ErrClosed)
	default:
		return false
	}
}

func (r *opened) closed(t *opening) {
	if !t.reached && !r.JSON {
		return // the error says all
	}
	is := t.session.Tunnel()
	stats := is.Stats
	if stats.Requests >= t.before.Requests { // else it is another daemon's count
		stats.Requests, stats.Failed = stats.Requests-t.before.Requests, stats.Failed-t.before.Failed
	}
	r.lines.Closed(is.Name, time.Since(t.begun), stats)
}

// stop drains one tunnel.
func (r *opened) stop(ctx context.Context, t *opening) error {
	if r.Cut != nil {
		var cutting sync.WaitGroup
		defer cutting.Wait()
		defer context.AfterFunc(r.Cut, func() {
			cutting.Go(func() { _ = t.session.Stop(ctx, 0) }) // its error is that of the other call
		})()
	}
	return t.session.Stop(ctx, local.DrainTimeout)
}

// closeAll lets go of the daemon.
func (r *opened) closeAll() {
	for _, t := range r.all {
		if t.session != nil {
			t.session.Close()
		}
	}
}

// removeTime bounds the removal of an environment at the end.
const removeTime = 15 * time.Second

// removeMade removes the environments that this run made, if it was asked to.
func (r *opened) removeMade(ctx context.Context) error {
	if !r.Remove {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	var errs []error
	for _, t := range r.all {
		if t.site == nil {
			continue
		}
		if !t.site.Made {
			r.Sayf("%s stays: this run did not make it", t.site.Text())
			continue
		}
		if t.session != nil {
			errs = append(errs, t.session.Remove(ctx))
		}
		if err := r.owner.Remove(ctx, t.site); err != nil {
			errs = append(errs, fmt.Errorf("removing %s: %w", t.site.Text(), err))
			continue
		}
		r.Sayf("removed %s", t.site.Text())
	}
	return errors.Join(errs...)
}
