package forward_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// mixedWorkload answers by path, in every shape that a response has.
func mixedWorkload(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rw.Header().Set("Echo", r.URL.Query().Get("n"))
	switch r.URL.Path {
	case "/empty":
		rw.WriteHeader(http.StatusNoContent)
	case "/stream":
		for range 5 {
			fmt.Fprintf(rw, "%d.", len(body))
			http.NewResponseController(rw).Flush()
		}
	case "/close":
		if r.ProtoMajor == 1 { // in HTTP/2 it would end the connection for all
			rw.Header().Set("Connection", "close")
		}
		fmt.Fprint(rw, len(body))
	case "/hint":
		rw.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(rw, len(body))
	default:
		rw.Write(body)
	}
}

// TestManyExchanges runs mixed exchanges side by side; each answer must be that of
// its own request, and nothing may be left behind.
func TestManyExchanges(t *testing.T) {
	const workers, each = 50, 10
	for name, start := range map[string]func(testing.TB) string{
		"http":  func(t testing.TB) string { return plainServer(t, mixedWorkload) },
		"h2c":   func(t testing.TB) string { return h2cWorkload(t, mixedWorkload) },
		"https": func(t testing.TB) string { return httpsWorkload(t, false, mixedWorkload) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, start(t))
			var wg sync.WaitGroup
			for i := range workers {
				wg.Go(func() { w.mixed(t, i, each) })
			}
			wg.Wait()
			for range workers * each {
				receive(t, w.events, "event")
			}
		})
	}
}

func plainServer(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return l.Addr().String()
}

// mixed makes n exchanges of random kinds, opening a data connection whenever the
// last one was announced to end.
func (w *world) mixed(t *testing.T, worker, n int) {
	r := rand.New(rand.NewPCG(uint64(worker), 7))
	var e *edge
	for i := range n {
		if e == nil {
			e = w.connect(worker%2 == 0)
			e.conn.SetDeadline(time.Now().Add(3 * patience))
		}
		tag := fmt.Sprintf("%d-%d", worker, i)
		path := []string{"/echo", "/empty", "/stream", "/close", "/hint"}[r.IntN(5)]
		size := []int{0, 1, 100, 5000, 70_000}[r.IntN(5)]
		body := strings.Repeat(string(rune('a'+worker%26)), size)
		raw := fmt.Sprintf("POST %s?n=%s HTTP/1.1\r\nHost: a\r\n", path, tag)
		if r.IntN(2) == 0 {
			raw += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, body)
		} else {
			raw += "Transfer-Encoding: chunked\r\n\r\n" + chunked(body)
		}
		var sent sync.WaitGroup
		sent.Go(func() { e.ask(raw) })
		resp := e.response("POST")
		for resp.StatusCode == http.StatusEarlyHints {
			resp = e.response("POST")
		}
		got, err := io.ReadAll(resp.Body)
		want := map[string]string{"/echo": body, "/empty": "", "/stream": strings.Repeat(fmt.Sprintf("%d.", size), 5)}
		expected, ok := want[path]
		if !ok {
			expected = fmt.Sprint(size)
		}
		if err != nil || string(got) != expected || resp.Header.Get("Echo") != tag {
			t.Errorf("%s %s: %d bytes for %q, %v", tag, path, len(got), resp.Header.Get("Echo"), err)
			return
		}
		sent.Wait()
		if resp.Close {
			e.ends()
			e = nil
		}
	}
}

// TestNothingIsLeft: after a day's work no connection to the workload is in use,
// and closing the Forwarder ends the idle ones. The leak check does the rest.
func TestNothingIsLeft(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
	e.goesOn()
	w.f.Close()
	s.dropped()
	// One that is closed still serves what comes, and keeps nothing.
	e.ask(newGet)
	s = wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
	s.dropped()
}

// BenchmarkExchange is a GET of 1 KiB through a Warpgate's data connection, with
// the workload and the edge's end in the same process.
func BenchmarkExchange(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			c.Write(answer)
		}
	})
	w := newWorld(b, l.Addr().String())
	w.quietEvents()
	e := w.connect(false)
	e.conn.SetDeadline(time.Time{})
	request := append(preface.AppendRequest(nil, &preface.Request{Client: client, ID: "id", Position: position}),
		getOf("/products/42?ref=home", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: text/html,application/xhtml+xml", "Accept-Language: en-GB,en;q=0.9", "Cookie: theme=dark; basket=9f8e7d6c5b4a")...)
	buf := make([]byte, len(answer)+4)
	b.ReportAllocs()
	for b.Loop() {
		e.conn.Write(request)
		if _, err := io.ReadFull(e.conn, buf); err != nil {
			b.Fatal(err)
		}
	}
	w.f.Close()
	l.Close()
	e.conn.Close()
	wg.Wait()
}

// quietEvents keeps events from piling up.
func (w *world) quietEvents() {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-w.events:
			case <-done:
				return
			}
		}
	}()
	w.t.Cleanup(func() { close(done) })
}

// chunked is a body as one chunk, or none if it is empty.
func chunked(body string) string {
	if body == "" {
		return "0\r\n\r\n"
	}
	return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
}

// BenchmarkShared is a small call of gRPC's shape through a Warpgate's data connection to a
// workload of HTTP/2, which is in the same process, as is the edge's end.
func BenchmarkShared(b *testing.B) {
	answer := strings.Repeat("x", 1024)
	server := h2.NewServer(h2.ServerConfig{Serve: func(s *h2.Stream) {
		var r relay.Request
		var names relay.Names
		if err := s.Request(&r, &names); err != nil {
			b.Error(err)
		}
		for {
			if _, err := s.Next(); err != nil {
				break
			}
		}
		var k h2.Block
		k.Status(200)
		k.FieldText("content-type", "text/plain")
		s.SendBlock(&k, false, true)
		s.Send([]byte(answer), true, false)
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		server.ServeConn(c, nobody{}, nil)
		c.Close()
	})
	w := newWorld(b, "h2c://"+l.Addr().String())
	w.quietEvents()
	e := w.connect(false)
	e.conn.SetDeadline(time.Time{})
	request := append(preface.AppendRequest(nil, &preface.Request{Client: client, ID: "id", Position: position}),
		strings.TrimSuffix(chunkedPost, "\r\n")+"TE: trailers\r\n\r\n5\r\nhello\r\n0\r\n\r\n"...)
	b.ReportAllocs()
	for b.Loop() {
		e.conn.Write(request)
		e.typed()
		resp, err := http.ReadResponse(e.r, nil)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 1024 {
			b.Fatal(n, err)
		}
	}
	w.f.Close()
	server.Close()
	l.Close()
	e.conn.Close()
	wg.Wait()
}

// nobody admits everybody.
type nobody struct{}

func (nobody) BeginStream(time.Time) bool { return true }
func (nobody) EndStream()                 {}
