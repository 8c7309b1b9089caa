package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/asked"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/daemon/workload"
	"github.com/mezusphere/mezu/local"
)

// decideWithin is how long Open waits until it is known whether a tunnel that has just been
// started needs a login. That is decided by what is on the disk.
const decideWithin = 2 * time.Second

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
	t.setWorkload(&found)
	return local.Probe{Workload: found, ConnectMS: float64(took) / float64(time.Millisecond), Links: t.record().Links}, nil
}

// Attach holds a tunnel open until detach is called, and local.AttachGrace longer.
func (h *Host) Attach(id string) (detach func(), err error) {
	t, err := h.find(id)
	if err != nil {
		return nil, err
	}
	at, err := t.attach()
	if err != nil {
		return nil, err
	}
	if at == waiting {
		h.spawn(func() { h.startAlone(t) })
	}
	t.look()
	return sync.OnceFunc(t.detach), nil
}

// attach is the beginning of an Attach.
func (t *tunnel) attach() (phase, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.phase == draining || t.phase == removed {
		return t.phase, &mezu.Error{Code: mezu.CodeConflict, Detail: *t.name.Load() + " is closing", Hint: "open it again when it has"}
	}
	t.attached++
	t.expireAfter(0)
	return t.phase, nil
}

// detach is the end of one Attach.
func (t *tunnel) detach() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attached--
	if t.attached == 0 && !t.spec.Detached && t.given == nil {
		t.expireAfter(local.AttachGrace)
	}
	t.look()
}

// expireAfter has the tunnel end after a while, if it is still to; zero says that it isn't.
// t.mu is held.
func (t *tunnel) expireAfter(d time.Duration) {
	if t.grace != nil {
		t.grace.Stop()
		t.grace = nil
	}
	if d > 0 {
		t.grace = time.AfterFunc(d, func() { t.h.spawn(func() { t.h.expire(t) }) })
	}
}

// expire ends a tunnel that nobody holds. Its folder is kept, so that the next one to its
// environment is the same Warpgate.
func (h *Host) expire(t *tunnel) {
	if t.act(h.leave) != nil {
		return
	}
	defer t.acted()
	t.mu.Lock()
	held := t.attached > 0 || t.spec.Detached || t.phase == removed
	t.mu.Unlock()
	if held {
		return
	}
	if err := h.persist(true, forget(t.id)); err != nil {
		h.log.Error("a tunnel that nobody holds could not be taken off the disk", "tunnel", *t.name.Load(), "error", err)
	}
	t.end(removed, local.DrainTimeout)
	h.drop(t)
}
