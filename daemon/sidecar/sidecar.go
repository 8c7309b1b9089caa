// Package sidecar is the process that runs Warpgates by its flags: all of what the program
// warpgate does.
//
// What lives here: what a process has one of, however many Warpgates it runs: their
// common start and end, the bound of their data connections, the health listener. What
// may not: anything of a single Warpgate, which is package warpgate's; Warpgates that come
// and go while the process runs, which is package daemon's; flags and terminals. Signals
// and the limit on descriptors are read by cmd for programs of every kind; they come in as
// the context of Run, as Close, and as Config.MaxConns. cmd imports it; cli, tui and
// edgesvc may not.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/tunnel"
)

// Config says what a process is to run.
type Config struct {
	// Warpgates are those to run, each with a state directory of its own. Their Room
	// is given by the Process.
	Warpgates []warpgate.Config
	// HealthAddr is where /livez, /readyz and /metrics are served; if empty,
	// nowhere.
	HealthAddr string
	// MaxConns bounds the data connections of all Warpgates together, and so the
	// requests at once; if zero, only what the edges say does.
	MaxConns int
	// LinesLost is how many lines of the log and events were dropped because nobody
	// read them; if nil, none are.
	LinesLost func() uint64
	// Log is that of the health listener. It may be nil.
	Log *slog.Logger
}

// Process runs the Warpgates of a process.
type Process struct {
	cfg     Config
	log     *slog.Logger
	room    *tunnel.Room // for data connections, nil without a bound
	members []*member

	// hard ends when everything is to be cut.
	hard context.Context
	cut  context.CancelFunc

	mu     sync.Mutex
	health net.Listener // nil if there is none

	serving sync.WaitGroup // what serves health
	stop    func()         // ends that
	left    atomic.Int64   // Warpgates that have not said that they stopped
}

// member is a Warpgate among those of its process.
type member struct {
	gate  *warpgate.Warpgate
	dir   string
	ended atomic.Bool
}

// name tells the Warpgate from the others: its id, and before it has one its state
// directory.
func (m *member) name() string {
	if id := m.gate.ID(); id != "" {
		return id
	}
	return m.dir
}

// New checks the configuration. It touches nothing outside; Run does.
func New(cfg Config) (*Process, error) {
	p := &Process{cfg: cfg, log: cfg.Log}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Warpgates) == 0 {
		return nil, errors.New("there is no Warpgate to run")
	}
	if cfg.MaxConns > 0 {
		p.room = tunnel.NewRoom(cfg.MaxConns)
	}
	for _, c := range cfg.Warpgates {
		c.Room = p.room
		if c.Events != nil {
			c.Events = p.healthFirst(c.Events)
		}
		g, err := warpgate.New(c)
		if err != nil {
			return nil, err
		}
		p.members = append(p.members, &member{gate: g, dir: c.StateDir})
	}
	p.hard, p.cut = context.WithCancel(context.Background())
	return p, nil
}

// healthFirst makes the health listener end before the last Warpgate says that it
// stopped: who hears that may start another process at the same address.
func (p *Process) healthFirst(events func(mezu.Event)) func(mezu.Event) {
	return func(e mezu.Event) {
		if e.Event == mezu.EventStopped && p.left.Add(-1) == 0 {
			p.stop()
			p.serving.Wait()
		}
		events(e)
	}
}

// Warpgates are those that run, in the order of Config.
func (p *Process) Warpgates() []*warpgate.Warpgate {
	out := make([]*warpgate.Warpgate, len(p.members))
	for i, m := range p.members {
		out[i] = m.gate
	}
	return out
}

// HealthAddr is where the health listener is bound, empty if there is none or
// before Run has bound it.
func (p *Process) HealthAddr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.health == nil {
		return ""
	}
	return p.health.Addr().String()
}

// Close cuts everything at once, requests in flight included; Run then returns
// soon. It is idempotent, and after it Run is refused. What Run has taken, Run gives back,
// however early Close comes.
func (p *Process) Close() {
	p.cut()
	for _, m := range p.members {
		m.gate.Cut()
	}
}

// Run runs every Warpgate until ctx ends and it has drained, or it can't go on; see
// its own Run. One that ends leaves the others alone. Run returns when all have,
// with their errors. Those of the start name what to change.
func (p *Process) Run(ctx context.Context) error {
	if err := p.take(); err != nil {
		return err
	}
	return p.serve(ctx)
}

// serve is Run once everything is taken. It gives it back.
func (p *Process) serve(ctx context.Context) error {
	var serving context.Context
	serving, p.stop = context.WithCancel(p.hard)
	if p.health != nil {
		p.serving.Go(func() { p.serveHealth(serving) })
	}
	p.left.Store(int64(len(p.members)))
	errs := make([]error, len(p.members))
	var running sync.WaitGroup
	for i, m := range p.members {
		running.Go(func() { errs[i] = p.run(ctx, m) })
	}
	running.Wait()
	p.stop()
	p.serving.Wait()
	return errors.Join(errs...)
}

// run runs one of the Warpgates to its end.
func (p *Process) run(ctx context.Context, m *member) error {
	err := m.gate.Run(ctx)
	m.ended.Store(true)
	if err == nil || len(p.members) == 1 {
		return err
	}
	p.log.Error("a Warpgate ended; the others go on", "warpgate", m.name(), "error", err)
	return fmt.Errorf("%s: %w", m.name(), err)
}

// take takes the state directories and then the health address. After an error
// nothing is held.
func (p *Process) take() error {
	for i, m := range p.members {
		if err := m.gate.Listen(); err != nil {
			return giveBack(err, p.members[:i])
		}
	}
	if p.cfg.HealthAddr == "" {
		return nil
	}
	health, err := net.Listen("tcp", p.cfg.HealthAddr)
	if err != nil {
		taken := mezu.CannotListen("health-addr", p.cfg.HealthAddr, err)
		taken.Code = mezu.CodeInvalid // as everything that is wrong with its settings
		return giveBack(taken, p.members)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.health = health
	return nil
}

// giveBack closes Warpgates that hold their state directories and don't run, because
// of err.
func giveBack(err error, members []*member) error {
	for _, m := range members {
		err = errors.Join(err, m.gate.Close())
	}
	return err
}
