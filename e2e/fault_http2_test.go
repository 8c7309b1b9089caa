package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit/frames"
)

const (
	// h2Ping and h2Pong are when the edge asks a client of HTTP/2 that says nothing, and when it
	// gives it up (h2/spec.md).
	h2Ping = 30 * time.Second
	h2Pong = 15 * time.Second
)

// h2Kind is a kind of exchange that is under way on a connection of HTTP/2 when a fault comes.
type h2Kind struct {
	name  string
	begin func(w *world, c *frames.Conn, id uint32)
	begun func(s *frames.Stream) bool // what the client has when it is under way; nil: nothing
	ends  []string                    // what may become of it when the Warpgate is lost
}

// h2Upload is how long the body of an upload is said to be, and h2Part what is sent of it.
const (
	h2Upload = 1 << 20
	h2Part   = 40_000
)

// h2Message is a text of one character in a frame of WebSocket, as a client and as a server
// sends it.
const (
	h2Message = "\x81\x81\x00\x00\x00\x00x"
	h2Echo    = "\x81\x01x"
)

// h2Kinds are what is under way. What the client has seen the head of can only be cut; all else
// is answered. A GET may be repeated, and finds no Warpgate then. A WebSocket is whole where its Close
// frame came, and no other end of its connection says so.
var h2Kinds = []h2Kind{
	{"GET", func(w *world, c *frames.Conn, id uint32) { c.Headers(id, true, w.h2Fields("GET", "/hold")...) }, nil, []string{"502", "503"}},
	{"another GET", func(w *world, c *frames.Conn, id uint32) { c.Headers(id, true, w.h2Fields("GET", "/hold?2")...) }, nil, []string{"502", "503"}},
	{"POST", func(w *world, c *frames.Conn, id uint32) {
		c.Headers(id, false, w.h2Fields("POST", "/hold", "content-length", "4")...)
		c.Data(id, true, []byte("body"))
	}, nil, []string{"502"}},
	{"upload", func(w *world, c *frames.Conn, id uint32) {
		c.Headers(id, false, w.h2Fields("POST", "/take", "content-length", fmt.Sprint(h2Upload))...)
		c.Upload(id, h2Part, false, patience)
	}, nil, []string{"502"}},
	{"upload without a length", func(w *world, c *frames.Conn, id uint32) {
		c.Headers(id, false, w.h2Fields("POST", "/take")...)
		c.Upload(id, h2Part, false, patience)
	}, nil, []string{"502"}},
	{"events", func(w *world, c *frames.Conn, id uint32) { c.Headers(id, true, w.h2Fields("GET", "/stream")...) },
		func(s *frames.Stream) bool { return s.Length > 0 }, []string{"200 then INTERNAL_ERROR"}},
	{"download", func(w *world, c *frames.Conn, id uint32) { c.Headers(id, true, w.h2Fields("GET", "/half")...) },
		func(s *frames.Stream) bool { return s.Length == halfBody }, []string{"200 then INTERNAL_ERROR"}},
	{"download with a length", func(w *world, c *frames.Conn, id uint32) {
		c.Headers(id, true, w.h2Fields("GET", "/half?length")...)
	}, func(s *frames.Stream) bool { return s.Length == halfBody }, []string{"200 then INTERNAL_ERROR"}},
	{"WebSocket", func(w *world, c *frames.Conn, id uint32) {
		c.Headers(id, false, w.h2Fields("CONNECT", "/ws", ":protocol", "websocket", "sec-websocket-version", "13")...)
		c.WaitStream(id, func(s *frames.Stream) bool { return s.Status != "" })
		c.Data(id, false, []byte(h2Message))
	}, func(s *frames.Stream) bool { return string(s.Body) == h2Echo }, []string{"200", "200 then CANCEL"}},
}

// h2UnderWay is a connection of HTTP/2 with one exchange of each kind under way.
type h2UnderWay struct {
	*frames.Conn
	w    *world
	s    *station
	next uint32 // stream
}

// underWay begins one exchange of each kind by a connection to an address.
func (w *world) underWay(addr string, s *station) *h2UnderWay {
	w.t.Helper()
	c := &h2UnderWay{Conn: w.h2Client(addr), w: w, s: s, next: 1}
	c.Setting(http2.SettingMaxConcurrentStreams, 0) // they must have come before a body is sent
	for _, k := range h2Kinds {
		k.begin(w, c.Conn, c.next)
		c.next += 2
	}
	for i, k := range h2Kinds {
		if k.begun == nil {
			continue
		}
		if got, ok := c.WaitStream(h2Stream(i), k.begun); !ok {
			w.t.Fatalf("%s does not get under way: status %q, %d bytes, %v", k.name, got.Status, got.Length, c)
		}
	}
	s.holds(w.t, 5) // all but uploads, events and the WebSocket
	s.takes(w.t, 2)
	return c
}

// takes waits until so many uploads to a station are under way.
func (s *station) takes(t *testing.T, n int64) {
	t.Helper()
	eventually(t, s.name+" to take uploads", func() error {
		if now := s.taking.Load(); now != n {
			return fmt.Errorf("%d, want %d", now, n)
		}
		return nil
	})
}

func h2Stream(kind int) uint32 { return uint32(2*kind + 1) }

// ended waits for the end of each exchange, and checks that no part of a body passes for the whole.
func (c *h2UnderWay) ended(since time.Time, bound time.Duration) {
	c.w.t.Helper()
	for i, k := range h2Kinds {
		if end := c.End(h2Stream(i)); !slices.Contains(k.ends, end) {
			c.w.t.Errorf("%s ended with %q, want one of %q; %v", k.name, end, k.ends, c)
		}
		if s := c.Stream(h2Stream(i)); k.begun != nil && k.name != "events" && !k.begun(&s) {
			c.w.t.Errorf("%s got more before its end: %d bytes", k.name, s.Length)
		}
	}
	c.w.within("the end of all that was under way", since, bound)
}

// cut checks that nothing of what ended with the connection passes for whole.
func (c *h2UnderWay) cut() {
	c.w.t.Helper()
	for i, k := range h2Kinds {
		if got := c.Stream(h2Stream(i)); got.Ended {
			c.w.t.Errorf("%s passes for whole: status %s, %d bytes", k.name, got.Status, got.Length)
		}
	}
}

// left checks that the workload is told, and has taken no part of an upload for the whole.
func (c *h2UnderWay) left() {
	c.w.t.Helper()
	c.s.holds(c.w.t, 0)
	c.s.takes(c.w.t, 0)
	if n := c.s.taken.Load(); n > 0 {
		c.w.t.Errorf("the workload took %d uploads for whole ones", n)
	}
}

// ask makes a request on the same connection and gives its end.
func (c *h2UnderWay) ask() string {
	id := c.next
	c.next += 2
	c.Headers(id, false, c.w.h2Fields("POST", "/", "content-length", "2")...)
	c.Data(id, true, []byte("hi"))
	end := c.End(id)
	if s := c.Stream(id); end == "200" && string(s.Body) != "hi" {
		return fmt.Sprintf("200 %q", s.Body)
	}
	return end
}

// usable checks that the connection carries requests as soon as there is a Warpgate.
func (c *h2UnderWay) usable() {
	c.w.t.Helper()
	if !c.Ping() {
		c.w.t.Fatalf("the connection ended with what was under way on it: %v", c)
	}
	eventually(c.w.t, "a good answer on the same connection", func() error {
		if end := c.ask(); end != "200" {
			return fmt.Errorf("%s; %v", end, c)
		}
		return nil
	})
}

// TestHTTP2_EdgeKilled kills an edge under a client of HTTP/2: its connection ends with all that
// was under way on it, the workload is told, and the client is served by the other edge, where
// nothing was cut, and by the same one when it is back.
func TestHTTP2_EdgeKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	s := w.addStationGates(1)[0].station
	first, second := w.edges[0], w.edges[1]
	c, other := w.underWay(first.https, s), w.http2(second)
	beside := w.stream(other)
	began := time.Now()
	first.kill()
	if !c.Closed() {
		t.Fatalf("the connection is still open: %v", c)
	}
	w.within("the end of the connection", began, time.Second)
	c.cut()
	c.left()
	w.within("the end of all that was under way", began, gateNoticed)
	beside.goesOn(t)
	if err := second.servedBy(other, s); err != nil {
		t.Error(err)
	}
	first.run()
	up := listening(t, first.https)
	client := w.http2(first)
	eventually(t, "a good answer of the edge that is back", func() error { return first.servedBy(client, s) })
	w.within("a good answer of the edge that is back", up, edgeRecovers)
	s.release()
	beside.ends(t)
}

// TestHTTP2_WarpgateKilled kills the only Warpgate under a client of HTTP/2: each exchange is
// answered or cut at once, and its connection carries others when the Warpgate is back.
func TestHTTP2_WarpgateKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	g := w.addStationGates(1)[0]
	c := w.underWay(w.edges[0].https, g.station)
	began := time.Now()
	g.kill()
	c.ended(began, gateNoticed)
	c.left()
	eventually(t, "the edge to say that there is no Warpgate", func() error {
		if end := c.ask(); end != "503" {
			return fmt.Errorf("%s; %v", end, c)
		}
		return nil
	})
	g.run(g.name)
	healthy(t, g.health)
	c.usable()
}

// TestHTTP2_WarpgateSilent stops the only Warpgate under a client of HTTP/2, without closing
// anything: each exchange, and one that is begun then, is answered or cut when the silence is
// noticed, and the connection carries others when the Warpgate goes on.
func TestHTTP2_WarpgateSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	g := w.addStationGates(1)[0]
	c := w.underWay(w.edges[0].https, g.station)
	began := time.Now()
	goOn := g.pause()
	if end := c.ask(); end != "502" && end != "503" {
		t.Errorf("a request into the silence ends with %s; %v", end, c)
	}
	c.ended(began, silenceNoticed)
	goOn()
	c.left()
	c.usable()
}

// TestHTTP2_ClientSilent lets nothing more pass between a client of HTTP/2 and the edge: the edge
// asks whether it is there, gives it up, and the workload is told.
func TestHTTP2_ClientSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	e := w.edges[0]
	s := w.addStationGates(1)[0].station
	path := newFaultRelay(t, e.https)
	c := w.underWay(path.addr(), s)
	client := w.http2(e)
	if err := e.servedBy(client, s); err != nil {
		t.Error(err)
	}
	began := time.Now()
	path.stall()
	c.left()
	w.within("the end of all that was under way", began, h2Ping+h2Pong+time.Second)
	if err := e.servedBy(client, s); err != nil {
		t.Errorf("another client: %v", err)
	}
	path.flow()
	if !c.Closed() {
		t.Fatalf("the connection is still open: %v", c)
	}
	c.cut()
}
