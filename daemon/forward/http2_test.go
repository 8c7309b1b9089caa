package forward_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
)

// framed is a workload's end of a connection of HTTP/2, frame by frame.
type framed struct {
	t    *testing.T
	conn net.Conn
	*http2.Framer
	window uint32                   // the client's, for a stream
	credit uint32                   // and for the connection
	bodies map[uint32]*bytes.Buffer // of requests that have not ended
}

// framedWorkload serves each connection by what serve does.
func framedWorkload(t *testing.T, serve func(c *framed)) string {
	t.Helper()
	wl := tcpWorkload(t)
	done := make(chan struct{})
	t.Cleanup(func() {
		wl.l.Close()
		close(wl.conns)
		<-done
	})
	go func() {
		defer close(done)
		for s := range wl.conns {
			t.Cleanup(func() { s.conn.Close() })
			c := &framed{t: t, conn: s.conn, Framer: http2.NewFramer(s.conn, s.r), window: 65_535, credit: 65_535, bodies: map[uint32]*bytes.Buffer{}}
			if _, err := io.CopyN(io.Discard, s.r, int64(len(http2.ClientPreface))); err != nil {
				continue
			}
			c.WriteSettings()
			wl.wg.Go(func() { serve(c) })
		}
	}()
	return "h2c://" + wl.addr()
}

// request reads up to the end of the next request, or only its head. The frames of others may come
// between its own.
func (c *framed) request(headOnly bool) (id uint32, body string, ok bool) {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return 0, "", false
		}
		end := false
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
			if v, has := f.Value(http2.SettingInitialWindowSize); has {
				c.window = v
			}
			c.WriteSettingsAck()
		case *http2.WindowUpdateFrame:
			c.credit += f.Increment
		case *http2.PingFrame:
			if !f.IsAck() {
				c.WritePing(true, f.Data)
			}
		case *http2.HeadersFrame:
			if c.bodies[f.StreamID] == nil { // or they are trailers
				c.bodies[f.StreamID] = new(bytes.Buffer)
			}
			end = headOnly || f.StreamEnded()
		case *http2.DataFrame:
			if n := len(f.Data()); n > 0 {
				c.WriteWindowUpdate(0, uint32(n))
			}
			if b := c.bodies[f.StreamID]; b != nil {
				b.Write(f.Data())
				end = f.StreamEnded()
			}
		}
		if id := f.Header().StreamID; end {
			body := c.bodies[id].String()
			delete(c.bodies, id)
			return id, body, true
		}
	}
}

// answer answers with the status and a body.
func (c *framed) answer(id uint32, body string) {
	var h bytes.Buffer
	hpack.NewEncoder(&h).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.Bytes(), EndHeaders: true})
	const frame = 16 << 10 // the largest that every end takes
	for ; len(body) > frame; body = body[frame:] {
		c.WriteData(id, false, []byte(body[:frame]))
	}
	c.WriteData(id, true, []byte(body))
}

// TestRefusedStreams_Row18: what the workload says that it has not begun with is tried
// again, body and all, and nobody hears of it; what can't be says what happened.
func TestRefusedStreams_Row18(t *testing.T) {
	answers := func(c *framed) {
		for {
			id, body, ok := c.request(false)
			if !ok {
				return
			}
			c.answer(id, body)
		}
	}
	for name, c := range map[string]struct {
		first func(c *framed, id uint32, body string) // of the first request of all
		early bool                                    // it is called when the head came
		size  int                                     // of the body
		code  mezu.Code
		why   string
		again bool // elsewhere
	}{
		"REFUSED_STREAM":         {first: func(c *framed, id uint32, _ string) { c.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, size: 7},
		"REFUSED_STREAM at once": {first: func(c *framed, id uint32, _ string) { c.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, early: true, size: 50_000},
		"GOAWAY":                 {first: func(c *framed, _ uint32, _ string) { c.WriteGoAway(0, http2.ErrCodeNo, nil) }, size: 7},
		"GOAWAY at once":         {first: func(c *framed, _ uint32, _ string) { c.WriteGoAway(0, http2.ErrCodeNo, nil) }, early: true, size: 50_000},
		"GOAWAY and the end": {first: func(c *framed, _ uint32, _ string) {
			c.WriteGoAway(0, http2.ErrCodeNo, nil)
			c.conn.(*net.TCPConn).CloseWrite()
		}, size: 7},
		"GOAWAY and a reset": {first: func(c *framed, _ uint32, _ string) {
			c.WriteGoAway(0, http2.ErrCodeNo, nil)
			c.conn.Close() // with something unread
		}, early: true, size: 50_000},
		"GOAWAY with an error": {first: func(c *framed, _ uint32, _ string) { c.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) }, size: 7},
		"too late": {first: func(c *framed, id uint32, _ string) {
			c.WriteWindowUpdate(0, 1<<20)
			c.WriteWindowUpdate(id, 1<<20)
			for got := 0; got < 200_000; {
				f, err := c.ReadFrame()
				if err != nil {
					return
				}
				if d, ok := f.(*http2.DataFrame); ok {
					got += len(d.Data())
				}
			}
			c.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		}, early: true, size: 300_000, code: mezu.CodeWorkloadReset, why: "kept for another try"},
		"begun": {first: func(c *framed, id uint32, _ string) { c.WriteRSTStream(id, http2.ErrCodeInternal) }, size: 7, code: mezu.CodeWorkloadReset, why: "INTERNAL_ERROR"},
		"begun, and the end": {first: func(c *framed, id uint32, _ string) { c.WriteGoAway(id, http2.ErrCodeNo, nil); c.conn.Close() }, size: 7,
			code: mezu.CodeWorkloadReset, why: "GOAWAY"},
		"no status": {first: func(c *framed, id uint32, _ string) {
			var h bytes.Buffer
			hpack.NewEncoder(&h).WriteField(hpack.HeaderField{Name: "x", Value: "y"})
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.Bytes(), EndHeaders: true, EndStream: true})
		}, size: 7, code: mezu.CodeWorkloadBadResponse, why: "malformed"},
	} {
		for framing, head := range map[string]string{"length": fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", c.size), "chunks": fmt.Sprintf(chunkedTo, "/")} {
			t.Run(name+", "+framing, func(t *testing.T) {
				var met atomic.Bool
				e := newWorld(t, framedWorkload(t, func(f *framed) {
					if !met.Swap(true) {
						id, body, ok := f.request(c.early)
						if !ok {
							return
						}
						c.first(f, id, body)
					}
					answers(f)
				})).connect(false)
				body := strings.Repeat("x", c.size)
				wire := body
				if framing == "chunks" {
					wire = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
				}
				sent := make(chan struct{})
				go func() { // the failure may come before the last of it
					defer close(sent)
					e.ask(head)
					io.WriteString(e.conn, wire)
				}()
				defer func() { e.conn.Close(); <-sent }()
				if c.code == "" {
					e.reads("POST", 200, body)
					return
				}
				if f := e.fails(c.code); f.Unsent != c.again || !strings.Contains(f.Detail, c.why) {
					t.Errorf("%+v", f)
				}
			})
		}
	}
}

// TestRefusedForGood_Row18: a workload that never begins with a request is asked a few times, on
// new connections where it ends the old ones. Then the edge may ask another Warpgate.
func TestRefusedForGood_Row18(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(c *framed, id uint32){
		"REFUSED_STREAM":       func(c *framed, id uint32) { c.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"GOAWAY":               func(c *framed, _ uint32) { c.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"GOAWAY with an error": func(c *framed, _ uint32) { c.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			e := newWorld(t, framedWorkload(t, func(c *framed) {
				for {
					id, body, ok := c.request(false)
					if !ok {
						return
					}
					if asked.Add(1); body != "hello" {
						t.Errorf("the body is %q", body)
					}
					refuse(c, id)
				}
			})).connect(false)
			e.ask(postOf("/", "hello"))
			if f := e.fails(mezu.CodeWorkloadRefused); !f.Unsent || !strings.Contains(f.Detail, strings.TrimSuffix(name, " with an error")) {
				t.Errorf("%+v", f)
			}
			if n := asked.Load(); n != 5 {
				t.Errorf("it was asked %d times", n)
			}
			e.goesOn()
		})
	}
}

// TestManyShareAWorkload_Row18: neither an upload that the workload does not take nor
// readers that take nothing stop anybody else, and none of them holds more than its
// window.
func TestManyShareAWorkload_Row18(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, http.HandlerFunc) string{
		"h2c":      h2cWorkload,
		"https h2": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, true, h) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			begun := make(chan struct{}, 100)
			w := newWorld(t, start(t, func(rw http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/untaken":
					<-release
				case "/endless":
					begun <- struct{}{}
					for block := make([]byte, 64<<10); ; {
						if _, err := rw.Write(block); err != nil {
							return
						}
					}
				default:
					body, _ := io.ReadAll(r.Body)
					rw.Write(body)
				}
			}))
			t.Cleanup(func() { close(release) })
			stuck := w.connect(true)
			stuck.ask(fmt.Sprintf(chunkedTo, "/untaken"))
			stuck.stuck(stuck.flood())
			for range 20 {
				w.connect(true).ask(getOf("/endless"))
				receive(t, begun, "response to a slow reader")
			}
			e := w.connect(true)
			for range 20 {
				e.ask(newGet)
				e.reads("GET", 200, "")
				e.ask(postOf("/", "small"))
				e.reads("POST", 200, "small")
			}
			big := strings.Repeat("b", 1<<20)
			go e.ask(postOf("/", big))
			e.reads("POST", 200, big)
		})
	}
}

// TestWindows_Row18: what a workload may send ahead is bounded, for a stream and for
// all streams that share its connection, and grows only where it is read.
func TestWindows_Row18(t *testing.T) {
	const streams = 16
	seen := make(chan *framed, 1)
	w := newWorld(t, framedWorkload(t, func(c *framed) {
		for n := 1; ; n++ {
			if _, _, ok := c.request(false); !ok {
				return
			}
			if n == streams {
				seen <- c
			}
		}
	}))
	for range streams + 1 {
		w.connect(false).ask(newGet)
	}
	c := receive(t, seen, "connection with as many streams as it may have")
	if c.window > 64<<10 || c.credit < 4*c.window || c.credit > 4<<20 {
		t.Errorf("a window of %d bytes for each of %d streams, %d for the connection", c.window, streams, c.credit)
	}
}

// TestDeadConnection_Row18: a connection whose workload died without a word is noticed
// by a ping, what waits on it is told, and nothing more is sent there.
func TestDeadConnection_Row18(t *testing.T) {
	first := make(chan struct{})
	var conns atomic.Int64
	w := newWorld(t, framedWorkload(t, func(c *framed) {
		dies := conns.Add(1) == 1
		for {
			id, body, ok := c.request(false)
			if !ok {
				return
			}
			if dies && body == "last" {
				close(first)
				return // the connection stays open
			}
			c.answer(id, body)
		}
	}))
	w.f.PingSooner(200*time.Millisecond, time.Second)
	e := w.connect(false)
	e.ask(postOf("/", "one"))
	e.reads("POST", 200, "one")
	e.ask(postOf("/", "last"))
	receive(t, first, "request on the connection that dies")
	if f := e.fails(mezu.CodeWorkloadReset); f.Unsent {
		t.Errorf("%+v", f)
	}
	e.ask(postOf("/", "new"))
	e.reads("POST", 200, "new")
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestStreamsThatAServerAllows_Row18: a workload that allows few streams gets more connections, and
// what it refuses before that is known is tried again.
func TestStreamsThatAServerAllows_Row18(t *testing.T) {
	t.Parallel()
	const allowed, crowd = 3, 24 // needs more connections than one request has tries
	var under atomic.Int64
	all := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if under.Add(1) == crowd {
			close(all)
		}
		<-all // nobody is answered before everybody is here
		io.Copy(rw, r.Body)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: allowed}
	var conns atomic.Int64
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	w := newWorld(t, "h2c://"+s.Listener.Addr().String())
	var edges []*edge
	for range crowd {
		edges = append(edges, w.connect(false))
	}
	for _, e := range edges {
		e.ask(postOf("/", "hello"))
	}
	answered := make(chan *edge, crowd)
	for _, e := range edges {
		go func() {
			e.r.Peek(1)
			answered <- e
		}()
	}
	for range edges { // as they come: if one fails, the others are never answered
		receive(t, answered, "answer").reads("POST", 200, "hello")
	}
	if n := conns.Load(); n < crowd/allowed || n > crowd {
		t.Errorf("%d connections", n)
	}
}

// TestOneDeadConnection_Row18: when a workload has been silent for a while, one request finds out
// whether its connection is dead, and those that come with it take others.
func TestOneDeadConnection_Row18(t *testing.T) {
	t.Parallel()
	const crowd = 10
	dead := make(chan struct{})
	var conns atomic.Int64
	w := newWorld(t, framedWorkload(t, func(c *framed) {
		dies := conns.Add(1) == 1
		for {
			id, body, ok := c.request(false)
			if !ok {
				return
			}
			c.answer(id, body)
			if dies {
				<-dead // the connection stays open, and takes what comes
				return
			}
		}
	}))
	t.Cleanup(func() { close(dead) })
	w.f.PingSooner(200*time.Millisecond, time.Second)
	var edges []*edge
	for range crowd {
		edges = append(edges, w.connect(false))
	}
	edges[0].ask(postOf("/", "first"))
	edges[0].reads("POST", 200, "first")
	edges[0].conn.SetReadDeadline(time.Now().Add(1200 * time.Millisecond)) // longer than a workload is taken to be there
	if b, err := edges[0].r.ReadByte(); err == nil {
		t.Fatalf("byte %#x", b)
	}
	edges[0].conn.SetReadDeadline(time.Now().Add(patience))
	for _, e := range edges {
		e.ask(postOf("/", "again"))
	}
	lost := 0
	for _, e := range edges {
		if kind, _ := e.typed(); kind == preface.KindFailure {
			lost++
			continue
		}
		resp, err := http.ReadResponse(e.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "again" {
			t.Errorf("%q, %v", body, err)
		}
	}
	if lost != 1 || conns.Load() != 2 {
		t.Errorf("%d requests were lost, %d connections", lost, conns.Load())
	}
}
