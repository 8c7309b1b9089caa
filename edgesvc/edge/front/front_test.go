package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/gather"
)

const (
	peerProtocol = "peer/1"
	peerServer   = "peer.internal"
)

// lines is a log, written by several goroutines.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type noMeter struct{}

func (noMeter) AcceptFailed()    {}
func (noMeter) HandshakeFailed() {}

// asker serves connections on which each byte is a request. It answers with its name, but
// a «w» only when it has said on may that it begins, and was told there that it may go on,
// and a «g» only where it can gather, from then on. After a «b» it is as busy as before.
type asker struct {
	name string
	may  chan struct{}
}

func (a asker) ServeConn(conn *tls.Conn, admitted *admission.Conn) (kept bool) {
	var b [1]byte
	for {
		if _, err := io.ReadFull(conn, b[:]); err != nil || !admitted.Begin() {
			return false
		}
		if b[0] == 'w' {
			a.may <- struct{}{}
			<-a.may
		}
		below := gather.Of(conn)
		if b[0] == 'g' {
			if below == nil {
				return false
			}
			below.Gather()
		}
		if b[0] != 'b' {
			admitted.Rest(time.Now()) // before the answer: who has it may look
		}
		if _, err := io.WriteString(conn, a.name); err != nil {
			return false
		}
		if below != nil && below.Drain(time.Minute) != nil {
			return false
		}
	}
}

// newFront runs a front on one listener, or on two, until the test ends. short says that memory
// is short.
func newFront(t *testing.T, two bool, may chan struct{}, short ...*atomic.Bool) (f *Front, log *lines) {
	t.Helper()
	certificate, err := newFallback(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	table := func(name string) *admission.Table {
		return admission.New(admission.Config{Name: name, Places: 100})
	}
	noMemory := func() bool { return len(short) > 0 && short[0].Load() }
	log = &lines{}
	ctx, cut := context.WithCancel(t.Context())
	cfg := Config{
		Listener: listen(), Arriving: table("arriving"), PeersArriving: table("peers"),
		Public: Public{
			Handler: asker{"W", may}, Protocols: []string{"public"}, Places: table("public"),
			Owner:     func(string) string { return "" },
			TakesNone: noMemory, NoConnection: func(netip.Addr) bool { return noMemory() },
			Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, bool, error) { return certificate, true, nil },
			NotTLS:      func(conn net.Conn, first [5]byte) { conn.Write(append([]byte("not TLS: "), first[:]...)) },
		},
		Peers: Peers{
			Handler: asker{"P", may}, ServerName: peerServer, Protocols: []string{peerProtocol, "peer/2"},
			TLS: func(protocol string) *tls.Config {
				if protocol != peerProtocol {
					return nil
				}
				return &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13}
			},
		},
		Meter: noMeter{}, Cut: ctx, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if two {
		cfg.PeerListener = listen()
	}
	if f, err = New(cfg, time.Now()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run() }()
	t.Cleanup(func() {
		cut()
		cfg.Listener.Close()
		if two {
			cfg.PeerListener.Close()
		}
		for _, t := range []*admission.Table{cfg.Arriving, cfg.PeersArriving, cfg.Public.Places} {
			t.Close()
		}
		<-ended
	})
	return f, log
}

// dial makes a connection to a listener.
func dial(t *testing.T, l net.Listener, c *tls.Config) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	if c == nil {
		return raw
	}
	c.InsecureSkipVerify = true
	return tls.Client(raw, c)
}

// ask sends one request, and gives its answer; empty if there is none.
func ask(conn net.Conn) string { return askFor(conn, "?") }

func askFor(conn net.Conn, what string) string {
	io.WriteString(conn, what)
	var b [1]byte
	n, _ := io.ReadFull(conn, b[:])
	return string(b[:n])
}

// Who may come in, and whom they are served by.
func TestFront_TellsPeersFromThePublic(t *testing.T) {
	peer := func() *tls.Config {
		return &tls.Config{ServerName: peerServer, NextProtos: []string{peerProtocol}}
	}
	public := func() *tls.Config {
		return &tls.Config{ServerName: "shop.example.com", NextProtos: []string{"public"}}
	}
	for name, c := range map[string]struct {
		two, peerListener bool
		alter             func(*tls.Config)
		public            bool
		want, logged      string
	}{
		"a peer":                        {want: "P"},
		"the public":                    {public: true, want: "W"},
		"the public without a protocol": {public: true, alter: func(c *tls.Config) { c.NextProtos = nil }, want: "W"},
		"another server":                {alter: func(c *tls.Config) { c.ServerName = "shop.example.com" }, logged: "it must name the server " + peerServer},
		"two protocols":                 {alter: func(c *tls.Config) { c.NextProtos = []string{peerProtocol, "public"} }, logged: "it must offer one protocol"},
		"TLS 1.2":                       {alter: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, logged: "it must offer TLS 1.3"},
		"no identity to show":           {alter: func(c *tls.Config) { c.NextProtos = []string{"peer/2"} }, logged: "the edge is not enrolled yet"},
		"a peer at its listener":        {two: true, peerListener: true, want: "P"},
		"a peer at the public listener": {two: true, logged: "refused a tunnel on the public listener"},
		"the public at the peers'":      {two: true, peerListener: true, public: true, logged: "it came to the listener for Warpgates"},
	} {
		t.Run(name, func(t *testing.T) {
			f, log := newFront(t, c.two, nil)
			cfg, l := peer(), f.cfg.Listener
			if c.public {
				cfg = public()
			}
			if c.alter != nil {
				c.alter(cfg)
			}
			if c.peerListener {
				l = f.cfg.PeerListener
			}
			conn := dial(t, l, cfg).(*tls.Conn)
			if got := ask(conn); got != c.want {
				t.Errorf("answered by %q", got)
			}
			if c.want == "" {
				io.Copy(io.Discard, conn.NetConn()) // until it is closed: the log was written before
			}
			if l := log.String(); !strings.Contains(l, c.logged) || c.logged == "" && l != "" {
				t.Errorf("the log says %q", l)
			}
		})
	}
}

// What is written can be gathered below TLS.
func TestFront_Gathers(t *testing.T) {
	f, _ := newFront(t, true, nil)
	conn := dial(t, f.cfg.Listener, &tls.Config{ServerName: "shop.example.com"})
	if ask(conn) != "W" || askFor(conn, "g") != "W" || ask(conn) != "W" {
		t.Error("what is written to the public doesn't arrive")
	}
	conn = dial(t, f.cfg.PeerListener, &tls.Config{ServerName: peerServer, NextProtos: []string{peerProtocol}})
	if ask(conn) != "P" || askFor(conn, "g") != "P" || ask(conn) != "P" {
		t.Error("what is written to a peer doesn't arrive")
	}
}

// A listener of the public takes nobody while memory is short, and goes on by itself. Where
// peers come to it too they are told apart first: theirs go on, and the public's are refused.
func TestFront_TakesNone(t *testing.T) {
	var short atomic.Bool
	f, _ := newFront(t, true, nil, &short)
	public := func() net.Conn { return dial(t, f.cfg.Listener, &tls.Config{ServerName: "shop.example.com"}) }
	if ask(public()) != "W" {
		t.Fatal("no answer")
	}
	short.Store(true)
	ask(public()) // the listener was waiting for this one
	waiting := public()
	answered := make(chan string)
	go func() { answered <- ask(waiting) }()
	peer := dial(t, f.cfg.PeerListener, &tls.Config{ServerName: peerServer, NextProtos: []string{peerProtocol}})
	if ask(peer) != "P" {
		t.Error("a peer has to wait")
	}
	select {
	case got := <-answered:
		t.Errorf("who is to wait got %q", got)
	default:
	}
	short.Store(false)
	if got := <-answered; got != "W" {
		t.Errorf("who has waited got %q", got)
	}
	shared, _ := newFront(t, false, nil, &short)
	short.Store(true)
	for range 3 {
		if got := ask(dial(t, shared.cfg.Listener, &tls.Config{ServerName: "shop.example.com"})); got != "" {
			t.Errorf("the public got %q at a shared port", got)
		}
		if ask(dial(t, shared.cfg.Listener, &tls.Config{ServerName: peerServer, NextProtos: []string{peerProtocol}})) != "P" {
			t.Error("a peer does not come in at a shared port")
		}
	}
}

// While nearly all places are taken by those who don't wait, nobody is taken, and then those
// who have waited.
func TestFront_Crowded(t *testing.T) {
	f, _ := newFront(t, true, nil)
	address := 0
	public := func() net.Conn { // each from another address: one alone gets less
		address++
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(address))}}
		raw, err := d.Dial("tcp", f.cfg.Listener.Addr().String())
		if err != nil {
			t.Skipf("this system has one loopback address only: %v", err)
		}
		t.Cleanup(func() { raw.Close() })
		raw.SetDeadline(time.Now().Add(10 * time.Second))
		return tls.Client(raw, &tls.Config{ServerName: "shop.example.com", InsecureSkipVerify: true})
	}
	places := f.cfg.Public.Places.Places()
	var busy []net.Conn
	for range places*9/10 + 1 { // the accept under way takes one more
		c := public()
		if askFor(c, "b") != "W" {
			t.Fatal("no answer")
		}
		busy = append(busy, c)
	}
	last := public()
	answered := make(chan string)
	go func() { answered <- ask(last) }()
	for _, c := range busy[places/2:] {
		select {
		case got := <-answered:
			t.Fatalf("who is to wait got %q", got)
		default:
		}
		if askFor(c, "b") != "W" {
			t.Error("who is served is served no more")
		}
	}
	for _, c := range busy[places/2:] {
		c.Close()
	}
	if got := <-answered; got != "W" {
		t.Errorf("who has waited got %q", got)
	}
}

// Whoever speaks no TLS may be told so.
func TestFront_NotTLS(t *testing.T) {
	f, _ := newFront(t, false, nil)
	conn := dial(t, f.cfg.Listener, nil)
	io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
	if told, _ := io.ReadAll(conn); string(told) != "not TLS: GET /" {
		t.Errorf("told %q", told)
	}
}

// A draining front closes connections that wait, lets a request under way end, and takes
// nobody in.
func TestFront_Drain(t *testing.T) {
	may := make(chan struct{})
	f, _ := newFront(t, false, may)
	public := func() net.Conn { return dial(t, f.cfg.Listener, &tls.Config{ServerName: "shop.example.com"}) }
	idle, busy := public(), public()
	if ask(idle) != "W" || ask(busy) != "W" {
		t.Fatal("no answer")
	}
	io.WriteString(busy, "w")
	<-may
	drained := make(chan struct{})
	go func() { defer close(drained); f.Drain(t.Context()) }()
	if n, err := io.ReadFull(idle, make([]byte, 1)); err == nil || !f.Draining() {
		t.Errorf("an idle connection reads %d bytes; draining: %v", n, f.Draining())
	}
	if conn, err := net.Dial("tcp", f.cfg.Listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("somebody gets in")
	}
	select {
	case <-drained:
		t.Error("a request under way is not waited for")
	default:
	}
	may <- struct{}{}
	if _, err := io.ReadFull(busy, make([]byte, 1)); err != nil {
		t.Errorf("the request under way: %v", err)
	}
	<-drained
}
