package daemon

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/daemon/asked"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/meter"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/daemon/workload"
	"github.com/mezusphere/mezu/local"
)

// phase is what a Host does about a tunnel.
type phase int

const (
	stopped phase = iota
	// waiting: whoever held it before the last end of the process may take it up again.
	waiting
	// running: its Warpgate runs, or can't and is tried again.
	running
	// refused: somebody has to enrol it.
	refused
	draining
	// removed: it is none any more.
	removed
)

// tunnel is one tunnel of a Host.
type tunnel struct {
	h     *Host
	id    string
	made  time.Time
	given *Given // nil if it was asked for
	meter meter.Meter
	// requests says which of them readers are told of.
	requests *event.Requests
	// recorder keeps them; nil if nobody does.
	recorder *inspect.Recorder

	name    atomic.Pointer[string]
	changed atomic.Bool // the Host is to look at it
	// workload is what is known of what answers.
	workload atomic.Pointer[mezu.Workload]

	// acting is held by whoever starts, ends or enrols it.
	acting chan struct{}

	mu      sync.Mutex
	spec    mezu.TunnelSpec
	phase   phase
	way     *workload.Way
	gate    *warpgate.Warpgate // nil if none is open
	done    chan struct{}      // closed when what runs gate has ended
	known   chan struct{}      // closed when it is known whether it needs a login
	hash    string             // of its key
	last    warpgate.Snapshot  // of the last gate
	trouble *mezu.Error        // why it isn't live, nil if nobody knows
	linked  bool               // some edge has had a link since it was started

	attached int
	grace    *time.Timer // ends the tunnel when nobody is attached

	telling sync.Mutex  // held while told is compared and published
	told    mezu.Tunnel // as it was published last
}

func (h *Host) newTunnel(id string, made time.Time, spec mezu.TunnelSpec) *tunnel {
	t := &tunnel{h: h, id: id, made: made, spec: spec, acting: make(chan struct{}, 1)}
	t.setName(mezu.TunnelName(spec.Project, spec.Environment))
	t.recorder = t.newRecorder()
	return t
}

func (t *tunnel) setName(name string) { t.name.Store(&name) }

// call gives the tunnel a name.
func (t *tunnel) call(name string) {
	if *t.name.Load() != name {
		t.setName(name)
		t.look()
	}
}

// asked is what was asked for.
func (t *tunnel) asked() mezu.TunnelSpec {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spec
}

// at is what the Host does about the tunnel.
func (t *tunnel) at() phase {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phase
}

// act takes the right to start, end or enrol the tunnel.
func (t *tunnel) act(ctx context.Context) error {
	select {
	case t.acting <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// acted gives it back.
func (t *tunnel) acted() { <-t.acting }

// folder is where its Warpgate keeps its state.
func (t *tunnel) folder() string {
	if t.given != nil {
		return t.given.Warpgate.StateDir
	}
	return t.h.dir.Folder(t.id)
}

// open makes a Warpgate and has it take its folder. There is no other one of the tunnel.
func (t *tunnel) open() (*warpgate.Warpgate, error) {
	t.mu.Lock()
	spec, way := t.spec, t.way
	t.mu.Unlock()
	if way == nil {
		var err error
		if way, err = t.openWay(&spec.TunnelTarget, nil); err != nil {
			return nil, err
		}
		t.mu.Lock()
		t.way = way
		t.mu.Unlock()
	}
	gate, err := warpgate.New(t.config(&spec, way))
	if err != nil {
		return nil, err
	}
	if err := gate.Listen(); err != nil {
		return nil, err
	}
	hash, err := gate.KeySHA256()
	if err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gate, t.hash, t.last = gate, hash, gate.Snapshot()
	if t.way != nil && t.way != way { // it was changed just now
		gate.Retarget(t.way.Targets)
	}
	return gate, nil
}

// openWay opens a way to what answers. before is the one that it replaces, or nil.
func (t *tunnel) openWay(to *mezu.TunnelTarget, before *workload.Way) (*workload.Way, error) {
	return workload.Open(workload.Config{Contained: t.h.contained, Say: t.note}, *to, before)
}

// closeWay closes the way, when nobody goes it any more.
func (t *tunnel) closeWay() {
	t.mu.Lock()
	way := t.way
	t.way = nil
	t.mu.Unlock()
	if way != nil {
		way.Close()
	}
}

// config is that of the Warpgate.
func (t *tunnel) config(s *mezu.TunnelSpec, way *workload.Way) warpgate.Config {
	var c warpgate.Config
	if t.given != nil {
		c = t.given.Warpgate
		targets := way.Targets
		targets.MayForward = c.MayForward
		c.Targets = &targets
	} else {
		c = warpgate.Config{API: s.API, CAFile: s.CAFile, Targets: &way.Targets, Environment: s.Environment, StateDir: t.folder(),
			DrainTimeout: local.DrainTimeout, Proxy: t.h.cfg.Proxy, SameMachine: true, Version: t.h.cfg.Version,
			Log: t.h.log.With("tunnel", *t.name.Load()), Now: t.h.cfg.Now, RetryWithin: retryWithin}
	}
	c.Room = t.h.room
	if t.recorder != nil {
		c.Recorder = t.recorder
	}
	p := &passing{t: t, also: c.Events}
	c.Requests, c.Events = p, p.event
	return c
}

// start runs the tunnel: with gate, if it isn't nil, else with a new one. The caller acts.
// Once the end of the Host has begun, it does nothing.
func (t *tunnel) start(gate *warpgate.Warpgate) {
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	if t.h.closed {
		t.closed()
		if gate != nil {
			gate.Close()
		}
		return // and leave closes the way
	}
	t.mu.Lock()
	t.phase, t.linked, t.trouble = running, false, nil
	t.done, t.known = make(chan struct{}), make(chan struct{})
	done := t.done
	t.mu.Unlock()
	t.look()
	t.h.running.Go(func() {
		defer close(done)
		defer t.decide()
		t.run(gate)
	})
}

// decide says that it is known now whether the tunnel needs a login.
func (t *tunnel) decide() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known != nil {
		close(t.known)
		t.known = nil
	}
}

// decided waits until that is known, or was not in time.
func (t *tunnel) decided(ctx context.Context) {
	t.mu.Lock()
	known := t.known
	t.mu.Unlock()
	if known == nil {
		return
	}
	timer := time.NewTimer(decideWithin)
	defer timer.Stop()
	select {
	case <-known:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// run runs one Warpgate of the tunnel after another, until the tunnel is ended or has to be
// enrolled.
func (t *tunnel) run(gate *warpgate.Warpgate) {
	pause := backoff.Backoff{Last: retryWithin}
	for {
		woken := t.h.woken.Rung()
		err := t.runOnce(gate)
		gate = nil
		if t.ended() {
			return
		}
		switch {
		case errors.Is(err, warpgate.ErrRevoked) && t.given == nil:
			t.refuse(t.renounce(err))
			return
		case (errors.Is(err, warpgate.ErrNeedsToken) || errors.Is(err, warpgate.ErrOtherRoot)) && t.given == nil:
			t.refuse(err)
			return
		case err != nil && t.given != nil:
			t.h.fail(err)
			return
		}
		t.fail(err)
		pause.Because(err)
		if pause.WaitOr(t.h.hard, woken) != nil {
			return
		}
	}
}

// runOnce runs a Warpgate to its end.
func (t *tunnel) runOnce(gate *warpgate.Warpgate) error {
	if gate == nil {
		var err error
		if gate, err = t.open(); err != nil {
			return err
		}
		if t.ended() { // before there was a Warpgate to drain
			t.closed()
			return gate.Close()
		}
	}
	if s := gate.Snapshot(); t.given != nil || t.h.now().Before(s.NotAfter) {
		t.decide()
	}
	defer context.AfterFunc(t.h.hard, gate.Cut)()
	err := gate.Run(context.Background())
	t.closed()
	return err
}

// closed keeps what the last Warpgate knew.
func (t *tunnel) closed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gate != nil {
		t.last = t.gate.Snapshot()
		t.last.Links = nil
		t.gate = nil
	}
}

// ended reports whether the tunnel is to run no more.
func (t *tunnel) ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phase != running || t.h.hard.Err() != nil
}

// refuse says that somebody has to enrol the tunnel.
func (t *tunnel) refuse(err error) {
	e := *t.h.explain(err)
	t.mu.Lock()
	ends := t.last.NotAfter
	switch {
	case errors.Is(err, warpgate.ErrRevoked) || errors.Is(err, warpgate.ErrOtherRoot):
	case ends.IsZero():
		e.Detail = "it is not enrolled yet"
	case !t.h.now().Before(ends):
		e.Detail = "its certificate ended at " + ends.UTC().Format(time.RFC3339)
	}
	if e.Code != mezu.CodeForbidden && e.Code != mezu.CodeNotFound {
		e.Code = mezu.CodeUnauthenticated
	}
	if e.Field = ""; !errors.Is(err, warpgate.ErrOtherRoot) {
		e.Hint = "mezu tunnel once more enrols it again; mezu login --profile " + t.spec.Profile + " if that asks for a login"
	}
	if t.phase == running {
		t.phase, t.trouble = refused, &e
	}
	t.mu.Unlock()
	t.h.log.Warn("a tunnel has to be enrolled", "tunnel", *t.name.Load(), "reason", e.Detail, "error", err)
	t.look()
}

// renounce makes the folder of a tunnel whose certificate was revoked anew, with another key. It
// gives the error on.
func (t *tunnel) renounce(revoked error) error {
	t.mu.Lock()
	of := asked.OfSpec(&t.spec)
	t.mu.Unlock()
	if err := t.h.dir.SetAside(t.id, of); err != nil {
		return errors.Join(revoked, err)
	}
	gate, err := t.open()
	if err != nil {
		return errors.Join(revoked, err)
	}
	t.closed()
	return errors.Join(revoked, gate.Close())
}

// fail notes why the Warpgate could not go on. It is tried again.
func (t *tunnel) fail(err error) {
	e := t.h.explain(err)
	t.mu.Lock()
	news := t.trouble == nil || t.trouble.Detail != e.Detail
	t.trouble = e
	t.mu.Unlock()
	t.decide()
	if news {
		t.h.log.Error("a tunnel can't run; trying again", "tunnel", *t.name.Load(), "error", err)
		t.publish(local.Event{Event: mezu.Event{Event: mezu.EventError, Code: e.Code, Message: e.Detail, Hint: e.Hint}})
	}
	t.look()
}

// end drains the tunnel for so long, and waits for its end. The caller acts.
func (t *tunnel) end(to phase, within time.Duration) {
	t.mu.Lock()
	gate, done := t.gate, t.done
	if t.phase == running {
		t.phase = draining
	}
	t.mu.Unlock()
	t.look()
	if gate != nil {
		gate.Drain(within)
		defer t.drains(gate)()
	}
	t.h.woken.Ring() // what waits for another try sees that there is none
	if done != nil {
		<-done
	}
	t.closeWay()
	t.mu.Lock()
	t.phase, t.done, t.trouble = to, nil, nil
	t.mu.Unlock()
	t.look()
}

// leave drains the tunnel because the Host ends, and leaves it as it was asked for.
func (t *tunnel) leave(within time.Duration) {
	t.mu.Lock()
	t.expireAfter(0)
	t.mu.Unlock()
	t.hurry(within)
	if t.act(t.h.hard) == nil {
		defer t.acted()
	}
	if t.at() == running {
		t.end(draining, within)
	}
	t.closeWay()
}

// hurry makes a drain that is under way shorter. Whoever began it waits for its end.
func (t *tunnel) hurry(within time.Duration) {
	t.mu.Lock()
	gate := t.gate
	if t.phase != draining {
		gate = nil
	}
	t.mu.Unlock()
	if gate != nil {
		gate.Drain(within)
	}
}
