// Package web serves HTTP to the public: it brings each request into its one canonical
// form, judges it by the bundle of its environment, and carries what is allowed to a
// Warpgate and the response back.
//
// What lives here: the servers of HTTP/1.1 and HTTP/2, the exchange that both make of a
// request, and the answers that the edge gives itself. What may not: listeners and
// handshakes (package front), the tunnel (package tunnel), the form of messages (package
// relay), decisions (package policy), and where bundles come from. Package edge alone
// imports it.
package web

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/edgesvc/edge/filter"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
	"github.com/mezusphere/mezu/underway"
)

// MaxHead bounds the head of a request.
const MaxHead = relay.MaxHead

// Hosts finds environments.
type Hosts interface {
	// Site finds what is in force for a canonical host, nil if no environment has it.
	// When the environment loses the host, nothing is in force there any more.
	Site(host string) *policy.Site
}

// Tunnels finds Warpgates.
type Tunnels interface {
	// PickBut chooses a Warpgate of the environment that is neither one of drained, by its
	// id, nor one of not; nil if there is none.
	PickBut(environment string, drained []string, not ...*tunnel.Session) *tunnel.Session
}

// Version is a version of HTTP.
type Version string

// The versions that are served.
const (
	HTTP1 Version = "1.1"
	HTTP2 Version = "2"
)

// Meter counts. Its methods are called from many goroutines.
type Meter interface {
	// Opened and Closed count connections.
	Opened(v Version)
	Closed(v Version)
	// Panicked counts requests that ended in a panic.
	Panicked()
	// Ended counts a request that has ended.
	Ended(o Outcome)
}

// Guard decides what a client may take of the edge, whoever it asks for. Its methods are
// called from many goroutines.
type Guard interface {
	// Request counts a request of an address, and says how long it is to wait if there were
	// too many.
	Request(from netip.Addr, now time.Time) (wait time.Duration, ok bool)
	// NoRequest reports whether there is memory for no request now.
	NoRequest(from netip.Addr) bool
	// Refused counts a refusal. scans says that the address gets so many that none is worth
	// any more work.
	Refused(from netip.Addr, now time.Time) (scans bool)
}

// Outcome is how a request ended.
type Outcome struct {
	Status            int // 0 if the client got none
	Took              time.Duration
	BytesIn, BytesOut int64
	// Cause is why it did not end whole, empty if it did.
	Cause mezu.Cause
	// Refusal is the code of an answer that the edge gave itself; if it is empty and Cause
	// is not, the client left or its response was cut short.
	Refusal mezu.Code
	// Step is the one of policy.Order that has refused the request, zero if none has.
	Step policy.Step
}

// Config is what a Server is made of. All of it is required, unless it says otherwise.
type Config struct {
	Hosts   Hosts
	Tunnels Tunnels
	// Sessions finds who sends requests.
	Sessions *session.Sessions
	// Limits counts requests by the routes' limits.
	Limits *gcra.Table
	// Pages answer what is asked below mezu.ReservedPath.
	Pages *hosted.Pages
	// Domain is the one below which all hosts are, empty before the edge has enrolled.
	Domain func() string
	Meter  Meter
	Guard  Guard
	// Firewall judges the requests of routes that have it on, and Inspected is told of each (package
	// filter). They may be nil if no route has.
	Firewall  *filter.Firewall
	Inspected func(*filter.Inspection)
	// Webhooks verify the deliveries of routes that ask for it, by the time that Now tells (package
	// filter). They may be nil if no route asks.
	Webhooks *filter.Webhooks
	Now      func() time.Time
	// KeptBodies bounds the memory of bodies that are kept until filters have looked at them.
	KeptBodies int
	// Unserved is told of each request that no Warpgate has answered: it was refused, the rules
	// have an answer for it, or its client left before. The edge's own pages are left out, unless
	// they were refused. event makes the event of it, and may be called before Unserved returns.
	// Many call it at once, and requests wait for it. If nil, nobody is told.
	Unserved func(event func() mezu.Event)
	// Refused is told of each request that a step of policy.Order has refused, but for those that are
	// one too many, and of each in which the firewall has found something. Many call it at once, and
	// requests wait for it. If nil, nobody is told.
	Refused func(*Refusal)
	// Addr is the address of the listener.
	Addr net.Addr
	// Draining reports whether connections are to end as soon as no request is under way.
	Draining func() bool
	// Cut ends when nothing may go on.
	Cut context.Context
	Log *slog.Logger
}

// Server serves connections of HTTP. Make it with New.
type Server struct {
	cfg   Config
	h2    *h2Server
	dates dateClock
	held  heldBodies
	kept  heldBodies   // those that filters look at
	under underway.Set // all requests whose head was read

	filters filter.Chain
	briefs  sync.Map // of *answer by code: refusals of those who get too many
}

// New assembles a Server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, filters: filter.All(filter.Config{Sessions: cfg.Sessions, Limits: cfg.Limits, Domain: cfg.Domain, Firewall: cfg.Firewall, Inspected: cfg.Inspected, Webhooks: cfg.Webhooks, Now: cfg.Now})}
	s.held.init(maxHeldBodies)
	s.kept.init(cfg.KeptBodies)
	s.h2 = newH2Server(s)
	return s
}

// Protocols are the versions of HTTP by the names that handshakes have for them (ALPN).
func Protocols() []string { return []string{"h2", "http/1.1", "http/1.0"} }

// ServeConn serves one connection until it ends.
func (s *Server) ServeConn(conn *tls.Conn, admitted *admission.Conn) (kept bool) {
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		admitted.Entrust()
		s.h2.handle(conn, admitted)
	} else {
		s.serveHTTP1(conn, admitted)
	}
	return false
}

// Drain ends each connection of HTTP/2 when no request is under way on it, and returns
// when all have ended or ctx has.
func (s *Server) Drain(ctx context.Context) { s.h2.srv.Drain(ctx) }

// Close ends the connections of HTTP/2 at once. It may be called twice.
func (s *Server) Close() { s.h2.srv.Close() }

// Waits says which requests are under way, until ctx ends (underway.Set).
func (s *Server) Waits(ctx context.Context, say func(what, them string)) { s.under.Follow(ctx, say) }

// EndStreams cuts all requests that have no end of their own, and those that come later. also does
// so, before, at Warpgates of this process.
func (s *Server) EndStreams(also func()) {
	s.under.Mark()
	also()
	s.under.CutStreams()
}

// HeldBytes is the memory of request bodies that are not whole yet.
func (s *Server) HeldBytes() int { return s.held.bytes() }

// KeptBytes is the memory of request bodies that are kept until filters have looked at them.
func (s *Server) KeptBytes() int { return s.kept.bytes() }
