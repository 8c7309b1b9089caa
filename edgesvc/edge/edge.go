// Package edge is the public node of the data plane: it lets the public and Warpgates in,
// judges what the public asks for, and sends what is allowed to Warpgates.
//
// What lives here: what ties its parts together, and their life; the gate by which
// Warpgates come in; how connections are divided; health and metrics. What may not: any of
// the parts. Listeners and handshakes are in package front, HTTP in web, rules that only an
// edge enforces in filter, what the control plane says in member and the packages beside
// it. Only cmd imports this one.
package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/edgesvc/edge/front"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/edgesvc/edge/logout"
	"github.com/mezusphere/mezu/edgesvc/edge/member"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/edgesvc/edge/waf"
	"github.com/mezusphere/mezu/edgesvc/edge/web"
	"github.com/mezusphere/mezu/edgesvc/edge/webhook"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/tunnel"
)

// Config is what an edge is started with.
type Config struct {
	// Control is the URL of the control plane's API. Of several control planes it has all,
	// with commas between; they are tried in turn. CAFile holds their private CA in PEM; if
	// empty, the system's roots count.
	Control, CAFile string
	// JoinToken gives the token to enrol with. It is asked only if there is no certificate.
	JoinToken func() (string, error)
	// StateDir keeps all that is needed to serve without the control plane.
	StateDir string
	// HTTPSAddr is where the public listener listens. TunnelAddr is for one that serves
	// Warpgates alone; if empty, they dial the public one. AdminAddr is for health and
	// metrics; if empty, there is no such listener.
	HTTPSAddr, TunnelAddr, AdminAddr string
	// Name of the edge, unique in the installation.
	Name string
	// PublicAddress and TunnelAddress are what others dial to reach the
	// listeners; if empty, the listeners' own addresses.
	PublicAddress, TunnelAddress string
	// Host stands for this machine in them, where they are those of a listener on all of its
	// addresses; if empty, the first address that others may use does.
	Host string
	// TLSCert and TLSKey are files with a certificate for the whole edge domain;
	// if empty, the internal CA issues one an endpoint.
	TLSCert, TLSKey string
	// MaxConns bounds the data connections of one Warpgate; if zero, the
	// tunnel's default.
	MaxConns int
	// Connections is how many the edge may have open at once, those of Warpgates included;
	// if zero, DefaultConnections. The process's limit on descriptors must allow them.
	Connections int
	// EnvironmentShare is how many of a hundred public connections one environment may hold
	// while connections are scarce; if zero, DefaultEnvironmentShare.
	EnvironmentShare int
	// Allowances are what one address may take of the public listener.
	Allowances shed.Allowances
	// ClientShare is the part of a Warpgate's data connections, in percent, that one client
	// address may hold while others wait; if zero, the tunnel's default.
	ClientShare int
	// DrainTimeout bounds how long Run waits for requests under way at its
	// end; if zero, DefaultDrainTimeout.
	DrainTimeout time.Duration
	// Unserved is told of each request that no Warpgate has answered (web.Config). If nil,
	// nobody is.
	Unserved func(event func() mezu.Event)
	// FirstGrace is how long a connection may have no request yet, when the edge drains; if zero,
	// as long as a slow link needs (front.FirstGrace).
	FirstGrace time.Duration
	Version    string
	// LinesLost counts the lines of the log that were dropped because nobody read them; if
	// nil, none are.
	LinesLost func() uint64
	// Log is required. Now is the clock of certificates; if nil, time.Now.
	Log *slog.Logger
	Now func() time.Time
}

// DefaultDrainTimeout is as long as cloudflared gives requests under way.
const DefaultDrainTimeout = 30 * time.Second

// Edge is one node. Make it with New, then Listen, then Run.
type Edge struct {
	cfg     Config
	member  *member.Member
	hub     *tunnel.Hub
	metrics *metrics

	public   net.Listener
	tunnels  net.Listener // nil when Warpgates dial the public listener
	admin    net.Listener
	adminSrv *http.Server
	front    *front.Front
	gate     *gate
	logouts  *logout.Logouts
	limits   *gcra.Table // routes' limits, and sessions that are none
	sessions *session.Sessions
	pages    *hosted.Pages
	web      *web.Server
	firewall *waf.Firewall
	webhooks *webhook.Webhooks
	refusals *refusals // told to the log

	guard  *shed.Guard
	places *places
	cut    context.Context // ends when nothing may go on
	cutNow context.CancelFunc
}

// New assembles an edge. It opens no socket and no file.
func New(cfg Config) (*Edge, error) {
	if cfg.Log == nil {
		return nil, errors.New("an edge needs a logger")
	}
	if cfg.StateDir == "" {
		return nil, mezu.Invalid("state", "an edge needs a directory for its state")
	}
	if err := mezu.ValidateName("name", cfg.Name); err != nil {
		return nil, err
	}
	if (cfg.TLSCert == "") != (cfg.TLSKey == "") {
		return nil, mezu.Invalid("tls_cert", "a certificate and its key are given together")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.LinesLost == nil {
		cfg.LinesLost = func() uint64 { return 0 }
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = DefaultDrainTimeout
	}
	if err := cfg.judgePlaces(); err != nil {
		return nil, err
	}
	if err := cfg.Allowances.Validate(); err != nil {
		return nil, err
	}
	e := &Edge{cfg: cfg, metrics: newMetrics(), refusals: newRefusals(cfg.Log), webhooks: webhook.New()}
	e.guard = shed.New(shed.Config{Allowances: cfg.Allowances, CloseIdle: e.closeIdle, Log: cfg.Log})
	e.places = newPlaces(cfg, e.guard)
	e.cut, e.cutNow = context.WithCancel(context.Background())
	return e, nil
}

// Listen binds the listeners and loads what is on the disk, so that a taken port, a locked
// directory or a broken certificate is an error here and not later.
func (e *Edge) Listen() (err error) {
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if err = e.bind(); err != nil {
		return err
	}
	e.member, err = member.Open(member.Config{
		Control: e.cfg.Control, CAFile: e.cfg.CAFile, JoinToken: e.cfg.JoinToken, StateDir: e.cfg.StateDir,
		Name: e.cfg.Name, TunnelAddress: e.cfg.TunnelAddress, PublicAddress: e.cfg.PublicAddress, Version: e.cfg.Version,
		TLSCert: e.cfg.TLSCert, TLSKey: e.cfg.TLSKey, Log: e.cfg.Log, Now: e.cfg.Now,
		OnStatement:  e.onStatement,
		OnRevocation: e.onRevocation,
		OnContent:    e.onContent,
		Presence:     e.presence,
	})
	if err != nil {
		return err
	}
	e.logouts, err = logout.Open(logout.Config{Dir: filepath.Join(e.cfg.StateDir, logout.Folder), Client: e.member.Client, Log: e.cfg.Log, Now: e.cfg.Now})
	if err != nil {
		return err
	}
	if err = e.assemble(); err != nil {
		return err
	}
	e.metrics.watch(e)
	return nil
}

// bind binds the listeners.
func (e *Edge) bind() (err error) {
	if e.public, err = listen("https-addr", e.cfg.HTTPSAddr); err != nil {
		return err
	}
	tunnelAddr := e.public.Addr().String()
	if e.cfg.TunnelAddr != "" {
		if e.tunnels, err = listen("tunnel-addr", e.cfg.TunnelAddr); err != nil {
			return err
		}
		tunnelAddr = e.tunnels.Addr().String()
	}
	if e.cfg.AdminAddr != "" {
		if e.admin, err = listen("admin-addr", e.cfg.AdminAddr); err != nil {
			return err
		}
	}
	if e.cfg.TunnelAddress == "" {
		e.cfg.TunnelAddress = e.reached(tunnelAddr)
	}
	if e.cfg.PublicAddress == "" {
		e.cfg.PublicAddress = e.reached(e.public.Addr().String())
	}
	return nil
}

// assemble ties together what serves connections.
func (e *Edge) assemble() (err error) {
	e.hub = tunnel.NewHub(tunnel.HubConfig{
		Edge: e.member.ID, Log: e.cfg.Log, Now: e.cfg.Now,
		Limits:      tunnel.Limits{MaxConns: e.cfg.MaxConns, Share: e.cfg.ClientShare},
		Statements:  e.member.Statements,
		Revocations: func(environment string, told mezu.Told) tunnel.Feed { return e.member.Revocations(environment, told) },
		Revoked:     func(serial string) bool { return e.member.Trust().CertificateRevoked(serial) },
		Changed:     e.member.PresenceChanged,
	})
	e.limits = gcra.NewTable(nil)
	e.sessions = session.New(session.Config{
		Trust: e.member.Trust, Client: e.member.Client, Epoch: func() uint64 { return e.member.Head().Epoch },
		Left: e.logouts.Left, Leave: e.logouts.Leave, Limits: e.limits, Log: e.cfg.Log, Now: e.cfg.Now,
	})
	e.pages = hosted.New(hosted.Config{Client: e.member.Client, Keys: e.member.AssertionKeys})
	e.firewall = waf.New(runtime.GOMAXPROCS(0), e.guard.Unlimited)
	e.web = web.New(web.Config{
		Hosts: e.member, Tunnels: e.hub, Sessions: e.sessions, Limits: e.limits, Pages: e.pages, Domain: e.member.Domain, Meter: e.metrics, Guard: e.guard, Unserved: e.cfg.Unserved, Addr: e.public.Addr(),
		Draining: e.draining, Cut: e.cut, Log: e.cfg.Log, Firewall: e.firewall, Inspected: e.metrics.inspected, Refused: func(r *web.Refusal) { e.refusals.note(r, time.Now()) }, Webhooks: e.webhooks, Now: e.cfg.Now, KeptBodies: keptBodies(),
	})
	e.gate = &gate{member: e.member, hub: e.hub, places: e.places, guard: e.guard, cut: e.cut, log: e.cfg.Log}
	e.front, err = front.New(front.Config{
		Listener: e.public, PeerListener: e.tunnels,
		Arriving: e.places.arriving, PeersArriving: e.places.tunnelArriving,
		Public: front.Public{
			Handler: e.web, Protocols: web.Protocols(), Places: e.places.public,
			Owner: e.environmentOf, Certificate: e.publicCertificate, NotTLS: e.web.NotTLS,
			TakesNone: e.guard.TakesNone, NoConnection: e.guard.NoConnection,
		},
		Peers: front.Peers{
			Handler: e.gate, ServerName: mezu.TunnelServerName,
			Protocols: []string{mezu.ProtocolControl, mezu.ProtocolData}, TLS: e.gate.tls,
		},
		FirstGrace: e.cfg.FirstGrace, Meter: e.metrics, Cut: e.cut, Log: e.cfg.Log,
	}, e.cfg.Now())
	return err
}

func (e *Edge) draining() bool { return e.front.Draining() }

// idleGrace is how long a connection waits for its next request before it counts as idle
// while memory is short: a page that loads asks again within it.
const idleGrace = time.Second

// closeIdle closes public connections that wait.
func (e *Edge) closeIdle() { e.places.public.Idle(time.Now().Add(-idleGrace)) }

// environmentOf names the environment that has a host, if there is one.
func (e *Edge) environmentOf(serverName string) string {
	if host, err := mezu.CanonicalHost(serverName); err == nil {
		if table := e.member.Host(host); table != nil {
			return table.Bundle().Environment
		}
	}
	return ""
}

// publicCertificate is the certificate for a handshake with the public.
func (e *Edge) publicCertificate(hello *tls.ClientHelloInfo) (c *tls.Certificate, known bool, err error) {
	c, err = e.member.PublicCertificate(hello)
	return c, !errors.Is(err, member.ErrUnknownServer), err
}

// listen names the setting when an address can't be bound.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, mezu.CannotListen(flag, addr, err)
	}
	return l, nil
}

// PublicAddress and TunnelAddress are what others are told to dial, once Listen has returned.
func (e *Edge) PublicAddress() string { return e.cfg.PublicAddress }

// TunnelAddress is as PublicAddress, for Warpgates.
func (e *Edge) TunnelAddress() string { return e.cfg.TunnelAddress }

// HTTPSAddr is the address of the public listener.
func (e *Edge) HTTPSAddr() string { return e.public.Addr().String() }

// TunnelAddr is the address that Warpgates dial.
func (e *Edge) TunnelAddr() string {
	if e.tunnels != nil {
		return e.tunnels.Addr().String()
	}
	return e.public.Addr().String()
}

// AdminAddr is the address of the admin listener, or empty.
func (e *Edge) AdminAddr() string {
	if e.admin == nil {
		return ""
	}
	return e.admin.Addr().String()
}

// Ready reports whether the edge has an identity and bundles to serve by, and does not
// drain. If the control plane can be reached, the bundles were compared with what it says.
func (e *Edge) Ready() bool { return e.unready() == "" }

// unready says why the edge is not ready, or nothing.
func (e *Edge) unready() string {
	if e.front.Draining() {
		return "it drains, and ends when the requests under way have"
	}
	return e.member.Unready()
}

// Run serves until ctx ends, and then drains: Warpgates and clients are told to go
// elsewhere, requests under way get DrainTimeout, and what is left then is cut. It returns
// when all of its goroutines have ended.
func (e *Edge) Run(ctx context.Context) error {
	defer e.Close()
	memberCtx, stopMember := context.WithCancel(context.Background())
	defer stopMember()
	failed := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.member.Run(memberCtx); err != nil {
			failed <- err
		}
	})
	wg.Go(e.front.Run)
	wg.Go(func() { e.guard.Run(memberCtx) })
	wg.Go(func() { e.sessions.Run(memberCtx) })
	wg.Go(func() { e.refusals.run(memberCtx) })
	wg.Go(func() { e.logouts.Run(memberCtx) })
	if e.admin != nil {
		e.adminSrv = e.newAdminServer()
		wg.Go(func() { e.adminSrv.Serve(admission.Listener{Listener: e.admin, Table: e.places.admin}) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	e.drain()
	stopMember()
	e.Close()
	wg.Wait()
	e.gate.wait()
	return err
}

// drain stops taking work and waits for what is under way, within DrainTimeout.
func (e *Edge) drain() {
	ctx, cancel := context.WithTimeout(e.cut, e.cfg.DrainTimeout)
	var saying sync.WaitGroup
	defer saying.Wait()
	defer cancel()
	saying.Go(func() {
		e.web.Waits(ctx, func(what, them string) {
			e.cfg.Log.Info("stopping", "waiting_for", what, "hint", "another signal cuts "+them)
		})
	})
	e.front.Drain(ctx)
	// Only now: requests under way need their data connections.
	e.hub.Drain(ctx)
}

// Waits says which requests of the public are under way, until ctx ends: at once, and again when
// that has changed. It says nothing while none is.
func (e *Edge) Waits(ctx context.Context, say func(what, them string)) { e.web.Waits(ctx, say) }

// EndStreams cuts all requests that have no end of their own, such as upgrades and streams of
// events. also does so, before, at Warpgates of this process: then neither side takes it for the
// other's doing.
func (e *Edge) EndStreams(also func()) { e.web.EndStreams(also) }

// Close cuts everything at once. It is idempotent; Run returns soon after.
func (e *Edge) Close() {
	e.cutNow()
	for _, l := range []net.Listener{e.public, e.tunnels, e.admin} {
		if l != nil {
			l.Close()
		}
	}
	if e.adminSrv != nil {
		e.adminSrv.Close()
	}
	if e.web != nil {
		e.web.Close()
	}
	for _, t := range e.places.all() {
		t.Close()
	}
	if e.hub != nil {
		e.hub.Close()
	}
	if e.logouts != nil {
		e.logouts.Close()
	}
	if e.member != nil {
		e.member.Close()
	}
}

func (e *Edge) onStatement(environment string, statement mezu.Signed) {
	e.hub.Push(environment, statement)
}

// onContent takes over what edges alone know of an environment. A webhook that can't be verified
// closes its routes.
func (e *Edge) onContent(environment string, content *mezu.EdgeContent) {
	if content == nil {
		e.webhooks.Drop(environment)
		return
	}
	if err := e.webhooks.Put(environment, content.Webhooks); err != nil {
		e.cfg.Log.Error("this version can't verify a webhook; its routes answer 503", "environment", environment, "error", err)
	}
}

func (e *Edge) presence() []mezu.Presence { return e.hub.Presence() }

// onRevocation cuts the tunnels of a revoked certificate and what goes on under a session that
// has ended, and has the Warpgates told whom the revocation concerns.
func (e *Edge) onRevocation(r *mezu.Revocation, statement mezu.Signed) {
	if r.Kind == mezu.RevokeCertificate {
		e.hub.Cut(func(_ mezu.Identity, serial string) bool { return serial == r.Subject }, statement)
	}
	e.sessions.Revoked(r)
	environments, all := e.member.Concerned(r)
	if all {
		e.hub.Look("")
	}
	for _, environment := range environments {
		e.hub.Look(environment)
	}
}
