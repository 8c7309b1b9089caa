// Package daemon is the process that runs Warpgates.
//
// What lives here: what a process has one of, however many Warpgates it runs: their
// common start and end, the bound of their data connections, the health listener.
// Below it are warpgate (one Warpgate) and its parts state, enrol and forward. What
// may not: anything of a single Warpgate; flags and terminals. Signals and the limit
// on descriptors are read by cmd for programs of every kind; they come in as the
// context of Run, as Close, and as Config.MaxConns. cmd imports it; cli, tui and
// edgesvc may not.
package daemon

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
	// is given by the Daemon.
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

// Daemon runs the Warpgates of a process.
type Daemon struct {
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
func New(cfg Config) (*Daemon, error) {
	d := &Daemon{cfg: cfg, log: cfg.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Warpgates) == 0 {
		return nil, errors.New("there is no Warpgate to run")
	}
	if cfg.MaxConns > 0 {
		d.room = tunnel.NewRoom(cfg.MaxConns)
	}
	for _, c := range cfg.Warpgates {
		c.Room = d.room
		if c.Events != nil {
			c.Events = d.healthFirst(c.Events)
		}
		g, err := warpgate.New(c)
		if err != nil {
			return nil, err
		}
		d.members = append(d.members, &member{gate: g, dir: c.StateDir})
	}
	d.hard, d.cut = context.WithCancel(context.Background())
	return d, nil
}

// healthFirst makes the health listener end before the last Warpgate says that it
// stopped: who hears that may start another process at the same address.
func (d *Daemon) healthFirst(events func(mezu.Event)) func(mezu.Event) {
	return func(e mezu.Event) {
		if e.Event == mezu.EventStopped && d.left.Add(-1) == 0 {
			d.stop()
			d.serving.Wait()
		}
		events(e)
	}
}

// Warpgates are those that run, in the order of Config.
func (d *Daemon) Warpgates() []*warpgate.Warpgate {
	out := make([]*warpgate.Warpgate, len(d.members))
	for i, m := range d.members {
		out[i] = m.gate
	}
	return out
}

// HealthAddr is where the health listener is bound, empty if there is none or
// before Run has bound it.
func (d *Daemon) HealthAddr() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.health == nil {
		return ""
	}
	return d.health.Addr().String()
}

// Close cuts everything at once, requests in flight included; Run then returns
// soon. It is idempotent, and after it Run is refused. What Run has taken, Run gives back,
// however early Close comes.
func (d *Daemon) Close() {
	d.cut()
	for _, m := range d.members {
		m.gate.Cut()
	}
}

// Run runs every Warpgate until ctx ends and it has drained, or it can't go on; see
// its own Run. One that ends leaves the others alone. Run returns when all have,
// with their errors. Those of the start name what to change.
func (d *Daemon) Run(ctx context.Context) error {
	if err := d.take(); err != nil {
		return err
	}
	return d.serve(ctx)
}

// serve is Run once everything is taken. It gives it back.
func (d *Daemon) serve(ctx context.Context) error {
	var serving context.Context
	serving, d.stop = context.WithCancel(d.hard)
	if d.health != nil {
		d.serving.Go(func() { d.serveHealth(serving) })
	}
	d.left.Store(int64(len(d.members)))
	errs := make([]error, len(d.members))
	var running sync.WaitGroup
	for i, m := range d.members {
		running.Go(func() { errs[i] = d.run(ctx, m) })
	}
	running.Wait()
	d.stop()
	d.serving.Wait()
	return errors.Join(errs...)
}

// run runs one of the Warpgates to its end.
func (d *Daemon) run(ctx context.Context, m *member) error {
	err := m.gate.Run(ctx)
	m.ended.Store(true)
	if err == nil || len(d.members) == 1 {
		return err
	}
	d.log.Error("a Warpgate ended; the others go on", "warpgate", m.name(), "error", err)
	return fmt.Errorf("%s: %w", m.name(), err)
}

// take takes the state directories and then the health address. After an error
// nothing is held.
func (d *Daemon) take() error {
	for i, m := range d.members {
		if err := m.gate.Listen(); err != nil {
			return giveBack(err, d.members[:i])
		}
	}
	if d.cfg.HealthAddr == "" {
		return nil
	}
	health, err := net.Listen("tcp", d.cfg.HealthAddr)
	if err != nil {
		return giveBack(&mezu.Error{Code: mezu.CodeInvalid, Field: "health-addr", Detail: fmt.Sprintf("can't listen: %v", err),
			Hint: "choose another address with --health-addr, or 127.0.0.1:0 for any free port", Cause: err}, d.members)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health = health
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
