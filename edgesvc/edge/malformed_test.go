package edge_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit/frames"
)

// refusedAs reports whether an outcome is a stream or a connection that was refused.
func refusedAs(end string) bool {
	return end == "PROTOCOL_ERROR" || end == "STREAM_CLOSED" || end == "GOAWAY PROTOCOL_ERROR" || end == "GOAWAY COMPRESSION_ERROR" || len(end) == 3 && end[0] == '4' || end == "501"
}

// TestHTTP2Malformed: what is no request, in a head or in frames, reaches nobody.
func TestHTTP2Malformed(t *testing.T) {
	newTarget(t, false).each(t, map[string]func(*testing.T, *target){
		"P11_MalformedHeads": testP11_MalformedHeads, "P11_OddHeadsThatAreNone": testP11_OddHeadsThatAreNone, "P12_LengthAndBody": testP12_LengthAndBody, "P16_NoH2C": testP16_NoH2C,
		"CutAnywhere": testCutAnywhere, "NoHTTP2": testNoHTTP2,
	})
}

// P11: heads that mean two things or none end their stream, or are answered by the edge;
// nothing of them reaches the workload, and the connection goes on.
func testP11_MalformedHeads(t *testing.T, a *target) {
	h := a.host
	const m = "refused-11"
	all := func(fields ...string) []string { return fields }
	get := func(path string) []string {
		return all(":method", "GET", ":scheme", "https", ":authority", h, ":path", path, m, m)
	}
	with := func(more ...string) []string { return a.request("GET", "/"+m, more...) }
	post := func(more ...string) []string { return a.request("POST", "/"+m, more...) }
	cases := [][]string{
		// Pseudo-fields: twice, none, empty, unknown, of a response, behind a field, in upper case.
		with(":path", "/admin"), with(":method", "POST"), with(":authority", "other.localhost"), with(":scheme", "https"), with(":scheme", "http"), with(":status", "200"), with(":unknown", "x"), with(":", "x"), with(":protocol", "websocket"),
		all(":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "GET", ":authority", h, ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", h, m, m), all(":method", "GET", ":scheme", "https", ":path", "/"+m), {},
		all(":method", "", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "GET", ":scheme", "", ":authority", h, ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", "", ":path", "/"+m),
		all(m, m, ":method", "GET", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", h, m, m, ":path", "/"+m), all(":METHOD", "GET", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method ", "GET", ":scheme", "https", ":authority", h, ":path", "/"+m),
		all(":method", "GET", ":scheme", "ftp", ":authority", h, ":path", "/"+m), all(":method", "GET", ":scheme", "https ", ":authority", h, ":path", "/"+m), all(":method", "GET", ":scheme", "java\nscript", ":authority", h, ":path", "/"+m),
		// Hosts.
		with("host", "other.localhost"), with("host", h, "host", "other.localhost"), with("host", ""), with("host", h+" "), all(":method", "GET", ":scheme", "https", ":path", "/"+m, "host", "other.localhost"), all(":method", "GET", ":scheme", "https", ":authority", "other.localhost", ":path", "/"+m),
		all(":method", "GET", ":scheme", "https", ":authority", "user@"+h, ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", h+"/", ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", h+"\r\nx: y", ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", h+","+h, ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", "a b", ":path", "/"+m), all(":method", "GET", ":scheme", "https", ":authority", h+":99999", ":path", "/"+m),
		// Paths.
		get(""), get(m), get("/p 1"), get("/p\r1"), get("/p\n1"), get("/p\x001"), get("/p\x7f"), get("/p\t"), get("/p\xff"), get("/p#x"), get("/p?a b"), get("/p?a#b"), get("*"), get("https://" + h + "/p"), get("https://other.localhost/p"), get("/p/%"), get("/p/%0"), get("/p/%00"), get(`/p\1`), get("/p/%zz"), get("?x"), get("\x00"),
		// Methods.
		all(":method", "CONNECT", ":authority", h), all(":method", "CONNECT", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "CONNECT", ":authority", "127.0.0.1:22"), all(":method", "TRACE", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "get", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "G T", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "GET /x HTTP/1.1\r\n", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "GET\x00", ":scheme", "https", ":authority", h, ":path", "/"+m),
		all(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", h, ":path", ""), all(":method", "CONNECT", ":protocol", "", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", h, ":path", "/"+m), all(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/"+m), all(":method", "CONNECT", ":protocol", "websocket", ":authority", h),
		// Names and values.
		with("X-Upper", "x"), with("x y", "b"), with("x:y", "b"), with("", "b"), with("x\r\n", "b"), with("x\x00", "b"), with("x\x80", "b"), with("x(", "b"), with("\"x\"", "b"), with(" x", "b"), with("x\t", "b"),
		with("x", "a\r\nb: c"), with("x", "a\nb"), with("x", "a\rb"), with("x", "a\x00b"), with("x", "\x00"), with("x", "\n"), with("x", "a\x7f"), with("cookie", "a=b\r\nx: y"), with("x_forwarded_for", "a"), with("x.mezu.user.id", "a"),
		// Of one connection.
		with("connection", "close"), with("connection", ""), with("connection", "x"), with("keep-alive", "5"), with("proxy-connection", "close"), with("upgrade", "websocket"), with("upgrade", "h2c"), with("te", "gzip"), with("te", "trailers, gzip"), with("te", "deflate", "te", "trailers"), post("transfer-encoding", "chunked"), post("transfer-encoding", "identity"), with("transfer-encoding", ""),
		// Lengths (P12).
		post("content-length", "+0"), post("content-length", "-1"), post("content-length", "0", "content-length", "5"), post("content-length", "x"), post("content-length", ""), post("content-length", "0x0"), post("content-length", "0,0"), post("content-length", " 0 "), with("x", " a"), with("x", "a\t"), with("x", " "), post("content-length", "5"), post("content-length", "18446744073709551616"), post("content-length", "9223372036854775808"), post("content-length", "0 5"),
	}
	asked := a.asked.Load()
	var c *frames.Conn
	for i, fields := range cases {
		const each = 8 // on one connection: many more are a flood
		if i%each == 0 || c.Gone() {
			if c != nil {
				c.Close()
			}
			c = a.client(frames.Options{})
		}
		stream := odd(2 * (i % each))
		c.Headers(stream, true, fields...)
		if got := c.End(stream); !refusedAs(got) {
			t.Errorf("%q: %s, %q", fields, got, c.Stream(stream).Body)
		} else if strings.HasPrefix(got, "GOAWAY") {
			t.Logf("%q: %s", fields, got)
			continue
		}
		c.Headers(stream+2, true, a.request("GET", "/good")...)
		if got := c.End(stream + 2); got != "200" {
			t.Errorf("behind %q: %s, %v", fields, got, c)
		}
		asked++
	}
	if n := a.asked.Load(); n != asked || strings.Contains(a.wire.String(), m) {
		t.Errorf("%d requests reached the workload, not %d: %q", n, asked, a.wire.String())
	}
}

// P11: what looks odd and means one thing reaches the workload as that.
func testP11_OddHeadsThatAreNone(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	for i, k := range []struct {
		fields []string
		want   string
	}{
		{a.request("GET", "/a", "host", a.host), "Host: " + a.host + "\r\n"},
		{[]string{":method", "GET", ":scheme", "https", ":path", "/b", "host", a.host}, "Host: " + a.host + "\r\n"},
		{[]string{":path", "/c", ":authority", strings.ToUpper(a.host), ":scheme", "https", ":method", "GET"}, "GET /c HTTP/1.1\r\n"},
		{a.request("GET", "/x/..//d/./%41?x=%41"), "GET /d/A?x=%41 HTTP/1.1\r\n"},
		{a.request("GET", "/e", "cookie", "a=b", "x", "1", "cookie", "c=d"), "Cookie: a=b; c=d\r\n"},
		{a.request("GET", "/f", "te", "trailers"), "TE: trailers\r\n"},
		{a.request("POST", "/g", "content-length", "0"), "POST /g HTTP/1.1\r\n"},
		{a.request("OPTIONS", "/h", "x", ""), "OPTIONS /h HTTP/1.1\r\n"},
	} {
		c.Headers(odd(i), true, k.fields...)
		if got := c.End(odd(i)); got != "200" {
			t.Errorf("%q: %s, %v", k.fields, got, c)
		}
		if wire := a.wire.String(); !strings.Contains(strings.ToLower(wire), strings.ToLower(k.want)) {
			t.Errorf("%q reached the workload as %q", k.fields, wire)
		}
		a.wire.reset()
	}
}

// P12: a length that is not that of the body ends the stream. The workload never sees a
// request that is complete, nor a second one in its body, and the next one is served.
func testP12_LengthAndBody(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	body := "GET /smuggled HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n"
	stream := uint32(1)
	for _, length := range []int{0, 1, len(body) - 1, len(body) + 1, len(body) + 1000} {
		for name, send := range map[string]func(){
			"one frame":               func() { c.Data(stream, true, []byte(body)) },
			"two frames":              func() { c.Data(stream, false, []byte(body[:20])); c.Data(stream, true, []byte(body[20:])) },
			"an empty one at the end": func() { c.Data(stream, false, []byte(body)); c.Data(stream, true, nil) },
			"padding": func() {
				c.Send(func(w *http2.Framer) { w.WriteDataPadded(stream, true, []byte(body), make([]byte, 200)) })
			},
			"trailers": func() { c.Data(stream, false, []byte(body)); c.Headers(stream, true, "x", "y") },
		} {
			c.Headers(stream, false, a.request("POST", "/refused-12", "content-length", fmt.Sprint(length))...)
			send()
			// Who says that there is no body has asked before it comes.
			if got := c.End(stream); !refusedAs(got) && (length > 0 || string(c.Stream(stream).Body) != "POST /refused-12 0") {
				t.Errorf("%d bytes declared, %d sent in %s: %s, %v", length, len(body), name, got, c)
			}
			c.Close()
			c = a.client(frames.Options{})
			a.alive()
			stream = 1
		}
	}
	eventually(t, "the workload to be left", func() bool { return a.running.Load() == 0 })
	if n := strings.Count(a.wire.String(), "GET /alive"); int64(n) != 25 {
		t.Errorf("%d of 25 requests beside them reached the workload", n)
	}
	for len(a.freed) > 0 {
		if path := <-a.freed; path != "/refused-12" {
			t.Errorf("%s was cut", path)
		}
	}
}

// session is one connection's frames: a request with all that one can have, in bytes that
// are as many for each stream.
func (a *target) session(stream uint32, more ...string) []byte {
	var b bytes.Buffer
	w := http2.NewFramer(&b, nil)
	w.AllowIllegalWrites = true
	head := frames.Block(a.request("POST", "/cut", append(more, "te", "trailers", "x", strings.Repeat("y", 40))...)...)
	w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head[:30], PadLength: 3, Priority: http2.PriorityParam{Weight: 7}})
	w.WriteContinuation(stream, false, head[30:31])
	w.WriteContinuation(stream, true, head[31:])
	w.WriteWindowUpdate(stream, 1000)
	w.WriteDataPadded(stream, false, []byte("hello"), make([]byte, 4))
	w.WritePing(false, [8]byte{1})
	w.WriteData(stream, false, []byte("hello"))
	w.WriteRawFrame(0x42, 1, stream, []byte("unknown"))
	w.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 15})
	frames.Headers(w, stream, true, "x-sum", "1")
	return b.Bytes()
}

// testCutAnywhere: bytes that come in two pieces, wherever they are cut, are the same
// bytes; and a connection that ends anywhere in them is over, for the workload too.
func testCutAnywhere(t *testing.T, a *target) {
	begin := []byte(http2.ClientPreface + "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64")
	one := a.session(1, "content-length", "10")
	t.Run("in two", func(t *testing.T) {
		const each = 20 // on one connection: that many SETTINGS in a moment are none of a flood
		var c *frames.Conn
		for cut := range one {
			if cut%each == 0 {
				if c != nil {
					c.Close()
				}
				c = a.client(frames.Options{Raw: true})
				at := (1 + cut) % len(begin)
				c.Write(begin[:at])
				c.Write(begin[at:])
			}
			stream := odd(cut % each)
			all := a.session(stream, "content-length", "10")
			c.Write(all[:cut])
			c.Write(all[cut:])
			if got := c.End(stream); got != "200" || string(c.Stream(stream).Body) != "POST /cut 10" {
				t.Fatalf("cut at %d of %d: %s %q, %v", cut, len(all), got, c.Stream(stream).Body, c)
			}
		}
		c.Close()
	})
	t.Run("byte by byte", func(t *testing.T) {
		c := a.client(frames.Options{Raw: true})
		for i := range begin {
			c.Write(begin[i : i+1])
		}
		for i := range one {
			c.Write(one[i : i+1])
		}
		if got := c.End(1); got != "200" || string(c.Stream(1).Body) != "POST /cut 10" {
			t.Fatalf("%s %q, %v", got, c.Stream(1).Body, c)
		}
	})
	t.Run("at the end", func(t *testing.T) {
		before := a.asked.Load()
		all := append(begin, a.session(1)...)
		for cut := 0; cut < len(all); cut += 2 {
			c := a.client(frames.Options{Raw: true})
			c.Write(all[:cut])
			if cut%4 == 0 {
				c.Conn.(*tls.Conn).CloseWrite()
				if !c.Closed() {
					t.Fatalf("cut at %d of %d: %v", cut, len(all), c)
				}
			} else {
				kill(c)
			}
			if s := c.Stream(1); s.Status == "200" {
				t.Errorf("cut at %d of %d: %+v", cut, len(all), s)
			}
		}
		a.quiet()
		t.Logf("%d requests were begun", a.asked.Load()-before)
		a.alive()
	})
}

// Bytes that are no HTTP/2 end their connection.
func testNoHTTP2(t *testing.T, a *target) {
	var wg sync.WaitGroup
	for name, bad := range map[string]string{
		"HTTP/1.1":             "GET / HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n",
		"another preface":      strings.Replace(http2.ClientPreface, "SM", "MS", 1),
		"no SETTINGS first":    http2.ClientPreface + "\x00\x00\x08\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"a large frame":        http2.ClientPreface + "\xff\xff\xff\x04\x00\x00\x00\x00\x00",
		"zeros":                strings.Repeat("\x00", 100),
		"SETTINGS of five":     http2.ClientPreface + "\x00\x00\x05\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"SETTINGS on a stream": http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x01",
		"an ack with a body":   http2.ClientPreface + "\x00\x00\x06\x04\x01\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
	} {
		c := a.client(frames.Options{Raw: true})
		io.WriteString(c, bad)
		wg.Go(func() {
			if !c.Closed() {
				t.Errorf("%s: %v", name, c)
			}
		})
	}
	wg.Wait()
	// Errors of a whole connection, each on one.
	block := frames.Block(a.request("GET", "/x")...)
	for name, k := range map[string]struct {
		say  func(w *http2.Framer)
		code http2.ErrCode
	}{
		"DATA on stream 0":          {func(w *http2.Framer) { w.WriteRawFrame(http2.FrameData, 0, 0, []byte("x")) }, http2.ErrCodeProtocol},
		"DATA on an idle stream":    {func(w *http2.Framer) { w.WriteData(1, true, []byte("x")) }, http2.ErrCodeProtocol},
		"HEADERS on stream 0":       {func(w *http2.Framer) { w.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, block) }, http2.ErrCodeProtocol},
		"HEADERS on an even stream": {func(w *http2.Framer) { frames.Headers(w, 2, true, a.request("GET", "/x")...) }, http2.ErrCodeProtocol},
		"a stream below the last": {func(w *http2.Framer) {
			frames.Headers(w, 5, true, a.request("GET", "/x")...)
			frames.Headers(w, 3, true, a.request("GET", "/x")...)
		}, http2.ErrCodeProtocol},
		"RST_STREAM of an idle one": {func(w *http2.Framer) { w.WriteRSTStream(9, http2.ErrCodeCancel) }, http2.ErrCodeProtocol},
		"RST_STREAM of 3 bytes":     {func(w *http2.Framer) { w.WriteRawFrame(http2.FrameRSTStream, 0, 1, []byte("abc")) }, http2.ErrCodeFrameSize},
		"PING of seven bytes":       {func(w *http2.Framer) { w.WriteRawFrame(http2.FramePing, 0, 0, []byte("7 bytes")) }, http2.ErrCodeFrameSize},
		"PING on a stream":          {func(w *http2.Framer) { w.WriteRawFrame(http2.FramePing, 0, 1, []byte("8 bytes.")) }, http2.ErrCodeProtocol},
		"CONTINUATION of nothing":   {func(w *http2.Framer) { w.WriteContinuation(1, true, block) }, http2.ErrCodeProtocol},
		"CONTINUATION of another": {func(w *http2.Framer) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			w.WriteContinuation(3, true, nil)
		}, http2.ErrCodeProtocol},
		"a frame inside of a head": {func(w *http2.Framer) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			w.WritePing(false, [8]byte{})
		}, http2.ErrCodeProtocol},
		"an unknown one there": {func(w *http2.Framer) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			w.WriteRawFrame(0x42, 0, 1, nil)
		}, http2.ErrCodeProtocol},
		"PUSH_PROMISE": {func(w *http2.Framer) {
			w.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: block, EndHeaders: true})
		}, http2.ErrCodeProtocol},
		"WINDOW_UPDATE of zero":        {func(w *http2.Framer) { w.WriteWindowUpdate(0, 0) }, http2.ErrCodeProtocol},
		"WINDOW_UPDATE that overflows": {func(w *http2.Framer) { w.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl},
		"WINDOW_UPDATE of 3 bytes":     {func(w *http2.Framer) { w.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, []byte("abc")) }, http2.ErrCodeFrameSize},
		"a window of 2^31": {func(w *http2.Framer) {
			w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}, http2.ErrCodeFlowControl},
		"frames of 16,383": {func(w *http2.Framer) { w.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<14 - 1}) }, http2.ErrCodeProtocol},
		"frames of 2^24":   {func(w *http2.Framer) { w.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 24}) }, http2.ErrCodeProtocol},
		"ENABLE_PUSH of 2": {func(w *http2.Framer) { w.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 2}) }, http2.ErrCodeProtocol},
		"an index of no table": {func(w *http2.Framer) {
			w.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, []byte{0xff, 0xff, 0x7f})
		}, http2.ErrCodeCompression},
		"a table that is too large": {func(w *http2.Framer) {
			w.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, append([]byte{0x3f, 0xe1, 0xff, 0x7f}, block...))
		}, http2.ErrCodeCompression},
		"a head that is cut": {func(w *http2.Framer) {
			w.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, block[:len(block)-1])
		}, http2.ErrCodeCompression},
		"padding without end": {func(w *http2.Framer) {
			w.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, 1, append([]byte{255}, block[:20]...))
		}, http2.ErrCodeProtocol},
		"padding of DATA without end": {func(w *http2.Framer) {
			frames.Headers(w, 1, false, a.request("POST", "/x")...)
			w.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{9, 1})
		}, http2.ErrCodeProtocol},
		"more than the window": {func(w *http2.Framer) {
			frames.Headers(w, 1, false, a.request("POST", "/stuck")...)
			for range 6 << 20 >> 14 { // more than any window is
				w.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<14))
			}
		}, http2.ErrCodeFlowControl},
	} {
		c := a.client(frames.Options{})
		c.Acked(1)
		c.Send(k.say)
		if name == "more than the window" && c.End(1) == k.code.String() {
			continue // which may be that of the stream alone
		}
		code, _, err := c.Away(frames.Patience)
		if err != nil || code != k.code {
			t.Errorf("%s: %v, not %v; %v, %v", name, code, k.code, err, c)
		}
		c.Close()
	}
	a.let()
	a.quiet()
	a.alive()
}
