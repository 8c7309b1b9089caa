package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
)

// Limits of public connections.
const (
	// HandshakeTimeout bounds a TLS handshake from the first byte to the last.
	HandshakeTimeout = 10 * time.Second
	// FirstGrace is how long a draining edge waits for the first request of a
	// connection that it had accepted before: a handshake and a head over a slow
	// link. Without it a client that came just then would be taken and dropped.
	FirstGrace = 5 * time.Second
	// acceptPause is the wait after a failed accept (out of descriptors).
	acceptPause = 20 * time.Millisecond
)

// drainPublic closes idle connections, at the end of grace also those that had no
// request yet, and waits until the others have ended or ctx does. It calls met when every
// connection has had its first request or the grace is over: those of HTTP/2 are
// drained by their own server from then on.
func (e *Edge) drainPublic(ctx context.Context, grace time.Duration, met func()) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	late := time.Now().Add(grace)
	met = sync.OnceFunc(met)
	defer met()
	for {
		over := !time.Now().Before(late)
		busy, fresh := e.drainOnce(over)
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
func (e *Edge) drainOnce(over bool) (busy, fresh int) {
	for _, c := range slices.Concat(e.places.arriving.All(), e.places.public.All()) {
		switch {
		case c.Silent() && !over:
			fresh++
		case c.Entrusted():
		case c.Busy() || !c.Retire():
			busy++
		}
	}
	return busy, fresh
}

// acceptLoop hands each connection to serve in a goroutine of its own until the
// listener is closed.
func (e *Edge) acceptLoop(l net.Listener, arriving *admission.Table, serve func(*admission.Conn) (kept bool)) {
	for {
		c, err := admission.Listener{Listener: l, Table: arriving}.Accept()
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
		e.serving.Add(1)
		go e.serveConn(c.(*admission.Conn), serve)
	}
}

// serveConn serves one connection and closes it, unless somebody keeps it.
func (e *Edge) serveConn(c *admission.Conn, serve func(*admission.Conn) (kept bool)) {
	defer e.serving.Done()
	if !serve(c) {
		c.Close()
	}
}

// configForClient tells tunnels from the public by protocol and server name, and
// gives each side its own configuration.
func (e *Edge) configForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	ctl := slices.Contains(hello.SupportedProtos, mezu.ProtocolControl)
	data := slices.Contains(hello.SupportedProtos, mezu.ProtocolData)
	if !ctl && !data {
		return nil, e.admitPublic(hello)
	}
	return e.tunnelConfig(hello, ctl)
}

// errNoPlace ends the handshake of a client for whom there is no place.
var errNoPlace = errors.New("no place for another public connection")

// nobodys is the owner of connections for hosts that no environment has.
const nobodys = "-"

// admitPublic gives a client a place among those of the environment that it asks for,
// before its handshake costs anything. On a listener for Warpgates it gets none.
func (e *Edge) admitPublic(hello *tls.ClientHelloInfo) error {
	c := admission.Of(hello.Conn)
	if c.Among(e.places.tunnelArriving) {
		return fmt.Errorf("%w: it came to the listener for Warpgates", errNoPlace)
	}
	owner := nobodys
	if host, err := mezu.CanonicalHost(hello.ServerName); err == nil {
		if table := e.replica.Host(host); table != nil {
			owner = table.Bundle().Environment
		}
	}
	if !c.Move(e.places.public, owner) {
		return errNoPlace
	}
	return nil
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
func (e *Edge) handshake(raw *admission.Conn) (*tls.Conn, bool) {
	conn := tls.Server(raw, e.publicTLS)
	raw.SetDeadline(time.Now().Add(HandshakeTimeout))
	if err := conn.HandshakeContext(e.cut); err != nil {
		e.metrics.handshakeErrors.Inc()
		level := e.cfg.Log.Debug
		if errors.Is(err, errTunnel) || conn.ConnectionState().ServerName == mezu.TunnelServerName {
			level = e.cfg.Log.Warn
		}
		level("refused a handshake", "peer", raw.RemoteAddr().String(), "error", err)
		e.tellPlain(raw, err)
		return nil, false
	}
	raw.SetDeadline(time.Time{})
	return conn, true
}

// servePublic serves one connection of the public listener.
func (e *Edge) servePublic(c *admission.Conn) (kept bool) {
	conn, ok := e.handshake(c)
	if !ok {
		return false
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case mezu.ProtocolControl, mezu.ProtocolData:
		if e.tunnels != nil {
			e.cfg.Log.Warn("refused a tunnel on the public listener", "peer", c.RemoteAddr().String())
			return false
		}
		return e.serveTunnel(conn, c)
	case "h2":
		c.Entrust()
		e.h2.handle(conn)
	default:
		e.serveHTTP1(conn, c)
	}
	return false
}

// serveTunnelOnly serves one connection of the listener for Warpgates.
func (e *Edge) serveTunnelOnly(c *admission.Conn) (kept bool) {
	conn, ok := e.handshake(c)
	return ok && e.serveTunnel(conn, c)
}

// serveTunnel hands a tunnel connection to the hub, which owns it from then on.
func (e *Edge) serveTunnel(conn *tls.Conn, c *admission.Conn) (kept bool) {
	if e.replica.Await(e.cut) != nil {
		return false
	}
	// Again: what ends a Warpgate may have come since the handshake.
	cs := conn.ConnectionState()
	id, err := e.replica.Trust().VerifyPeer(cs, mezu.PeerWarpgate)
	if err != nil {
		e.cfg.Log.Warn("refused a tunnel", "peer", conn.RemoteAddr().String(), "error", err)
		return false
	}
	places := e.places.data
	if cs.NegotiatedProtocol == mezu.ProtocolControl {
		places = e.places.controls
	}
	if !c.Begin() || !c.Move(places, id.Environment) {
		return false // which the table has told
	}
	if cs.NegotiatedProtocol == mezu.ProtocolControl {
		// In a goroutine of its own: this one's stack has grown in the
		// handshake, and a Warpgate stays for days.
		e.controls.Go(func() { e.serveControl(conn, id) })
		return true
	}
	if err := e.hub.ServeData(conn, id); err != nil {
		e.cfg.Log.Debug("refused a data connection", "warpgate", id.ID, "error", err)
	}
	return true
}

// serveControl serves a Warpgate's control connection until it ends.
func (e *Edge) serveControl(conn *tls.Conn, id mezu.Identity) {
	if err := e.hub.ServeControl(e.cut, conn, id); err != nil {
		e.cfg.Log.Info("tunnel ended", "warpgate", id.ID, "peer", conn.RemoteAddr().String(), "error", err)
	}
}
