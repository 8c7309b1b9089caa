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

// Daemon is one Warpgate.
type Daemon struct {
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
func New(cfg Config) (*Daemon, error) {
	d := &Daemon{cfg: cfg, counters: newCounters(), log: cfg.Log, now: cfg.Now, newServer: newForwarder, pace: defaultPace,
		place: place{os.DirFS("/"), os.Getenv}}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.cfg.Proxy == nil {
		d.cfg.Proxy = environmentProxy
	}
	if d.cfg.DrainTimeout <= 0 {
		d.cfg.DrainTimeout = DrainTimeout
	}
	if cfg.MaxConns > 0 {
		d.room = tunnel.NewRoom(cfg.MaxConns)
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
	if err := d.parseTargets(); err != nil {
		return nil, err
	}
	d.hard, d.cut = context.WithCancel(context.Background())
	return d, nil
}

// parseTargets reads the upstreams.
func (d *Daemon) parseTargets() error {
	var err error
	if d.cfg.Upstream != "" || len(d.cfg.AllowTargets) == 0 {
		if d.upstream, err = mezu.ParseUpstream(d.cfg.Upstream); err != nil {
			return named("upstream", err)
		}
	}
	for _, text := range d.cfg.AllowTargets {
		u, err := mezu.ParseUpstream(text)
		if err != nil {
			return named("allow-target", err)
		}
		d.allow = append(d.allow, u)
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
func (d *Daemon) Listen() error {
	d.listen.Lock()
	defer d.listen.Unlock()
	if d.open {
		return nil
	}
	if d.hard.Err() != nil {
		return errors.New("the Warpgate was closed")
	}
	client, err := enrol.New(enrol.Config{API: d.cfg.API, CAFile: d.cfg.CAFile, Token: d.cfg.Token, Environment: d.cfg.Environment,
		Version: d.cfg.Version, Now: d.now, Certificate: d.certificate})
	if err != nil {
		return err
	}
	st, err := state.Open(d.cfg.StateDir, d.now, d.log)
	if err != nil {
		return err
	}
	if d.cfg.HealthAddr != "" {
		if d.health, err = net.Listen("tcp", d.cfg.HealthAddr); err != nil {
			return errors.Join(&mezu.Error{Code: mezu.CodeInvalid, Field: "health-addr", Detail: fmt.Sprintf("can't listen: %v", err),
				Hint: "choose another address with --health-addr, or 127.0.0.1:0 for any free port", Cause: err}, st.Close())
		}
	}
	d.client, d.state, d.open = client, st, true
	return nil
}

// HealthAddr is where the health listener is bound, empty if there is none or
// before Listen.
func (d *Daemon) HealthAddr() string {
	d.listen.Lock()
	defer d.listen.Unlock()
	if d.health == nil {
		return ""
	}
	return d.health.Addr().String()
}

// release gives back what Listen took.
func (d *Daemon) release() error {
	d.listen.Lock()
	defer d.listen.Unlock()
	if !d.open {
		return nil
	}
	d.open = false
	d.client.Close()
	if d.health != nil {
		d.health.Close()
	}
	return d.state.Close()
}

// Close cuts everything at once, requests in flight included; Run then returns
// soon. It is idempotent and may be called before Run.
func (d *Daemon) Close() { d.cut() }

// Run registers if need be and serves until ctx ends; then it drains: edges are
// told to send nothing new, requests in flight get until DrainTimeout, and the
// rest is cut. It returns nil after a drain or Close, and an error when the
// Warpgate can't go on: a *mezu.Error if the control plane refused its key
// (unauthenticated, forbidden, not_found) or its certificate was revoked. What
// passes by itself (no network, no control plane, no edge, no workload) never
// ends it.
func (d *Daemon) Run(ctx context.Context) error {
	if err := d.Listen(); err != nil {
		return err
	}
	soft, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(d.hard, stop)()
	var tasks sync.WaitGroup
	serving, stopServing := context.WithCancel(d.hard)
	if d.health != nil {
		tasks.Go(func() { d.serveHealth(serving) })
	}
	if d.upstream.Address != "" {
		tasks.Go(func() { d.watchWorkload(soft, d.upstream) })
	}
	err := d.work(soft)
	stop()
	stopServing()
	tasks.Wait()
	err = errors.Join(err, d.release())
	end := mezu.Event{Event: mezu.EventStopped}
	if err != nil {
		end.Code, end.Message, end.Hint = enrol.Explain(err, d.now())
	}
	d.emit(end)
	return err
}

// work registers and serves, again if the Warpgate becomes another one.
func (d *Daemon) work(ctx context.Context) error {
	if d.state.Revoked() {
		return d.revoked()
	}
	if !d.fromDisk() {
		if err := d.register(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
	for {
		err := d.serve(ctx)
		if !errors.Is(err, errMoved) {
			return err
		}
		d.log.Info("registered as another Warpgate; starting anew", "warpgate", d.state.Identity().ID)
	}
}

// fromDisk reports whether the state directory is enough to serve, and made
// under the settings in use.
func (d *Daemon) fromDisk() bool {
	if !d.state.Certified() {
		return false
	}
	was := d.state.Registration()
	if was == nil {
		return true
	}
	is := d.settings()
	return was.API == is.API && was.Wanted == is.Wanted && (is.TokenHash == "" || was.TokenHash == "" || was.TokenHash == is.TokenHash)
}

// settings are those that decide which Warpgate this is.
func (d *Daemon) settings() state.Registration {
	return state.Registration{API: d.cfg.API, Wanted: d.cfg.Environment, TokenHash: d.client.KeyHash()}
}

// target is the upstream in its own notation, empty if there is none.
func (d *Daemon) target() string {
	if d.upstream.Address == "" {
		return ""
	}
	return d.upstream.String()
}

// forwarding is what the server works by.
func (d *Daemon) forwarding() forward.Config {
	c := forward.Config{Upstream: d.upstream, Allow: d.allow, MayForward: d.cfg.MayForward, Table: d.state.Table, Serves: d.state.Serves, Log: d.log,
		Panicked: func() { d.counters.panics.Add(1) }, Failed: d.counters.failed}
	if d.cfg.Events != nil {
		c.Request = d.emit
	}
	return c
}

// certificate is asked for at each handshake.
func (d *Daemon) certificate() (*tls.Certificate, error) { return d.state.Certificate() }

// revoked is the error that ends a Warpgate whose certificate was revoked.
func (d *Daemon) revoked() error {
	return &mezu.Error{Code: mezu.CodeForbidden, Detail: fmt.Sprintf("the certificate of this Warpgate (%s) has been revoked", d.state.Identity().ID),
		Hint: "if it is to come back, remove " + d.cfg.StateDir + " and start it with a valid key", Cause: state.ErrRevoked}
}
