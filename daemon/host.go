// Package daemon is the local daemon: the tunnels of one person on one machine, in one
// process.
//
// What lives here: what runs as a tunnel, who holds it open and when it ends; what was asked
// for, over restarts; when the process itself has nothing more to do. One Warpgate is package
// warpgate's; records on the disk are package asked's, the way to what answers package
// workload's, figures of requests package meter's, the look at clock and network package
// wake's. What may not: sockets and HTTP of the local API (package rest serves it over a
// Host), flags, terminals, signals. No login and no API key reaches it: a tunnel registers by
// an enrolment token that was made for its key. cmd imports it; cli, tui and edgesvc may not.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/daemon/asked"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/daemon/wake"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/local"
)

const (
	// startGrace is how long a tunnel lives before the first command is attached to it: long
	// enough to log in anew and enrol it. After a start of the daemon it is how long what was
	// attached before has to come back, and waits.
	startGrace = 30 * time.Second
	// retryWithin bounds the wait between two tries: a person sits before the screen, and wants
	// the address back two seconds after the network.
	retryWithin = 1500 * time.Millisecond
	// lookEvery is the time between two looks at all tunnels: how old what streams say of them
	// may be, and how soon what could not be written is tried again.
	lookEvery = time.Second
)

// Config says what a Host is to run.
type Config struct {
	// StateDir holds what was asked for and the folder of each tunnel. It is made if need
	// be and used by one process at a time.
	StateDir string
	// Kind is local.HostDaemon or local.HostDev.
	Kind string
	// Version, Program and LogFile are what Status says of the process.
	Version, Program, LogFile string
	// Given are tunnels that live as long as the process. Nobody can stop or remove them. If
	// one ends with an error, the Host does.
	Given []Given
	// IdleEnd is how long Run waits for work after the last tunnel and client; if zero, for
	// ever.
	IdleEnd time.Duration
	// MaxConns bounds the data connections of all tunnels together, and so the requests at
	// once; if zero, only what the edges say does.
	MaxConns int
	// Hub gets the events of all tunnels.
	Hub *event.Hub
	// Inspector keeps what passes through all of them, and Show says what events tell of that. If
	// nil, nothing is kept.
	Inspector *inspect.Inspector
	Show      *show.Show
	// ReplayTime is how long one request that is sent again may take; if zero, maxReplayed.
	ReplayTime time.Duration
	// Proxy says which proxy a URL of an edge goes through; if nil, the one
	// that HTTPS_PROXY and NO_PROXY name.
	Proxy func(*url.URL) (*url.URL, error)
	// Wake says by what sleep and other networks are noticed; its Woken is not used.
	Wake wake.Config
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock for everything that expires; if nil, time.Now.
	Now func() time.Time
}

// Given is a tunnel that is the host's own.
type Given struct {
	// Spec says where it leads to, and what is shown of it.
	Spec mezu.TunnelSpec
	// Warpgate is the rest of its configuration, with a state folder of its own. Its Events
	// is called as it is without a Host; its Room and its Targets are given by the Host, and
	// of its own targets only MayForward counts. It has no Requests.
	Warpgate warpgate.Config
	// Say is called with what is in the way of requests, and what helps, each alone; once
	// for each kind. It may be nil.
	Say func(e mezu.Event, fixes []string)
}

// Host runs tunnels. Its operations are those of the local API; they are safe for concurrent
// use, and their errors are for people.
type Host struct {
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	room *warpgate.Room // nil without a bound
	// contained says that the process runs in a container of its own.
	contained bool
	begun     time.Time

	// hard ends when everything has to be cut.
	hard context.Context
	cut  context.CancelFunc
	// leave ends when the Host has to, with the reason as its cause.
	leave   context.Context
	leaving context.CancelCauseFunc

	running sync.WaitGroup // what runs tunnels, and what ends them by itself
	woken   backoff.Bell
	changes chan struct{} // gets a value when a tunnel has changed
	clients atomic.Int64
	// replaying is how many replays are under way.
	replaying atomic.Int64
	opening   chan struct{} // held by whoever makes a tunnel

	mu       sync.Mutex
	dir      *asked.Dir // nil before Listen
	open     bool       // dir is held
	tunnels  map[string]*tunnel
	damaged  []string
	served   bool            // Run was called
	closed   bool            // nothing is started any more
	shutdown *local.Shutdown // what was asked for last

	saving  sync.Mutex
	records []asked.Record // as they are to be on the disk
	unsaved bool           // and aren't
}

// New checks the configuration. It touches nothing outside; Listen does.
func New(cfg Config) (*Host, error) {
	h := &Host{cfg: cfg, log: cfg.Log, now: cfg.Now, changes: make(chan struct{}, 1), opening: make(chan struct{}, 1), tunnels: map[string]*tunnel{}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	if cfg.StateDir == "" || cfg.Hub == nil || (cfg.Inspector == nil) != (cfg.Show == nil) {
		return nil, errors.New("a host of tunnels needs a folder and a hub of events, and who keeps requests somebody who shows them")
	}
	if cfg.MaxConns > 0 {
		h.room = warpgate.NewRoom(cfg.MaxConns)
	}
	h.begun, h.contained = h.now(), warpgate.Contained()
	h.hard, h.cut = context.WithCancel(context.Background())
	h.leave, h.leaving = context.WithCancelCause(h.hard)
	for _, g := range cfg.Given {
		if err := g.Spec.Validate(); err != nil {
			return nil, err
		}
		t := h.newTunnel(mezu.NewID(mezu.PrefixTunnel, h.begun), h.begun, g.Spec)
		t.given = &g
		h.add(t)
	}
	return h, nil
}

// Listen takes the state folder and reads what was asked for. Run calls it if need be. The
// error has asked.ErrLocked in its chain if another process has the folder.
func (h *Host) Listen() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.open:
		return nil
	case h.hard.Err() != nil:
		return errors.New("the host was closed")
	}
	dir, err := asked.Open(h.cfg.StateDir)
	if errors.Is(err, asked.ErrLocked) {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "another process runs the tunnels of " + h.cfg.StateDir, Hint: "mezu daemon status", Cause: err}
	}
	if err != nil {
		return fmt.Errorf("opening the folder of tunnels: %w", err)
	}
	records, damaged, err := dir.Load()
	if err != nil {
		return errors.Join(fmt.Errorf("reading what was asked for: %w", err), dir.Close())
	}
	for _, d := range damaged {
		h.log.Error("what was asked for of a tunnel is damaged; opening it again takes up its key and certificate", "tunnel", d)
	}
	h.dir, h.open, h.records, h.damaged = dir, true, records, damaged
	for _, r := range records {
		t := h.newTunnel(r.ID, r.CreatedAt, r.TunnelSpec)
		if !r.Stopped {
			t.phase = waiting
		}
		h.insert(t)
	}
	return nil
}

// insert adds a tunnel; h.mu is held, or the Host is not shared yet.
func (h *Host) insert(t *tunnel) {
	h.tunnels[t.id] = t
	t.requests = h.cfg.Hub.Requests(t.id)
	h.rename()
	t.tell() // its stream begins
}

// add is insert without the lock.
func (h *Host) add(t *tunnel) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.insert(t)
}

// drop ends the streams of a tunnel that is none any more.
func (h *Host) drop(t *tunnel) {
	h.mu.Lock()
	delete(h.tunnels, t.id)
	h.rename()
	h.mu.Unlock()
	t.telling.Lock()
	defer t.telling.Unlock()
	t.publish(local.Event{Event: mezu.Event{Event: mezu.EventStopped}})
	t.publish(local.Event{Event: mezu.Event{Event: local.EventTunnel}})
}

// rename gives each tunnel the shortest name that no other has; h.mu is held.
func (h *Host) rename() {
	all := make([]*tunnel, 0, len(h.tunnels))
	for _, t := range h.tunnels {
		all = append(all, t)
	}
	for _, name := range []func(*mezu.TunnelSpec) string{
		func(s *mezu.TunnelSpec) string { return mezu.TunnelName(s.Project, s.Environment) },
		func(s *mezu.TunnelSpec) string { return s.Profile + "/" + mezu.TunnelName(s.Project, s.Environment) },
		func(s *mezu.TunnelSpec) string {
			return s.Profile + "/" + s.Organization + "/" + mezu.TunnelName(s.Project, s.Environment)
		},
	} {
		count := map[string]int{}
		names := make([]string, len(all))
		for i, t := range all {
			spec := t.asked()
			names[i] = name(&spec)
			count[names[i]]++
		}
		var left []*tunnel
		for i, t := range all {
			if count[names[i]] > 1 {
				left = append(left, t)
			} else {
				t.call(names[i])
			}
		}
		all = left
	}
	for _, t := range all {
		t.call(t.id)
	}
}

// Run runs the tunnels until ctx ends, Shutdown was called, or there was nothing to do for
// Config.IdleEnd. Then it drains them, for as long as Shutdown said or local.DrainTimeout. It
// returns when all have ended.
func (h *Host) Run(ctx context.Context) error {
	if err := h.Listen(); err != nil {
		return err
	}
	h.mu.Lock()
	h.served = true
	h.mu.Unlock()
	defer context.AfterFunc(ctx, func() { h.leaving(nil) })()
	h.begin()

	var looking sync.WaitGroup
	lookCtx, stopLooking := context.WithCancel(context.Background())
	looking.Go(func() { h.watch(lookCtx) })
	looking.Go(func() {
		c := h.cfg.Wake
		c.Woken = h.wake
		wake.Run(lookCtx, c)
	})
	<-h.leave.Done()
	h.end()
	stopLooking()
	looking.Wait()
	err := h.giveBack()
	if cause := context.Cause(h.leave); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// begin starts what was asked for.
func (h *Host) begin() {
	for _, t := range h.all() {
		spec := t.asked()
		switch {
		case t.given != nil || spec.Detached && !spec.Stopped:
			h.spawn(func() { h.startAlone(t) })
		case spec.Stopped:
			h.spawn(func() { h.peek(t) })
		}
		if !spec.Detached && t.given == nil {
			t.mu.Lock()
			if t.attached == 0 {
				t.expireAfter(startGrace)
			}
			t.mu.Unlock()
		}
		t.look()
	}
}

// startAlone starts a tunnel for which nobody waits.
func (h *Host) startAlone(t *tunnel) {
	if t.act(h.leave) != nil {
		return
	}
	defer t.acted()
	if p := t.at(); p == waiting || p == stopped && t.given != nil {
		t.start(nil)
	}
}

// peek reads what the folder of a stopped tunnel says.
func (h *Host) peek(t *tunnel) {
	if t.act(h.leave) != nil {
		return
	}
	defer t.acted()
	if t.at() != stopped {
		return
	}
	gate, err := t.open()
	if err == nil {
		t.closed()
		err = gate.Close()
	}
	t.closeWay()
	if err != nil {
		h.log.Warn("looking at a stopped tunnel", "tunnel", *t.name.Load(), "error", err)
	}
	t.look()
}

// spawn runs f and reports true, unless the end has begun. Run waits for it.
func (h *Host) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.running.Go(f)
	return true
}

// all are the tunnels, by id.
func (h *Host) all() []*tunnel {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*tunnel, 0, len(h.tunnels))
	for _, t := range h.tunnels {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *tunnel) int { return cmp.Compare(a.id, b.id) })
	return out
}

// watch tells what has changed, and does what comes round, until ctx ends.
func (h *Host) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	idle := time.Now()
	for {
		select {
		case <-ctx.Done():
			h.tell(false)
			return
		case <-h.changes:
			h.tell(false)
		case <-tick.C:
			h.cfg.Hub.Tick()
			h.tell(true)
			h.saveAgain()
			if h.busy() {
				idle = time.Now()
			} else if h.cfg.IdleEnd > 0 && time.Since(idle) >= h.cfg.IdleEnd {
				h.log.Info("nothing was asked for in a while; ending")
				h.leaving(nil)
			}
			h.leaveIfAsked()
		}
	}
}

// tell has tunnels publish what has changed: those that said so, or all.
func (h *Host) tell(all bool) {
	for _, t := range h.all() {
		if all {
			t.meter.Tick()
			t.requests.Tick(t.missed)
		}
		if t.changed.Swap(false) || all {
			t.tell()
		}
	}
}

// busy reports whether there is a reason to go on.
func (h *Host) busy() bool {
	return h.clients.Load() > 0 || slices.ContainsFunc(h.all(), func(t *tunnel) bool { return t.at() != stopped })
}

// inFlight is how many requests are under way.
func (h *Host) inFlight() int {
	n := 0
	for _, t := range h.all() {
		n += t.meter.InFlight()
	}
	return n
}

// wake says that the machine was asleep or is on another network.
func (h *Host) wake(why string) {
	h.log.Info("trying everything again", "reason", why)
	h.woken.Ring()
	for _, t := range h.all() {
		t.mu.Lock()
		gate := t.gate
		t.mu.Unlock()
		if gate != nil {
			gate.Wake()
		}
	}
}

// Shutdown ends Run: at once, or if it is to be idle as soon as nothing is in flight. It doesn't
// wait for that.
func (h *Host) Shutdown(s local.Shutdown) error {
	h.mu.Lock()
	h.shutdown = &s
	h.mu.Unlock()
	h.leaveIfAsked()
	return nil
}

// leaveIfAsked ends Run if Shutdown was called and its time has come.
func (h *Host) leaveIfAsked() {
	h.mu.Lock()
	s := h.shutdown
	h.mu.Unlock()
	if s != nil && (!s.Idle || h.inFlight() == 0) {
		h.leaving(nil)
	}
}

// fail ends Run with an error.
func (h *Host) fail(err error) { h.leaving(err) }

// end drains everything. From here on nothing is started.
func (h *Host) end() {
	h.mu.Lock()
	h.closed = true
	s := cmp.Or(h.shutdown, &local.Shutdown{})
	h.mu.Unlock()
	h.opening <- struct{}{} // who makes a tunnel now has it among the others then
	var all sync.WaitGroup
	for _, t := range h.all() {
		all.Go(func() {
			within := s.Time(local.DrainTimeout)
			if t.given != nil && s.Timeout == nil {
				within = cmp.Or(t.given.Warpgate.DrainTimeout, warpgate.DrainTimeout)
			}
			t.leave(within)
			if !s.Restart {
				t.publish(local.Event{Event: mezu.Event{Event: mezu.EventStopped}})
			}
		})
	}
	all.Wait()
	h.running.Wait()
}

// Close cuts everything at once; Run then returns soon. Without Run it gives back what Listen
// took. It is idempotent.
func (h *Host) Close() {
	h.cut()
	h.mu.Lock()
	served := h.served
	h.mu.Unlock()
	if !served {
		h.giveBack()
	}
}

// giveBack gives back the folder.
func (h *Host) giveBack() error {
	h.saveAgain()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open {
		return nil
	}
	h.open = false
	return h.dir.Close()
}

// Done is closed when the end of the Host has begun, whatever began it.
func (h *Host) Done() <-chan struct{} { return h.leave.Done() }

// Hold says that a client is connected, until release is called.
func (h *Host) Hold() (release func()) {
	h.clients.Add(1)
	return sync.OnceFunc(func() { h.clients.Add(-1) })
}

// Status is what there is to say of the process.
func (h *Host) Status() local.Status {
	all := h.all()
	h.mu.Lock()
	damaged := slices.Clone(h.damaged)
	h.mu.Unlock()
	return local.Status{Version: h.cfg.Version, Host: h.cfg.Kind, PID: os.Getpid(), StartedAt: h.begun, Program: h.cfg.Program, StateDir: h.cfg.StateDir,
		LogFile: h.cfg.LogFile, Tunnels: len(all), Clients: int(h.clients.Load()), InFlight: h.inFlight(), Damaged: damaged}
}

// persist changes what is on the disk. If that fails, nothing has changed; but with anyway the
// change is tried again until it is there.
func (h *Host) persist(anyway bool, change func([]asked.Record) []asked.Record) error {
	h.saving.Lock()
	defer h.saving.Unlock()
	next := change(slices.Clone(h.records))
	err := h.dir.Save(next)
	if err != nil && !anyway {
		return err
	}
	h.records, h.unsaved = next, err != nil
	return err
}

// saveAgain writes what could not be written before.
func (h *Host) saveAgain() {
	h.saving.Lock()
	defer h.saving.Unlock()
	if h.unsaved && h.dir.Save(h.records) == nil {
		h.unsaved = false
	}
}

// keep is the change that makes the record of a tunnel that of spec.
func keep(id string, spec mezu.TunnelSpec) func([]asked.Record) []asked.Record {
	return func(all []asked.Record) []asked.Record {
		for i := range all {
			if all[i].ID == id {
				all[i].TunnelSpec = spec
			}
		}
		return all
	}
}

// forget is the change that removes the record of a tunnel.
func forget(id string) func([]asked.Record) []asked.Record {
	return func(all []asked.Record) []asked.Record {
		return slices.DeleteFunc(all, func(r asked.Record) bool { return r.ID == id })
	}
}
