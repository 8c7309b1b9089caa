package tunnel_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu/gather"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/tunnel"
	"github.com/mezusphere/mezu/tunnel/mux"

	"github.com/mezusphere/mezu"
)

// serveLines is echo that knows more: "big N" is answered by N bytes and the end of a line, and
// the rest of a shared response is carried.
func serveLines(ctx context.Context, conn net.Conn) {
	r := bufio.NewReaderSize(conn, 64)
	var done func()
	for {
		first, err := r.Peek(1)
		if err != nil {
			return
		}
		if done != nil {
			done()
			done = nil
		}
		if first[0] == preface.KindRest {
			_, payload, err := preface.Read(r)
			if err != nil {
				return
			}
			number, err := preface.ParseRest(payload)
			if err != nil {
				return
			}
			if done = conn.(tunnel.Carrier).Carry(number); done == nil {
				return
			}
			continue
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		var n int
		switch {
		case strings.HasPrefix(line, "hang"):
			<-ctx.Done()
			return
		case line == "end\n":
			io.WriteString(conn, line)
			return
		case line == "pour\n":
			for {
				if _, err := conn.Write(make([]byte, 16<<10)); err != nil {
					<-ctx.Done()
					return
				}
			}
		default:
			if _, err := fmt.Sscanf(line, "big %d", &n); err == nil {
				line = strings.Repeat("x", n) + "\n"
			}
		}
		for len(line) > 0 { // in parts, as an exchange writes
			part := min(len(line), 12<<10)
			if _, err := io.WriteString(conn, line[:part]); err != nil {
				return
			}
			line = line[part:]
		}
	}
}

// bulk has n bytes sent.
func bulk(c net.Conn, n int) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "big %d\n", n); err != nil {
		return err
	}
	got, err := io.ReadAll(io.LimitReader(c, int64(n)+1))
	if err == nil && string(got) != strings.Repeat("x", n)+"\n" {
		err = fmt.Errorf("%d bytes came in the place of %d", len(got), n+1)
	}
	return err
}

// shared waits until an exchange of s shares a connection.
func shared(t testing.TB, s *tunnel.Session, client tunnel.Address) *tunnel.Conn {
	t.Helper()
	var c *tunnel.Conn
	eventually(t, "a shared connection", func() bool { c = s.TryShared(client); return c != nil })
	return c
}

// sharing is an edge on which exchanges share from the first beside another one, and that one.
func sharing(t *testing.T, l tunnel.Limits, c tunnel.LinkConfig) (*testEdge, *testLink, *tunnel.Session, *tunnel.Conn) {
	t.Helper()
	l.ShareFrom = 1
	if c.Serve == nil {
		c.Serve = serveLines
	}
	e := startEdge(t, newAuthority(t), "", tunnel.HubConfig{Limits: l})
	link := startLink(t, e, newWarpgateID(), c)
	s := e.session()
	if s.TryShared(0) != nil {
		t.Fatal("the first exchange shares a connection")
	}
	own := checkout(t, s)
	skipUnlessShared(t, s)
	return e, link, s, own
}

// skipUnlessShared skips where nothing tells what a path loses, so that nothing is shared.
func skipUnlessShared(t *testing.T, s *tunnel.Session) {
	ok := false
	eventually(t, "a shared connection", func() bool {
		c := s.TryShared(0)
		if ok = c != nil; ok {
			c.Discard()
		}
		return ok || !tunnel.CanShare
	})
	if !ok {
		t.Skip("this system does not tell what a path loses")
	}
}

// Exchanges beside others share a connection, one stream after the other.
func TestShared(t *testing.T) {
	e, _, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{})
	before := e.accepted.Load()
	var all []*tunnel.Conn
	for i := range 20 {
		c := shared(t, s, tunnel.Address(i))
		if !c.Shared() || c.Reused() {
			t.Fatalf("exchange %d: shared %v, reused %v", i, c.Shared(), c.Reused())
		}
		all = append(all, c)
	}
	for i, c := range all {
		if err := exchange(c, fmt.Sprint("exchange ", i)); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	if n := s.Streams(); n != 20 {
		t.Errorf("%d streams, want 20", n)
	}
	c := shared(t, s, 0)
	if err := exchange(c, "again"); err != nil || !c.Reused() {
		t.Errorf("on a stream again: %v, reused %v", err, c.Reused())
	}
	c.Release()
	own.Release()
	if n := e.accepted.Load() - before; n > 2 {
		t.Errorf("20 shared exchanges took %d connections", n)
	}
	if n, moved := e.Shared(); n < 21 || moved != 0 {
		t.Errorf("%d shared, %d moved", n, moved)
	}
}

// A response over what a shared connection carries arrives whole over one of its own, also if
// all places are taken by such exchanges.
func TestShared_Moves(t *testing.T) {
	const places = 12
	e, _, s, own := sharing(t, tunnel.Limits{MaxConns: places, Share: 100}, tunnel.LinkConfig{})
	var wg sync.WaitGroup
	for i := range places - 1 {
		wg.Go(func() {
			for round := range 8 {
				var c *tunnel.Conn
				for c == nil {
					if c = s.TryShared(tunnel.Address(i)); c == nil {
						c = checkoutFor(t, s, tunnel.Address(i))
					}
				}
				if err := bulk(c, 1000+round*30_000); err != nil {
					t.Errorf("round %d of %d: %v", round, i, err)
					c.Discard()
					return
				}
				c.Release()
			}
		})
	}
	wg.Wait()
	if err := exchange(own, "beside"); err != nil {
		t.Error(err)
	}
	own.Release()
	if n, moved := e.Shared(); moved == 0 || moved >= n {
		t.Errorf("%d shared, %d moved", n, moved)
	}
	if n := s.Outstanding(); n != 0 {
		t.Errorf("%d places are taken still", n)
	}
}

// Who gives up an exchange ends it at the Warpgate, on whatever its response goes.
func TestShared_DiscardCancels(t *testing.T) {
	ended := make(chan error, 10)
	_, _, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{Serve: func(ctx context.Context, conn net.Conn) {
		serveLines(ctx, conn)
		ended <- context.Cause(ctx)
	}})
	defer own.Release()
	c := shared(t, s, 0)
	if err := exchange(c, "before"); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "hang\n")
	c.Discard()
	if err := receive(t, "the end of the exchange", ended); !errors.Is(err, mux.ErrCancelled) {
		t.Errorf("ended with %v", err)
	}

	c = shared(t, s, 0)
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "pour\n")
	if _, err := io.ReadFull(c, make([]byte, 4*mux.Budget)); err != nil {
		t.Fatal(err)
	}
	c.Abort()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a read after Abort")
	}
	c.Discard()
	for range 2 { // the stream and the connection that it moved to
		receive(t, "the end of a moved response", ended)
	}
	c = shared(t, s, 0)
	if err := exchange(c, "after that"); err != nil {
		t.Error(err)
	}
	c.Release()
}

// Who has not read what came does not hold up others, and costs no more than the budget.
func TestShared_StalledReader(t *testing.T) {
	_, _, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{})
	defer own.Release()
	for range 4 {
		stalled := shared(t, s, 1)
		stalled.SetDeadline(time.Now().Add(patience))
		io.WriteString(stalled, "pour\n")
		defer stalled.Discard()
	}
	for range 100 {
		c := shared(t, s, 2)
		if err := exchange(c, "beside"); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
}

// A stream that the Warpgate ends is used no more.
func TestShared_WarpgateEndsAStream(t *testing.T) {
	_, _, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{})
	defer own.Release()
	c := shared(t, s, 0)
	if err := exchange(c, "end"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a read behind the end: %v", err)
	}
	c.Release()
	if n := s.Streams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	c = shared(t, s, 0)
	if err := exchange(c, "end"); err != nil {
		t.Fatal(err)
	}
	c.Release() // idle, until its end is noticed
	eventually(t, "the end of an idle stream", func() bool { return s.Streams() == 0 })
}

// Streams and connections that nobody uses go.
func TestShared_GoesWhenIdle(t *testing.T) {
	room := tunnel.NewRoom(100)
	_, _, s, own := sharing(t, tunnel.Limits{SurplusIdle: 50 * time.Millisecond, Heartbeat: 20 * time.Millisecond, Dead: patience}, tunnel.LinkConfig{Room: room})
	c := shared(t, s, 0)
	if err := exchange(c, "once"); err != nil {
		t.Fatal(err)
	}
	c.Release()
	own.Release()
	eventually(t, "the end of the streams", func() bool { return s.Streams() == 0 })
	eventually(t, "the end of the connection", func() bool { return room.Taken() <= 2 })
}

// A drain waits for shared exchanges, and ends none.
func TestShared_Drain(t *testing.T) {
	for _, who := range []string{"edge", "Warpgate"} {
		t.Run(who, func(t *testing.T) {
			e, link, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{})
			c := shared(t, s, 0)
			own.Release()
			drained := make(chan error, 1)
			go func() {
				if who == "edge" {
					drained <- e.Drain(t.Context())
				} else {
					drained <- link.Drain(t.Context())
				}
			}()
			if who == "Warpgate" {
				eventually(t, "the drain", func() bool { return e.PickBut(environment, nil) == nil })
			}
			if err := bulk(c, 100_000); err != nil {
				t.Error(err)
			}
			select {
			case err := <-drained:
				t.Errorf("drained beside an exchange: %v", err)
			default:
			}
			c.Release()
			if err := receive(t, "the drain's end", drained); err != nil {
				t.Error(err)
			}
		})
	}
}

// The end of a session, of either side's making, ends its shared exchanges.
func TestShared_SessionEnds(t *testing.T) {
	for _, who := range []string{"edge", "Warpgate"} {
		t.Run(who, func(t *testing.T) {
			e, link, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{})
			c := shared(t, s, 0)
			c.SetDeadline(time.Now().Add(patience))
			io.WriteString(c, "hang\n")
			if who == "edge" {
				e.Hub.Close()
			} else {
				link.stop()
			}
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) && who == "edge" {
				t.Errorf("a read after the end: %v", err)
			}
			c.Discard()
			own.Discard()
		})
	}
}

// A revoked certificate ends the shared connection that was made with it, and no other.
func TestShared_Cut(t *testing.T) {
	ca, id := newAuthority(t), newWarpgateID()
	data := ca.issue(t, id)
	control := ca.clientTLS(ca.issue(t, id))
	e := startEdge(t, ca, "", tunnel.HubConfig{Limits: tunnel.Limits{ShareFrom: 1}})
	startLink(t, e, id, tunnel.LinkConfig{Serve: serveLines, TLS: func(alpn string) *tls.Config {
		if alpn == mezu.ProtocolData {
			return ca.clientTLS(data)(alpn)
		}
		return control(alpn)
	}})
	s := e.session()
	own := checkout(t, s)
	skipUnlessShared(t, s)
	c := shared(t, s, 0)
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "hang\n")
	e.Cut(func(_ mezu.Identity, serial string) bool { return serial == data.Leaf.SerialNumber.Text(16) })
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, tunnel.ErrCut) {
		t.Errorf("a read of a revoked connection: %v", err)
	}
	c.Discard()
	own.Discard()
	if s.TryShared(0) != nil {
		t.Error("a revoked connection is used")
	}
}

// A Warpgate without room refuses an exchange, which nobody has acted upon. Those that follow
// have connections of their own.
func TestShared_Refused(t *testing.T) {
	room := tunnel.NewRoom(100)
	_, _, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{Room: room})
	defer own.Release()
	room.Fill()
	c := shared(t, s, 0)
	err := exchange(c, "finds no room")
	if !errors.Is(err, mux.ErrRefused) {
		t.Errorf("without room: %v", err)
	}
	c.Failed(err)
	c.Discard()
	if c := s.TryShared(0); c != nil {
		t.Error("shared at once again")
	}
}

// Who holds more than a share while others wait loses shared exchanges as others.
func TestShared_Reclaimed(t *testing.T) {
	e, _, s, own := sharing(t, tunnel.Limits{MaxConns: 8, Share: 50}, tunnel.LinkConfig{})
	var held []*tunnel.Conn
	for {
		c := s.TryShared(1)
		if c == nil {
			break
		}
		held = append(held, c)
	}
	own.Release()
	var wg sync.WaitGroup
	for i := range 4 { // one after the other in the place that is free
		wg.Go(func() { checkoutFor(t, s, tunnel.Address(10+i)).Release() })
	}
	wg.Wait()
	first, third := checkoutFor(t, s, 2), checkoutFor(t, s, 4)
	second := make(chan *tunnel.Conn, 1)
	go func() { second <- checkoutFor(t, s, 3) }()
	newest := held[len(held)-1]
	eventually(t, "one that is reclaimed", newest.Reclaimed)
	if err := exchange(newest, "more"); err == nil {
		t.Error("an exchange goes on that was reclaimed")
	}
	newest.Discard()
	c := receive(t, "a place", second)
	if n := e.Reclaimed(); n != 1 {
		t.Errorf("%d were reclaimed", n)
	}
	for _, h := range held[:len(held)-1] {
		h.Discard()
	}
	first.Release()
	third.Release()
	c.Release()
}

// two is a session with so many places that has two connections of its own, both held, and a shared one.
// A further one comes for each send to more, or as many as are asked for when that is closed.
func two(t *testing.T, places int) (e *testEdge, s *tunnel.Session, held []*tunnel.Conn, more chan struct{}) {
	t.Helper()
	var dials atomic.Int64
	more = make(chan struct{})
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) > 4 { // control, shared, and two of their own
			select {
			case <-more:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	e = startEdge(t, newAuthority(t), "", tunnel.HubConfig{Limits: tunnel.Limits{ShareFrom: 1, MaxConns: places, Share: 100, LowWater: 1, HighWater: 1}})
	startLink(t, e, newWarpgateID(), tunnel.LinkConfig{Serve: serveLines, Dial: dial})
	s = e.session()
	held = []*tunnel.Conn{checkout(t, s)}
	skipUnlessShared(t, s)
	eventually(t, "all that are dialled", func() bool { return dials.Load() >= 4 && s.Idle() == 1 })
	return e, s, append(held, checkout(t, s)), more
}

// Whoever waits for a place comes before those that could share a connection at once.
func TestShared_WaitersComeFirst(t *testing.T) {
	e, s, held, more := two(t, 6)
	for range 4 {
		held = append(held, shared(t, s, 0))
	}
	waiter := make(chan *tunnel.Conn, 1)
	go func() { waiter <- checkoutFor(t, s, 1) }()
	eventually(t, "one that waits", func() bool { return e.Waiting() == 1 })
	held[5].Release()
	if s.TryShared(2) != nil {
		t.Error("it took the place of the one that waits")
	}
	close(more)
	receive(t, "a place", waiter).Release()
	for _, c := range held[:5] {
		c.Release()
	}
}

// One address whose responses wait for connections of their own keeps nobody else waiting: neither
// another's response, nor another's exchange that waits for a place.
func TestRow7_ACrowdOfLargeResponses(t *testing.T) {
	const crowd, places = 12, 40
	e, s, held, more := two(t, places)
	moved := make(chan tunnel.Address, crowd+1)
	moves := func(client tunnel.Address) (c *tunnel.Conn) {
		c = shared(t, s, client)
		before := s.Moving()
		go func() {
			c.SetDeadline(time.Now().Add(patience))
			fmt.Fprintln(c, "big 100000")
			if _, err := io.ReadFull(c, make([]byte, 60_000)); err == nil { // more than is shared
				moved <- client
			}
		}()
		eventually(t, "a response that waits", func() bool { return s.Moving() == before+1 })
		return c
	}
	for range crowd {
		held = append(held, moves(greedy))
	}
	held = append(held, moves(modest))
	waiter := make(chan *tunnel.Conn, 1)
	go func() { waiter <- checkoutFor(t, s, modest+1) }()
	eventually(t, "one that waits", func() bool { return e.Waiting() == 1 })
	for range 2 {
		more <- struct{}{}
	}
	held = append(held, receive(t, "a place", waiter))
	if a := receive(t, "a response", moved); a != modest {
		t.Errorf("a response to %v came first", a)
	}
	close(more)
	for range crowd {
		receive(t, "a response of the crowd", moved)
	}
	for _, c := range held {
		c.Discard()
	}
}

// A path that loses segments is left by shared exchanges.
func TestShared_LeavesALossyPath(t *testing.T) {
	_, _, s, own := sharing(t, tunnel.Limits{}, tunnel.LinkConfig{})
	defer own.Release()
	c := shared(t, s, 0)
	s.LosesSegments()
	if s.TryShared(0) != nil {
		t.Error("an exchange began on a path that loses segments")
	}
	if err := exchange(c, "under way"); err != nil {
		t.Error(err)
	}
	c.Release()
	s.LosesSegments() // of what was under way
	s.TriesPathAgain()
	shared(t, s, 0).Discard()
	s.LosesSegments()
	if s.TryShared(0) != nil {
		t.Error("an exchange began on a path that loses segments again")
	}
}

// A Warpgate of the version before is not asked for what it doesn't know, and one that was not
// asked may not bring a shared connection.
func TestShared_OldWarpgate(t *testing.T) {
	h := newHub(t, tunnel.Limits{ShareFrom: 1})
	g := join(t, h, newWarpgateID())
	g.dial(g.wanted())
	s := h.PickBut(environment, nil)
	c := checkout(t, s)
	for range 10 {
		if s.TryShared(0) != nil {
			t.Fatal("shared with a Warpgate that can't")
		}
	}
	c.Release()
	g.write(frame(ping, 0, 0, 0, 1))
	for f := range g.frames {
		if f.kind == share {
			t.Error("SHARE to a Warpgate that doesn't know it")
		}
		if f.kind == pong {
			break
		}
	}
	near, far := net.Pipe()
	defer near.Close()
	refused := make(chan error, 1)
	go func() { refused <- h.ServeData(gather.New(far), g.id) }()
	near.SetDeadline(time.Now().Add(patience))
	near.Write(frame(sharedConn, g.token...))
	if err := receive(t, "a refusal", refused); !errors.Is(err, tunnel.ErrProtocol) {
		t.Errorf("an unasked shared connection: %v", err)
	}
}
