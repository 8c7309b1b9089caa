package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/daemon/workload"
	"github.com/mezusphere/mezu/local"
)

// List gives all tunnels, by name.
func (h *Host) List() []mezu.Tunnel {
	all := h.all()
	out := make([]mezu.Tunnel, len(all))
	for i, t := range all {
		out[i] = t.record()
	}
	slices.SortFunc(out, func(a, b mezu.Tunnel) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Get gives a tunnel.
func (h *Host) Get(id string) (mezu.Tunnel, error) {
	t, err := h.find(id)
	if err != nil {
		return mezu.Tunnel{}, err
	}
	return t.record(), nil
}

// find gives the tunnel with an id.
func (h *Host) find(id string) (*tunnel, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.tunnels[id]; t != nil && !h.closed {
		return t, nil
	}
	return nil, h.missing(id)
}

// ending says that nothing is opened any more.
func ending() error {
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the daemon is ending", Hint: "try again in a moment"}
}

// missing says that there is no such tunnel; h.mu is held.
func (h *Host) missing(id string) error {
	if h.closed {
		return ending()
	}
	return &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("there is no tunnel %q", id), Hint: "mezu tunnel list"}
}

// take gives the tunnel with an id, and the right to act on it.
func (h *Host) take(ctx context.Context, id string) (*tunnel, error) {
	t, err := h.find(id)
	if err != nil {
		return nil, err
	}
	if err := t.act(ctx); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || t.at() == removed {
		t.acted()
		return nil, h.missing(id)
	}
	return t, nil
}

// takeAsked is take for a tunnel that isn't given.
func (h *Host) takeAsked(ctx context.Context, id, doing string) (*tunnel, error) {
	t, err := h.take(ctx, id)
	if err == nil && t.given != nil {
		t.acted()
		return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%s lives as long as mezu dev, which runs it, and can't be %s", *t.name.Load(), doing),
			Hint: "stop mezu dev, or open a tunnel to an environment of its own with --name NAME"}
	}
	return t, err
}

// Patch changes a tunnel while it is open.
func (h *Host) Patch(ctx context.Context, id string, p local.TunnelPatch) (mezu.Tunnel, error) {
	if p.Target != nil {
		if err := p.Target.Validate(); err != nil {
			return mezu.Tunnel{}, mezu.Below("target", err)
		}
	}
	t, err := h.takeAsked(ctx, id, "changed")
	if err != nil {
		return mezu.Tunnel{}, err
	}
	defer t.acted()
	t.mu.Lock()
	is, before := t.spec, t.way
	t.mu.Unlock()
	way := before
	if p.Target != nil {
		if way, err = t.openWay(p.Target, before); err != nil {
			return mezu.Tunnel{}, err
		}
		is.TunnelTarget = *p.Target
	}
	if p.Detached != nil {
		is.Detached = *p.Detached
	}
	if p.Uninspected != nil {
		is.Uninspected = *p.Uninspected
	}
	if err := h.persist(false, keep(id, is)); err != nil {
		if way != before {
			way.Close()
		}
		return mezu.Tunnel{}, err
	}
	t.mu.Lock()
	idle := t.phase == stopped || t.phase == waiting
	if idle && way != nil { // it was opened to see whether it can be
		defer way.Close()
		way = nil
	}
	t.spec, t.way = is, way
	t.inspects()
	gate := t.gate
	switch {
	case is.Detached:
		t.expireAfter(0)
	case p.Detached != nil && t.attached == 0:
		t.expireAfter(local.AttachGrace)
	}
	t.mu.Unlock()
	if p.Target != nil {
		t.setWorkload(&mezu.Workload{})
		if gate != nil {
			gate.Retarget(way.Targets)
		}
		if before != way {
			h.retire(before, gate != nil)
		}
	}
	t.look()
	return t.record(), nil
}

// retire closes a way that was replaced, when requests that go it had their time.
func (h *Host) retire(way *workload.Way, used bool) {
	if way == nil {
		return
	}
	waits := used && h.spawn(func() {
		timer := time.NewTimer(local.DrainTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-h.leave.Done():
		}
		way.Close()
	})
	if !waits {
		way.Close()
	}
}

// Delete drains a tunnel for local.DrainTimeout, and removes it with its key and certificate.
func (h *Host) Delete(ctx context.Context, id string) error {
	t, err := h.takeAsked(ctx, id, "removed")
	if err != nil {
		return err
	}
	defer t.acted()
	kept := h.persist(true, forget(id))
	t.end(removed, local.DrainTimeout)
	gone := h.dir.Remove(id)
	h.drop(t)
	if gone != nil {
		return fmt.Errorf("removing the folder of a tunnel: %w", gone)
	}
	return unkept(t, "removed", kept)
}

// unkept says that something was done which the next daemon may not know.
func unkept(t *tunnel, done string, err error) error {
	if err == nil {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("%s is %s, but that could not be written: %v", *t.name.Load(), done, err),
		Hint: "make room on the disk; it is tried again each second, and until then the next daemon would open it", Cause: err}
}

// Enrol registers a tunnel with an enrolment token, and returns when the control plane has
// answered. The token is kept nowhere.
func (h *Host) Enrol(ctx context.Context, id, token string) (mezu.Tunnel, error) {
	if !strings.HasPrefix(token, mezu.TokenEnrolment) {
		return mezu.Tunnel{}, mezu.Invalid("token", "is an enrolment token; no login and no key is taken here")
	}
	t, err := h.takeAsked(ctx, id, "enrolled")
	if err != nil {
		return mezu.Tunnel{}, err
	}
	defer t.acted()
	if err := t.enrol(ctx, token); err != nil {
		return mezu.Tunnel{}, h.explain(err)
	}
	t.look()
	return t.record(), nil
}

// explain says any error to people.
func (h *Host) explain(err error) *mezu.Error {
	var e *mezu.Error
	switch {
	case errors.As(err, &e) && errors.Is(err, warpgate.ErrOtherRoot):
		other := *e
		other.Hint = "if the installation was really set up anew, remove the tunnel with mezu tunnel rm and open it again; otherwise somebody is in between"
		return &other
	case errors.As(err, &e):
		return e
	case err == nil:
		err = errors.New("the Warpgate ended")
	}
	return warpgate.Explain(err, h.now())
}

// enrol registers with a token. The caller acts.
func (t *tunnel) enrol(ctx context.Context, token string) error {
	t.mu.Lock()
	at, gate, trouble := t.phase, t.gate, t.trouble
	t.mu.Unlock()
	switch {
	case at == stopped:
		return &mezu.Error{Code: mezu.CodeConflict, Detail: *t.name.Load() + " is stopped", Hint: "mezu tunnel start " + *t.name.Load()}
	case at == waiting:
		t.start(nil)
		if t.at() == waiting { // the end of the Host has begun
			return ending()
		}
		t.decided(ctx)
		return t.enrol(ctx, token)
	case at == running && gate != nil:
		err := gate.Enrol(ctx, token)
		if err == nil || t.at() != refused { // else it was refused before
			return err
		}
	case at == running && trouble != nil:
		return trouble
	case at == running:
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: *t.name.Load() + " is being started", Hint: "try again in a moment"}
	}
	gate, err := t.open()
	if err != nil {
		return err
	}
	if err := gate.Enrol(ctx, token); err != nil {
		t.closed()
		return errors.Join(err, gate.Close())
	}
	t.start(gate)
	return nil
}

// Start starts a tunnel that was stopped, or tries one again that needs a login. Any other is
// left as it is.
func (h *Host) Start(ctx context.Context, id string) (mezu.Tunnel, error) {
	t, err := h.take(ctx, id)
	if err != nil {
		return mezu.Tunnel{}, err
	}
	defer t.acted()
	switch t.at() {
	case stopped, waiting, refused:
		is := t.asked()
		if is.Stopped {
			is.Stopped = false
			if err := h.persist(false, keep(id, is)); err != nil {
				return mezu.Tunnel{}, err
			}
			t.mu.Lock()
			t.spec = is
			t.mu.Unlock()
		}
		h.startNew(t, nil)
		t.decided(ctx)
	}
	return t.record(), nil
}

// Stop drains a tunnel for so long and keeps it, stopped. It returns when it has ended. A drain
// that is under way is made shorter.
func (h *Host) Stop(ctx context.Context, id string, drain time.Duration) (mezu.Tunnel, error) {
	t, err := h.find(id)
	if err != nil {
		return mezu.Tunnel{}, err
	}
	t.hurry(drain)
	t, err = h.takeAsked(ctx, id, "stopped")
	if err != nil {
		return mezu.Tunnel{}, err
	}
	defer t.acted()
	is := t.asked()
	is.Stopped = true
	kept := h.persist(true, keep(id, is))
	t.mu.Lock()
	t.spec = is
	t.mu.Unlock()
	t.end(stopped, drain)
	t.mu.Lock()
	if !is.Detached && t.attached == 0 {
		t.expireAfter(local.AttachGrace)
	}
	t.mu.Unlock()
	t.publish(local.Event{Event: mezu.Event{Event: mezu.EventStopped}})
	return t.record(), unkept(t, "stopped", kept)
}

// Probe connects to the workload of a tunnel and says what it finds.
func (h *Host) Probe(ctx context.Context, id string) (local.Probe, error) {
	t, err := h.find(id)
	if err != nil {
		return local.Probe{}, err
	}
	t.mu.Lock()
	way, to := t.way, t.spec.TunnelTarget
	t.mu.Unlock()
	if way == nil { // it doesn't run, or is given
		if way, err = t.openWay(&to, nil); err != nil {
			return local.Probe{}, err
		}
		defer way.Close()
	}
	found, took := way.Probe(ctx)
	if ctx.Err() != nil { // what was cut off says nothing of the workload
		return local.Probe{}, ctx.Err()
	}
	t.setWorkload(&found)
	return local.Probe{Workload: found, ConnectMS: float64(took) / float64(time.Millisecond), Links: t.record().Links}, nil
}
