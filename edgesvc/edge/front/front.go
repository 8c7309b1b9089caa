// Package front lets connections in: it accepts them, gives them places, completes their
// TLS handshake, hands them to whoever serves them, and ends them in order when the edge
// drains.
//
// What lives here: accepting, handshakes, the places of connections, drain. What may not:
// anything that is spoken inside TLS, such as HTTP or the tunnel, and what a host stands
// for. It imports packages admission and gather; package edge alone imports it.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/gather"
)

// Limits of connections.
const (
	// handshakeTimeout bounds a TLS handshake from the first byte to the last.
	handshakeTimeout = 10 * time.Second
	// crowd is how many public connections an address has before the system takes no more of a
	// response than gather.Unsent beyond what it can send at once. Without that bound it takes
	// megabytes for each client that reads slowly, which the edge takes for delivered; with it
	// fast downloads cost the edge up to a tenth more CPU. A browser has six.
	crowd = 16
	// acceptPause is the wait after a failed accept (out of descriptors), and how often a
	// listener that has paused looks whether it may go on.
	acceptPause = 20 * time.Millisecond
)

// Handler serves connections whose handshake is done.
type Handler interface {
	// ServeConn serves a connection. It returns when the connection has ended, or when
	// somebody else keeps it. The front closes it then, unless it is kept. admitted is the
	// same connection below TLS: the handler says there when requests begin and end. Below
	// that is a gather.Conn.
	ServeConn(conn *tls.Conn, admitted *admission.Conn) (kept bool)
}

// Drainer is a Handler that ends some of its connections in its own way when the edge
// drains: those that it has marked with Entrust.
type Drainer interface {
	// Drain returns when these connections have ended, or ctx has.
	Drain(ctx context.Context)
}

// Public says how the public is served.
type Public struct {
	Handler Handler
	// Protocols are offered in handshakes (ALPN).
	Protocols []string
	// Places are for connections of the public. Owner names whose share of them a
	// connection to a server takes: an environment, or empty if nobody has that name.
	Places *admission.Table
	Owner  func(serverName string) string
	// TakesNone reports whether there is memory for no new connection now. NoConnection asks
	// the same for one that has come, which is refused then.
	TakesNone    func() bool
	NoConnection func(from netip.Addr) bool
	// Certificate is asked for at each handshake. known is false where nobody has the name.
	Certificate func(hello *tls.ClientHelloInfo) (c *tls.Certificate, known bool, err error)
	// NotTLS may answer whoever speaks something else than TLS. first is all that was
	// read; the connection is closed afterwards.
	NotTLS func(conn net.Conn, first [5]byte)
}

// Peers says how the programs of an installation are served that come to the same port
// as the public. They are told apart by the protocol and the server name of their handshake.
type Peers struct {
	Handler Handler
	// ServerName and Protocols are what their handshake must have: this name, and one of
	// these protocols alone.
	ServerName string
	Protocols  []string
	// TLS gives the configuration for one of the protocols; nil while the edge has no
	// identity to show.
	TLS func(protocol string) *tls.Config
}

// Meter counts what fails before a connection is served.
type Meter interface {
	AcceptFailed()
	HandshakeFailed()
}

// Config is what a Front is made of. All is required, unless it says otherwise.
type Config struct {
	// Listener is the public one. PeerListener is for peers alone; if nil, they come to the
	// public one too.
	Listener, PeerListener net.Listener
	// Arriving and PeersArriving are places for connections of each listener whose
	// handshake isn't done.
	Arriving, PeersArriving *admission.Table
	Public                  Public
	Peers                   Peers
	// FirstGrace is how long Drain waits for the first request of a connection; if zero,
	// FirstGrace.
	FirstGrace time.Duration
	Meter      Meter
	// Cut ends when nothing may go on.
	Cut context.Context
	Log *slog.Logger
}

// Front lets connections in. Make it with New, then Run.
type Front struct {
	cfg      Config
	tls      *tls.Config
	fallback *tls.Certificate
	turns    *turns
	taken    chan struct{}  // closed when every connection to the public listener is known
	serving  sync.WaitGroup // connections, until they end or are kept by somebody else
	draining atomic.Bool
}

// New assembles a Front. now is the clock of its fallback certificate.
func New(cfg Config, now time.Time) (*Front, error) {
	if cfg.FirstGrace == 0 {
		cfg.FirstGrace = FirstGrace
	}
	f := &Front{cfg: cfg, taken: make(chan struct{}), turns: newTurns(handshakesPerCore * runtime.GOMAXPROCS(0))}
	var err error
	if f.fallback, err = newFallback(now); err != nil {
		return nil, err
	}
	f.tls = f.publicTLS()
	return f, nil
}

// Run lets connections in until somebody closes the listeners, and returns when the last
// connection was served.
func (f *Front) Run() {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(f.taken)
		f.accept(gather.Listener{Listener: f.cfg.Listener}, f.cfg.Arriving, f.serve, f.rest)
	})
	if f.cfg.PeerListener != nil {
		wg.Go(func() {
			f.accept(gather.Listener{Listener: f.cfg.PeerListener}, f.cfg.PeersArriving, f.servePeer, func() {})
		})
	}
	wg.Wait()
	f.serving.Wait()
}

// rest waits while the public listener is to take nobody: what waits before it costs the
// system little and the edge nothing. Where peers come to it too, one is taken at each
// acceptPause, and none is kept waiting for want of memory: nobody can tell a peer from the
// public before its handshake has begun.
func (f *Front) rest() {
	shared := f.cfg.PeerListener == nil
	for !f.draining.Load() && (f.cfg.Public.Places.Crowded() || !shared && f.cfg.Public.TakesNone()) {
		if !f.pause() || shared {
			return
		}
	}
}

// pause waits for acceptPause, and reports whether anything may go on.
func (f *Front) pause() bool {
	select {
	case <-f.cfg.Cut.Done():
		return false
	case <-time.After(acceptPause):
		return true
	}
}

// accept hands each connection to serve, in a goroutine of its own, until the listener is
// closed. It calls rest before it takes one.
func (f *Front) accept(l net.Listener, arriving *admission.Table, serve func(*admission.Conn) (kept bool), rest func()) {
	for {
		rest()
		c, err := admission.Listener{Listener: l, Table: arriving}.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			f.cfg.Meter.AcceptFailed()
			f.cfg.Log.Warn("accepting a connection", "listener", l.Addr().String(), "error", err)
			if !f.pause() {
				return
			}
			continue
		}
		f.serving.Add(1)
		go f.serveAndClose(c.(*admission.Conn), serve)
	}
}

// serveAndClose serves one connection and closes it, unless somebody keeps it.
func (f *Front) serveAndClose(admitted *admission.Conn, serve func(*admission.Conn) (kept bool)) {
	defer f.serving.Done()
	if !serve(admitted) {
		admitted.Close()
	}
}

// serve serves a connection to the public listener.
func (f *Front) serve(admitted *admission.Conn) (kept bool) {
	conn, ok := f.handshake(admitted)
	switch {
	case !ok:
		return false
	case !f.peers(conn.ConnectionState().NegotiatedProtocol):
		if admitted.OfAddress() > crowd {
			gather.Of(conn).LimitUnsent(gather.Unsent)
		}
		return f.cfg.Public.Handler.ServeConn(conn, admitted)
	case f.cfg.PeerListener != nil:
		f.cfg.Log.Warn("refused a tunnel on the public listener", "peer", admitted.RemoteAddr().String())
		return false
	}
	return f.cfg.Peers.Handler.ServeConn(conn, admitted)
}

// servePeer serves a connection to the listener for peers. The handshake lets nobody else
// pass there.
func (f *Front) servePeer(admitted *admission.Conn) (kept bool) {
	conn, ok := f.handshake(admitted)
	return ok && f.cfg.Peers.Handler.ServeConn(conn, admitted)
}

// handshake completes TLS within handshakeTimeout. Failures are counted. Those of peers
// are logged as warnings too, because somebody waits for that connection.
func (f *Front) handshake(admitted *admission.Conn) (*tls.Conn, bool) {
	below := &handshaking{Conn: admitted, turns: f.turns, by: time.Now().Add(handshakeTimeout), cut: f.cfg.Cut.Done()}
	conn := tls.Server(below, f.tls)
	admitted.SetDeadline(below.by)
	err := conn.HandshakeContext(f.cfg.Cut)
	below.end()
	if err != nil {
		f.cfg.Meter.HandshakeFailed()
		level := f.cfg.Log.Debug
		if errors.Is(err, errPeer) || conn.ConnectionState().ServerName == f.cfg.Peers.ServerName {
			level = f.cfg.Log.Warn
		}
		level("refused a handshake", "peer", admitted.RemoteAddr().String(), "error", err)
		if first := (tls.RecordHeaderError{}); errors.As(err, &first) && first.Conn != nil {
			f.cfg.Public.NotTLS(admitted, first.RecordHeader)
		}
		return nil, false
	}
	admitted.SetDeadline(time.Time{})
	return conn, true
}
