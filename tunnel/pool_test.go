package tunnel_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

func newHub(t testing.TB, l tunnel.Limits) *tunnel.Hub {
	h := tunnel.NewHub(tunnel.HubConfig{Edge: func() string { return newEdgeID().ID }, Limits: l})
	t.Cleanup(h.Close)
	return h
}

func TestPool_AsksForWhatIsMissing(t *testing.T) {
	h := newHub(t, tunnel.Limits{LowWater: 2, HighWater: 8, MaxConns: 64})
	g := join(t, h, newWarpgateID())
	if n := g.wanted(); n != 1 {
		t.Fatalf("WANT %d at first, want the 1 of a Warpgate at rest", n)
	}
	g.dial(1)
	s := h.PickBut(environment, nil)
	held := []*tunnel.Conn{checkout(t, s)}
	if n := g.wanted(); n != 1 {
		t.Fatalf("WANT %d at the first exchange, want 1", n)
	}
	g.dial(1)
	held = append(held, checkout(t, s))
	if n := g.wanted(); n != 2 {
		t.Fatalf("WANT %d at the second exchange, want the low water of 2", n)
	}
	g.dial(2)
	for i := range 60 { // idle connections fall below the low water each time
		held = append(held, checkoutFor(t, s, tunnel.Address(i)))
		for n := len(g.frames); n > 0; n-- {
			g.dial(g.wanted())
		}
		if int(g.serial) < 64 {
			eventually(t, "more connections", func() bool {
				for n := len(g.frames); n > 0; n-- {
					g.dial(g.wanted())
				}
				return int(g.serial) > len(held)
			})
		}
	}
	if g.serial > 64 {
		t.Fatalf("the edge asked for %d connections, over the cap of 64", g.serial)
	}
	for _, c := range held {
		c.Release()
	}
	if s.Outstanding() != 0 {
		t.Fatalf("%d outstanding", s.Outstanding())
	}
}

func TestPool_WantsStayUnderTheCap(t *testing.T) {
	const limit = 8
	h := newHub(t, tunnel.Limits{MaxConns: limit})
	g := join(t, h, newWarpgateID())
	s := h.PickBut(environment, nil)
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 50 {
		all.Go(func() {
			if c, err := s.Checkout(ctx, 0); err == nil {
				c.Release()
			}
		})
	}
	eventually(t, "all wait", func() bool { return s.Outstanding() == 50 })
	sum := g.wanted()
	for sum < limit {
		sum += g.wanted()
	}
	stop()
	all.Wait()
	if sum != limit || len(g.frames) != 0 {
		t.Fatalf("the edge wanted %d connections and more, the cap is %d", sum, limit)
	}
	// None will come: the edge must ask again when somebody needs one.
	g.write(frame32(missed, 1<<31))
	go func() {
		if c, err := s.Checkout(t.Context(), 0); err == nil {
			c.Release()
		}
	}()
	g.wanted()
	g.dial(1)
	eventually(t, "the exchange is done", func() bool { return s.Outstanding() == 0 })
}

func TestPool_LastReleasedIsFirstTaken(t *testing.T) {
	h := newHub(t, tunnel.Limits{})
	g := join(t, h, newWarpgateID())
	g.dial(3)
	s := h.PickBut(environment, nil)
	a, b, c := checkout(t, s), checkout(t, s), checkout(t, s)
	if a.Reused() || b.Reused() || c.Reused() {
		t.Fatal("a new connection counts as reused")
	}
	for _, conn := range []*tunnel.Conn{b, c, a} {
		conn.Release()
	}
	for i, conn := range []*tunnel.Conn{a, c, b} {
		if got := checkout(t, s); got != conn || !got.Reused() {
			t.Fatalf("checkout %d did not give the connection released last", i)
		}
	}
	for _, conn := range []*tunnel.Conn{a, b, c} {
		conn.Discard()
	}
}

func TestPool_WaitersAreServedInOrder(t *testing.T) {
	h := newHub(t, tunnel.Limits{MaxConns: 1, LowWater: 1})
	g := join(t, h, newWarpgateID())
	g.dial(1)
	s := h.PickBut(environment, nil)
	c := checkout(t, s)
	order := make(chan int, 3)
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			c := checkout(t, s)
			order <- i
			c.Release()
		})
		eventually(t, "it waits", func() bool { return s.Outstanding() == 2+i })
	}
	c.Release()
	all.Wait()
	if got := []int{<-order, <-order, <-order}; !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("served in the order %v", got)
	}
	if c := checkout(t, s); !c.Reused() {
		t.Fatal("a connection handed from one to the next does not count as reused")
	}
}

func TestPool_OverloadIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{MaxConns: 1, MaxWaiters: 1})
		g := join(t, h, newWarpgateID())
		g.dial(1)
		g.beat()
		s := h.PickBut(environment, nil)
		c := checkout(t, s)
		start := time.Now()
		late := make(chan error, 1)
		go func() {
			_, err := s.Checkout(context.Background(), 0)
			late <- err
		}()
		synctest.Wait()
		if _, err := s.Checkout(context.Background(), 0); !errors.Is(err, tunnel.ErrOverloaded) || time.Since(start) != 0 {
			t.Errorf("with a full queue: %v after %v", err, time.Since(start))
		}
		if err := <-late; !errors.Is(err, tunnel.ErrOverloaded) || time.Since(start) != 10*time.Second {
			t.Errorf("one that waits in vain: %v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := s.Checkout(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that gives up: %v", err)
		}
		if s.Outstanding() != 1 {
			t.Errorf("%d outstanding", s.Outstanding())
		}
		c.Release()
		checkout(t, s).Release()
		g.leave()
	})
}

// A Checkout that gives up leaves at once, and who came behind it is next.
func TestPool_WhoLeavesGivesUpItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{MaxConns: 1, MaxWaiters: 2})
		g := join(t, h, newWarpgateID())
		g.dial(1)
		g.beat()
		s := h.PickBut(environment, nil)
		c := checkout(t, s)
		if s.TryCheckout(0) != nil {
			t.Fatal("a connection over the cap")
		}
		start := time.Now()
		ctx, leave := context.WithCancel(context.Background())
		left, next := make(chan error, 1), make(chan *tunnel.Conn, 1)
		go func() {
			_, err := s.Checkout(ctx, 0)
			left <- err
		}()
		synctest.Wait()
		go func() {
			c, _ := s.Checkout(context.Background(), 1)
			next <- c
		}()
		synctest.Wait()
		if h.Waiting() != 2 {
			t.Errorf("%d wait", h.Waiting())
		}
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) || time.Since(start) != 0 || h.Waiting() != 1 {
			t.Errorf("%v after %v, %d still wait", err, time.Since(start), h.Waiting())
		}
		c.Release()
		if c := <-next; c == nil || time.Since(start) != 0 {
			t.Errorf("who came behind got %v after %v", c, time.Since(start))
		} else {
			c.Release()
		}
		if c := s.TryCheckout(0); c == nil || s.Outstanding() != 1 {
			t.Errorf("%v, %d outstanding", c, s.Outstanding())
		} else {
			c.Release()
		}
		g.leave()
		if s.TryCheckout(0) != nil {
			t.Error("a connection of a session that has ended")
		}
	})
}

// pass lets time pass on a bubble's clock.
func pass(d time.Duration) { <-time.After(d) }

func TestPool_WaitersLearnOfTheEnd(t *testing.T) {
	h := newHub(t, tunnel.Limits{})
	g := join(t, h, newWarpgateID())
	s := h.PickBut(environment, nil)
	got := make(chan error, 1)
	go func() {
		_, err := s.Checkout(t.Context(), 0)
		got <- err
	}()
	eventually(t, "it waits", func() bool { return s.Outstanding() == 1 })
	g.leave()
	if err := receive(t, "the waiter", got); !errors.Is(err, tunnel.ErrGone) {
		t.Fatalf("waiter of an ended session: %v", err)
	}
}

func TestPool_SessionWithoutDataIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{})
		g := join(t, h, newWarpgateID())
		g.beat()
		if _, err := h.PickBut(environment, nil).Checkout(context.Background(), 0); !errors.Is(err, tunnel.ErrGone) {
			t.Errorf("checkout: %v", err)
		}
		if err := <-g.ended; !errors.Is(err, tunnel.ErrGone) {
			t.Errorf("the session ended with: %v", err)
		}
		if h.PickBut(environment, nil) != nil {
			t.Error("a Warpgate that never gives a data connection is still picked")
		}
	})
}

func TestPool_PrefersProvenSessions(t *testing.T) {
	h := newHub(t, tunnel.Limits{})
	a, b := join(t, h, newWarpgateID()), join(t, h, newWarpgateID())
	b.dial(1)
	for range 4 {
		if s := h.PickBut(environment, nil); s.Identity() != b.id {
			t.Fatal("a session without data connections was preferred")
		}
	}
	c := checkout(t, h.PickBut(environment, nil))
	if h.PickBut(environment, nil).Identity() != b.id {
		t.Fatal("a session without data connections was preferred to a busy one")
	}
	c.Release()
	a.dial(1)
	if h.PickBut(environment, nil, h.PickBut(environment, nil)) == nil {
		t.Fatal("a session is missing")
	}
}

func TestPool_SurplusIsClosedAndWarmIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{})
		g := join(t, h, newWarpgateID())
		if n := g.wanted(); n != 1 {
			t.Fatalf("WANT %d", n)
		}
		g.dial(6)
		g.beat()
		alive := g.alive
		pass(50 * time.Second)
		if n := alive(); n != 6 {
			t.Errorf("%d connections after 50 s, want all 6", n)
		}
		pass(20 * time.Second)
		if n := alive(); n != 1 {
			t.Errorf("%d connections after 70 s, want the 1 of a Warpgate at rest", n)
		}
		if len(g.frames) != 0 {
			t.Errorf("the edge asked for connections in place of surplus ones")
		}
		pass(8 * time.Minute)
		if n := alive(); n != 0 {
			t.Errorf("%d connections are idle for more than 8 min", n)
		}
		if n := g.wanted(); n != 1 {
			t.Errorf("WANT %d in place of the warm one, want 1", n)
		}
		g.leave()
	})
}

// alive is how many data connections the edge has not closed.
func (g *rawWarpgate) alive() (n int) {
	synctest.Wait()
	for _, c := range g.data {
		c.SetReadDeadline(time.Now().Add(time.Nanosecond))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, net.ErrClosed) || !isTimeout(err) {
			continue
		}
		n++
	}
	return n
}

func TestPool_OneIsWarmAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{LowWater: 3, HighWater: 8})
		g := join(t, h, newWarpgateID())
		g.beat()
		g.dial(g.wanted())
		s := h.PickBut(environment, nil)
		exchange := func(want int) {
			t.Helper()
			checkout(t, s).Release()
			synctest.Wait()
			if want == 0 && len(g.frames) == 0 {
				return
			}
			if n := g.wanted(); n != want {
				t.Errorf("WANT %d, want %d", n, want)
			}
			g.dial(want)
		}
		exchange(1) // in the place of the one taken
		for range 3 {
			pass(80 * time.Second) // the surplus one went
			if n := g.alive(); n != 1 {
				t.Errorf("%d connections at rest, want 1", n)
			}
			exchange(1)
		}
		pass(30 * time.Second)
		exchange(2) // exchanges follow one another: the low water counts
		exchange(0)
		pass(50 * time.Second)
		if n := g.alive(); n != 3 {
			t.Errorf("%d connections before a minute is over, want the low water of 3", n)
		}
		pass(30 * time.Second)
		if n := g.alive(); n != 1 {
			t.Errorf("%d connections at rest again, want 1", n)
		}
		g.leave()
	})
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestSession_Heartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{})
		near, far := net.Pipe()
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- h.ServeControl(context.Background(), far, newWarpgateID()) }()
		near.Write(frame(register, []byte(`{"protocol":1,"epoch":1}`)...))
		beats := 0
		for {
			f, err := readRaw(near)
			if err != nil {
				break
			}
			if f.kind == heartbeat {
				beats++
			}
		}
		if err := <-ended; !errors.Is(err, tunnel.ErrSilent) || time.Since(start) != 12*time.Second {
			t.Errorf("a silent Warpgate: %v after %v", err, time.Since(start))
		}
		if beats < 2 || beats > 3 {
			t.Errorf("%d heartbeats in 12 s, want one each 5 s", beats)
		}
	})
}

func TestSession_RegistrationHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, tunnel.Limits{})
		for name, serve := range map[string]func(net.Conn) error{
			"control": func(c net.Conn) error { return h.ServeControl(context.Background(), c, newWarpgateID()) },
			"data":    func(c net.Conn) error { return h.ServeData(c, newWarpgateID()) },
		} {
			near, far := net.Pipe()
			start := time.Now()
			go near.Write([]byte{register, 0})
			if err := serve(far); !isTimeout(err) || time.Since(start) != 10*time.Second {
				t.Errorf("%s connection with half a frame: %v after %v", name, err, time.Since(start))
			}
		}
	})
}

func TestSession_EpochsOnlyRise(t *testing.T) {
	h := newHub(t, tunnel.Limits{})
	id := newWarpgateID()
	first := begin(t, h, id)
	first.write(frame(register, []byte(`{"protocol":1,"epoch":7}`)...))
	first.welcome()
	for _, epoch := range []string{"6", "7", "0"} {
		g := begin(t, h, id)
		g.write(frame(register, []byte(`{"protocol":1,"epoch":`+epoch+`}`)...))
		if f := g.next(); f.kind != refused {
			t.Fatalf("epoch %s after 7: frame %#x", epoch, f.kind)
		}
		if err := receive(t, "end", g.ended); mezu.CodeOf(err) != mezu.CodeConflict {
			t.Fatalf("epoch %s after 7: %v", epoch, err)
		}
	}
	select {
	case err := <-first.ended:
		t.Fatalf("the session in force ended: %v", err)
	default:
	}
	g := begin(t, h, id)
	g.write(frame(register, []byte(`{"protocol":1,"epoch":18446744073709551615}`)...))
	g.welcome()
	if err := receive(t, "end of the fenced session", first.ended); !errors.Is(err, tunnel.ErrFenced) {
		t.Fatalf("the fenced session: %v", err)
	}
}

func TestSession_AcknowledgementsOnlyRise(t *testing.T) {
	h := newHub(t, tunnel.Limits{})
	g := join(t, h, newWarpgateID())
	send := func(epoch, revision uint64) {
		g.write(frame(ack, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, epoch), revision)...))
	}
	send(1, 9)
	send(1, 8)
	send(2, 1)
	send(1, 10)
	want := mezu.Position{Epoch: 2, Revision: 1}
	eventually(t, "the acknowledgement", func() bool { return h.Presence()[0].Bundle == want })
	g.write(frame(heartbeat))
	g.write(frame(heartbeat)) // pipes have no buffer: the ack before was taken
	if got := h.Presence()[0].Bundle; got != want {
		t.Fatalf("acknowledged %v, want %v", got, want)
	}
}
