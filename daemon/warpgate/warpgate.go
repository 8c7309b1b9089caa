// Package warpgate is the Warpgate: it registers with the control plane, keeps a
// tunnel to each edge of its environment, judges each request a second time and
// forwards it to the workload.
//
// What lives here: the life of a Warpgate from start to drain, its health
// listener, its way through proxies; below it state (what it holds on disk), enrol
// (its calls to the control plane) and forward (one exchange to the workload).
// What may not: flags, terminals, signals. cmd imports it; cli, tui and edgesvc
// may not.
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
	// Token gives the service account key or an enrolment token. It is asked at
	// each registration; if nil, the state directory must hold a certificate.
	Token func() (string, error)
	// Upstream is where the workload answers, in the notation of
	// mezu.ParseUpstream. It may be empty if there are AllowTargets: then each
	// route has to name one of them.
	Upstream string
	// AllowTargets are further upstreams that routes may name.
	AllowTargets []string
	// MayForward allows targets besides, for as long as it says so of them: those
	// of a file that changes. It is asked for each request that goes to one; if nil,
	// there are none.
	MayForward func(mezu.Upstream) bool
	// Environment by name; if empty, the service account's.
	Environment string
	// StateDir keeps identity and configuration; it is made if need be and
	// used by one process at a time.
	StateDir string
	// HealthAddr is where /livez, /readyz and /metrics are served; if empty,
	// nowhere.
	HealthAddr string
	// MaxConns bounds the data connections to all edges together, and so the requests
	// at once; if zero, only what the edges say does.
	MaxConns int
	// DrainTimeout bounds the drain; if zero, the package's DrainTimeout.
	DrainTimeout time.Duration
	// Proxy says which proxy a URL of an edge goes through; if nil, the one
	// that HTTPS_PROXY and NO_PROXY name.
	Proxy func(*url.URL) (*url.URL, error)
	// SameMachine says that the workload shares this process's machine or
	// container, whatever that is, so that no hint speaks of containers.
	SameMachine bool
	Version     string
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock for everything that expires; if nil, time.Now.
	Now func() time.Time
	// Events gets what happens, one call at a time: status and configuration
	// changes, requests, errors, the end. It must not block, for requests wait
	// for it. It may be nil.
	Events func(mezu.Event)
	// LinesLost is how many lines of the log and events were dropped because nobody
	// read them; if nil, none are.
	LinesLost func() uint64
}

// Warpgate is the connector beside one workload, under one identity.
type Warpgate struct {
	cfg      Config
	upstream mezu.Upstream
	allow    []mezu.Upstream
	log      *slog.Logger
	now      func() time.Time
	place    place
	room     *tunnel.Room // for data connections, nil without a bound
	pace     pace

	// hard ends when everything is to be cut.
	hard context.Context
	cut  context.CancelFunc

	listen  sync.Mutex
	open    bool
	state   *state.State
	client  *enrol.Client
	health  net.Listener
	session atomic.Pointer[session]

	// offered is the id in an answer that could not be used (the clock was
	// off): the next try asks for the same, so that tries leave no trail of
	// Warpgates. Only one goroutine registers at a time.
	offered string

	events   sync.Mutex
	troubles troubles
	counters *counters
	// newServer makes what serves data connections.
	newServer func(forward.Config) server
}

// server serves the data connections of all edges. ServeConn blocks until the
// connection has carried its last exchange or ctx ends; Close is called when no
// ServeConn runs any more.
type server interface {
	ServeConn(ctx context.Context, conn net.Conn)
	Close()
}

// newForwarder is the server of a real Warpgate.
func newForwarder(c forward.Config) server { return forward.New(c) }

// New checks the configuration. It touches nothing outside; Listen does.
func New(cfg Config) (*Warpgate, error) {
	g := &Warpgate{cfg: cfg, counters: newCounters(), log: cfg.Log, now: cfg.Now, newServer: newForwarder, pace: defaultPace,
		place: place{os.DirFS("/"), os.Getenv}}
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
	if cfg.MaxConns > 0 {
		g.room = tunnel.NewRoom(cfg.MaxConns)
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
	if err := g.parseTargets(); err != nil {
		return nil, err
	}
	g.hard, g.cut = context.WithCancel(context.Background())
	return g, nil
}

// parseTargets reads the upstreams.
func (g *Warpgate) parseTargets() error {
	var err error
	if g.cfg.Upstream != "" || len(g.cfg.AllowTargets) == 0 {
		if g.upstream, err = mezu.ParseUpstream(g.cfg.Upstream); err != nil {
			return named("upstream", err)
		}
	}
	for _, text := range g.cfg.AllowTargets {
		u, err := mezu.ParseUpstream(text)
		if err != nil {
			return named("allow-target", err)
		}
		g.allow = append(g.allow, u)
	}
	return nil
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

// Listen takes the state directory and the health address. Run calls it if need
// be. Errors name what to change.
func (g *Warpgate) Listen() error {
	g.listen.Lock()
	defer g.listen.Unlock()
	if g.open {
		return nil
	}
	if g.hard.Err() != nil {
		return errors.New("the Warpgate was closed")
	}
	client, err := enrol.New(enrol.Config{API: g.cfg.API, CAFile: g.cfg.CAFile, Token: g.cfg.Token, Environment: g.cfg.Environment,
		Version: g.cfg.Version, Now: g.now, Certificate: g.certificate})
	if err != nil {
		return err
	}
	st, err := state.Open(g.cfg.StateDir, g.now, g.log)
	if err != nil {
		return err
	}
	if g.cfg.HealthAddr != "" {
		if g.health, err = net.Listen("tcp", g.cfg.HealthAddr); err != nil {
			return errors.Join(&mezu.Error{Code: mezu.CodeInvalid, Field: "health-addr", Detail: fmt.Sprintf("can't listen: %v", err),
				Hint: "choose another address with --health-addr, or 127.0.0.1:0 for any free port", Cause: err}, st.Close())
		}
	}
	g.client, g.state, g.open = client, st, true
	return nil
}

// HealthAddr is where the health listener is bound, empty if there is none or
// before Listen.
func (g *Warpgate) HealthAddr() string {
	g.listen.Lock()
	defer g.listen.Unlock()
	if g.health == nil {
		return ""
	}
	return g.health.Addr().String()
}

// release gives back what Listen took.
func (g *Warpgate) release() error {
	g.listen.Lock()
	defer g.listen.Unlock()
	if !g.open {
		return nil
	}
	g.open = false
	g.client.Close()
	if g.health != nil {
		g.health.Close()
	}
	return g.state.Close()
}

// Close cuts everything at once, requests in flight included; Run then returns
// soon. It is idempotent and may be called before Run.
func (g *Warpgate) Close() { g.cut() }

// Run registers if need be and serves until ctx ends; then it drains: edges are
// told to send nothing new, requests in flight get until DrainTimeout, and the
// rest is cut. It returns nil after a drain or Close, and an error when the
// Warpgate can't go on: a *mezu.Error if the control plane refused its key
// (unauthenticated, forbidden, not_found) or its certificate was revoked. What
// passes by itself (no network, no control plane, no edge, no workload) never
// ends it.
func (g *Warpgate) Run(ctx context.Context) error {
	if err := g.Listen(); err != nil {
		return err
	}
	soft, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(g.hard, stop)()
	var tasks sync.WaitGroup
	serving, stopServing := context.WithCancel(g.hard)
	if g.health != nil {
		tasks.Go(func() { g.serveHealth(serving) })
	}
	if g.upstream.Address != "" {
		tasks.Go(func() { g.watchWorkload(soft, g.upstream) })
	}
	err := g.work(soft)
	stop()
	stopServing()
	tasks.Wait()
	err = errors.Join(err, g.release())
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

// fromDisk reports whether the state directory is enough to serve, and made
// under the settings in use.
func (g *Warpgate) fromDisk() bool {
	if !g.state.Certified() {
		return false
	}
	was := g.state.Registration()
	if was == nil {
		return true
	}
	is := g.settings()
	return was.API == is.API && was.Wanted == is.Wanted && (is.TokenHash == "" || was.TokenHash == "" || was.TokenHash == is.TokenHash)
}

// settings are those that decide which Warpgate this is.
func (g *Warpgate) settings() state.Registration {
	return state.Registration{API: g.cfg.API, Wanted: g.cfg.Environment, TokenHash: g.client.KeyHash()}
}

// target is the upstream in its own notation, empty if there is none.
func (g *Warpgate) target() string {
	if g.upstream.Address == "" {
		return ""
	}
	return g.upstream.String()
}

// forwarding is what the server works by.
func (g *Warpgate) forwarding() forward.Config {
	c := forward.Config{Upstream: g.upstream, Allow: g.allow, MayForward: g.cfg.MayForward, Table: g.state.Table, Serves: g.state.Serves, Log: g.log,
		Panicked: func() { g.counters.panics.Add(1) }, Failed: g.counters.failed}
	if g.cfg.Events != nil {
		c.Request = g.emit
	}
	return c
}

// certificate is asked for at each handshake.
func (g *Warpgate) certificate() (*tls.Certificate, error) { return g.state.Certificate() }

// revoked is the error that ends a Warpgate whose certificate was revoked.
func (g *Warpgate) revoked() error {
	return &mezu.Error{Code: mezu.CodeForbidden, Detail: fmt.Sprintf("the certificate of this Warpgate (%s) has been revoked", g.state.Identity().ID),
		Hint: "if it is to come back, remove " + g.cfg.StateDir + " and start it with a valid key", Cause: state.ErrRevoked}
}
