package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/edgesvc/edge/member"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/tunnel"
)

// gate is where Warpgates come in: it proves who they are and hands their connections to
// the hub.
type gate struct {
	member   *member.Member
	hub      *tunnel.Hub
	places   *places
	guard    *shed.Guard
	cut      context.Context // ends when nothing may go on
	log      *slog.Logger
	configs  atomic.Pointer[gateTLS] // nil until enrolled
	controls sync.WaitGroup          // control connections
}

// gateTLS are the configurations of Warpgates' handshakes.
type gateTLS struct{ control, data *tls.Config }

// tls is the configuration for a protocol, nil before the edge has an identity.
func (g *gate) tls(protocol string) *tls.Config {
	c := g.configs.Load()
	if c == nil {
		authority := g.member.Trust()
		if authority == nil {
			return nil
		}
		c = &gateTLS{
			control: authority.ServerTLS(g.member.PeerCertificate, mezu.PeerWarpgate, mezu.ProtocolControl),
			data:    authority.ServerTLS(g.member.PeerCertificate, mezu.PeerWarpgate, mezu.ProtocolData),
		}
		if !g.configs.CompareAndSwap(nil, c) {
			c = g.configs.Load()
		}
	}
	if protocol == mezu.ProtocolControl {
		return c.control
	}
	return c.data
}

// ServeConn hands a connection to the hub, which owns it from then on.
func (g *gate) ServeConn(conn *tls.Conn, admitted *admission.Conn) (kept bool) {
	if g.member.Await(g.cut) != nil {
		return false
	}
	// Again: what ends a Warpgate may have come since the handshake.
	cs := conn.ConnectionState()
	id, err := g.member.Trust().VerifyPeer(cs, mezu.PeerWarpgate)
	if err != nil {
		g.log.Warn("refused a tunnel", "peer", conn.RemoteAddr().String(), "error", err)
		return false
	}
	control := cs.NegotiatedProtocol == mezu.ProtocolControl
	places := g.places.data
	if control {
		places = g.places.controls
	}
	if !admitted.Begin() || !admitted.Move(places, id.Environment) {
		return false // which the table has told
	}
	if control {
		// In a goroutine of its own: the stack of this one has grown in the handshake, and
		// a Warpgate stays for days.
		gone := g.guard.Tunnel(admitted.Address())
		g.controls.Go(func() {
			defer gone()
			g.serveControl(conn, id)
		})
		return true
	}
	if err := g.hub.ServeData(conn, id); err != nil {
		g.log.Debug("refused a data connection", "warpgate", id.ID, "error", err)
	}
	return true
}

// serveControl serves a Warpgate's control connection until it ends.
func (g *gate) serveControl(conn *tls.Conn, id mezu.Identity) {
	if err := g.hub.ServeControl(g.cut, conn, id); err != nil {
		g.log.Info("tunnel ended", "warpgate", id.ID, "peer", conn.RemoteAddr().String(), "error", err)
	}
}

// wait returns when all control connections have ended.
func (g *gate) wait() { g.controls.Wait() }
