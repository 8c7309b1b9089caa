package tunnel_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

// Types of frames as spec.md numbers them: written out again here, so that a
// change of the code's numbers is noticed.
const (
	register   = 0x01
	welcome    = 0x02
	refused    = 0x03
	heartbeat  = 0x04
	want       = 0x05
	missed     = 0x06
	cancel     = 0x07
	closed     = 0x08
	drain      = 0x09
	drained    = 0x0a
	statement  = 0x0b
	ack        = 0x0c
	hello      = 0x0d
	current    = 0x0e
	taken      = 0x0f
	ping       = 0x10
	pong       = 0x11
	share      = 0x12
	sharedConn = 0x13
)

// frame is the bytes of one.
func frame(kind byte, payload ...byte) []byte {
	n := len(payload)
	return append([]byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}, payload...)
}

func frame32(kind byte, n uint32) []byte {
	return frame(kind, binary.BigEndian.AppendUint32(nil, n)...)
}

func frame64(kind byte, n uint64) []byte {
	return frame(kind, binary.BigEndian.AppendUint64(nil, n)...)
}

// rawFrame is one that came.
type rawFrame struct {
	kind    byte
	payload []byte
}

func readRaw(r io.Reader) (rawFrame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return rawFrame{}, err
	}
	payload := make([]byte, int(head[1])<<16|int(head[2])<<8|int(head[3]))
	_, err := io.ReadFull(r, payload)
	return rawFrame{head[0], payload}, err
}

// rawWarpgate speaks the protocol by hand over pipes to a Hub.
type rawWarpgate struct {
	t      testing.TB
	hub    *tunnel.Hub
	id     mezu.Identity
	conn   net.Conn
	token  []byte
	frames chan rawFrame // all but heartbeats; closed at the end
	ended  chan error    // of ServeControl
	serial uint64
	data   []net.Conn
	over   chan struct{}
	tasks  sync.WaitGroup
}

// join registers by hand with the next epoch.
func join(t testing.TB, h *tunnel.Hub, id mezu.Identity) *rawWarpgate {
	t.Helper()
	g := begin(t, h, id)
	g.write(frame(register, fmt.Appendf(nil, `{"protocol":1,"version":"raw","epoch":%d}`, nextEpoch())...))
	g.welcome()
	return g
}

// begin connects without registering.
func begin(t testing.TB, h *tunnel.Hub, id mezu.Identity) *rawWarpgate {
	near, far := net.Pipe()
	g := &rawWarpgate{t: t, hub: h, id: id, conn: near, frames: make(chan rawFrame, 100_000), ended: make(chan error, 1), over: make(chan struct{})}
	g.tasks.Go(func() { g.ended <- h.ServeControl(context.Background(), far, id) })
	g.tasks.Go(func() {
		defer close(g.frames)
		for {
			f, err := readRaw(near)
			if err != nil {
				return
			}
			if f.kind != heartbeat {
				g.frames <- f
			}
			if f.kind == refused {
				near.Close()
			}
		}
	})
	t.Cleanup(func() {
		close(g.over)
		near.Close()
		for _, c := range g.data {
			c.Close()
		}
		g.tasks.Wait()
	})
	return g
}

// beat sends heartbeats from now on.
func (g *rawWarpgate) beat() {
	g.tasks.Go(func() {
		ticker := time.NewTicker(4 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				g.conn.SetWriteDeadline(time.Now().Add(patience))
				g.conn.Write(frame(heartbeat))
			case <-g.over:
				return
			}
		}
	})
}

// leave hangs up and waits for the session's end.
func (g *rawWarpgate) leave() error {
	g.conn.Close()
	return receive(g.t, "the session's end", g.ended)
}

// welcome reads WELCOME.
func (g *rawWarpgate) welcome() {
	g.t.Helper()
	f := g.next()
	var w struct{ Token []byte }
	if err := json.Unmarshal(f.payload, &w); f.kind != welcome || err != nil || len(w.Token) != 16 {
		g.t.Fatalf("answer to REGISTER: %#x %s", f.kind, f.payload)
	}
	g.token = w.Token
}

// next is the next frame but heartbeats.
func (g *rawWarpgate) next() rawFrame {
	g.t.Helper()
	return receive(g.t, "a frame from the edge", g.frames)
}

func (g *rawWarpgate) write(b []byte) {
	g.t.Helper()
	g.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := g.conn.Write(b); err != nil {
		g.t.Fatalf("writing to the edge: %v", err)
	}
}

// wanted reads WANT.
func (g *rawWarpgate) wanted() int {
	g.t.Helper()
	f := g.next()
	if f.kind != want {
		g.t.Fatalf("frame %#x instead of WANT", f.kind)
	}
	return int(binary.BigEndian.Uint32(f.payload))
}

// dial gives the edge n more data connections.
func (g *rawWarpgate) dial(n int) {
	g.t.Helper()
	for range n {
		g.serial++
		if _, err := g.hello(g.id, g.token, g.serial); err != nil {
			g.t.Fatalf("data connection %d: %v", g.serial, err)
		}
	}
}

// hello makes one data connection and gives the Warpgate's end of it.
func (g *rawWarpgate) hello(id mezu.Identity, token []byte, number uint64) (net.Conn, error) {
	near, far := net.Pipe()
	g.data = append(g.data, near)
	served := make(chan error, 1)
	go func() { served <- g.hub.ServeData(far, id) }()
	near.SetDeadline(time.Now().Add(patience))
	near.Write(frame(hello, binary.BigEndian.AppendUint64(token[:len(token):len(token)], number)...))
	near.SetDeadline(time.Time{})
	return near, <-served
}

// rawEdge speaks the protocol by hand to Links.
type rawEdge struct {
	t       testing.TB
	id      mezu.Identity
	address string
	control chan net.Conn // registered
	data    chan net.Conn // before HELLO
}

// startRawEdge listens and answers REGISTER with this WELCOME, or with none.
func startRawEdge(t testing.TB, ca *authority, hi string) *rawEdge {
	t.Helper()
	e := &rawEdge{t: t, id: newEdgeID(), control: make(chan net.Conn, 100), data: make(chan net.Conn, 20_000)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.address = ln.Addr().String()
	config := ca.serverTLS(ca.issue(t, e.id))
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	over := false
	all.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if over {
				raw.Close()
			}
			conns = append(conns, raw)
			mu.Unlock()
			all.Go(func() {
				conn := tls.Server(raw, config)
				conn.SetDeadline(time.Now().Add(patience))
				if conn.Handshake() != nil {
					return
				}
				conn.SetDeadline(time.Time{})
				if conn.ConnectionState().NegotiatedProtocol == mezu.ProtocolData {
					e.data <- conn
					return
				}
				if f, err := readRaw(conn); err != nil || f.kind != register {
					return
				}
				if hi != "" {
					conn.Write(frame(welcome, []byte(hi)...))
				}
				e.control <- conn
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		over = true
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return e
}

func (e *rawEdge) info() mezu.EdgeInfo {
	return mezu.EdgeInfo{ID: e.id.ID, TunnelAddress: e.address}
}
