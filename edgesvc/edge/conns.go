package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// Limits of public connections.
const (
	// MaxConnections bounds public connections of one edge, as Envoy advises
	// for an edge; past it new ones are closed at once.
	MaxConnections = 50_000
	// HandshakeTimeout bounds a TLS handshake from the first byte to the last.
	HandshakeTimeout = 10 * time.Second
	// FirstGrace is how long a draining edge waits for the first request of a
	// connection that it had accepted before: a handshake and a head over a slow
	// link. Without it a client that came just then would be taken and dropped.
	FirstGrace = 5 * time.Second
	// acceptPause is the wait after a failed accept (out of descriptors).
	acceptPause = 20 * time.Millisecond
)

// connTable knows the connections that were accepted, so that draining can wait
// for them and cutting can end them.
type connTable struct {
	mu     sync.Mutex
	open   map[net.Conn]*publicConn
	wg     sync.WaitGroup
	closed bool
}

// publicConn is one connection in the table.
type publicConn struct {
	state atomic.Int32
}

// States of a public connection.
const (
	connFresh     int32 = iota // no request has come yet: draining gives it FirstGrace
	connFresh2                 // the same, and net/http drains it
	connBusy                   // a request is under way
	connIdle                   // between requests: draining may close it at once
	connClosing                // draining closed it
	connElsewhere              // somebody else drains it: net/http or the tunnel hub
	connHandedOn               // the hub owns it, also past the end of serving
)

// begin makes a connection busy that waited for a request, unless draining closed
// it before.
func (c *publicConn) begin() bool {
	return c.state.CompareAndSwap(connIdle, connBusy) || c.state.CompareAndSwap(connFresh, connBusy) || c.state.Load() == connBusy
}

// add takes a connection in, or reports that there is no room.
func (t *connTable) add(c net.Conn) (*publicConn, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.open) >= MaxConnections {
		return nil, false
	}
	if t.open == nil {
		t.open = map[net.Conn]*publicConn{}
	}
	pc := &publicConn{}
	t.open[c] = pc
	t.wg.Add(1)
	return pc, true
}

func (t *connTable) remove(c net.Conn) {
	t.mu.Lock()
	delete(t.open, c)
	t.mu.Unlock()
	t.wg.Done()
}

// drain closes idle connections, at the end of grace also those that had no request
// yet, and waits until the others have ended or ctx does. It calls met when every
// connection has had its first request or the grace is over: those of HTTP/2 are
// drained by their own server from then on.
func (t *connTable) drain(ctx context.Context, grace time.Duration, met func()) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	late := time.Now().Add(grace)
	met = sync.OnceFunc(met)
	defer met()
	for {
		over := !time.Now().Before(late)
		busy, fresh := t.drainOnce(over)
		if over || fresh == 0 {
			met()
			if busy == 0 {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// drainOnce closes what may be closed now, and counts what is waited for.
func (t *connTable) drainOnce(over bool) (busy, fresh int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c, pc := range t.open {
		switch state := pc.state.Load(); {
		case state == connBusy:
			busy++
		case !over && (state == connFresh || state == connFresh2):
			fresh++
		case state == connIdle || state == connFresh:
			if pc.state.CompareAndSwap(state, connClosing) {
				c.Close()
			} else {
				busy++ // a request has come
			}
		}
	}
	return busy, fresh
}

// cut closes all connections and takes no more.
func (t *connTable) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for c := range t.open {
		c.Close()
	}
}

func (t *connTable) wait() { t.wg.Wait() }

// acceptLoop hands each connection to serve in a goroutine of its own until the
// listener is closed.
func (e *Edge) acceptLoop(l net.Listener, serve func(net.Conn, *publicConn)) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.metrics.acceptErrors.Inc()
			e.cfg.Log.Warn("accepting a connection", "listener", l.Addr().String(), "error", err)
			select {
			case <-e.cut.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		pc, ok := e.conns.add(c)
		if !ok {
			e.metrics.connsRefused.Inc()
			c.Close()
			continue
		}
		go e.serveConn(c, pc, serve)
	}
}

// serveConn serves one connection and closes it, unless it was handed on.
func (e *Edge) serveConn(c net.Conn, pc *publicConn, serve func(net.Conn, *publicConn)) {
	defer e.conns.remove(c)
	serve(c, pc)
	if pc.state.Load() != connHandedOn {
		c.Close()
	}
}

// configForClient tells tunnels from the public by protocol and server name, and
// gives each side its own configuration.
func (e *Edge) configForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	ctl := slices.Contains(hello.SupportedProtos, mezu.ProtocolControl)
	data := slices.Contains(hello.SupportedProtos, mezu.ProtocolData)
	if !ctl && !data {
		return nil, nil // the public configuration
	}
	return e.tunnelConfig(hello, ctl)
}

// errTunnel is in the chain of what ends a tunnel's handshake before it is known
// who wants the tunnel.
var errTunnel = errors.New("no tunnel for this handshake")

// tunnelConfig is the configuration of a tunnel's handshake.
func (e *Edge) tunnelConfig(hello *tls.ClientHelloInfo, ctl bool) (*tls.Config, error) {
	refuse := func(why string) (*tls.Config, error) { return nil, fmt.Errorf("%w: %s", errTunnel, why) }
	switch {
	case hello.ServerName != mezu.TunnelServerName:
		return refuse("it must name the server " + mezu.TunnelServerName)
	case len(hello.SupportedProtos) != 1:
		return refuse("it must offer one protocol")
	case !slices.Contains(hello.SupportedVersions, tls.VersionTLS13):
		return refuse("it must offer TLS 1.3")
	case e.draining.Load():
		return refuse("the edge is draining")
	}
	tunnels := e.tunnelTLS()
	if tunnels == nil {
		return refuse("the edge is not enrolled yet")
	}
	if ctl {
		return tunnels.control, nil
	}
	return tunnels.data, nil
}

// handshake completes TLS within its bound. Failures of clients are counted;
// those of tunnels are logged too, because somebody is waiting for that tunnel.
func (e *Edge) handshake(raw net.Conn) (*tls.Conn, bool) {
	conn := tls.Server(raw, e.publicTLS)
	raw.SetDeadline(time.Now().Add(HandshakeTimeout))
	if err := conn.HandshakeContext(e.cut); err != nil {
		e.metrics.handshakeErrors.Inc()
		level := e.cfg.Log.Debug
		if errors.Is(err, errTunnel) || conn.ConnectionState().ServerName == mezu.TunnelServerName {
			level = e.cfg.Log.Warn
		}
		level("refused a handshake", "peer", raw.RemoteAddr().String(), "error", err)
		return nil, false
	}
	raw.SetDeadline(time.Time{})
	return conn, true
}

// servePublic serves one connection of the public listener.
func (e *Edge) servePublic(raw net.Conn, pc *publicConn) {
	conn, ok := e.handshake(raw)
	if !ok {
		return
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case mezu.ProtocolControl, mezu.ProtocolData:
		pc.state.Store(connElsewhere)
		if e.tunnels != nil {
			e.cfg.Log.Warn("refused a tunnel on the public listener", "peer", raw.RemoteAddr().String())
			return
		}
		e.serveTunnel(conn, pc)
	case "h2":
		pc.state.Store(connFresh2)
		e.h2.handle(conn, pc)
	default:
		e.serveHTTP1(conn, pc)
	}
}

// serveTunnelOnly serves one connection of the listener for Warpgates.
func (e *Edge) serveTunnelOnly(raw net.Conn, pc *publicConn) {
	pc.state.Store(connElsewhere)
	conn, ok := e.handshake(raw)
	if !ok {
		return
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case mezu.ProtocolControl, mezu.ProtocolData:
		e.serveTunnel(conn, pc)
	default:
		e.cfg.Log.Debug("refused a public connection on the tunnel listener", "peer", raw.RemoteAddr().String())
	}
}

// serveTunnel hands a tunnel connection to the hub, which owns it from then on.
func (e *Edge) serveTunnel(conn *tls.Conn, pc *publicConn) {
	cs := conn.ConnectionState()
	id, err := e.replica.Trust().VerifyPeer(cs, mezu.PeerWarpgate)
	if err != nil {
		e.cfg.Log.Warn("refused a tunnel", "peer", conn.RemoteAddr().String(), "error", err)
		return
	}
	pc.state.Store(connHandedOn)
	if cs.NegotiatedProtocol == mezu.ProtocolControl {
		// In a goroutine of its own: this one's stack has grown in the
		// handshake, and a Warpgate stays for days.
		e.controls.Go(func() { e.serveControl(conn, id) })
		return
	}
	if err := e.hub.ServeData(conn, id); err != nil {
		e.cfg.Log.Debug("refused a data connection", "warpgate", id.ID, "error", err)
	}
}

// serveControl serves a Warpgate's control connection until it ends.
func (e *Edge) serveControl(conn *tls.Conn, id mezu.Identity) {
	if err := e.hub.ServeControl(e.cut, conn, id); err != nil {
		e.cfg.Log.Info("tunnel ended", "warpgate", id.ID, "peer", conn.RemoteAddr().String(), "error", err)
	}
}
