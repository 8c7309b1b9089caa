// Package warpgate is one Warpgate: it registers with the control plane, keeps a
// tunnel to each edge of its environment, judges each request a second time and
// forwards it to the workload.
//
// What lives here: the life of a Warpgate from start to drain, what its host sees of it
// and changes meanwhile, and its way through proxies. Beside it are state (what it holds on disk), enrol (its calls to the
// control plane) and forward (one exchange to the workload). What may not: what a
// process has one of (that is package sidecar's), flags, terminals, signals.
// sidecar and daemon import it; cli, tui and edgesvc may not.
package warpgate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/daemon/enrol"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/state"
	"github.com/mezusphere/mezu/tunnel"
)

// DrainTimeout is how long requests in flight may take after the end was asked
// for, if Config says nothing: within what orchestrators grant by default.
const DrainTimeout = 30 * time.Second

// Config says what a Warpgate is to do.
type Config struct {
	// API is the control plane, https://host[:port].
	API string
	// CAFile holds the CA of a private control plane in PEM; if empty, the
	// system's roots. A file that holds none is an error.
	CAFile string
	// Token gives the service account key or an enrolment token. It is called at
	// each registration. If nil, the state directory must hold a certificate.
	Token func() (string, error)
	// Upstream is where the workload answers, in the notation of
	// mezu.ParseUpstream. It may be empty if there are AllowTargets: then each
	// route has to name one of them.
	Upstream string
	// AllowTargets are further upstreams that routes may name.
	AllowTargets []string
	// MayForward allows further targets: those of a file that changes. It is asked at
	// each request to a target that is neither Upstream nor one of AllowTargets. If nil,
	// it allows none.
	MayForward func(mezu.Upstream) bool
	// Targets are used instead of Upstream, AllowTargets and MayForward if not nil.
	Targets *Targets
	// Environment by name; if empty, the service account's.
	Environment string
	// StateDir keeps identity and configuration; it is made if need be and
	// used by one process at a time.
	StateDir string
	// Room bounds the data connections to all edges together, and so the requests at
	// once. Warpgates of one process share it; if nil, only what the edges say bounds
	// them.
	Room *tunnel.Room
	// DrainTimeout bounds the drain; if zero, the package's DrainTimeout.
	DrainTimeout time.Duration
	// Proxy says which proxy a URL of an edge goes through; if nil, the one
	// that HTTPS_PROXY and NO_PROXY name.
	Proxy func(*url.URL) (*url.URL, error)
	// SameMachine says that the workload runs on the same machine or in the same
	// container as this process, so that no hint speaks of containers.
	SameMachine bool
	Version     string
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock for everything that expires; if nil, time.Now.
	Now func() time.Time
	// RetryWithin bounds the wait between two tries to reach an edge or the control plane,
	// unless they ask for more; if zero, backoff.LastCeiling. A person who waits before a
	// screen wants less of it than an installation of thousands.
	RetryWithin time.Duration
	// Events is called with each event: a change of status or configuration, the end of a
	// request, an error, the end. Calls come one at a time, and requests wait for them, so
	// it must not block. It may be nil.
	Events func(mezu.Event)
	// Requests is told of each request, and Events then is of none. Requests wait for it. It
	// may be nil.
	Requests Requests
	// Recorder keeps what passes; if nil, nobody does.
	Recorder Recorder
}

// Recorder keeps what passes.
type Recorder = forward.Recorder

// Tape is what it is told of one data connection.
type Tape = forward.Tape

// Requests is told of requests as they pass.
type Requests = forward.Requests

// Outcome is how a request has ended.
type Outcome = forward.Outcome

// Room bounds the data connections of several Warpgates together.
type Room = tunnel.Room

// NewRoom makes a Room for so many.
func NewRoom(most int) *Room { return tunnel.NewRoom(most) }

// Warpgate is the connector beside one workload, under one identity.
type Warpgate struct {
	cfg     Config
	targets *targeting
	log     *slog.Logger
	now     func() time.Time
	runtime runtimeEnvironment
	pace    pace

	// hard ends when everything has to be cut.
	hard   context.Context
	cut    context.CancelFunc
	ending *ending
	woken  backoff.Bell // by Wake

	listen  sync.Mutex
	open    bool // what Listen took is held
	ended   bool // it was given back
	running bool // Run gives it back
	state   *state.State
	client  *enrol.Client
	session atomic.Pointer[session]

	away away
	// offered is the id in an answer of the control plane that could not be used, for
	// instance because the clock was off. The next try asks for the same id, so that
	// tries don't make a Warpgate each. Whoever asks for a certificate holds asking.
	offered string
	asking  chan struct{}
	closed  bool // nobody may ask any more; guarded by asking

	events    sync.Mutex
	troubles  troubles
	counters  *counters
	underway  *forward.Underway
	unreached unreached
	// newServer makes what serves data connections.
	newServer func(forward.Config) server
}

// server serves the data connections of all edges. ServeConn blocks until the
// connection has carried its last exchange or ctx ends; Close is called when no
// ServeConn runs any more.
type server interface {
	ServeConn(ctx context.Context, conn net.Conn, edge string)
	Retarget(Targets)
	Replay(ctx context.Context, r *Repeat, tape Tape)
	Close()
}

// newForwarder is the server of a real Warpgate.
func newForwarder(c forward.Config) server { return forward.New(c) }

// New checks the configuration. It touches nothing outside; Listen does.
func New(cfg Config) (*Warpgate, error) {
	g := &Warpgate{cfg: cfg, counters: newCounters(), underway: &forward.Underway{}, unreached: newUnreached(), log: cfg.Log, now: cfg.Now, newServer: newForwarder, pace: defaultPace,
		runtime: runtimeEnvironment{os.DirFS("/"), os.Getenv}, asking: make(chan struct{}, 1)}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.cfg.Proxy == nil {
		g.cfg.Proxy = environmentProxy
	}
	if g.cfg.DrainTimeout <= 0 {
		g.cfg.DrainTimeout = DrainTimeout
	}
	if _, err := api.ParseBaseURLs("api", cfg.API); err != nil {
		return nil, err
	}
	if cfg.StateDir == "" {
		return nil, mezu.Invalid("state", "a state directory is required")
	}
	if cfg.Environment != "" {
		if err := mezu.ValidateName("environment", cfg.Environment); err != nil {
			return nil, err
		}
	}
	targets, err := cfg.targets()
	if err != nil {
		return nil, err
	}
	g.targets = newTargeting(targets)
	g.hard, g.cut = context.WithCancel(context.Background())
	g.ending = newEnding(g.cfg.DrainTimeout)
	return g, nil
}

// targets are those of a configuration.
func (c *Config) targets() (t Targets, err error) {
	if c.Targets != nil {
		return *c.Targets, nil
	}
	if c.Upstream != "" || len(c.AllowTargets) == 0 {
		if t.Upstream, err = mezu.ParseUpstream(c.Upstream); err != nil {
			return t, named("upstream", err)
		}
	}
	for _, text := range c.AllowTargets {
		u, err := mezu.ParseUpstream(text)
		if err != nil {
			return t, named("allow-target", err)
		}
		t.Allow = append(t.Allow, u)
	}
	t.MayForward, t.TryTLS = c.MayForward, true
	return t, nil
}

// named sets the field that an error of the domain speaks of.
func named(field string, err error) error {
	var e *mezu.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Field = field
	return &c
}

// Listen takes the state directory. Run calls it if need be. Errors name what to
// change.
func (g *Warpgate) Listen() error {
	g.listen.Lock()
	defer g.listen.Unlock()
	return g.take()
}

// machineName is how people tell this Warpgate from others.
func machineName() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return mezu.WarpgateName(host)
}

// take is Listen under its lock.
func (g *Warpgate) take() error {
	if g.open {
		return nil
	}
	if g.ended || g.hard.Err() != nil {
		return errors.New("the Warpgate was closed")
	}
	client, err := enrol.New(enrol.Config{Ends: g.keyEnds, API: g.cfg.API, CAFile: g.cfg.CAFile, Token: g.cfg.Token, Environment: g.cfg.Environment,
		Version: g.cfg.Version, Name: machineName(), Now: g.now, Certificate: g.certificate})
	if err != nil {
		return err
	}
	st, err := state.Open(g.cfg.StateDir, g.now, g.log)
	if err != nil {
		return err
	}
	g.client, g.state, g.open = client, st, true
	return nil
}

// ID is the Warpgate's id, empty before Listen and before the first registration.
func (g *Warpgate) ID() string {
	g.listen.Lock()
	defer g.listen.Unlock()
	if g.state == nil {
		return ""
	}
	return g.state.Identity().ID
}

// begin takes what Listen takes, for Run.
func (g *Warpgate) begin() error {
	g.listen.Lock()
	defer g.listen.Unlock()
	err := g.take()
	g.running = err == nil
	return err
}

// end gives back what Listen took, when Run is over.
func (g *Warpgate) end() error {
	g.askNoMore()
	g.listen.Lock()
	defer g.listen.Unlock()
	g.running = false
	return g.giveBack()
}

// giveBack gives back what take took. The lock of Listen is held.
func (g *Warpgate) giveBack() error {
	if !g.open {
		return nil
	}
	g.open, g.ended = false, true
	g.client.Close()
	return g.state.Close()
}

// Cut ends everything at once, requests in flight included. Run then returns soon: nil if
// Listen came before Cut, else it is refused. What Listen took stays held until Run or Close
// gives it back. Cut is idempotent.
func (g *Warpgate) Cut() { g.cut() }

// Close is Cut, and without Run it gives back what Listen took. It is idempotent, and after
// it Run is refused.
func (g *Warpgate) Close() error {
	g.cut()
	g.listen.Lock()
	running := g.running
	g.listen.Unlock()
	if running {
		return nil
	}
	g.askNoMore()
	g.listen.Lock()
	defer g.listen.Unlock()
	if g.running {
		return nil
	}
	return g.giveBack()
}

// Run registers if need be and serves until ctx ends or Drain is called; then it drains:
// edges are told to send nothing new, requests in flight get until Config.DrainTimeout or
// what Drain says, and the rest is cut. It returns nil after a drain or Close, and an error
// when the Warpgate can't go on: a *mezu.Error with ErrNeedsToken in its chain if there is
// neither a certificate that is good nor a token that the control plane takes, and with
// ErrRevoked if its certificate was revoked. What passes by itself (no network, no control
// plane, no edge, no workload) never ends it.
//
// Run is called once. After it, another Warpgate can be made for the same state directory,
// which is the same one to the control plane and the edges.
func (g *Warpgate) Run(ctx context.Context) error {
	if err := g.begin(); err != nil {
		return err
	}
	soft, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(g.hard, stop)()
	defer context.AfterFunc(g.ending.begun, stop)()
	defer g.ending.stop()
	var tasks sync.WaitGroup
	tasks.Go(func() { g.watchWorkloads(soft) })
	tasks.Go(func() { g.watchUnreached(soft) })
	err := g.work(soft)
	stop()
	tasks.Wait()
	err = errors.Join(err, g.end())
	end := mezu.Event{Event: mezu.EventStopped}
	if err != nil {
		end.Code, end.Message, end.Hint = enrol.Explain(err, g.now())
	}
	g.emit(end)
	return err
}

// work registers and serves, again if the Warpgate becomes another one.
func (g *Warpgate) work(ctx context.Context) error {
	if g.state.Revoked() {
		return g.revoked()
	}
	if !g.fromDisk() {
		if err := g.register(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
	for {
		err := g.serve(ctx)
		if !errors.Is(err, errMoved) {
			return err
		}
		g.log.Info("registered as another Warpgate; starting anew", "warpgate", g.state.Identity().ID)
	}
}

// fromDisk reports whether the Warpgate can serve by its state directory alone: it has a
// certificate, and got it under the settings in use.
func (g *Warpgate) fromDisk() bool {
	if !g.state.Certified() {
		return false
	}
	was := g.state.Registration()
	if was == nil {
		return true
	}
	is := g.settings(g.client)
	return was.API == is.API && was.Wanted == is.Wanted && (is.TokenHash == "" || was.TokenHash == "" || was.TokenHash == is.TokenHash)
}

// settings are those that decide which Warpgate this is, with a client's token: if they
// change, it registers again.
func (g *Warpgate) settings(client *enrol.Client) state.Registration {
	return state.Registration{API: g.cfg.API, Wanted: g.cfg.Environment, TokenHash: client.KeyHash(), EnrolmentHash: client.EnrolmentHash()}
}

// forwarding is the configuration of the server, under the identity of now.
func (g *Warpgate) forwarding() forward.Config {
	c := forward.Config{Table: g.state.Table, Serves: g.state.Serves, Domain: g.state.Domain, Assert: g.state.Assert, Now: g.now, Log: g.log,
		Warpgate: g.state.Identity().ID, Panicked: func() { g.counters.panics.Add(1) }, Failed: g.counters.failed, Recorder: g.cfg.Recorder, Underway: g.underway}
	if g.cfg.SameMachine { // a person looks on
		c.Unreached = g.unreached.note
	}
	switch {
	case g.cfg.Requests != nil:
		c.Requests = g.cfg.Requests
	case g.cfg.Events != nil:
		c.Requests = ends{g}
	}
	return c
}

// Wake says that the machine was asleep, or that its addresses changed. Everything that
// waits for another try is tried at once, and each tunnel has to prove that it is alive: one
// without a quick answer is replaced by a new one, and what is under way on it goes on until
// that is there. It may be called at any time and does not wait.
func (g *Warpgate) Wake() {
	g.listen.Lock()
	if g.open {
		g.client.Close() // what is idle may be dead
	}
	g.listen.Unlock()
	if s := g.session.Load(); s != nil {
		s.wake()
	}
	g.woken.Ring()
}

// keyEnds says that the key of a registration was replaced, and ends: the next one needs another.
func (g *Warpgate) keyEnds(at time.Time) {
	g.log.Warn("the key in use was replaced; put the new one into its place", "ends", at.UTC().Format(time.RFC3339))
}

// certificate is the one in use. TLS asks for it at each handshake.
func (g *Warpgate) certificate() (*tls.Certificate, error) { return g.state.Certificate() }

// revoked is the error that ends a Warpgate whose certificate was revoked.
func (g *Warpgate) revoked() error {
	return &mezu.Error{Code: mezu.CodeForbidden, Detail: fmt.Sprintf("the certificate of this Warpgate (%s) has been revoked", g.state.Identity().ID),
		Hint: "if it is to come back, remove " + g.cfg.StateDir + " and start it with a valid key", Cause: state.ErrRevoked}
}
