package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

// bystander is another Warpgate of the same environment that must not notice.
func bystander(t *testing.T, h *tunnel.Hub) func() {
	g := join(t, h, newWarpgateID())
	g.dial(2)
	s := h.PickBut(environment, nil)
	return func() {
		t.Helper()
		select {
		case err := <-g.ended:
			t.Fatalf("another Warpgate's session ended: %v", err)
		default:
		}
		checkout(t, s).Release()
	}
}

func TestT6_HostileFramesEndTheirConnectionOnly(t *testing.T) {
	h := newHub(t, tunnel.Limits{MaxConns: 1024})
	unharmed := bystander(t, h)
	for name, bad := range map[string][]byte{
		"unknown type":           {0x12, 0, 0, 0},
		"PONG upwards":           frame32(pong, 1),
		"CURRENT upwards":        frame(current, make([]byte, 16)...),
		"TAKEN of what wasn't":   frame32(taken, 1),
		"type zero":              {0, 0, 0, 0},
		"highest type":           {0xff, 0, 0, 0},
		"length of 2^24-1":       {ack, 0xff, 0xff, 0xff},
		"length over its type":   frame(ack, make([]byte, 17)...),
		"length under its type":  frame(missed, 0, 0, 0),
		"heartbeat that talks":   frame(heartbeat, 0),
		"document upwards":       frame(statement, 0, 2, '{', '}'),
		"WANT upwards":           frame32(want, 1),
		"CANCEL upwards":         frame64(cancel, 1),
		"WELCOME upwards":        frame(welcome, '{', '}'),
		"DRAINED upwards":        frame(drained),
		"REGISTER again":         frame(register, []byte(`{"protocol":1,"epoch":99}`)...),
		"HELLO on control":       frame(hello, make([]byte, 24)...),
		"heartbeats without end": bytes.Repeat(frame(heartbeat), 8192),
		"PINGs without end":      bytes.Repeat(frame32(ping, 1), 8192),
	} {
		t.Run(name, func(t *testing.T) {
			g := join(t, h, newWarpgateID())
			g.dial(1)
			g.conn.SetWriteDeadline(time.Now().Add(patience))
			g.conn.Write(append(bad, frame(heartbeat)...)) // and a frame after the close
			if err := receive(t, "the session's end", g.ended); !errors.Is(err, tunnel.ErrProtocol) {
				t.Fatalf("the session ended with: %v", err)
			}
			g.data[0].SetReadDeadline(time.Now().Add(patience))
			if _, err := g.data[0].Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Fatalf("its data connection lives on: %v", err)
			}
			unharmed()
		})
	}
}

func TestT6_HostileRegistrations(t *testing.T) {
	h := newHub(t, tunnel.Limits{})
	unharmed := bystander(t, h)
	for name, bad := range map[string][]byte{
		"not JSON":              frame(register, 'n', 'o'),
		"too long":              frame(register, make([]byte, 4097)...),
		"another type first":    frame(heartbeat),
		"a negative epoch":      frame(register, []byte(`{"protocol":1,"epoch":-1}`)...),
		"an epoch of 2^64":      frame(register, []byte(`{"protocol":1,"epoch":18446744073709551616}`)...),
		"a version of 1 KiB":    frame(register, fmt.Appendf(nil, `{"protocol":1,"epoch":1,"version":%q}`, strings.Repeat("v", 1024))...),
		"a version with ESC":    frame(register, []byte(`{"protocol":1,"epoch":1,"version":"\u001b[2J"}`)...),
		"a protocol of zero":    frame(register, []byte(`{"protocol":0,"epoch":1}`)...),
		"HTTP":                  []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"nothing, hung up":      {},
		"half a frame, hung up": {register, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := begin(t, h, newWarpgateID())
			g.conn.SetWriteDeadline(time.Now().Add(patience))
			g.conn.Write(bad)
			if len(bad) < 4 {
				g.conn.Close()
			}
			if err := receive(t, "the end", g.ended); err == nil {
				t.Fatal("accepted")
			}
			unharmed()
		})
	}
	if n := len(h.Presence()); n != 1 {
		t.Fatalf("%d Warpgates present, want the bystander alone", n)
	}
}

func TestT6_HostileDataConnections(t *testing.T) {
	h := newHub(t, tunnel.Limits{MaxConns: 4})
	victim := join(t, h, newWarpgateID())
	victim.dial(1)
	stranger := join(t, h, newWarpgateID())
	stale := join(t, h, newWarpgateID())
	stale.leave()
	renamed := stranger.id
	renamed.Environment = mezu.NewID(mezu.PrefixEnvironment, time.Now())
	for name, try := range map[string]struct {
		id     mezu.Identity
		token  []byte
		number uint64
		want   error
	}{
		"a stranger's token":        {stranger.id, victim.token, 77, tunnel.ErrGone},
		"the token of an ended one": {stale.id, stale.token, 1, tunnel.ErrGone},
		"a token of zeros":          {victim.id, make([]byte, 16), 1, tunnel.ErrGone},
		"another full identity":     {renamed, stranger.token, 1, tunnel.ErrGone},
		"the number of an open one": {victim.id, victim.token, 1, tunnel.ErrProtocol},
	} {
		c, err := stranger.hello(try.id, try.token, try.number)
		if !errors.Is(err, try.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: the connection is not closed: %v", name, err)
		}
	}
	for _, bad := range [][]byte{frame(heartbeat), {0xff, 0, 0, 24}, {hello, 0, 0, 23}, {hello, 0xff, 0xff, 0xff}} {
		near, far := net.Pipe()
		go near.Write(bad)
		if err := h.ServeData(far, victim.id); !errors.Is(err, tunnel.ErrProtocol) {
			t.Errorf("first frame %x: %v", bad, err)
		}
		near.Close()
	}
	victim.dial(3)
	if _, err := victim.hello(victim.id, victim.token, 99); !errors.Is(err, tunnel.ErrProtocol) {
		t.Errorf("one connection over the cap: %v", err)
	}
	victim.write(frame64(closed, 12345)) // unknown number: a race that is allowed
	victim.write(frame64(closed, 2))
	victim.write(frame(heartbeat)) // pipes have no buffer: the frame before was taken
	for range 3 {
		for _, g := range []*rawWarpgate{victim, stranger} {
			select {
			case err := <-g.ended:
				t.Fatalf("a session ended: %v", err)
			default:
			}
		}
	}
	s := h.PickBut(environment, nil, nil)
	if s.Identity() != victim.id {
		s = h.PickBut(environment, nil, s)
	}
	var held []*tunnel.Conn
	for range 3 {
		held = append(held, checkout(t, s))
	}
	if s.Outstanding() != 3 {
		t.Fatalf("%d connections, want the four less the one that was closed", s.Outstanding())
	}
	for _, c := range held {
		c.Release()
	}
}

func TestT6_PartialFrameThenSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{})
		g := join(t, h, newWarpgateID())
		start := time.Now()
		g.write([]byte{ack, 0, 0, 16, 1, 2, 3})
		if err := <-g.ended; !errors.Is(err, tunnel.ErrSilent) || time.Since(start) != 12*time.Second {
			t.Errorf("half a frame: %v after %v", err, time.Since(start))
		}
	})
}

func TestT6_MissedWithoutEndIsPaced(t *testing.T) {
	h := newHub(t, tunnel.Limits{Heartbeat: time.Hour, Dead: time.Hour})
	g := join(t, h, newWarpgateID())
	s := h.PickBut(environment, nil)
	ctx, stop := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	waits.Go(func() { s.Checkout(ctx, 0) })
	defer waits.Wait()
	defer stop()
	eventually(t, "it waits", func() bool { return s.Outstanding() == 1 })
	for {
		g.conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := g.conn.Write(frame32(missed, 1<<32-1)); err != nil {
			break
		}
	}
	if err := receive(t, "the session's end", g.ended); !errors.Is(err, tunnel.ErrProtocol) {
		t.Fatalf("the session ended with: %v", err)
	}
}

const hi = `{"protocol":1,"edge":"edg","token":"AAECAwQFBgcICQoLDA0ODw==","max_conns":%d,"heartbeat_ms":50,"dead_ms":%d}`

func TestT6_MillionWantsOfAHostileEdge(t *testing.T) {
	const limit = 200
	ca := newAuthority(t)
	e := startRawEdge(t, ca, fmt.Sprintf(hi, limit, 60_000))
	var now, most atomic.Int64
	gate := make(chan struct{})
	dials := make(chan struct{}, 100_000)
	startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{
		Edge: e.info(),
		TLS:  nil,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			select {
			case dials <- struct{}{}:
			default:
			}
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if len(dials) > 1 { // all but the control connection
				select {
				case <-gate:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
		Serve: func(ctx context.Context, conn net.Conn) { <-ctx.Done() },
	})
	c := receive(t, "the registration", e.control)
	var drain sync.WaitGroup
	drain.Go(func() { io.Copy(io.Discard, c) }) // MISSED in answer
	defer drain.Wait()
	defer c.Close()
	flood := bytes.Repeat(append(frame32(want, 1<<31), frame32(want, 1<<32-1)...), 1000)
	for range 50 {
		if _, err := c.Write(flood); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "32 dials at once", func() bool { return most.Load() == 32 })
	close(gate)
	for range limit {
		receive(t, "a data connection", e.data)
	}
	if n := len(dials); n != limit+1 {
		t.Fatalf("%d dials, want %d and the control connection", n-1, limit)
	}
	if n := most.Load(); n > 32 {
		t.Fatalf("%d dials at once", n)
	}
}

func TestT6_HostileEdgeFrames(t *testing.T) {
	ca := newAuthority(t)
	e := startRawEdge(t, ca, fmt.Sprintf(hi, 10, 1000))
	l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
	for name, bad := range map[string][]byte{
		"unknown type":             {0xee, 0, 0, 0},
		"longest length":           {statement, 0xff, 0xff, 0xff},
		"document without a head":  frame(statement, 0, 0),
		"document of garbage":      frame(statement, 0, 4, 'o', 'o', 'p', 's'),
		"head past the document":   frame(statement, 0xff, 0xff),
		"ACK downwards":            frame(ack, make([]byte, 16)...),
		"a second WELCOME":         frame(welcome, []byte(fmt.Sprintf(hi, 10, 1000))...),
		"DRAINED out of the blue":  frame(drained),
		"PONG without a PING":      frame32(pong, 1),
		"refusal that isn't JSON":  frame(refused, 'n', 'o'),
		"partial document, silent": {statement, 0, 0xff, 0xff, 0, 2, '{'},
		"nothing at all":           nil,
	} {
		t.Run(name, func(t *testing.T) {
			l.await(t, tunnel.LinkConnected)
			c := receive(t, "the registration", e.control)
			c.Write(bad)
			err := l.await(t, tunnel.LinkDisconnected)
			if len(bad) == 0 || bad[0] == statement && bad[2] == 0xff && bad[1] == 0 {
				if !errors.Is(err, tunnel.ErrSilent) {
					t.Fatalf("the link went down with: %v", err)
				}
			} else if !errors.Is(err, tunnel.ErrProtocol) {
				t.Fatalf("the link went down with: %v", err)
			}
		})
	}
}

func TestT6_HostileWelcomes(t *testing.T) {
	ca := newAuthority(t)
	for _, w := range []string{
		`{"protocol":1,"token":"AAEC","max_conns":1}`,
		`{"protocol":1,"token":"AAECAwQFBgcICQoLDA0ODw==","max_conns":-1}`,
		`{"protocol":2,"token":"AAECAwQFBgcICQoLDA0ODw==","max_conns":1}`,
		`[]`,
	} {
		e := startRawEdge(t, ca, w)
		l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
		if err := l.await(t, tunnel.LinkDisconnected); !errors.Is(err, tunnel.ErrProtocol) {
			t.Errorf("%s: %v", w, err)
		}
		l.stop()
	}
	// Intervals that would make it burn its CPU or never notice a dead edge.
	e := startRawEdge(t, ca, `{"protocol":1,"token":"AAECAwQFBgcICQoLDA0ODw==","max_conns":1,"heartbeat_ms":-1,"dead_ms":9223372036854775807}`)
	l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
	l.await(t, tunnel.LinkConnected)
	l.stop()
}

func TestT6_RefusalIsMadePrintable(t *testing.T) {
	ca := newAuthority(t)
	e := startRawEdge(t, ca, fmt.Sprintf(hi, 10, 60_000))
	l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
	c := receive(t, "the registration", e.control)
	c.Write(frame(refused, []byte(`{"code":"made_up","detail":"\u001b]0;owned\u0007\n","retry_after_ms":-5}`)...))
	err := l.await(t, tunnel.LinkDisconnected)
	if mezu.CodeOf(err) != mezu.CodeUnavailable || strings.ContainsAny(err.Error(), "\x1b\x07\n") {
		t.Fatalf("refusal: %q", err)
	}
}

// T7 at the level of control connections: one that reads nothing neither holds up
// the others nor keeps more than its share of memory.
func TestT7_SlowDocumentReader(t *testing.T) {
	h := newHub(t, tunnel.Limits{Heartbeat: 50 * time.Millisecond, Dead: time.Second})
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- h.ServeControl(t.Context(), far, newWarpgateID()) }()
	near.SetDeadline(time.Now().Add(patience))
	near.Write(frame(register, []byte(`{"protocol":1,"epoch":1}`)...))
	if f, err := readRaw(near); err != nil || f.kind != welcome {
		t.Fatalf("%v %v", f, err)
	}
	defer near.Close()
	// It writes heartbeats and reads no more.
	over := make(chan struct{})
	var beats sync.WaitGroup
	beats.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
				near.Write(frame(heartbeat))
			}
		}
	})
	defer beats.Wait()
	defer close(over)

	g := join(t, h, newWarpgateID())
	g.tasks.Go(func() {
		for {
			select {
			case <-g.over:
				return
			case <-time.After(20 * time.Millisecond):
				g.conn.SetWriteDeadline(time.Now().Add(patience))
				g.conn.Write(frame(heartbeat))
			}
		}
	})
	g.wanted()
	doc := signed(mezu.PurposeBundle, strings.Repeat("b", mezu.MaxSignedPayload))
	h.Push(environment, doc)
	if f := g.next(); f.kind != statement || len(f.payload) < mezu.MaxSignedPayload {
		t.Fatalf("frame %#x with %d bytes", f.kind, len(f.payload))
	}
	if err := receive(t, "end of the slow one", ended); !errors.Is(err, tunnel.ErrSlow) {
		t.Fatalf("the slow one ended with: %v", err)
	}
	select {
	case err := <-g.ended:
		t.Fatalf("the quick one ended too: %v", err)
	default:
	}
}

func TestT7_RevocationsPileUpToABound(t *testing.T) {
	h := newHub(t, tunnel.Limits{Heartbeat: time.Hour, Dead: time.Hour})
	near, far := net.Pipe()
	defer near.Close()
	ended := make(chan error, 1)
	go func() { ended <- h.ServeControl(t.Context(), far, newWarpgateID()) }()
	near.Write(frame(register, []byte(`{"protocol":1,"epoch":1}`)...))
	for range 2000 {
		h.Push("", signed(mezu.PurposeRevocation, "r"))
	}
	eventually(t, "the session is there", func() bool { return len(h.Presence()) == 1 || len(ended) == 1 })
	for i := 0; i < 2000 && len(ended) == 0; i++ {
		h.Push("", signed(mezu.PurposeRevocation, "r"))
	}
	if err := receive(t, "end of the slow one", ended); !errors.Is(err, tunnel.ErrSlow) {
		t.Fatalf("it ended with: %v", err)
	}
}

func TestTunnel_LargeDocumentOverASlowPath(t *testing.T) {
	const (
		dead = 3 * time.Second
		size = 7 << 20
	)
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{Heartbeat: 50 * time.Millisecond, Dead: dead}})
	got := make(chan mezu.Signed, 10)
	// 7 MiB in steps of 16 KiB, 8 ms apart, take longer than the time in which the
	// two must hear from one another, which itself is long for a busy machine.
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{
		Statement: func(doc mezu.Signed) { got <- doc },
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				c.(*net.TCPConn).SetReadBuffer(32 << 10)
			}
			return slowConn{c}, err
		},
	})
	l.await(t, tunnel.LinkConnected)
	doc := signed(mezu.PurposeBundle, strings.Repeat("b", size))
	start := time.Now()
	e.Push(environment, doc)
	e.Push(environment, signed(mezu.PurposeRevocation, "r"))
	if d := receive(t, "the document", got); len(d.Payload) != size {
		t.Fatalf("a document of %d bytes", len(d.Payload))
	}
	if took := time.Since(start); took < dead {
		t.Fatalf("the path was not slow: %v", took)
	}
	receive(t, "what came after it", got)
	select {
	case err := <-e.ended:
		t.Fatalf("the session ended: %v", err)
	default:
	}
}

// slowConn reads 16 KiB each 8 ms at most.
type slowConn struct{ net.Conn }

func (c slowConn) Read(b []byte) (int, error) {
	if len(b) > 4096 {
		<-time.After(8 * time.Millisecond)
	}
	return c.Conn.Read(b[:min(len(b), 16<<10)])
}

func TestHub_LaterBundleReplacesAWaitingOne(t *testing.T) {
	h := tunnel.NewHub(tunnel.HubConfig{Statements: func(string) []mezu.Signed {
		return []mezu.Signed{signed(mezu.PurposeKeyset, "k1"), signed(mezu.PurposeBundle, "b1")}
	}})
	t.Cleanup(h.Close)
	near, far := net.Pipe()
	defer near.Close()
	go h.ServeControl(t.Context(), far, newWarpgateID())
	near.SetDeadline(time.Now().Add(patience))
	near.Write(frame(register, []byte(`{"protocol":1,"epoch":1}`)...))
	eventually(t, "the session", func() bool { return len(h.Presence()) == 1 })
	// Nobody reads yet: WELCOME and whatever was taken with it are on the way.
	for i := 2; i <= 9; i++ {
		h.Push("", signed(mezu.PurposeKeyset, fmt.Sprint("k", i)))
		h.Push(environment, signed(mezu.PurposeBundle, fmt.Sprint("b", i)))
	}
	var seen []string
	for len(seen) == 0 || seen[len(seen)-1] != "b9" {
		f, err := readRaw(near)
		if err != nil {
			t.Fatal(err)
		}
		if f.kind == statement {
			seen = append(seen, string(f.payload[len(f.payload)-2:]))
		}
	}
	text := strings.Join(seen, " ")
	bundles := strings.Count(text, "b")
	if bundles > 3 || !strings.Contains(text, "k1") || !strings.HasSuffix(text, "k9 b9") {
		t.Fatalf("documents in the order %s", text)
	}
}
