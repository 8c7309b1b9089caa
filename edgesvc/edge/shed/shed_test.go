package shed

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newGuard makes a guard of small limits. log gets what it says.
func newGuard(t *testing.T, a Allowances, log *bytes.Buffer) *Guard {
	t.Helper()
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	if log == nil {
		log = &bytes.Buffer{}
	}
	return New(Config{Allowances: a, CloseIdle: func() {}, Log: slog.New(slog.NewTextHandler(log, nil))})
}

// taken is how many of n requests are taken, each from the address that from gives.
func taken(g *Guard, n int, now time.Time, from func(i int) netip.Addr) (ok int) {
	for i := range n {
		if _, may := g.Request(from(i), now); may {
			ok++
		}
	}
	return ok
}

func always(address string) func(int) netip.Addr {
	a := netip.MustParseAddr(address)
	return func(int) netip.Addr { return a }
}

// rotating changes one byte of an address of IPv6.
func rotating(at int) func(int) netip.Addr {
	return func(i int) netip.Addr {
		a := netip.MustParseAddr("2001:db8::1").As16()
		a[at], a[at+1] = byte(i), byte(i>>8)
		return netip.AddrFrom16(a)
	}
}

func TestAllowances(t *testing.T) {
	a := Allowances{}
	if err := a.Validate(); err != nil || a.Connections != 512 || a.Handshakes != 50 || a.HandshakeBurst != 200 || a.Requests != 2000 || a.RequestBurst != 4000 || len(a.Unlimited) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	a = Allowances{Handshakes: 7, Requests: 5, RequestBurst: 6, Unlimited: []netip.Prefix{}}
	if err := a.Validate(); err != nil || a.HandshakeBurst != 28 || a.RequestBurst != 6 || len(a.Unlimited) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	for field, a := range map[string]Allowances{"address_connections": {Connections: -1}, "address_request_burst": {RequestBurst: most + 1}} {
		if e, ok := a.Validate().(*mezu.Error); !ok || e.Field != field {
			t.Errorf("%s: %v", field, e)
		}
	}
}

// An address has its burst and its rate and no more, and the wait that it is told is the true
// one. Others are not concerned, and those without a limit neither.
func TestRequests(t *testing.T) {
	g := newGuard(t, Allowances{Requests: 10, RequestBurst: 20}, nil)
	now := time.Now()
	if n := taken(g, 50, now, always("192.0.2.1")); n != 20 {
		t.Errorf("%d at once", n)
	}
	wait, ok := g.Request(netip.MustParseAddr("192.0.2.1"), now)
	if ok || wait != 100*time.Millisecond {
		t.Errorf("%v, %v", wait, ok)
	}
	if n := taken(g, 2, now.Add(wait), always("::ffff:192.0.2.1")); n != 1 {
		t.Errorf("%d after the wait", n)
	}
	if n := taken(g, 20, now, always("192.0.2.2")) + taken(g, 100, now, always("127.0.0.1")) + taken(g, 100, now, always("::1")); n != 220 {
		t.Errorf("%d of others", n)
	}
	if n := g.Limited(LimitRequests); n != 32 {
		t.Errorf("%d counted", n)
	}
}

// Whoever has a network of IPv6 gains nothing by another address of a /64, and eight times the
// limit by a /48.
func TestRequests_Rotation(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct{ at, want int }{"within a /64": {14, 20}, "within a /48": {6, 160}, "beyond it": {4, 1000}} {
		g := newGuard(t, Allowances{Requests: 10, RequestBurst: 20}, nil)
		if n := taken(g, 1000, now, rotating(c.at)); n != c.want {
			t.Errorf("%s: %d of a thousand, not %d", name, n, c.want)
		}
	}
}

// A million addresses take no more memory than the tables have, and free nobody of a limit.
func TestRequests_AMillionAddresses(t *testing.T) {
	g := newGuard(t, Allowances{Requests: 1, RequestBurst: 1}, nil)
	now := time.Now()
	each := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	victim := always("192.0.2.1")
	taken(g, 1, now, victim)
	own := 0
	for i := range 1_000_000 {
		if _, ok := g.requests.allow(each(i), now); ok {
			own++
		}
	}
	if own > 300_000 {
		t.Errorf("%d addresses had an allowance of their own", own)
	}
	taken(g, 1000, now, each)
	if taken(g, 1, now, victim) != 0 {
		t.Error("an address at its limit was forgotten")
	}
	if taken(g, 1, now.Add(2*time.Second), victim) != 1 {
		t.Error("there is no room after all have rested")
	}
	if n := g.digest.Len(); n > maxLines+int(limits) {
		t.Errorf("the log has %d lines to tell", n)
	}
}

// clockBack is a time as the system tells it after its clock was set back by an hour.
func clockBack(t time.Time) time.Time {
	const seconds = 30 // bits of nanoseconds below them, of a time with both readings
	*(*uint64)(unsafe.Pointer(&t)) -= 3600 << seconds
	return t
}

// A clock that is set back gives nobody anything, and takes nothing from anybody.
func TestRequests_ClockBackAnHour(t *testing.T) {
	g := newGuard(t, Allowances{Requests: 10, RequestBurst: 20}, nil)
	now := time.Now()
	later := clockBack(now.Add(time.Second))
	if d := later.Sub(now); d != time.Second || later.Round(0).After(now.Round(0)) {
		t.Fatalf("the clock was not set back: %v later, %v for %v", d, later, now)
	}
	taken(g, 50, now, always("192.0.2.1"))
	if n := taken(g, 50, clockBack(now), always("192.0.2.1")); n != 0 {
		t.Errorf("%d more at once", n)
	}
	if n := taken(g, 50, later, always("192.0.2.1")); n != 10 {
		t.Errorf("%d a second later", n)
	}
}

// An address with a verified tunnel may come ten times as often, as long as it has one.
func TestHandshakes_OfTunnels(t *testing.T) {
	g := newGuard(t, Allowances{Handshakes: 1, HandshakeBurst: 5}, nil)
	from := netip.MustParseAddr("192.0.2.1")
	come := func(n int) (ok int) {
		for range n {
			if g.Handshake(from) {
				ok++
			}
		}
		return ok
	}
	if n := come(20); n != 5 {
		t.Errorf("%d came in without a tunnel", n)
	}
	first, second := g.Tunnel(from), g.Tunnel(from)
	first()
	first()
	if n := come(100); n < 50 || n > 60 {
		t.Errorf("%d came in beside a tunnel", n)
	}
	if second(); come(100) > 5 {
		t.Error("the tunnel is gone, and they come as before")
	}
	if len(g.tunnels) != 0 {
		t.Errorf("%d tunnels are remembered", len(g.tunnels))
	}
}

// Above sixty refusals a minute an address is one that scans.
func TestRefused(t *testing.T) {
	g := newGuard(t, Allowances{}, nil)
	now, from := time.Now(), netip.MustParseAddr("192.0.2.1")
	for i := range 100 {
		if scans := g.Refused(from, now); scans != (i >= 60) {
			t.Fatalf("refusal %d: %v", i+1, scans)
		}
	}
	if g.Refused(from, now.Add(time.Minute)) || g.Refused(netip.MustParseAddr("127.0.0.1"), now) {
		t.Error("who rests, or has no limit, is taken for one that scans")
	}
}

// What is decided for each request costs no allocation.
func TestAllocations(t *testing.T) {
	g := newGuard(t, Allowances{}, nil)
	for _, address := range []string{"127.0.0.1", "192.0.2.1", "2001:db8::1"} {
		from, now := netip.MustParseAddr(address), time.Now()
		g.Request(from, now)
		if n := testing.AllocsPerRun(100, func() { g.NoRequest(from); g.Request(from, now) }); n != 0 {
			t.Errorf("%s: %v allocations", address, n)
		}
	}
}

// The log has a line at once, and then one a minute for each address and limit, with a count.
func TestDigest(t *testing.T) {
	var log bytes.Buffer
	g := newGuard(t, Allowances{Requests: 1, RequestBurst: 1}, &log)
	now := time.Now()
	said := func(want int, text string) {
		t.Helper()
		if n := strings.Count(log.String(), "\n"); n != want || !strings.Contains(log.String(), text) {
			t.Errorf("%d lines: %s", n, &log)
		}
		log.Reset()
	}
	taken(g, 101, now, always("192.0.2.1"))
	said(1, "limit=requests address=192.0.2.1 count=1")
	g.digest.Tell(now.Add(59*time.Second), false)
	if log.Len() > 0 {
		t.Errorf("within a minute: %s", &log)
	}
	g.digest.Tell(now.Add(61*time.Second), false)
	said(1, "limit=requests address=192.0.2.1 count=99")
	g.digest.Tell(now.Add(200*time.Second), false)
	if log.Len() > 0 || g.digest.Len() != 0 {
		t.Errorf("%d lines are kept, said %s", g.digest.Len(), &log)
	}
	for i := range 10 * maxLines {
		g.limited(LimitHandshakes, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now)
	}
	said(maxLines+1, "limit=handshakes address=others count=1")
	g.digest.Tell(now, true)
	said(1, fmt.Sprintf("limit=handshakes address=others count=%d", 9*maxLines-1))
}

func TestNext(t *testing.T) {
	level := int32(0)
	for _, step := range []struct {
		used uint64
		want int32
	}{{0, 0}, {91, 0}, {92, 1}, {88, 1}, {95, 2}, {97, 2}, {98, 3}, {93, 3}, {92, 2}, {90, 2}, {89, 1}, {87, 1}, {86, 0}, {200, 3}, {0, 0}} {
		if level = next(level, step.used, 100); level != step.want {
			t.Fatalf("at %d %%: level %d, not %d", step.used, level, step.want)
		}
	}
}

// What is given up follows the memory in use, and comes back by itself.
func TestMemory(t *testing.T) {
	var log bytes.Buffer
	var used, closed uint64
	a := Allowances{}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	g := New(Config{Allowances: a, Memory: func() (uint64, uint64) { return used, 1000 }, CloseIdle: func() { closed++ }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	from := netip.MustParseAddr("127.0.0.1") // whom no limit of an address is for
	for _, c := range []struct {
		used           uint64
		level          int
		conns, request bool
		closed         uint64
	}{{910, 0, false, false, 0}, {925, 1, false, false, 1}, {955, 2, true, false, 2}, {985, 3, true, true, 3}, {935, 3, true, true, 4}, {925, 2, true, false, 5}, {880, 1, false, false, 6}, {860, 0, false, false, 6}} {
		used = c.used
		g.memory.look(time.Now())
		if g.Level() != c.level || g.TakesNone() != c.conns || g.NoConnection(from) != c.conns || g.NoRequest(from) != c.request || closed != c.closed {
			t.Errorf("%d: level %d, takes none %v, %d times idle ones were closed", c.used, g.Level(), g.TakesNone(), closed)
		}
	}
	if n := g.Limited(LimitMemory); n != 6 {
		t.Errorf("%d counted", n)
	}
	for _, text := range []string{"level=WARN msg=\"memory is short\" level=3", "level=INFO msg=\"memory is less short\" level=0"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log lacks %q: %s", text, &log)
		}
	}
}

// The runtime's own figures lead to the same, of a process that has no limit or one.
func TestMemory_OfTheRuntime(t *testing.T) {
	g := newGuard(t, Allowances{}, nil)
	if used, _ := g.memory.ask(); used == 0 {
		t.Error("nothing is in use")
	}
	ctx, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	end()
	running.Wait()
}

// A log that hangs holds up nobody who has something to tell of a subject that has a line.
func TestDigest_TellsWithoutHoldingUpNotes(t *testing.T) {
	saying, release := make(chan struct{}), make(chan struct{})
	hangs := false
	d := NewDigest(8, func(int) int { return 0 }, func(int, int, int) {
		if hangs {
			close(saying)
			<-release
		}
	})
	now := time.Unix(1000, 0)
	d.Note(1, 1, now)
	d.Note(1, 2, now)
	hangs = true
	told, noted := make(chan struct{}), make(chan struct{})
	go func() { d.Tell(now, true); close(told) }()
	<-saying
	go func() { d.Note(1, 3, now); close(noted) }()
	select {
	case <-noted:
	case <-time.After(10 * time.Second):
		t.Error("a note waits for the log")
	}
	close(release)
	<-told
	<-noted
}
