package tunnel_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

func TestTunnel_CarriesExchanges(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	s := e.session()
	if s.Identity() != l.id {
		t.Fatalf("session of %v, want %v", s.Identity(), l.id)
	}
	first := checkout(t, s)
	if first.Reused() || first.Session() != s || s.Outstanding() != 1 {
		t.Fatalf("reused %v, %d outstanding", first.Reused(), s.Outstanding())
	}
	if err := exchange(first, "one"); err != nil {
		t.Fatal(err)
	}
	first.Release()
	again := checkout(t, s)
	if err := exchange(again, "two"); err != nil {
		t.Fatal(err)
	}
	again.Release()
	if s.Outstanding() != 0 {
		t.Fatalf("%d outstanding after the last release", s.Outstanding())
	}
	if err := l.stop(); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if err := receive(t, "end of the session", e.ended); err != nil {
		t.Fatalf("ServeControl: %v", err)
	}
	if _, err := s.Checkout(t.Context(), 0); !errors.Is(err, tunnel.ErrGone) {
		t.Fatalf("checkout of an ended session: %v", err)
	}
	if e.PickBut(environment, nil) != nil || e.sessions() != 0 || len(e.Presence()) != 0 {
		t.Fatal("an ended session is still known")
	}
}

func TestTunnel_ManyExchangesAtOnce(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{MaxConns: 16}})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	eventually(t, "two sessions", func() bool { return e.sessions() == 2 })
	used := make(map[*tunnel.Session]int)
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 20 {
				s := e.PickBut(environment, nil)
				c, err := s.Checkout(t.Context(), 0)
				if err != nil {
					t.Errorf("checking out: %v", err)
					return
				}
				if err := exchange(c, fmt.Sprint(i, ":", j)); err != nil {
					t.Errorf("exchange: %v", err)
					c.Discard()
					return
				}
				c.Release()
				mu.Lock()
				used[s]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(used) != 2 {
		t.Fatalf("%d sessions were used, want both", len(used))
	}
	for s, n := range used {
		if n < 64*20/20 {
			t.Errorf("a session carried only %d of %d exchanges", n, 64*20)
		}
		if s.Outstanding() != 0 {
			t.Errorf("%d outstanding after the last release", s.Outstanding())
		}
	}
}

func TestHub_PickSpreadsAndLeavesOut(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	eventually(t, "two sessions", func() bool { return e.sessions() == 2 })
	a := e.PickBut(environment, nil)
	b := e.PickBut(environment, nil, a)
	if a == nil || b == nil || a == b {
		t.Fatal("Pick did not leave out a session")
	}
	if e.PickBut(environment, []string{a.Identity().ID}) != b || e.PickBut(environment, []string{"wgt_other"}, a) != b || e.PickBut(environment, []string{a.Identity().ID}, b) != nil {
		t.Error("a drained Warpgate is picked")
	}
	if e.PickBut(environment, nil, a, b) != nil || e.PickBut("env_other", nil) != nil {
		t.Fatal("Pick found a session where there is none")
	}
	c := checkout(t, a)
	checkout(t, b).Release()
	for range 4 {
		if e.PickBut(environment, nil) != b {
			t.Fatal("Pick did not prefer the session with fewer exchanges under way")
		}
	}
	c.Release()
	seen := map[*tunnel.Session]bool{}
	for range 4 {
		seen[e.PickBut(environment, nil)] = true
	}
	if len(seen) != 2 {
		t.Fatal("equals do not take turns")
	}
}

// signed makes a statement; the tunnel looks into none.
func signed(purpose mezu.Purpose, payload string) mezu.Signed {
	return mezu.Signed{Purpose: purpose, KeyID: "key", Payload: []byte(payload), Signature: []byte("signature")}
}

func TestTunnel_DocumentsAndAcknowledgements(t *testing.T) {
	ca := newAuthority(t)
	news := make(chan mezu.Presence, 100)
	docs := []mezu.Signed{signed(mezu.PurposeKeyset, "k1"), signed(mezu.PurposeEdges, "e1"), signed(mezu.PurposeBundle, "b1")}
	e := startEdge(t, ca, "", tunnel.HubConfig{
		Changed: func(p mezu.Presence) { news <- p },
		Statements: func(env string) []mezu.Signed {
			if env != environment {
				t.Errorf("documents of %q", env)
			}
			return docs
		},
	})
	got := make(chan mezu.Signed, 100)
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{
		Statement: func(doc mezu.Signed) { got <- doc },
		Applied:   func() mezu.Position { return mezu.Position{Epoch: 1, Revision: 2} },
	})
	want := func(doc mezu.Signed) {
		t.Helper()
		d := receive(t, "a document", got)
		if d.Purpose != doc.Purpose || d.KeyID != doc.KeyID || string(d.Payload) != string(doc.Payload) || string(d.Signature) != string(doc.Signature) {
			t.Fatalf("document %v, want %v", d, doc)
		}
	}
	for _, d := range docs {
		want(d)
	}
	p := receive(t, "presence", news)
	if !p.Connected || p.Warpgate != l.id.ID || p.Environment != environment || p.Address != "127.0.0.1" || p.Version != "test" ||
		p.Bundle != (mezu.Position{Epoch: 1, Revision: 2}) || p.Since.IsZero() {
		t.Fatalf("presence %+v", p)
	}
	e.Push("env_other", signed(mezu.PurposeBundle, "not ours"))
	e.Push("", signed(mezu.PurposeRevocation, "r1"))
	e.Push(environment, signed(mezu.PurposeBundle, "b2"))
	want(signed(mezu.PurposeRevocation, "r1"))
	want(signed(mezu.PurposeBundle, "b2"))

	l.Ack(mezu.Position{Epoch: 1, Revision: 3})
	if p := receive(t, "presence", news); p.Bundle != (mezu.Position{Epoch: 1, Revision: 3}) {
		t.Fatalf("presence after an acknowledgement: %+v", p)
	}
	if all := e.Presence(); len(all) != 1 || all[0].Bundle.Revision != 3 {
		t.Fatalf("Presence: %+v", all)
	}
	l.stop()
	// Issue 7, row 26: one that is gone was last there when it ended.
	if gone := receive(t, "presence", news); gone.Connected || !gone.Since.After(p.Since) {
		t.Fatalf("presence after the end: %+v", gone)
	}
}

func TestHub_FencesAHalfOpenPredecessor(t *testing.T) {
	ca := newAuthority(t)
	news := make(chan mezu.Presence, 100)
	e := startEdge(t, ca, "", tunnel.HubConfig{
		Changed: func(p mezu.Presence) { news <- p },
		Limits:  tunnel.Limits{Heartbeat: 50 * time.Millisecond, Dead: time.Hour}, // by fencing, not by silence
	})
	id := newWarpgateID()
	r := startRelay(t, e.address)
	through := e.info()
	through.TunnelAddress = r.address
	startLink(t, e, id, tunnel.LinkConfig{Edge: through})
	old := e.session()
	inUse := checkout(t, old)
	receive(t, "presence", news)
	r.stall()

	startLink(t, e, id, tunnel.LinkConfig{})
	if err := receive(t, "end of the old session", e.ended); !errors.Is(err, tunnel.ErrFenced) {
		t.Fatalf("the old session ended with: %v", err)
	}
	if _, err := inUse.Read(make([]byte, 1)); err == nil {
		t.Fatal("a connection of the fenced session still works")
	}
	inUse.Discard()
	s := e.session()
	if s == old {
		t.Fatal("the fenced session is still picked")
	}
	c := checkout(t, s)
	if err := exchange(c, "hello"); err != nil {
		t.Fatal(err)
	}
	c.Release()
	if p := receive(t, "presence", news); !p.Connected {
		t.Fatalf("fencing was told as a disconnection: %+v", p)
	}
	if n := len(e.Presence()); n != 1 {
		t.Fatalf("%d Warpgates present", n)
	}
}

func TestTunnel_SilenceEndsBothEnds(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{Heartbeat: 20 * time.Millisecond, Dead: time.Second}})
	r := startRelay(t, e.address)
	through := e.info()
	through.TunnelAddress = r.address
	serving := make(chan context.Context, 100)
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Edge: through, Serve: func(ctx context.Context, conn net.Conn) {
		serving <- ctx
		echo(ctx, conn)
	}})
	c := checkout(t, e.session())
	ctx := receive(t, "a data connection", serving)
	r.stall()
	if err := receive(t, "end of the session", e.ended); !errors.Is(err, tunnel.ErrSilent) {
		t.Fatalf("the session ended with: %v", err)
	}
	if err := l.await(t, tunnel.LinkDisconnected); !errors.Is(err, tunnel.ErrSilent) {
		t.Fatalf("the link went down with: %v", err)
	}
	receive(t, "end of the data connection's context", ctx.Done())
	c.Discard()
}

func TestHub_Drain(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	s := e.session()
	c := checkout(t, s)
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(context.Background()) }()
	if err := l.await(t, tunnel.LinkDraining); !errors.Is(err, tunnel.ErrDraining) {
		t.Fatalf("the link drains because: %v", err)
	}
	// The link tries again at once, and is refused without harm.
	err := l.await(t, tunnel.LinkDisconnected)
	var refusal *tunnel.RefusedError
	if !errors.As(err, &refusal) || refusal.Err.Code != mezu.CodeUnavailable || refusal.Permanent {
		t.Fatalf("registration at a draining edge: %v", err)
	}
	if err := exchange(c, "under way"); err != nil {
		t.Fatal(err)
	}
	// Requests that came before the end of the listeners are still served.
	more := checkout(t, e.PickBut(environment, nil))
	if err := exchange(more, "late"); err != nil {
		t.Fatal(err)
	}
	more.Release()
	select {
	case err := <-drained:
		t.Fatalf("Drain returned with an exchange under way: %v", err)
	default:
	}
	c.Release()
	if err := receive(t, "Drain", drained); err != nil {
		t.Fatal(err)
	}
	e.dead()
	if _, err := s.Checkout(t.Context(), 0); !errors.Is(err, tunnel.ErrGone) {
		t.Fatalf("checkout after Close: %v", err)
	}
}

func TestHub_DrainEndsWithTheBusySession(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	c := checkout(t, e.session())
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(context.Background()) }()
	l.await(t, tunnel.LinkDraining)
	l.stop()
	if err := receive(t, "Drain", drained); err != nil {
		t.Fatal(err)
	}
	c.Release()
}

func TestConn_DiscardCancels(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	hanging, ended := make(chan struct{}), make(chan struct{})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Serve: func(ctx context.Context, conn net.Conn) {
		buf := make([]byte, 5)
		if n, _ := conn.Read(buf); n == 0 {
			return
		}
		close(hanging)
		<-ctx.Done() // reads nothing: only CANCEL can end it
		close(ended)
	}})
	s := e.session()
	c := checkout(t, s)
	if _, err := c.Write([]byte("hang\n")); err != nil {
		t.Fatal(err)
	}
	receive(t, "the exchange", hanging)
	c.Discard()
	receive(t, "cancellation", ended)
	c.Discard()
	c.Release()
	if s.Outstanding() != 0 {
		t.Fatalf("%d outstanding after Discard", s.Outstanding())
	}
}

func TestHub_CutClosesWhatIsInUse(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	bad, good := newWarpgateID(), newWarpgateID()
	cert := ca.issue(t, bad)
	told := make(chan mezu.Signed, 1)
	l := startLink(t, e, bad, tunnel.LinkConfig{TLS: ca.clientTLS(cert), Statement: func(doc mezu.Signed) { told <- doc }})
	s := e.session()
	startLink(t, e, good, tunnel.LinkConfig{})
	eventually(t, "two sessions", func() bool { return e.sessions() == 2 })
	c, other := checkout(t, s), checkout(t, e.PickBut(environment, nil, s))
	serial := cert.Leaf.SerialNumber.Text(16)
	why := mezu.Signed{Purpose: mezu.PurposeRevocation, Payload: []byte("revoked")}
	e.Cut(func(_ mezu.Identity, sn string) bool { return sn == serial }, why)
	if _, err := s.Checkout(t.Context(), 0); !errors.Is(err, tunnel.ErrGone) {
		t.Fatalf("checkout of a cut session: %v", err)
	}
	if err := exchange(c, "on"); err == nil {
		t.Fatal("an exchange went on after the cut")
	}
	c.Discard()
	if err := exchange(other, "on"); err != nil {
		t.Fatalf("another Warpgate's exchange: %v", err)
	}
	other.Release()
	if err := receive(t, "end of the session", e.ended); !errors.Is(err, tunnel.ErrCut) {
		t.Fatalf("the session ended with: %v", err)
	}
	if err := l.await(t, tunnel.LinkDisconnected); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Fatalf("the Warpgate was told: %v", err)
	}
	if doc := receive(t, "the reason", told); !reflect.DeepEqual(doc, why) {
		t.Fatalf("the Warpgate was given %+v", doc)
	}
}

func TestHub_CutOfADataConnectionAlone(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	id := newWarpgateID()
	control, data := ca.issue(t, id), ca.issue(t, id)
	startLink(t, e, id, tunnel.LinkConfig{TLS: func(alpn string) *tls.Config {
		if alpn == mezu.ProtocolData {
			return ca.clientTLS(data)(alpn)
		}
		return ca.clientTLS(control)(alpn)
	}})
	s := e.session()
	c := checkout(t, s)
	serial := data.Leaf.SerialNumber.Text(16)
	e.Cut(func(_ mezu.Identity, sn string) bool { return sn == serial })
	if err := exchange(c, "on"); err == nil {
		t.Fatal("an exchange went on after its connection's cut")
	}
	c.Discard()
	if s.Outstanding() != 0 || e.sessions() != 1 {
		t.Fatal("the session did not outlive its data connections")
	}
}

func TestTunnel_ServeThatEndsIsForgotten(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{LowWater: 1, HighWater: 1}})
	end := make(chan struct{})
	first := true
	var mu sync.Mutex
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Serve: func(ctx context.Context, conn net.Conn) {
		mu.Lock()
		mine := first
		first = false
		mu.Unlock()
		if mine {
			<-end
			return
		}
		echo(ctx, conn)
	}})
	s := e.session()
	eventually(t, "a warm connection", func() bool { return e.accepted.Load() == 2 })
	stale := checkout(t, s)
	stale.Release()
	close(end)
	// The edge learns of it without touching the connection, and replaces it.
	eventually(t, "an exchange over another connection", func() bool {
		c := checkout(t, s)
		if c == stale {
			c.Release()
			return false
		}
		defer c.Release()
		return exchange(c, "fresh") == nil
	})
}

func TestHub_CloseIsIdempotentAndFinal(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	e.session()
	e.Close()
	e.Close()
	if err := receive(t, "end of the session", e.ended); !errors.Is(err, tunnel.ErrClosed) {
		t.Fatalf("the session ended with: %v", err)
	}
	a, b := net.Pipe()
	defer b.Close()
	if err := e.ServeControl(t.Context(), a, newWarpgateID()); !errors.Is(err, tunnel.ErrClosed) {
		t.Fatalf("ServeControl after Close: %v", err)
	}
	if err := e.ServeData(a, newWarpgateID()); !errors.Is(err, tunnel.ErrClosed) {
		t.Fatalf("ServeData after Close: %v", err)
	}
}
