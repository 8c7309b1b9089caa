package tunnel_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/tunnel"
)

func TestLink_Drain(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	s := e.session()
	c := checkout(t, s)
	drained := make(chan error, 1)
	go func() { drained <- l.Drain(context.Background()) }()
	eventually(t, "the edge picks it no more", func() bool { return e.PickBut(environment, nil) == nil })
	eventually(t, "no new exchange", func() bool {
		_, err := s.Checkout(t.Context(), 0)
		return errors.Is(err, tunnel.ErrGone)
	})
	select {
	case err := <-drained:
		t.Fatalf("Drain returned with an exchange under way: %v", err)
	default:
	}
	if err := exchange(c, "the last one"); err != nil {
		t.Fatal(err)
	}
	c.Release()
	if err := receive(t, "Drain", drained); err != nil {
		t.Fatal(err)
	}
	if len(e.Presence()) != 1 {
		t.Fatal("a drained Warpgate is not present any more")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Drain(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestLink_DrainGivesUpWithItsContext(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	c := checkout(t, e.session())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Drain(ctx) }()
	eventually(t, "the edge picks it no more", func() bool { return e.PickBut(environment, nil) == nil })
	cancel()
	if err := receive(t, "Drain", done); !errors.Is(err, context.Canceled) {
		t.Fatalf("Drain: %v", err)
	}
	if err := exchange(c, "still served"); err != nil {
		t.Fatal(err)
	}
	l.stop()
	if err := exchange(c, "cut"); err == nil {
		t.Fatal("an exchange went on after the end of Run")
	}
	c.Discard()
}

func TestLink_RegistersAnewWhileDraining(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	e.session()
	if err := l.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Cut(func(mezu.Identity, string) bool { return true })
	receive(t, "end of the session", e.ended)
	eventually(t, "present again", func() bool { return len(e.Presence()) == 1 })
	if e.sessions() != 0 {
		t.Fatal("a draining Warpgate is offered exchanges")
	}
	if err := l.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLink_ReconnectsAfterTheEdgeIsBack(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	id := newWarpgateID()
	anyEdge := mezu.EdgeInfo{TunnelAddress: e.address}
	l := startLink(t, e, id, tunnel.LinkConfig{Edge: anyEdge})
	c := checkout(t, e.session())
	e.dead()
	if err := l.await(t, tunnel.LinkDisconnected); err == nil {
		t.Fatal("the link does not say why it is down")
	}
	c.Discard()
	back := startEdge(t, ca, e.address, tunnel.HubConfig{})
	l.await(t, tunnel.LinkConnected)
	c = checkout(t, back.session())
	if err := exchange(c, "again"); err != nil {
		t.Fatal(err)
	}
	c.Release()
}

// TestLink_TriesAnotherPeerSeldom: where another edge has the address, the next try comes after
// seconds, and not at once as where an edge restarts.
func TestLink_TriesAnotherPeerSeldom(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	var log testkit.Buffer
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Edge: mezu.EdgeInfo{ID: newEdgeID().ID, TunnelAddress: e.address}, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	var line struct {
		Error   string        `json:"error"`
		RetryIn time.Duration `json:"retry_in"`
	}
	eventually(t, "it says when it tries again", func() bool { return json.NewDecoder(strings.NewReader(log.String())).Decode(&line) == nil })
	if !strings.Contains(line.Error, "not edge") || line.RetryIn < backoff.LastingCeiling/2 {
		t.Errorf("%q, and again in %v", line.Error, line.RetryIn)
	}
}

func TestT5_LinkRefusesAnotherIdentity(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	other := mezu.EdgeInfo{ID: newEdgeID().ID, TunnelAddress: e.address}
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Edge: other})
	if err := l.await(t, tunnel.LinkDisconnected); err == nil {
		t.Error("one edge passed for another")
	} else if !backoff.Lasts(err) {
		t.Errorf("it is tried again as often as an edge that restarts: %v", err)
	}
	l.stop()
	// A Warpgate's certificate of the same authority, used as an edge's.
	id := newWarpgateID()
	e.config.Certificates[0] = *ca.issue(t, id)
	l = startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Edge: mezu.EdgeInfo{ID: id.ID, TunnelAddress: e.address}})
	if err := l.await(t, tunnel.LinkDisconnected); err == nil {
		t.Error("a Warpgate passed for an edge")
	}
	if e.sessions() != 0 {
		t.Error("a Warpgate registered with a peer that it must not trust")
	}
}

func TestLink_StopsOnAPermanentRefusal(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	l := startLink(t, e, newEdgeID(), tunnel.LinkConfig{}) // an edge can't register
	err := l.await(t, tunnel.LinkDisconnected)
	var refusal *tunnel.RefusedError
	if !errors.As(err, &refusal) || !refusal.Permanent {
		t.Fatalf("refusal: %v", err)
	}
	// Run returned by itself; stop gives its error.
	if err := l.stop(); mezu.CodeOf(err) != mezu.CodeForbidden {
		t.Fatalf("Run: %v", err)
	}
}

func TestLink_HonoursRetryAfter(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{MaxSessions: 1, RetryAfter: time.Hour}})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	e.session()
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	err := l.await(t, tunnel.LinkDisconnected)
	var refusal *tunnel.RefusedError
	if !errors.As(err, &refusal) || refusal.Err.Code != mezu.CodeOverloaded || refusal.RetryAfter != time.Hour {
		t.Fatalf("refusal: %v", err)
	}
	select {
	case s := <-l.states:
		t.Fatalf("the link did not wait: %v", s)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestLink_DataDialsThatFailAreMadeUpFor(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{})
	var mu sync.Mutex
	dials := 0
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		dials++
		n := dials
		mu.Unlock()
		if n > 1 && n < 6 {
			return nil, errors.New("no route to the edge")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	c := checkout(t, e.session())
	if err := exchange(c, "after all"); err != nil {
		t.Fatal(err)
	}
	c.Release()
}

// shaker is a connection that counts as shaking hands from its first write, which waits
// for let, to its second.
type shaker struct {
	net.Conn
	writes     int
	under      *atomic.Int64
	most, made *atomic.Int64
	let        chan struct{}
}

func (c *shaker) Write(p []byte) (int, error) {
	switch c.writes++; c.writes {
	case 1:
		n := c.under.Add(1)
		for was := c.most.Load(); n > was && !c.most.CompareAndSwap(was, n); was = c.most.Load() {
		}
		<-c.let
	case 2:
		c.under.Add(-1)
		c.made.Add(1)
	}
	return c.Conn.Write(p)
}

// However many data connections an edge wants, a few shake hands at once: what edge and
// Warpgate do for others waits behind those.
func TestRow7_FewHandshakesAtOnce(t *testing.T) {
	const crowd = 100
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{Share: 100}})
	var dials, under, most, made atomic.Int64
	let := make(chan struct{})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil || dials.Add(1) == 1 {
			return conn, err // the control connection
		}
		return &shaker{Conn: conn, under: &under, most: &most, made: &made, let: let}, nil
	}})
	s := e.session()
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			c, err := s.Checkout(context.Background(), tunnel.Address(i))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(c.Discard)
		})
	}
	eventually(t, "as many dials as there may be", func() bool { return dials.Load() == 1+32 })
	close(let)
	all.Wait()
	if n := most.Load(); n == 0 || n > 16 {
		t.Errorf("%d shook hands at once", n)
	}
	if n := made.Load(); n < crowd {
		t.Errorf("%d connections were made for %d exchanges", n, crowd)
	}
}

func TestLinkState_Words(t *testing.T) {
	var words []string
	for s := tunnel.LinkConnecting; s <= tunnel.LinkDisconnected; s++ {
		words = append(words, s.String())
	}
	if !slices.Equal(words, []string{"connecting", "connected", "draining", "disconnected"}) {
		t.Fatal(words)
	}
}
