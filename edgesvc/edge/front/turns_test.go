package front

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func (t *turns) waiters() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lines {
		n += len(l.waiting)
	}
	return n
}

// reaches waits until so many wait.
func reaches(t *testing.T, turns *turns, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); turns.waiters() != n; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait, not %d", turns.waiters(), n)
		}
	}
}

// Those that wait go on in turn by address, and in the order in which they came of each, but
// those first that had a turn before. Who gives up costs nobody one.
func TestTurns(t *testing.T) {
	of := func(s string) netip.Prefix { return netip.MustParsePrefix(s + "/32") }
	a, b, c := of("192.0.2.1"), of("192.0.2.2"), of("192.0.2.3")
	turns := newTurns(1)
	never := make(chan struct{})
	later := time.Now().Add(time.Minute)
	if err := turns.take(a, false, later, never); err != nil {
		t.Fatal(err)
	}
	cut, gaveUp := make(chan struct{}), make(chan error)
	go func() { gaveUp <- turns.take(b, false, later, cut) }()
	reaches(t, turns, 1)
	close(cut)
	if <-gaveUp == nil {
		t.Error("who gave up got a turn")
	}
	if turns.take(c, false, time.Now(), never) == nil {
		t.Error("who came too late got a turn")
	}
	type one struct {
		from   netip.Prefix
		goesOn bool
	}
	order := make(chan one)
	for i, w := range []one{{a, false}, {a, false}, {a, true}, {b, false}, {c, false}, {b, false}} {
		go func() {
			if turns.take(w.from, w.goesOn, later, never) == nil {
				order <- w
			}
		}()
		reaches(t, turns, i+3)
	}
	var got []one
	for range 6 {
		turns.give()
		got = append(got, <-order)
	}
	// Those of b and c that gave up had their turn before a.
	if want := []one{{a, true}, {b, false}, {c, false}, {a, false}, {b, false}, {a, false}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if turns.give(); turns.free != 1 || len(turns.lines)+len(turns.order) != 0 {
		t.Errorf("%d free, %d lines", turns.free, len(turns.lines))
	}
}

// hello records what a client says first.
func hello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(ours, &tls.Config{ServerName: "shop.example.com", InsecureSkipVerify: true}).Handshake()
	b := make([]byte, 16<<10)
	n, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	return b[:n]
}

// P19: handshakes that stand still, in the midst of a message or between two, hold no turn, however many they
// are: each turn is given back when the peer is waited for.
func TestTurns_NobodyIsWaitedFor(t *testing.T) {
	f, _ := newFront(t, false, nil)
	first := hello(t)
	for i := range 3 * (f.turns.free + 1) {
		c := dial(t, f.cfg.Listener, nil)
		if i%2 == 0 {
			c.Write(first[:len(first)/2])
			continue
		}
		c.Write(first)
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil { // it has computed its part
			t.Fatal(err)
		}
		c.Write([]byte("\x14\x03\x03\x00"))
	}
	if ask(dial(t, f.cfg.Listener, &tls.Config{ServerName: "shop.example.com"})) != "W" {
		t.Error("nobody is served beside them")
	}
	reaches(t, f.turns, 0)
}

// Where all turns are taken a handshake waits, and goes on when one is given.
func TestTurns_Wait(t *testing.T) {
	f, _ := newFront(t, false, nil)
	other := netip.MustParsePrefix("192.0.2.1/32")
	most := f.turns.free
	for range most {
		f.turns.take(other, false, time.Now().Add(time.Minute), nil)
	}
	answered := make(chan string)
	go func() { answered <- ask(dial(t, f.cfg.Listener, &tls.Config{ServerName: "shop.example.com"})) }()
	reaches(t, f.turns, 1)
	f.turns.give()
	if got := <-answered; got != "W" {
		t.Errorf("got %q", got)
	}
	for range most - 1 {
		f.turns.give()
	}
	f.turns.mu.Lock()
	defer f.turns.mu.Unlock()
	if f.turns.free != most {
		t.Errorf("%d of %d turns are free", f.turns.free, most)
	}
}
