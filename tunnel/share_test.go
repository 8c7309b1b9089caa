package tunnel_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu/tunnel"
)

// Addresses of the tests of shares.
const (
	greedy tunnel.Address = 1 + iota
	modest
	third
)

// fill has the address take all that it may at once, and gives what it got.
func fill(s *tunnel.Session, client tunnel.Address) (held []*tunnel.Conn) {
	for c := s.TryCheckout(client); c != nil; c = s.TryCheckout(client) {
		held = append(held, c)
	}
	return held
}

// row7 is a session whose every connection is open.
func row7(t *testing.T, l tunnel.Limits) (*tunnel.Hub, *rawWarpgate, *tunnel.Session) {
	h := newHub(t, l)
	g := join(t, h, newWarpgateID())
	g.beat()
	g.dial(l.MaxConns)
	return h, g, h.PickBut(environment, nil)
}

// One address takes nearly all while nobody else wants any, never all; what it
// leaves is shared alike.
func TestRow7_OneAddressLeavesSomeToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g, s := row7(t, tunnel.Limits{MaxConns: 100})
		a := fill(s, greedy)
		if n := len(a); n < 80 || n > 90 {
			t.Errorf("one address alone holds %d of 100", n)
		}
		b := fill(s, modest)
		c := fill(s, third)
		if len(b) == 0 || len(c) == 0 {
			t.Errorf("beside it others hold %d and %d", len(b), len(c))
		}
		for _, conns := range [][]*tunnel.Conn{a, b, c} {
			for _, c := range conns {
				c.Release()
			}
		}
		if n := len(fill(s, third)); n < 80 {
			t.Errorf("given back, another holds %d", n)
		}
		g.leave()
	})
}

// A crowd of one address that waits for connections on their way takes neither the last
// idle ones nor what others give back: they are served at once beside it.
func TestRow7_ACrowdLeavesIdleConnectionsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const open, crowd = 100, 300
		h := newHub(t, tunnel.Limits{MaxConns: 1000})
		g := join(t, h, newWarpgateID())
		g.beat()
		g.dial(open)
		s := h.PickBut(environment, nil)
		served := make(chan *tunnel.Conn, crowd)
		for range crowd {
			go func() {
				c, err := s.Checkout(context.Background(), greedy)
				if err != nil {
					t.Error(err)
				}
				served <- c
			}()
		}
		synctest.Wait()
		took := len(served)
		if took < open/2 || took == open {
			t.Errorf("the crowd took %d of %d at once", took, open)
		}
		if s.Spare(greedy) {
			t.Error("there is plenty of room beside all who wait")
		}
		for range 10 { // one by one, each finds what the one before gave back
			c := s.TryCheckout(modest)
			if c == nil {
				t.Fatal("another address waits behind the crowd")
			}
			c.Release()
			synctest.Wait()
		}
		if len(served) != took {
			t.Error("the crowd took what another gave back")
		}
		g.dial(crowd) // what was wanted comes, and nobody of the crowd waits any longer
		synctest.Wait()
		if len(served) != crowd {
			t.Errorf("%d of the crowd of %d were served", len(served), crowd)
		}
		g.leave()
	})
}

// A crowd that holds its connections and does nothing makes none be asked for: what others
// begin beside it is replaced one for one.
func TestRow7_AStandingCrowdAsksForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd, others, highWater = 400, 150, 8
		h := newHub(t, tunnel.Limits{MaxConns: 1000, HighWater: highWater})
		g := join(t, h, newWarpgateID())
		g.beat()
		wants := func() (sum int) {
			for synctest.Wait(); len(g.frames) > 0; synctest.Wait() {
				n := g.wanted()
				sum += n
				g.dial(n)
			}
			return sum
		}
		wants()
		s := h.PickBut(environment, nil)
		served := make(chan *tunnel.Conn, crowd)
		for range crowd {
			go func() {
				c, err := s.Checkout(context.Background(), greedy)
				if err != nil {
					t.Error(err)
				}
				served <- c
			}()
		}
		if wants(); len(served) != crowd {
			t.Fatalf("%d of %d were served", len(served), crowd)
		}
		var held []*tunnel.Conn
		for range others { // more than lay idle
			pass(time.Second)
			held = append(held, checkoutFor(t, s, modest))
			if sum := wants(); sum > highWater {
				t.Errorf("beside a crowd of %d that stands one exchange had %d connections made", crowd, sum)
			}
		}
		for _, c := range held {
			c.Release()
		}
		if sum := wants(); sum > 0 {
			t.Errorf("%d are asked for though %d lie idle", sum, len(held))
		}
		g.leave()
	})
}

// What is left to others is only lent: when those on their way don't come, the crowd is
// served with it.
func TestRow7_ACrowdIsServedWhenNoMoreCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const open = 100
		h := newHub(t, tunnel.Limits{MaxConns: 1000, Share: 100})
		g := join(t, h, newWarpgateID())
		g.beat()
		g.dial(open)
		s := h.PickBut(environment, nil)
		served := make(chan *tunnel.Conn, open)
		for range open {
			go func() {
				if c, err := s.Checkout(context.Background(), greedy); err == nil {
					served <- c
				}
			}()
		}
		synctest.Wait()
		if len(served) == open {
			t.Error("it left nothing while more were wanted")
		}
		for len(served) < open {
			g.write(frame32(missed, uint32(g.wanted())))
			synctest.Wait()
		}
		g.leave()
	})
}

// Who waits is served by how little his address holds, not by when he came.
func TestRow7_FewestHeldIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g, s := row7(t, tunnel.Limits{MaxConns: 4, Share: 100})
		held := fill(s, greedy)
		if len(held) != 4 {
			t.Errorf("without a bound one address holds %d of 4", len(held))
		}
		order := make(chan tunnel.Address, 4)
		for _, client := range []tunnel.Address{greedy, greedy, modest, third} {
			go func() {
				if _, err := s.Checkout(context.Background(), client); err == nil {
					order <- client
				}
			}()
			synctest.Wait()
		}
		for _, want := range []tunnel.Address{modest, third} {
			held[0].Release()
			held = held[1:]
			if got := <-order; got != want {
				t.Errorf("%d was served, not %d", got, want)
			}
		}
		g.leave()
	})
}

// An address that holds more than its share loses its newest exchanges to those that
// have waited for a second, down to the share and no further.
func TestRow7_WhatIsBeyondTheShareIsReclaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 20
		h, g, s := row7(t, tunnel.Limits{MaxConns: all})
		held := fill(s, greedy)
		over := len(held) - all/2
		if over <= 0 {
			t.Fatalf("it holds %d of %d", len(held), all)
		}
		for _, c := range held { // whoever carries an exchange sees it break
			go func() {
				c.Read(make([]byte, 1))
				c.Discard()
			}()
		}
		served := make(chan error, all)
		start := time.Now()
		for range all {
			go func() {
				_, err := s.Checkout(context.Background(), modest)
				served <- err
			}()
		}
		go func() { // the Warpgate dials what is wanted in place of those
			pass(1500 * time.Millisecond)
			for range over {
				pass(100 * time.Millisecond)
				g.dial(1)
			}
		}()
		got := 0
		for range all {
			switch err := <-served; {
			case err == nil:
				got++
			case !errors.Is(err, tunnel.ErrOverloaded):
				t.Error(err)
			}
		}
		// The last place is kept for whoever holds none.
		if took := time.Since(start); got != all/2-1 || took < time.Second {
			t.Errorf("%d of %d were served within %v, want %d", got, all, took, all/2-1)
		}
		if n := h.Reclaimed(); n != int64(over) {
			t.Errorf("%d exchanges were ended, want the %d beyond the share", n, over)
		}
		for i, c := range held {
			if want := i >= len(held)-over; c.Reclaimed() != want {
				t.Errorf("exchange %d: reclaimed %v", i, !want)
			}
		}
		if c := s.TryCheckout(greedy); c != nil {
			t.Error("it gets another one beyond its share while others wait")
		}
		g.leave()
	})
}

// One address can't fill the queue either.
func TestRow7_OneAddressLeavesRoomInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g, s := row7(t, tunnel.Limits{MaxConns: 1, MaxWaiters: 20})
		c := checkoutFor(t, s, third)
		ended := make(chan error, 100)
		ask := func(client tunnel.Address) {
			go func() {
				c, err := s.Checkout(context.Background(), client)
				if err == nil {
					c.Release()
				}
				ended <- err
			}()
			synctest.Wait()
		}
		for range 30 {
			ask(greedy)
		}
		waiting := h.Waiting()
		if waiting >= 20 || waiting < 15 {
			t.Errorf("%d of one address wait, 20 may in all", waiting)
		}
		ask(modest)
		if n := h.Waiting(); n != waiting+1 {
			t.Errorf("another's can't wait beside it: %d", n)
		}
		c.Release()
		for range 31 {
			if err := <-ended; err != nil && !errors.Is(err, tunnel.ErrOverloaded) {
				t.Error(err)
			}
		}
		g.leave()
	})
}

func TestAddressOf(t *testing.T) {
	of := func(text string) tunnel.Address { return tunnel.AddressOf(netip.MustParseAddr(text)) }
	for a, b := range map[string]string{"192.0.2.1": "::ffff:192.0.2.1", "2001:db8:1:2::1": "2001:db8:1:2:ffff::2"} {
		if of(a) != of(b) {
			t.Errorf("%s and %s are two addresses", a, b)
		}
	}
	for a, b := range map[string]string{"192.0.2.1": "192.0.2.2", "2001:db8:1:2::1": "2001:db8:1:3::1", "0.0.0.0": "::"} {
		if of(a) == of(b) {
			t.Errorf("%s and %s are one address", a, b)
		}
	}
	if of("::") != 0 || tunnel.AddressOf(netip.Addr{}) != 0 {
		t.Error("an unknown address is not zero")
	}
}

func TestMayHold(t *testing.T) {
	for _, c := range []struct {
		held, free, share int
		want              bool
	}{{0, 1, 50, true}, {0, 0, 100, false}, {1, 1, 90, false}, {1, 1, 100, true}, {1, 2, 90, true}, {49, 51, 50, true}, {50, 50, 50, false}} {
		if got := tunnel.MayHold(c.held, c.free, c.share); got != c.want {
			t.Errorf("holding %d with %d free at %d %%: %v", c.held, c.free, c.share, got)
		}
	}
}

// The links of one Warpgate share its room: two edges get no more than there is, and
// what one gives back the other may have.
func TestRow7_LinksShareTheRoomOfTheirWarpgate(t *testing.T) {
	const limit = 12
	ca := newAuthority(t)
	room := tunnel.NewRoom(limit)
	id := newWarpgateID()
	var open atomic.Int64
	serve := func(ctx context.Context, conn net.Conn) {
		if open.Add(1) > limit {
			t.Error("more connections than there is room for")
		}
		echo(ctx, conn)
		open.Add(-1)
	}
	var sessions []*tunnel.Session
	for range 2 {
		e := startEdge(t, ca, "", tunnel.HubConfig{})
		l := startLink(t, e, id, tunnel.LinkConfig{Room: room, Serve: serve})
		defer l.stop()
		sessions = append(sessions, e.session())
	}
	var held []*tunnel.Conn
	for i := range limit - 1 { // the other edge keeps one warm
		held = append(held, checkoutFor(t, sessions[0], tunnel.Address(i)))
	}
	eventually(t, "all that there is room for", func() bool { return open.Load() == limit })
	for _, c := range held {
		c.Discard()
	}
	for i := range limit / 2 {
		checkoutFor(t, sessions[1], tunnel.Address(i)) // the first edge keeps a few warm
	}
}
