package forward_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/testkit/frames"
)

// hostile is a workload of HTTP/2 that misbehaves on its first connection, and answers «ok» to
// each request on all others.
type hostile struct {
	t     *testing.T
	conns atomic.Int64
	ended chan struct{} // gets one when the first connection has ended
}

// hostileWorkload starts one. greet, if it isn't nil, is called when the first connection begins, and
// says by itself what a server says first; bad when its first request has come.
func hostileWorkload(t *testing.T, greet func(c *frames.Conn), bad func(c *frames.Conn, stream uint32)) (*hostile, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{t: t, ended: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { h.serve(conn, &wg, greet, bad) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return h, "h2c://" + l.Addr().String()
}

func (h *hostile) serve(conn net.Conn, wg *sync.WaitGroup, greet func(*frames.Conn), bad func(*frames.Conn, uint32)) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	first := h.conns.Add(1) == 1
	o := frames.Options{NoPong: first && bad == nil}
	o.Raw = first && greet != nil
	met := false
	o.OnFrame = func(c *frames.Conn, f http2.Frame) {
		ends := false
		switch f := f.(type) {
		case *http2.HeadersFrame:
			ends = f.StreamEnded()
			if first && bad != nil && !met {
				met = true
				wg.Go(func() { bad(c, f.StreamID) })
			}
		case *http2.DataFrame:
			ends = f.StreamEnded()
		}
		if ends && !first {
			c.Headers(f.Header().StreamID, false, ":status", "200")
			c.Data(f.Header().StreamID, true, []byte("ok"))
		}
	}
	c := frames.Server(h.t, conn, conn, o)
	if first && greet != nil {
		greet(c)
	}
	c.Closed()
	if first {
		h.ended <- struct{}{}
	}
}

// outcome is what became of a request: «STATUS BODY», «STATUS cut», the code of a failure, or «closed».
func (e *edge) outcome(method string) string {
	e.t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(e.r, head); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "nothing"
		}
		return "closed"
	}
	payload := make([]byte, int(head[1])<<16|int(head[2])<<8|int(head[3]))
	if _, err := io.ReadFull(e.r, payload); err != nil {
		return "closed"
	}
	if head[0] == preface.KindFailure {
		f, err := preface.ParseFailure(payload)
		if err != nil {
			e.t.Fatal(err)
		}
		return string(f.Code)
	}
	resp, err := http.ReadResponse(e.r, &http.Request{Method: method})
	if err != nil {
		return "closed"
	}
	if resp.StatusCode < 200 {
		return e.outcome(method)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Sprint(resp.StatusCode, " cut")
	}
	return fmt.Sprintf("%d %.20s", resp.StatusCode, body)
}

const (
	badResponse = "workload_bad_response"
	reset       = "workload_reset"
	refused     = "workload_refused"
	timeout     = "workload_timeout"
	cut200      = "200 cut"
)

// block has a server send a head of its own.
func block(w *http2.Framer, stream uint32, end bool, fields ...string) {
	frames.Headers(w, stream, end, fields...)
}

// on makes what a workload does of frames.
func on(say func(w *http2.Framer, stream uint32)) func(c *frames.Conn, stream uint32) {
	return func(c *frames.Conn, stream uint32) { c.Send(func(w *http2.Framer) { say(w, stream) }) }
}

// always says something until the connection ends.
func always(first func(w *http2.Framer, stream uint32), say func(w *http2.Framer, stream uint32, i int)) func(c *frames.Conn, stream uint32) {
	return func(c *frames.Conn, stream uint32) {
		if first != nil {
			c.Send(func(w *http2.Framer) { first(w, stream) })
		}
		const batch = 32
		for i := 0; ; i += batch {
			if c.Send(func(w *http2.Framer) {
				for j := range batch {
					say(w, stream, i+j)
				}
			}) != nil {
				return
			}
		}
	}
}

// P24: a workload that is hostile in HTTP/2 costs the request that it has, and its connection.
// The next request goes on over a new one.
func TestP24_HostileWorkload(t *testing.T) {
	ok := func(w *http2.Framer, s uint32) { block(w, s, false, ":status", "200") }
	large := frames.Block("x-large", strings.Repeat("x", 4000))
	// Each with what may become of the request. Where the fault is of the stream alone the connection
	// may live: then the next request is not answered by another one.
	for name, c := range map[string]struct {
		bad   func(c *frames.Conn, stream uint32)
		want  string // one of these
		lives bool   // the connection may
	}{
		// Heads.
		"no :status":               {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, "x", "y") }), want: badResponse, lives: true},
		"an empty head":            {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true) }), want: badResponse, lives: true},
		":status twice":            {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", ":status", "200") }), want: badResponse, lives: true},
		":status abc":              {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "abc") }), want: badResponse, lives: true},
		":status 20":               {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "20") }), want: badResponse, lives: true},
		":status 1000":             {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "1000") }), want: badResponse, lives: true},
		":status 099":              {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "099") }), want: badResponse, lives: true},
		":status 101":              {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "101") }), want: badResponse, lives: true},
		":status after a field":    {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, "x", "y", ":status", "200") }), want: badResponse, lives: true},
		"a request's pseudo-field": {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", ":path", "/") }), want: badResponse, lives: true},
		"upper case":               {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", "X-Upper", "y") }), want: badResponse, lives: true},
		"a line end":               {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", "x", "a\r\nset-cookie: b") }), want: badResponse, lives: true},
		"NUL":                      {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", "x", "\x00") }), want: badResponse, lives: true},
		"a name with a space":      {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", "x y", "z") }), want: badResponse, lives: true},
		"connection":               {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", "connection", "close") }), want: badResponse, lives: true},
		"transfer-encoding":        {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", "transfer-encoding", "chunked") }), want: badResponse, lives: true},
		"two lengths": {bad: on(func(w *http2.Framer, s uint32) {
			block(w, s, false, ":status", "200", "content-length", "1", "content-length", "2")
		}), want: badResponse, lives: true},
		"a length of +1":           {bad: on(func(w *http2.Framer, s uint32) { block(w, s, false, ":status", "200", "content-length", "+1") }), want: badResponse, lives: true},
		"an interim one that ends": {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "103") }), want: badResponse, lives: true},
		"HPACK garbage": {bad: on(func(w *http2.Framer, s uint32) {
			w.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, s, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}), want: badResponse + " " + reset},
		"HPACK bomb": {bad: on(func(w *http2.Framer, s uint32) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: slices.Concat(frames.Block(":status", "200"), []byte{0x40, 1, 'x', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'x'}, 4000), bytes.Repeat([]byte{0xbe}, 10_000)), EndHeaders: true, EndStream: true})
		}), want: badResponse + " " + reset, lives: true},
		"endless CONTINUATION": {bad: always(func(w *http2.Framer, s uint32) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: frames.Block(":status", "200")})
		}, func(w *http2.Framer, s uint32, _ int) { w.WriteContinuation(s, false, large) }), want: badResponse + " " + reset},
		"empty CONTINUATION": {bad: always(func(w *http2.Framer, s uint32) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: frames.Block(":status", "200")})
		}, func(w *http2.Framer, s uint32, _ int) { w.WriteContinuation(s, false, nil) }), want: badResponse + " " + reset},
		"interim responses without end": {bad: always(nil, func(w *http2.Framer, s uint32, _ int) { block(w, s, false, ":status", "103") }), want: badResponse + " " + reset + " closed", lives: true},
		// Bodies.
		"DATA before the head":  {bad: on(func(w *http2.Framer, s uint32) { w.WriteData(s, true, []byte("x")) }), want: badResponse + " " + reset, lives: true},
		"an end without a head": {bad: on(func(w *http2.Framer, s uint32) { w.WriteData(s, true, nil) }), want: badResponse + " " + reset, lives: true},
		"more than its length": {bad: on(func(w *http2.Framer, s uint32) {
			block(w, s, false, ":status", "200", "content-length", "1")
			w.WriteData(s, true, []byte("xx"))
		}), want: badResponse + " " + reset + " " + cut200, lives: true},
		"less than its length": {bad: on(func(w *http2.Framer, s uint32) {
			block(w, s, false, ":status", "200", "content-length", "3")
			w.WriteData(s, true, []byte("xx"))
		}), want: badResponse + " " + reset + " " + cut200, lives: true},
		"a length and no body": {bad: on(func(w *http2.Framer, s uint32) { block(w, s, true, ":status", "200", "content-length", "3") }), want: badResponse + " " + reset + " " + cut200, lives: true},
		"a body of 204": {bad: on(func(w *http2.Framer, s uint32) {
			block(w, s, false, ":status", "204")
			w.WriteData(s, true, []byte("GET / HTTP/1.1\r\n\r\n"))
		}), want: badResponse + " " + reset + " 204 ", lives: true},
		"more than the window": {bad: on(func(w *http2.Framer, s uint32) {
			ok(w, s)
			for range 4 << 20 >> 14 {
				w.WriteRawFrame(http2.FrameData, 0, s, make([]byte, 1<<14))
			}
		}), want: badResponse + " " + reset + " " + cut200, lives: true},
		"empty DATA without end": {bad: always(ok, func(w *http2.Framer, s uint32, _ int) { w.WriteData(s, false, nil) }), want: badResponse + " " + reset + " " + cut200},
		"padding without end":    {bad: always(ok, func(w *http2.Framer, s uint32, _ int) { w.WriteDataPadded(s, false, nil, make([]byte, 200)) }), want: badResponse + " " + reset + " " + cut200},
		"a large frame": {bad: on(func(w *http2.Framer, s uint32) {
			ok(w, s)
			w.WriteRawFrame(http2.FrameData, 0, s, make([]byte, 1<<14+1))
		}), want: badResponse + " " + reset + " " + cut200},
		"padding beyond a frame": {bad: on(func(w *http2.Framer, s uint32) {
			ok(w, s)
			w.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, s, []byte{9, 1})
		}), want: badResponse + " " + reset + " " + cut200},
		"two heads": {bad: on(func(w *http2.Framer, s uint32) { ok(w, s); ok(w, s) }), want: badResponse + " " + reset + " " + cut200, lives: true},
		"pseudo-fields at the end": {bad: on(func(w *http2.Framer, s uint32) {
			ok(w, s)
			w.WriteData(s, false, []byte("x"))
			block(w, s, true, ":status", "500")
		}), want: badResponse + " " + reset + " " + cut200, lives: true},
		"a line end at the end": {bad: on(func(w *http2.Framer, s uint32) {
			ok(w, s)
			w.WriteData(s, false, []byte("x"))
			block(w, s, true, "x", "a\r\nb: c")
		}), want: badResponse + " " + reset + " " + cut200, lives: true},
		// Streams.
		"a stream that nobody opened": {bad: on(func(w *http2.Framer, s uint32) { ok(w, s+100) }), want: badResponse + " " + reset},
		"an even stream":              {bad: on(func(w *http2.Framer, s uint32) { ok(w, s+1) }), want: badResponse + " " + reset},
		"PUSH_PROMISE": {bad: on(func(w *http2.Framer, s uint32) {
			w.WritePushPromise(http2.PushPromiseParam{StreamID: s, PromiseID: s + 1, BlockFragment: frames.Block(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"), EndHeaders: true})
		}), want: badResponse + " " + reset},
		"a reset":            {bad: on(func(w *http2.Framer, s uint32) { w.WriteRSTStream(s, http2.ErrCodeInternal) }), want: reset, lives: true},
		"a reset of none":    {bad: on(func(w *http2.Framer, s uint32) { w.WriteRSTStream(s+100, http2.ErrCodeCancel) }), want: badResponse + " " + reset},
		"resets without end": {bad: always(nil, func(w *http2.Framer, s uint32, _ int) { w.WriteRSTStream(s, http2.ErrCodeCancel) }), want: badResponse + " " + reset},
		// Windows and settings.
		"a window of zero more":   {bad: on(func(w *http2.Framer, s uint32) { w.WriteWindowUpdate(s, 0) }), want: badResponse + " " + reset, lives: true},
		"a window that overflows": {bad: on(func(w *http2.Framer, s uint32) { w.WriteWindowUpdate(s, 1<<31-1) }), want: badResponse + " " + reset, lives: true},
		"its own that overflows":  {bad: on(func(w *http2.Framer, s uint32) { w.WriteWindowUpdate(0, 1<<31-1) }), want: badResponse + " " + reset},
		"windows by settings": {bad: on(func(w *http2.Framer, s uint32) {
			w.WriteWindowUpdate(s, 1<<30)
			w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		}), want: badResponse + " " + reset},
		"WINDOW_UPDATE without end": {bad: always(nil, func(w *http2.Framer, s uint32, _ int) { w.WriteWindowUpdate(0, 1) }), want: badResponse + " " + reset},
		"a window of 2^31": {bad: on(func(w *http2.Framer, _ uint32) {
			w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}), want: badResponse + " " + reset},
		"frames of nothing": {bad: on(func(w *http2.Framer, _ uint32) { w.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 0}) }), want: badResponse + " " + reset},
		"frames of 2^24": {bad: on(func(w *http2.Framer, _ uint32) {
			w.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 24})
		}), want: badResponse + " " + reset},
		"push":                   {bad: on(func(w *http2.Framer, _ uint32) { w.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 1}) }), want: badResponse + " " + reset},
		"SETTINGS of five bytes": {bad: on(func(w *http2.Framer, _ uint32) { w.WriteRawFrame(http2.FrameSettings, 0, 0, []byte("12345")) }), want: badResponse + " " + reset},
		"SETTINGS without end":   {bad: always(nil, func(w *http2.Framer, _ uint32, _ int) { w.WriteSettings() }), want: badResponse + " " + reset},
		"limits without end": {bad: always(nil, func(w *http2.Framer, _ uint32, _ int) {
			w.WriteSettings(slices.Repeat([]http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 7}}, 1000)...)
		}), want: badResponse + " " + reset},
		// Frames of control.
		"PING without end":     {bad: always(nil, func(w *http2.Framer, _ uint32, _ int) { w.WritePing(false, [8]byte{}) }), want: badResponse + " " + reset},
		"answers to no PING":   {bad: always(nil, func(w *http2.Framer, _ uint32, _ int) { w.WritePing(true, [8]byte{}) }), want: badResponse + " " + reset},
		"PRIORITY without end": {bad: always(nil, func(w *http2.Framer, s uint32, _ int) { w.WritePriority(s, http2.PriorityParam{Weight: 1}) }), want: badResponse + " " + reset},
		"unknown frames without end": {bad: always(nil, func(w *http2.Framer, s uint32, i int) {
			w.WriteRawFrame(http2.FrameType(0x20+i%50), 0xff, s, []byte("x"))
		}), want: badResponse + " " + reset},
		"GOAWAY without end": {bad: always(nil, func(w *http2.Framer, s uint32, _ int) { w.WriteGoAway(s, http2.ErrCodeNo, nil) }), want: badResponse + " " + reset},
		"GOAWAY that comes back": {bad: on(func(w *http2.Framer, s uint32) {
			w.WriteGoAway(0, http2.ErrCodeNo, nil)
			w.WriteGoAway(s, http2.ErrCodeNo, nil)
			ok(w, s)
		}), want: "200 ok"},
		"GOAWAY of eight bytes less": {bad: on(func(w *http2.Framer, _ uint32) { w.WriteRawFrame(http2.FrameGoAway, 0, 0, nil) }), want: badResponse + " " + reset},
		"PING of seven bytes":        {bad: on(func(w *http2.Framer, _ uint32) { w.WriteRawFrame(http2.FramePing, 0, 0, []byte("1234567")) }), want: badResponse + " " + reset},
		"a PING inside of a head": {bad: on(func(w *http2.Framer, s uint32) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: frames.Block(":status", "200")})
			w.WritePing(false, [8]byte{})
		}), want: badResponse + " " + reset},
		"its end":                   {bad: func(c *frames.Conn, _ uint32) { c.Close() }, want: reset},
		"its end inside of a frame": {bad: func(c *frames.Conn, _ uint32) { c.Write([]byte("\x00\x00\x09\x01")); c.Close() }, want: reset + " " + badResponse},
		"its end inside of a body": {bad: func(c *frames.Conn, s uint32) {
			c.Send(func(w *http2.Framer) { ok(w, s); w.WriteData(s, false, []byte("x")) })
			c.Close()
		}, want: reset + " " + cut200},
		"HTTP/1.1": {bad: func(c *frames.Conn, _ uint32) {
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
		}, want: badResponse + " " + reset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, upstream := hostileWorkload(t, nil, c.bad)
			w := newWorld(t, upstream)
			e := w.connect(false)
			e.ask(newGet)
			got := e.outcome("GET")
			if !strings.Contains(c.want, got) {
				t.Errorf("the request ends as %q, not %q", got, c.want)
			}
			if !c.lives {
				receive(t, h.ended, "end of the connection")
			}
			next := w.connect(false)
			next.ask(newGet)
			if !c.lives || h.conns.Load() > 1 {
				if got := next.outcome("GET"); got != "200 ok" {
					t.Errorf("the next ends as %q", got)
				}
			}
		})
	}
}

// P24: a workload that begins as no server of HTTP/2 does.
func TestP24_HostileGreeting(t *testing.T) {
	settings := func(s ...http2.Setting) func(c *frames.Conn) {
		return func(c *frames.Conn) { c.Send(func(w *http2.Framer) { w.WriteSettings(s...) }) }
	}
	raw := func(text string) func(c *frames.Conn) { return func(c *frames.Conn) { io.WriteString(c, text) } }
	const silent = reset + " " + timeout
	for name, c := range map[string]struct {
		greet func(c *frames.Conn)
		want  string
	}{
		"a window of 2^31":  {settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}), badResponse + " " + reset},
		"frames of nothing": {settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}), badResponse + " " + reset},
		"no streams":        {settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0}), silent},
		"nothing":           {func(*frames.Conn) {}, silent},
		"half a frame":      {raw("\x00\x00\x06\x04\x00\x00"), silent},
		"half SETTINGS":     {raw("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03"), silent},
		"half a head": {func(c *frames.Conn) {
			settings()(c)
			c.Send(func(w *http2.Framer) {
				w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: frames.Block(":status", "200")})
			})
		}, silent + " " + badResponse},
		"PING first":            {raw("\x00\x00\x08\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), badResponse + " " + reset},
		"GOAWAY first":          {raw("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), ""},
		"a response before any": {func(c *frames.Conn) { settings()(c); c.Headers(99, true, ":status", "200") }, badResponse + " " + reset},
		"HTTP/1.1":              {raw("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), badResponse + " " + reset},
		"its end":               {func(c *frames.Conn) { c.Close() }, reset + " " + refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, upstream := hostileWorkload(t, c.greet, nil)
			w := newWorld(t, upstream)
			w.f.PingSooner(200*time.Millisecond, time.Second)
			e := w.connect(false)
			e.ask(getOf("/brief/x"))
			// What is noticed before the request was sent costs it a try.
			if got := e.outcome("GET"); !strings.Contains(c.want, got) && got != "200 ok" {
				t.Errorf("the request ends as %q, not %q", got, c.want)
			}
			// As soon as the silence is noticed.
			for end := time.Now().Add(patience); ; {
				next := w.connect(false)
				next.ask(getOf("/brief/x"))
				got := next.outcome("GET")
				if got == "200 ok" {
					break
				}
				if time.Now().After(end) || !strings.Contains(silent+" "+badResponse, got) {
					t.Fatalf("the next ends as %q", got)
				}
			}
		})
	}
}

// P24: what a workload sends in vain costs no memory.
func TestP24_MemoryStaysFlat(t *testing.T) {
	const streams = 50
	stop := make(chan struct{})
	defer close(stop)
	h, upstream := hostileWorkload(t, nil, func(c *frames.Conn, _ uint32) {
		for i := uint32(0); ; i++ {
			if c.Send(func(w *http2.Framer) {
				for s := uint32(1); s < 2*streams; s += 2 {
					// Frames of all kinds, below what ends a connection: a few, and a pause.
					w.WriteRawFrame(0x99, 0, s, make([]byte, 1<<14))
				}
			}) != nil {
				return
			}
		}
	})
	w := newWorld(t, upstream)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for range streams {
		e := w.connect(false)
		e.ask(newGet)
		wg.Go(func() { e.outcome("GET") })
	}
	receive(t, h.ended, "end of the connection")
	wg.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = 16 << 20
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > most {
		t.Errorf("%d MiB more are in use", grown>>20)
	}
}
