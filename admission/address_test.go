package admission

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// farConn is a connection from an address that this machine doesn't have.
type farConn struct {
	net.Conn
	from netip.Addr
}

func (c farConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 4711))
}
func (c farConn) Close() error { return nil }

// comeFrom lets n connections in, each from the address that next gives, as far as they may.
func comeFrom(t *Table, n int, next func(i int) netip.Addr) (in []*Conn) {
	for i := range n {
		if c := t.Admit(farConn{from: next(i)}); c != nil {
			in = append(in, c)
		}
	}
	return in
}

func always(address string) func(int) netip.Addr {
	a := netip.MustParseAddr(address)
	return func(int) netip.Addr { return a }
}

// An address has so many connections and no more, in all tables together, however many places
// are free; others are not concerned, and those without a limit neither.
func TestMostOfAddress(t *testing.T) {
	var told []netip.Addr
	public := New(Config{Places: 1000})
	arriving := New(Config{Places: 1000, MostOfAddress: 8, Beside: []*Table{public}, TooMany: func(a netip.Addr) { told = append(told, a) },
		Unlimited: func(a netip.Addr) bool { return a.IsLoopback() }})
	in := comeFrom(arriving, 6, always("192.0.2.1"))
	for _, c := range in[:5] {
		if !c.Move(public, "env") {
			t.Fatal("no place among the public")
		}
	}
	if in = append(in, comeFrom(arriving, 10, always("::ffff:192.0.2.1"))...); len(in) != 8 || len(told) != 8 {
		t.Fatalf("%d came in, of %d was told", len(in), len(told))
	}
	if n := len(comeFrom(arriving, 20, always("192.0.2.2"))); n != 8 {
		t.Errorf("%d of another address", n)
	}
	if n := len(comeFrom(arriving, 20, always("127.0.0.1"))); n != 20 {
		t.Errorf("%d without a limit", n)
	}
	if n := in[0].OfAddress(); n != 5 {
		t.Errorf("it is one of %d of its address among the public", n)
	}
	in[0].Close()
	if n := in[0].OfAddress(); n != 0 {
		t.Errorf("it is one of %d after its end", n)
	}
	if n := len(comeFrom(arriving, 5, always("192.0.2.1"))); n != 1 {
		t.Errorf("%d came for the one that left", n)
	}
	if c := arriving.Counts(); c.Refused != 0 || c.Evicted != 0 {
		t.Errorf("%+v, though there was room", c)
	}
}

// Whoever has a network of IPv6 has no more of it than eight addresses have, however often the
// address changes: within a /64 not at all, and within a /48 at eight times the limit.
func TestMostOfAddress_Rotation(t *testing.T) {
	for name, c := range map[string]struct {
		byteAt, want int
	}{"within a /64": {15, 8}, "within a /48": {7, 64}, "beyond it": {5, 200}} {
		table := New(Config{Places: 1000, MostOfAddress: 8})
		in := comeFrom(table, 200, func(i int) netip.Addr {
			a := netip.MustParseAddr("2001:db8::1").As16()
			a[c.byteAt] = byte(i)
			return netip.AddrFrom16(a)
		})
		if len(in) != c.want {
			t.Errorf("%s: %d came in, not %d", name, len(in), c.want)
		}
		for _, c := range in {
			c.Close()
		}
		if len(table.networks) != 0 || len(table.addresses) != 0 {
			t.Errorf("%s: %d networks and %d addresses are remembered", name, len(table.networks), len(table.addresses))
		}
	}
}

// Nobody gets a place who may not come now.
func TestAllow(t *testing.T) {
	table := New(Config{Places: 10, Allow: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") }})
	if comeFrom(table, 1, always("192.0.2.2")) != nil || len(comeFrom(table, 1, always("192.0.2.1"))) != 1 || table.Len() != 1 {
		t.Error("another one came in than may")
	}
}

// From nine tenths of the places on a listener takes nobody, until a fifth is free; but while
// somebody waits, that one goes.
func TestCrowded(t *testing.T) {
	table := New(Config{Places: 10})
	each := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	in := comeFrom(table, 8, each)
	begin(t, in)
	if table.Crowded() {
		t.Error("crowded with eight of ten")
	}
	ninth := comeFrom(table, 1, always("192.0.2.9"))
	if !table.Crowded() || open(ninth) != 1 {
		t.Error("who has come just now is closed")
	}
	ninth[0].since.Store(sinceStart(time.Now().Add(-2 * freshFor)))
	table.stale.barren = time.Time{} // the search may be repeated at once
	if table.Crowded() || open(ninth) != 0 {
		t.Error("who waits keeps the place")
	}
	ninth = comeFrom(table, 1, always("192.0.2.9"))
	begin(t, ninth)
	if !table.Crowded() {
		t.Error("not crowded with nine of ten")
	}
	ninth[0].Close()
	if !table.Crowded() {
		t.Error("not crowded any more with eight of ten")
	}
	in[0].Close()
	if table.Crowded() {
		t.Error("crowded with seven of ten")
	}
}

// Who waits for the next request since then is closed; who has one under way, had none yet, or
// waits for less long is not.
func TestIdle(t *testing.T) {
	table := New(Config{Places: 10})
	in := comeFrom(table, 4, always("192.0.2.1"))
	begin(t, in[:3])
	now := time.Now()
	in[0].Rest(now.Add(-time.Minute))
	in[1].Rest(now)
	if n := table.Idle(now.Add(-time.Second)); n != 1 || open(in) != 3 || open(in[:1]) != 0 {
		t.Errorf("%d were closed, %d are there", n, open(in))
	}
}
