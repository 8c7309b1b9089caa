package forward_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
)

// lyingNameServer says of every name that it is at the address ip. It is the resolver of
// the process until the test ends.
type lyingNameServer struct {
	conn net.PacketConn
	ip   [4]byte
	done chan struct{}

	mu    sync.Mutex
	asked []string
}

func startLyingNameServer(t *testing.T, ip [4]byte) *lyingNameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &lyingNameServer{conn: conn, ip: ip, done: make(chan struct{})}
	go s.serve()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		conn.Close()
		<-s.done
	})
	return s
}

func (s *lyingNameServer) serve() {
	defer close(s.done)
	buf := make([]byte, 512)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimSuffix(q.Name.String(), "."))
		s.mu.Unlock()
		answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
		if q.Type == dnsmessage.TypeA {
			answer.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: s.ip}}}
		}
		if packed, err := answer.Pack(); err == nil {
			s.conn.WriteTo(packed, from)
		}
	}
}

// names are those that it was asked for.
func (s *lyingNameServer) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// A name server says that a name below localhost, and localhost itself, are where an
// impostor listens with a certificate of its own. The impostor gets no request: the first
// is a name like any other, whose certificate is checked; the second is not looked up.
func TestAttackNameServerLies(t *testing.T) {
	server := startLyingNameServer(t, [4]byte{127, 0, 0, 1}) // it stands for a foreign machine
	for name, two := range map[string]bool{"http/1.1": false, "h2": true} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Int32
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(httpsWorkload(t, two, func(rw http.ResponseWriter, _ *http.Request) {
				served.Add(1)
				io.WriteString(rw, "hello")
			}), "https://"))
			for _, host := range []string{"x.localhost", "localhost.example"} {
				e := newWorld(t, "https://"+host+":"+port).connect(false)
				e.ask(getOf("/"))
				e.fails(mezu.CodeWorkloadRefused)
				e.ask(upgrade)
				e.fails(mezu.CodeWorkloadRefused)
				if !slices.Contains(server.names(), host) {
					t.Errorf("nobody asked where %s is: %q", host, server.names())
				}
			}
			if n := served.Load(); n != 0 {
				t.Fatalf("the impostor got %d requests", n)
			}
			e := newWorld(t, "https://localhost:"+port).connect(false)
			e.ask(getOf("/"))
			e.reads("GET", 200, "hello")
		})
	}
	if slices.Contains(server.names(), "localhost") {
		t.Error("somebody asked where localhost is")
	}
}

// onlyLiterals dials literal addresses alone, and of them those that answer. The others say
// nothing at all if they are silent.
type onlyLiterals struct {
	t       *testing.T
	answers string
	silent  bool

	mu      sync.Mutex
	dialled []string
	closed  int
}

func (d *onlyLiterals) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if network != "tcp" || err != nil || net.ParseIP(host) == nil {
		d.t.Errorf("%s %s would be looked up", network, address)
	}
	d.mu.Lock()
	d.dialled = append(d.dialled, address)
	d.mu.Unlock()
	if address == d.answers || d.answers == "all" {
		conn, far := net.Pipe()
		far.Close()
		return &countedConn{conn, d}, nil
	}
	if d.silent {
		<-ctx.Done()
	}
	return nil, errors.New("nothing at " + address)
}

// countedConn counts closed connections.
type countedConn struct {
	net.Conn
	d *onlyLiterals
}

func (c *countedConn) Close() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.closed++
	return c.Conn.Close()
}

// localhost is dialled as its two addresses, and no resolver hears of it.
func TestDial_Localhost(t *testing.T) {
	u := parse(t, "8080")
	both := []string{"127.0.0.1:8080", "[::1]:8080"}
	for _, answers := range []string{both[0], both[1], "", "all"} {
		for _, silent := range []bool{false, true} {
			d := &onlyLiterals{t: t, answers: answers, silent: silent && answers != ""}
			conn, err := forward.Dial(t.Context(), d, u, patience)
			slices.Sort(d.dialled)
			if !slices.Equal(d.dialled, both) || (err == nil) != (answers != "") {
				t.Errorf("%q answers: dialled %q, %v", answers, d.dialled, err)
			}
			if err != nil && err.Error() != "nothing at "+both[0] {
				t.Errorf("error %v", err)
			}
			if conn == nil {
				continue
			}
			if conn.Close(); answers == "all" && d.closed != 2 {
				t.Errorf("%d of two connections are closed", d.closed)
			}
		}
	}
}

// The address that answered is tried alone the next time, and the other one if it is gone.
func TestDial_RemembersTheAddress(t *testing.T) {
	both := []string{"127.0.0.1:8080", "[::1]:8080"}
	dial := forward.Redial(parse(t, "8080"), patience)
	d := &onlyLiterals{t: t}
	for _, c := range []struct {
		answers string
		silent  bool
		dialled int
	}{{both[1], false, 2}, {both[1], false, 1}, {both[0], false, 2}, {both[0], false, 1}, {both[1], true, 2}, {both[1], false, 1}, {"", false, 2}} {
		d.answers, d.silent, d.dialled = c.answers, c.silent, nil
		conn, err := dial(t.Context(), d)
		if (err == nil) != (c.answers != "") || len(d.dialled) != c.dialled {
			t.Errorf("%+v: dialled %q, %v", c, d.dialled, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

// deadlines keeps until when each address may take.
type deadlines struct {
	mu   sync.Mutex
	ends []time.Time
}

func (d *deadlines) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	end, _ := ctx.Deadline()
	d.ends = append(d.ends, end)
	return nil, errors.New("nothing at " + address)
}

// The addresses of localhost share one bound.
func TestDial_OneBound(t *testing.T) {
	for name, c := range map[string]struct{ ctx, within time.Duration }{
		"its own":           {time.Hour, time.Minute},
		"that of the route": {time.Minute, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			for target, addresses := range map[string]int{"8080": 2, "127.0.0.1:8080": 1} {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				defer cancel()
				var d deadlines
				if _, err := forward.Dial(ctx, &d, parse(t, target), c.within); err == nil {
					t.Fatal("something answered")
				}
				late := time.Since(start)
				if len(d.ends) != addresses {
					t.Fatalf("%d addresses", len(d.ends))
				}
				for i, end := range d.ends {
					if got := end.Sub(start); got < time.Minute || got > time.Minute+late {
						t.Errorf("address %d may take until %s after the start", i, got)
					}
				}
			}
		})
	}
}

// A workload that listens on ::1 alone is found by the name, over each kind of
// connection.
func TestLocalhostIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6: ", err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "hello") }), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	defer s.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, scheme := range []string{"http://", "h2c://"} {
		e := newWorld(t, scheme+"localhost:"+port).connect(false)
		e.ask(getOf("/"))
		e.reads("GET", 200, "hello")
	}
}
