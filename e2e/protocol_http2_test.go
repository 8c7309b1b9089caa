package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit/frames"
)

// h2cWorkload is a workload of HTTP/2 that answers frame by frame, each stream on a goroutine of its
// own, from its head on.
func h2cWorkload(t *testing.T, answer func(c *frames.Conn, id uint32)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	serve := func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			conn.Close()
			return
		}
		begun := map[uint32]bool{}
		frames.Server(t, conn, conn, frames.Options{Refill: true, OnFrame: func(c *frames.Conn, f http2.Frame) {
			if f, ok := f.(*http2.HeadersFrame); ok && !begun[f.StreamID] {
				begun[f.StreamID] = true
				id := f.StreamID // the frame is used again
				wg.Go(func() { answer(c, id) })
			}
		}})
	}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// h2Client is a client of HTTP/2 that says what it likes.
func (w *world) h2Client(addr string) *frames.Conn {
	w.t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"h2"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return frames.Client(w.t, conn, frames.Options{Refill: true})
}

// h2Fields is a request.
func (w *world) h2Fields(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "https", ":authority", w.host, ":path", path}, more...)
}

// cameAs says how a body came to a workload.
func cameAs(length, body string, trailers []string) string {
	slices.Sort(trailers)
	return fmt.Sprintf("%s: %s %s", length, body, strings.Join(trailers, " "))
}

// TestHTTP2_TrailersBesideLength sends trailers behind bodies with and without a Content-Length.
// HTTP/1.1, which is between edge and Warpgate, has no place for them beside one: they come
// through where they were announced, without the length then, and the body comes whole either way.
func TestHTTP2_TrailersBesideLength(t *testing.T) {
	t.Parallel()
	var cut atomic.Int64 // bodies that did not come to their end
	two := h2cWorkload(t, func(c *frames.Conn, id uint32) {
		s, _ := c.WaitStream(id, func(s *frames.Stream) bool { return s.Ended || s.Reset != nil })
		if !s.Ended {
			cut.Add(1)
			return
		}
		length := s.Field("content-length")
		if length == "" {
			length = "unknown"
		}
		var trailers []string
		for _, f := range s.Trailer {
			trailers = append(trailers, f.Name+"="+f.Value)
		}
		c.Headers(id, false, ":status", "200")
		c.Data(id, true, []byte(cameAs(length, string(s.Body), trailers)))
	})
	one := rawWorkload(t, func(conn net.Conn, _ *bufio.Reader, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			cut.Add(1)
			conn.Close()
			return
		}
		length := "unknown"
		if r.ContentLength >= 0 {
			length = fmt.Sprint(r.ContentLength)
		}
		var trailers []string
		for name, values := range r.Trailer {
			trailers = append(trailers, strings.ToLower(name)+"="+strings.Join(values, "|"))
		}
		came := cameAs(length, string(body), trailers)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(came), came)
	})
	w := newWorld(t, 1, open, mezu.Route{Prefix: "/two/", Upstream: "h2c://" + two})
	w.addGate("gate", one, "--allow-target", "h2c://"+two)
	for _, prefix := range []string{"/one/", "/two/"} {
		c, id := w.h2Client(w.edges[0].https), uint32(1)
		send := func(body string, trailers []string, fields ...string) frames.Stream {
			c.Headers(id, false, w.h2Fields("POST", prefix+fmt.Sprint(id), fields...)...)
			c.Send(func(f *http2.Framer) {
				f.WriteData(id, false, []byte(body))
				frames.Headers(f, id, true, trailers...)
			})
			defer func() { id += 2 }()
			c.End(id)
			return c.Stream(id)
		}
		sum := []string{"x-sum", "1", "x-other", "2"}
		for _, test := range []struct {
			name             string
			fields, trailers []string
			want             string
		}{
			{"no length, not announced", nil, sum, "unknown: hello x-other=2 x-sum=1"},
			{"no length, announced", []string{"trailer", "x-sum"}, sum, "unknown: hello x-other=2 x-sum=1"},
			{"length, not announced", []string{"content-length", "5"}, sum, "5: hello "},
			{"length, announced", []string{"content-length", "5", "trailer", "x-sum"}, sum, "unknown: hello x-other=2 x-sum=1"},
			{"length, announced what may not be one", []string{"content-length", "5", "trailer", "authorization, content-length"}, sum, "5: hello "},
			{"what may not be one", []string{"trailer", "x-sum"}, []string{"x-sum", "1", "authorization", "x", "content-length", "9", "host", "other"}, "unknown: hello x-sum=1"},
		} {
			if s := send("hello", test.trailers, test.fields...); s.Status != "200" || string(s.Body) != test.want {
				t.Errorf("%s: %s: status %q, the workload received %q, want %q", prefix, test.name, s.Status, s.Body, test.want)
			}
		}
		if n := cut.Load(); n > 0 {
			t.Errorf("%d bodies were cut", n)
		}
		for _, test := range []struct {
			name, body       string
			fields, trailers []string
		}{
			{"too short", "hell", []string{"content-length", "5"}, sum},
			{"too short, announced", "hell", []string{"content-length", "5", "trailer", "x-sum"}, sum},
			{"too long", "hello!", []string{"content-length", "5"}, sum},
			{"too long, announced", "hello!", []string{"content-length", "5", "trailer", "x-sum"}, sum},
			{"a pseudo-field", "hello", []string{"content-length", "5"}, []string{":path", "/", "x-sum", "1"}},
			{"an upper-case name", "hello", []string{"trailer", "x-sum"}, []string{"X-Sum", "1"}},
		} {
			s := send(test.body, test.trailers, test.fields...)
			if s.Reset == nil || *s.Reset != http2.ErrCodeProtocol || s.Status != "" {
				t.Errorf("%s: %s: status %q, reset with %v", prefix, test.name, s.Status, s.Reset)
			}
		}
		if !c.Ping() {
			t.Errorf("the connection ended: %v", c)
		}
		cut.Store(0) // of those that were malformed, if they came so far
	}
}

// TestHTTP2_ResetBeforeHead has a workload reset streams before it has said anything of a response.
// The client gets an answer whatever the code is, and the workload the request once: none of these
// codes says that it was not carried out. The connection goes on.
func TestHTTP2_ResetBeforeHead(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var conns sync.Map
	workload := h2cWorkload(t, func(c *frames.Conn, id uint32) {
		conns.Store(c, true)
		s, _ := c.WaitStream(id, func(s *frames.Stream) bool { return s.Head != nil })
		path := s.Field(":path")
		code, ok := resetCodes[strings.TrimPrefix(path, "/reset/")]
		if !ok {
			c.Headers(id, true, ":status", "204")
			return
		}
		asked.Add(1)
		c.Reset(id, code)
	})
	w := newWorld(t, 1, open)
	w.addGate("gate", "h2c://"+workload)
	c, id := w.h2Client(w.edges[0].https), uint32(1)
	ask := func(method, path string, more ...string) frames.Stream {
		defer func() { id += 2 }()
		body := method == "POST"
		c.Headers(id, !body, w.h2Fields(method, path, more...)...)
		if body {
			c.Data(id, true, []byte("body"))
		}
		c.End(id)
		return c.Stream(id)
	}
	for name := range resetCodes {
		for _, method := range []string{"GET", "POST"} {
			if s := ask("GET", "/good"); s.Status != "204" {
				t.Fatalf("a good request: %q, %v", s.Status, c)
			}
			asked.Store(0)
			s := ask(method, "/reset/"+name, "accept", "application/json")
			if s.Status != "502" || !s.Ended || !strings.Contains(string(s.Body), string(mezu.CodeWorkloadReset)) || !strings.Contains(string(s.Body), "("+name+")") {
				t.Errorf("%s reset with %s: status %q, %s", method, name, s.Status, s.Body)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("%s reset with %s: the workload was asked %d times", method, name, n)
			}
		}
	}
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections to the workload", n)
	}
}

// resetCodes are those by which a workload ends a stream without saying that it has not begun with it.
var resetCodes = map[string]http2.ErrCode{"CANCEL": http2.ErrCodeCancel, "INTERNAL_ERROR": http2.ErrCodeInternal, "NO_ERROR": http2.ErrCodeNo, "STREAM_CLOSED": http2.ErrCodeStreamClosed}
