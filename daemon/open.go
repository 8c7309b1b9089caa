package daemon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/asked"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/local"
)

// decideWithin is how long Open waits until it is known whether a tunnel that has just been
// started needs a login. That is decided by what is on the disk.
const decideWithin = 2 * time.Second

// Open opens a tunnel, or gives the one that is open with the same environment and target.
func (h *Host) Open(ctx context.Context, spec mezu.TunnelSpec) (local.Opened, error) {
	if err := spec.Validate(); err != nil {
		return local.Opened{}, err
	}
	spec.Stopped = false
	for {
		t, made, err := h.openOnce(ctx, spec)
		if err != nil {
			return local.Opened{}, err
		}
		if t == nil {
			continue // it was about to be removed
		}
		t.decided(ctx)
		return local.Opened{Tunnel: t.record(), New: made}, nil
	}
}

// openOnce gives no tunnel if the one that it found was removed meanwhile.
func (h *Host) openOnce(ctx context.Context, spec mezu.TunnelSpec) (t *tunnel, made bool, err error) {
	select {
	case h.opening <- struct{}{}:
	case <-h.leave.Done(): // the end keeps it
		return nil, false, ending()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if t = h.byEnvironment(asked.OfSpec(&spec)); t == nil {
		defer func() { <-h.opening }()
		t, err = h.make(spec)
		return t, err == nil, err
	}
	<-h.opening
	if err := t.act(ctx); err != nil {
		return nil, false, err
	}
	defer t.acted()
	if t.at() == removed {
		return nil, false, nil
	}
	if _, err := h.find(t.id); err != nil {
		return nil, false, err
	}
	return t, false, h.reopen(t, spec)
}

// byEnvironment is the tunnel to an environment, nil if there is none.
func (h *Host) byEnvironment(of asked.Of) *tunnel {
	for _, t := range h.all() {
		spec := t.asked()
		if of.Same(asked.OfSpec(&spec)) {
			return t
		}
	}
	return nil
}

// make makes a tunnel. It takes up the folder of an earlier one to the same environment.
// h.opening is held.
func (h *Host) make(spec mezu.TunnelSpec) (*tunnel, error) {
	h.mu.Lock()
	count, closed := len(h.tunnels), h.closed || !h.open
	h.mu.Unlock()
	if closed {
		return nil, ending()
	}
	if count >= mezu.MaxTunnels {
		return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("there are %d tunnels, as many as one daemon has", count), Hint: "mezu tunnel list, then mezu tunnel rm NAME"}
	}
	now := h.now().UTC()
	id := h.dir.Kept(h.uses, asked.OfSpec(&spec).Same)
	fresh := id == ""
	if fresh {
		id = mezu.NewID(mezu.PrefixTunnel, now)
	}
	t := h.newTunnel(id, now, spec)
	discard := func() error {
		t.closeWay()
		if fresh {
			return h.dir.Remove(id)
		}
		return nil
	}
	if fresh {
		if err := h.dir.Make(id, asked.OfSpec(&spec)); err != nil {
			return nil, errors.Join(err, discard())
		}
	}
	gate, err := t.open()
	if err != nil {
		return nil, errors.Join(h.explain(err), discard())
	}
	err = h.persist(false, func(all []asked.Record) []asked.Record {
		return append(all, asked.Record{ID: id, CreatedAt: now, TunnelSpec: spec})
	})
	if err != nil {
		return nil, errors.Join(err, gate.Close(), discard())
	}
	t.acting <- struct{}{} // nobody else knows it
	defer t.acted()
	h.add(t)
	h.mend(mezu.TunnelName(spec.Project, spec.Environment))
	h.startNew(t, gate)
	return t, nil
}

// mend notes that what was damaged was asked for again.
func (h *Host) mend(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.damaged = slices.DeleteFunc(h.damaged, func(d string) bool { return d == name })
}

// uses reports whether a tunnel has an id.
func (h *Host) uses(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tunnels[id] != nil
}

// startNew starts a tunnel to which nobody is attached yet. The caller acts.
func (h *Host) startNew(t *tunnel, gate *warpgate.Warpgate) {
	t.mu.Lock()
	if !t.spec.Detached && t.attached == 0 {
		t.expireAfter(startGrace)
	}
	t.mu.Unlock()
	t.start(gate)
}

// reopen opens a tunnel that is there. The caller acts.
func (h *Host) reopen(t *tunnel, spec mezu.TunnelSpec) error {
	was := t.asked()
	at := t.at()
	same := sameTarget(&was.TunnelTarget, &spec.TunnelTarget)
	if !same && (t.given != nil || at != stopped && at != waiting) {
		to := was.Target
		if to == spec.Target {
			to += ", with other settings"
		}
		return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%s is open here already, to %s", *t.name.Load(), to),
			Hint: fmt.Sprintf("mezu tunnel show %s, or --name NAME", *t.name.Load())}
	}
	if t.given != nil {
		return nil
	}
	is := spec
	is.Detached, is.Made = spec.Detached || was.Detached && at != stopped, spec.Made || was.Made
	// The environment is the same, and so is what its certificate is known under.
	is.API = was.API
	if !same { // nobody goes a way now
		way, err := t.openWay(&is.TunnelTarget, nil)
		if err != nil {
			return err
		}
		t.closeWay()
		t.mu.Lock()
		t.way = way
		t.mu.Unlock()
	}
	if !reflect.DeepEqual(was, is) {
		if err := h.persist(false, keep(t.id, is)); err != nil {
			if !same {
				t.closeWay()
			}
			return err
		}
	}
	t.mu.Lock()
	t.spec = is
	t.inspects()
	if is.Detached {
		t.expireAfter(0)
	} else if t.attached == 0 {
		t.expireAfter(startGrace)
	}
	t.mu.Unlock()
	if at == stopped || at == waiting {
		t.start(nil)
	}
	h.mu.Lock()
	h.rename() // the profile may be another one
	h.mu.Unlock()
	t.look()
	return nil
}

// sameTarget reports whether nothing is to be done to make one target the other.
func sameTarget(a, b *mezu.TunnelTarget) bool {
	x, y := *a, *b
	if x.HostHeader == "" {
		x.HostHeader = mezu.HostKeep
	}
	if y.HostHeader == "" {
		y.HostHeader = mezu.HostKeep
	}
	if len(x.AllowTargets) == 0 {
		x.AllowTargets = nil
	}
	if len(y.AllowTargets) == 0 {
		y.AllowTargets = nil
	}
	return reflect.DeepEqual(x, y)
}
