package tunnel_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

// lasting has silence alone find a dead peer only after the test.
var lasting = tunnel.Limits{Dead: 2 * patience}

// asked is the WELCOME of an edge that answers PING.
const asked = `{"protocol":1,"edge":"edg","token":"AAECAwQFBgcICQoLDA0ODw==","max_conns":10,"heartbeat_ms":50,"dead_ms":120000,"pings":true}`

// startRelayed runs a Link to e through a relay.
func startRelayed(t *testing.T, e *testEdge, c tunnel.LinkConfig) (*testLink, *relay) {
	t.Helper()
	r := startRelay(t, e.address)
	c.Edge = mezu.EdgeInfo{ID: e.id.ID, TunnelAddress: r.address}
	l := startLink(t, e, newWarpgateID(), c)
	l.await(t, tunnel.LinkConnected)
	return l, r
}

func TestWake_ADeadLinkIsReplaced(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: lasting})
	l, r := startRelayed(t, e, tunnel.LinkConfig{})
	checkout(t, e.session()).Release()
	r.stallThose()
	l.Wake()
	l.await(t, tunnel.LinkConnected)
	s := e.session()
	c := checkout(t, s)
	if err := exchange(c, "over new connections"); err != nil {
		t.Fatal(err)
	}
	c.Release()
	if st := l.Status(); st.State != tunnel.LinkConnected || st.Err != nil || st.Conns == 0 {
		t.Errorf("status %+v", st)
	}
}

// An edge whose answer comes while the Link can't register anew keeps what it had, and the
// exchange under way ends as it should.
func TestWake_ALateAnswerCostsNothing(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: lasting})
	l, r := startRelayed(t, e, tunnel.LinkConfig{})
	c := checkout(t, e.session())
	r.stall()
	r.refuse()
	l.Wake()
	eventually(t, "a try to register anew", func() bool { return r.refuse() > 0 })
	if st := l.Status(); st.State != tunnel.LinkConnected {
		t.Errorf("status %+v", st)
	}
	r.thaw()
	if err := exchange(c, "as if nothing was"); err != nil {
		t.Fatal(err)
	}
	c.Release()
	// It is tried no more.
	eventually(t, "the end of the tries", func() bool {
		before := r.refuse()
		pause, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		<-pause.Done()
		return r.refuse() == before
	})
	if n := e.sessions(); n != 1 {
		t.Errorf("%d sessions", n)
	}
	select {
	case err := <-e.ended:
		t.Errorf("the session ended: %v", err)
	default:
	}
}

// A link that is alive notices nothing, however often the machine wakes up.
func TestWake_ALiveLinkGoesOn(t *testing.T) {
	ca := newAuthority(t)
	e := startRawEdge(t, ca, asked)
	l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
	l.TestOnlyPatient()
	c := receive(t, "the registration", e.control)
	for number := byte(1); number <= 5; number++ {
		wake(t, l, c, number)
		c.Write(frame(pong, 0, 0, 0, number))
		// The answer is taken once what came after it is.
		c.Write(frame32(want, 1))
		data := receive(t, "a data connection", e.data)
		data.Close()
	}
	if len(e.control) != 0 {
		t.Error("it registered anew")
	}
}

// wake wakes the link until it sends the PING with this number.
func wake(t *testing.T, l *testLink, c net.Conn, number byte) {
	t.Helper()
	got := make(chan rawFrame)
	go func() {
		defer close(got)
		for {
			f, err := readRaw(c)
			if err != nil {
				return
			}
			if f.kind == ping {
				got <- f
				return
			}
		}
	}()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; {
		l.Wake()
		select {
		case f := <-got:
			if f.payload[3] != number {
				t.Fatalf("PING %v, want %d", f.payload, number)
			}
			return
		case <-ticker.C:
			if time.Now().After(deadline) {
				t.Fatal("no PING")
			}
		}
	}
}

// An answer to an earlier PING may have waited in a buffer while the machine slept.
func TestWake_AnOldAnswerProvesNothing(t *testing.T) {
	ca := newAuthority(t)
	e := startRawEdge(t, ca, asked)
	l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
	c := receive(t, "the registration", e.control)
	wake(t, l, c, 1)
	c.Write(frame32(pong, 1))
	c.Write(frame32(want, 1))
	receive(t, "a data connection", e.data)
	wake(t, l, c, 2)
	c.Write(frame32(pong, 1))
	receive(t, "another registration", e.control)
}

// The machine may wake up again, with another address, while the edge answers.
func TestWake_AnotherOneBeforeTheAnswer(t *testing.T) {
	ca := newAuthority(t)
	e := startRawEdge(t, ca, asked)
	l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
	l.TestOnlyPatient()
	c := receive(t, "the registration", e.control)
	wake(t, l, c, 1)
	l.Wake()
	c.Write(frame32(pong, 1))
	for {
		f, err := readRaw(c)
		if err != nil {
			t.Fatal(err)
		}
		if f.kind == ping {
			return
		}
	}
}

// An edge of the version before knows no PING. Its link is found dead by silence.
func TestWake_AnEarlierEdgeIsNotAsked(t *testing.T) {
	ca := newAuthority(t)
	e := startRawEdge(t, ca, fmt.Sprintf(hi, 10, 120_000))
	l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
	c := receive(t, "the registration", e.control)
	l.await(t, tunnel.LinkConnected)
	for range 10 {
		l.Wake()
		f, err := readRaw(c)
		if err != nil || f.kind != heartbeat {
			t.Fatalf("frame %#x, %v", f.kind, err)
		}
	}
}

func TestWake_TheEdgeAnswers(t *testing.T) {
	h := newHub(t, tunnel.Limits{})
	g := begin(t, h, newWarpgateID())
	g.write(frame(register, fmt.Appendf(nil, `{"protocol":1,"version":"raw","epoch":%d}`, nextEpoch())...))
	if f := g.next(); !strings.Contains(string(f.payload), `"pings":true`) {
		t.Fatalf("WELCOME %s", f.payload)
	}
	g.wanted()
	g.write(frame32(ping, 0xfffffffe))
	if f := g.next(); f.kind != pong || string(f.payload) != "\xff\xff\xff\xfe" {
		t.Fatalf("answer %#x %v", f.kind, f.payload)
	}
}

// A wake ends the longest pause, and what an edge asked for too.
func TestWake_EndsThePause(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{MaxSessions: 1, RetryAfter: time.Hour}})
	first := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	first.await(t, tunnel.LinkConnected)
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	l.await(t, tunnel.LinkDisconnected)
	since := l.Status().Since
	first.stop()
	eventually(t, "room at the edge", func() bool { return len(e.Presence()) == 0 })
	l.Wake()
	l.await(t, tunnel.LinkConnected)
	if st := l.Status(); st.Err != nil || !st.Since.After(since) {
		t.Errorf("status %+v", st)
	}
}

// A try that waits for what was lost before the wake gives way to another one.
func TestWake_ATryThatHangsBeginsAnew(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	var dials atomic.Int32
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	eventually(t, "another try", func() bool { l.Wake(); return dials.Load() > 1 })
	if err := l.await(t, tunnel.LinkConnected); err != nil {
		t.Fatal(err)
	}
}

func TestStatus(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	if st := tunnel.NewLink(tunnel.LinkConfig{}).Status(); st.State != tunnel.LinkConnecting || st.Since.IsZero() {
		t.Errorf("before Run: %+v", st)
	}
	var down atomic.Bool
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if down.Load() {
			return nil, errors.New("no route to the edge")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	l.await(t, tunnel.LinkConnected)
	c := checkout(t, e.session())
	// The edge may have the connection a moment before this end counts it.
	eventually(t, "a connection that is counted", func() bool { return l.Status().Conns > 0 })
	st := l.Status()
	if st.State != tunnel.LinkConnected || st.Err != nil || st.Conns == 0 || st.Since.IsZero() {
		t.Errorf("connected: %+v", st)
	}
	// On darwin, which tells milliseconds, loopback takes none.
	if (runtime.GOOS == "linux" || runtime.GOOS == "windows") && (st.RoundTrip <= 0 || st.RoundTrip > patience) {
		t.Errorf("round trip of %v", st.RoundTrip)
	}
	near, err := net.Dial("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	if through := tunnel.RoundTrip(tls.Client(tls.Client(near, nil), nil)); through != tunnel.RoundTrip(near) {
		t.Errorf("round trip of %v through TLS in TLS, of %v without", through, tunnel.RoundTrip(near))
	}
	if none := tunnel.RoundTrip(&net.UnixConn{}); none != 0 {
		t.Errorf("round trip of %v without TCP", none)
	}
	drained := make(chan error, 1)
	go func() { drained <- l.Drain(t.Context()) }()
	eventually(t, "draining", func() bool { return l.Status().State == tunnel.LinkDraining })
	c.Release()
	if err := receive(t, "the drain", drained); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	e.Cut(func(mezu.Identity, string) bool { return true })
	eventually(t, "the reason", func() bool {
		st := l.Status()
		return st.State != tunnel.LinkConnected && st.Err != nil && strings.Contains(st.Err.Error(), "no route") && st.Conns == 0 && st.RoundTrip == 0
	})
	lost := l.Status().Since
	for range 3 {
		l.await(t, tunnel.LinkDisconnected)
	}
	if since := l.Status().Since; !since.Equal(lost) {
		t.Errorf("tries moved the loss from %v to %v", lost, since)
	}
}

// The edge ends the old registration when it takes the new one. Where the old connection was
// only slow, its last words arrive before the answer to the new registration does.
func TestWake_TheEndOfTheOldIsNotThatOfTheNew(t *testing.T) {
	for name, last := range map[string][]byte{
		"fenced":                       frame(refused, []byte(`{"code":"conflict","retry_after_ms":3600000}`)...),
		"a late answer, and then that": append(frame32(pong, 1), frame(refused, []byte(`{"code":"conflict","retry_after_ms":3600000}`)...)...),
	} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			e := startRawEdge(t, ca, "")
			l := startLink(t, &testEdge{ca: ca}, newWarpgateID(), tunnel.LinkConfig{Edge: e.info()})
			old := receive(t, "the registration", e.control)
			old.Write(frame(welcome, []byte(asked)...))
			l.await(t, tunnel.LinkConnected)
			wake(t, l, old, 1)
			fresh := receive(t, "another registration", e.control)
			old.Write(last)
			if _, err := io.Copy(io.Discard, old); isTimeout(err) { // the Link has hung up
				t.Fatal(err)
			}
			fresh.Write(frame(welcome, []byte(asked)...))
			if err := l.await(t, tunnel.LinkConnected); err != nil {
				t.Fatal(err)
			}
			fresh.Write(frame32(want, 1))
			receive(t, "a data connection", e.data).Close()
		})
	}
}

// at is a connection from an address.
type at struct {
	net.Conn
	local net.Addr
}

func (c at) LocalAddr() net.Addr { return c.local }

// A link from an address that the machine has no more isn't waited for; what can't be told
// is waited for.
func TestWake_AddressesThatAreGone(t *testing.T) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && tunnel.AddressGone(at{local: &net.TCPAddr{IP: n.IP}}) {
			t.Errorf("%v is taken for gone", n)
		}
	}
	for local, gone := range map[string]bool{"192.0.2.7": true, "2001:db8::7": true, "127.0.0.7": false, "::1": false} {
		c := at{local: &net.TCPAddr{IP: net.ParseIP(local)}}
		if tunnel.AddressGone(c) != gone || tunnel.AddressGone(tls.Client(c, nil)) != gone {
			t.Errorf("%s: gone is not %v", local, gone)
		}
	}
	if tunnel.AddressGone(at{local: &net.UnixAddr{}}) {
		t.Error("an address of another kind is taken for gone")
	}
}
