package admission

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// field is a listener whose connections a test has both ends of.
type field struct {
	t *testing.T
	l net.Listener
}

func newField(t *testing.T) *field {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &field{t, l}
}

// come makes a connection from 127.0.0.N; peer is the client's end.
func (f *field) come(n int) (raw, peer net.Conn) {
	f.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(n))}}
	peer, err := d.Dial("tcp", f.l.Addr().String())
	if err != nil {
		f.t.Skipf("this system has one loopback address only: %v", err)
	}
	f.t.Cleanup(func() { peer.Close() })
	if raw, err = f.l.Accept(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { raw.Close() })
	return raw, peer
}

// admit lets n connections of an address in, as far as there is room.
func (f *field) admit(t *Table, address, n int) (in []*Conn) {
	f.t.Helper()
	for range n {
		raw, _ := f.come(address)
		if c := t.Admit(raw); c != nil {
			in = append(in, c)
		}
	}
	return in
}

func open(conns []*Conn) (n int) {
	for _, c := range conns {
		if !c.closed.Load() {
			n++
		}
	}
	return n
}

func begin(t *testing.T, conns []*Conn) {
	t.Helper()
	for _, c := range conns {
		if !c.Begin() {
			t.Fatal("a request could not begin")
		}
	}
}

// The silent give way, the oldest of the address that has most of them first, and the
// log has one line.
func TestSilentGiveWay(t *testing.T) {
	f := newField(t)
	var log bytes.Buffer
	table := New(Config{Name: "public", Places: 8, Log: slog.New(slog.NewTextHandler(&log, nil))})
	crowd := f.admit(table, 1, 20)
	if len(crowd) != 20 || table.Len() > 8 || open(crowd[:10]) != 0 {
		t.Fatalf("%d came in, %d are there, %d of the oldest", len(crowd), table.Len(), open(crowd[:10]))
	}
	others := append(f.admit(table, 2, 1), f.admit(table, 3, 1)...)
	more := f.admit(table, 1, 20)
	if open(others) != 2 || len(more) != 20 {
		t.Errorf("%d of the two others are there; of the crowd came %d", open(others), len(more))
	}
	if c := table.Counts(); c.Refused != 0 || c.Evicted < 30 {
		t.Errorf("%+v", c)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "connections=public limit=8") {
		t.Errorf("%d lines: %s", n, &log)
	}
}

// A request under way keeps its place; who waits for the next one gives it up, the one
// that has waited longest first.
func TestOnlyWhoWaitsGivesWay(t *testing.T) {
	f := newField(t)
	table := New(Config{Places: 4})
	var all []*Conn
	for address := range 4 {
		all = append(all, f.admit(table, 1+address, 1)...)
	}
	begin(t, all)
	if in := f.admit(table, 9, 1); len(in) != 0 || open(all) != 4 {
		t.Fatalf("in came %d, %d are there", len(in), open(all))
	}
	table.everybody.barren = time.Time{} // the search may be repeated at once
	now := time.Now()
	all[2].Rest(now.Add(-time.Minute))
	all[1].Rest(now)
	if in := f.admit(table, 9, 1); len(in) != 1 || open(all) != 3 || !all[2].closed.Load() {
		t.Errorf("in came %d, %d are there", len(in), open(all))
	}
	if all[2].Begin() || !all[1].Begin() {
		t.Error("a request began without a place, or could not with one")
	}
}

// One address takes no more than seven eighths, however busy it is: the last ones are
// for those below their share.
func TestOneAddressLeavesSome(t *testing.T) {
	f := newField(t)
	table := New(Config{Places: 16})
	var busy int
	for range 30 {
		in := f.admit(table, 1, 1)
		begin(t, in)
		busy += len(in)
	}
	others := append(f.admit(table, 2, 1), f.admit(table, 3, 1)...)
	if busy != 14 || open(others) != 2 {
		t.Errorf("one address got %d of 16 places, others %d of the last 2", busy, open(others))
	}
}

// One address fills what an owner may have, each connection with a request under way.
// What is left is for the owner's other addresses.
func TestOneAddressLeavesSomeOfAnOwner(t *testing.T) {
	f := newField(t)
	arriving, table := New(Config{Places: 100}), New(Config{Places: 64, OwnerShare: 16})
	enter := func(address int, owner string) bool {
		c := f.admit(arriving, address, 1)[0]
		if !c.Move(table, owner) {
			return false
		}
		begin(t, []*Conn{c})
		return true
	}
	crowd := 0
	for range 64 {
		if enter(1, "shop") {
			crowd++
		}
	}
	if crowd != 44 {
		t.Errorf("one address got %d of 64 places, of which one owner may have 48", crowd)
	}
	for range 2 {
		if !enter(2, "shop") {
			t.Error("another address of the owner got no place")
		}
	}
	if enter(1, "shop") {
		t.Error("the crowd got a place that is kept for others")
	}
	if !enter(1, "other") {
		t.Error("the address got no place of another owner")
	}
}

// An owner beyond its share gets no further place while places are scarce, unless one of
// its own connections waits; others do.
func TestOwnersHaveShares(t *testing.T) {
	f := newField(t)
	arriving, table := New(Config{Places: 100}), New(Config{Places: 16, OwnerShare: 4})
	address := 0
	enter := func(owner string) *Conn {
		address++
		c := f.admit(arriving, 1+address, 1)[0]
		if !c.Move(table, owner) {
			return nil
		}
		begin(t, []*Conn{c})
		return c
	}
	var loud []*Conn
	for range 20 {
		if c := enter("loud"); c != nil {
			loud = append(loud, c)
		}
	}
	if len(loud) != 12 {
		t.Fatalf("one owner got %d of 16 places", len(loud))
	}
	for range 2 {
		if enter("quiet") == nil {
			t.Fatal("another owner got no place")
		}
	}
	loud[5].Rest(time.Now())
	table.owners["loud"].barren = time.Time{}
	if enter("loud") == nil || !loud[5].closed.Load() || open(loud) != 11 {
		t.Errorf("with one waiting, %d are there", open(loud))
	}
	// When all is taken, those beyond their share pay.
	if enter("quiet") == nil || enter("third") == nil {
		t.Fatal("there is room")
	}
	loud[0].Rest(time.Now())
	for _, c := range table.All() {
		if c.ownerName == "quiet" {
			c.Rest(time.Now().Add(-time.Hour))
		}
	}
	if enter("third") == nil || !loud[0].closed.Load() {
		t.Error("who has waited longest paid, and not who is beyond his share")
	}
	if arriving.Len() != 0 {
		t.Errorf("%d still arrive", arriving.Len())
	}
}

// The network that one customer of IPv6 has counts as one address.
func TestOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[::ffff:192.0.2.1]:80": "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64", "[fe80::1%eth0]:80": "fe80::/64",
	} {
		got := origin(addressOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(in))))
		if got.String() != want {
			t.Errorf("%s counts as %s", in, got)
		}
	}
	if got := origin(addressOf(&net.UnixAddr{})); got.IsValid() {
		t.Errorf("a Unix socket counts as %v", got)
	}
}

// Whatever happens at once, in the end nothing is held.
func TestNothingIsLeft(t *testing.T) {
	f := newField(t)
	arriving, table := New(Config{Places: 8}), New(Config{Places: 8, OwnerShare: 2})
	var peers []net.Conn
	var raws []net.Conn
	for i := range 64 {
		raw, peer := f.come(1 + i%5)
		raws, peers = append(raws, raw), append(peers, peer)
	}
	var wg sync.WaitGroup
	for i, raw := range raws {
		c := arriving.Admit(raw)
		if c == nil {
			continue
		}
		wg.Go(func() {
			defer c.Close()
			if i%7 == 0 || !c.Move(table, fmt.Sprint(i%3)) {
				return
			}
			for range 50 {
				if !c.Begin() {
					return
				}
				c.Rest(time.Now())
			}
		})
		wg.Go(func() {
			if i%3 == 0 {
				c.Close()
			}
		})
	}
	wg.Wait()
	for _, t2 := range []*Table{arriving, table} {
		if len(t2.open)+len(t2.addresses)+len(t2.owners)+len(t2.silent) > 0 {
			t.Errorf("left: %d connections, %d addresses, %d owners, %d with silent ones", len(t2.open), len(t2.addresses), len(t2.owners), len(t2.silent))
		}
	}
	for _, p := range peers {
		p.Close()
	}
}

// A connection with several requests at once waits when the last of them has ended, and has
// waited since the last one came. One whose place is gone begins none.
func TestStreams(t *testing.T) {
	f := newField(t)
	table := New(Config{Places: 2})
	c := f.admit(table, 1, 1)[0]
	at := time.Now().Add(-time.Hour)
	for i := range 3 {
		if !c.BeginStream(at.Add(time.Duration(i))) || !c.Busy() {
			t.Fatal("a request could not begin")
		}
	}
	for range 2 {
		c.EndStream()
	}
	if !c.Busy() || c.Retire() {
		t.Error("with one request under way it waits")
	}
	if c.EndStream(); c.Busy() || c.since.Load() != sinceStart(at.Add(2)) {
		t.Errorf("busy: %v, since %d", c.Busy(), c.since.Load())
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if !c.BeginStream(at) || !c.Busy() {
					t.Error("a request began, and the connection waits")
				}
				c.EndStream()
			}
		})
	}
	wg.Wait()
	if !c.Retire() || c.BeginStream(at) {
		t.Error("a request began without a place")
	}
}

// A head that comes slowly holds no place; a request that is served does, and after it
// the connection waits again.
func TestServeHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	table := New(Config{Places: 2})
	serving, release := make(chan struct{}, 8), make(chan struct{})
	srv := Serve(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		serving <- struct{}{}
		<-release
		io.WriteString(w, "ok")
	})})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(Listener{l, table}); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer srv.Close()
	dial := func(say string) net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(c, say); err != nil {
			t.Fatal(err)
		}
		return c
	}
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	slow := dial("GET / HTTP/1.1\r\nHost:")
	good := dial(request)
	<-serving
	dial("") // which the slow one makes room for
	if n, err := slow.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("the slow head holds its place: %d, %v", n, err)
	}
	close(release)
	buf := make([]byte, 1024)
	if n, err := good.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", buf[:n], err)
	}
}
