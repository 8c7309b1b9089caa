package forward_test

import (
	"bufio"
	"fmt"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/policy"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

func postOf(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: app.example\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

const chunkedPost = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n"

// TestExchanges carries one kind of exchange after the other on the same data
// connection and the same connection to the workload.
func TestExchanges(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %t", secure), func(t *testing.T) { exchanges(t, secure) })
	}
}

func exchanges(t *testing.T, secure bool) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(secure)
	big := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	var s *served
	for _, c := range []struct {
		name, method, raw, seen string
		answer                  string
		status                  int
		body                    string
	}{
		{"GET", "GET", getOf("/a?b=c"), "", ok5, 200, "hello"},
		{"HEAD", "HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, ""},
		{"HEAD of unknown length", "HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, ""},
		{"204", "DELETE", "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n", "", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"304", "GET", newGet, "", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n", 304, ""},
		{"empty", "GET", newGet, "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ""},
		{"small POST", "POST", postOf("/", "hi"), "hi", ok5, 200, "hello"},
		{"empty POST", "POST", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", "", ok5, 200, "hello"},
		{"big POST", "POST", postOf("/", big), big, ok5, 200, "hello"},
		{"chunked POST", "POST", chunkedPost + "3\r\nabc\r\n4;ext\r\ndefg\r\n0\r\n\r\n", "abcdefg", ok5, 200, "hello"},
		{"GET with a body (P13)", "GET", getOf("/", "Content-Length: 33") + "GET /evil HTTP/1.1\r\nHost: evil\r\n\r", "GET /evil HTTP/1.1\r\nHost: evil\r\n\r", ok5, 200, "hello"},
		{"chunked response", "GET", newGet, "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n", 200, "hello there"},
		{"big response", "GET", newGet, "", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big), 200, big},
		{"big chunk", "GET", newGet, "", fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(big), big), 200, big},
		{"error of the workload's own", "GET", newGet, "", "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy", 503, "busy"},
		{"redirect is passed on", "GET", newGet, "", "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", 302, ""},
	} {
		sent := make(chan struct{})
		go func() { defer close(sent); e.ask(c.raw) }()
		if s == nil {
			s = wl.conn()
		}
		r, body := s.request()
		if r.Method != c.method || body != c.seen {
			t.Fatalf("%s: the workload saw %s with %d bytes", c.name, r.Method, len(body))
		}
		<-sent
		go s.answer(c.answer)
		resp := e.reads(c.method, c.status, c.body)
		if resp.Close {
			t.Errorf("%s: the Warpgate closes", c.name)
		}
		if c.method == "HEAD" && strings.Contains(c.answer, "Content-Length") && resp.ContentLength != 5 {
			t.Errorf("%s: length %d", c.name, resp.ContentLength)
		}
	}
	wl.quiet() // one connection served all
	e.goesOn()
}

func TestTrailers(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	const announced = "Trailer: X-Sum, Content-Length, X-Gone\r\nConnection: X-Gone\r\nTrailer: x-more,X-Mezu-User-Id, \"\r\n\r\n"
	e.ask(strings.TrimSuffix(chunkedPost, "\r\n") + announced + "3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\nX-Forwarded-For: evil\r\n\r\n")
	s := wl.conn()
	head := s.head()
	if !strings.Contains(head, "\r\nTrailer: X-Sum, x-more\r\n") || strings.Count(head, "Trailer") != 1 {
		t.Errorf("the workload saw the head %q", head)
	}
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), s.r)))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, r.Body)
	if len(r.Trailer) != 2 || r.Trailer.Get("X-Sum") != "1" {
		t.Errorf("the workload saw the trailers %v", r.Trailer)
	}
	s.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nTransfer-Encoding: chunked\r\n\r\n")
	if resp := e.reads("POST", 200, "hello"); len(resp.Trailer) != 1 || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("the edge saw the trailers %v", resp.Trailer)
	}
	e.goesOn()
}

func TestStreamsAreNotHeldBack(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(true)
	e.ask(chunkedPost)
	s := wl.conn()
	r, err := http.ReadRequest(s.r)
	if err != nil {
		t.Fatal(err)
	}
	s.answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp := e.response("POST")
	buf := make([]byte, 4)
	for range 5 {
		e.write("4\r\nping\r\n")
		if _, err := io.ReadFull(r.Body, buf); err != nil || string(buf) != "ping" {
			t.Fatalf("%q, %v", buf, err)
		}
		s.answer("4\r\npong\r\n")
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "pong" {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	e.write("0\r\n\r\n")
	s.answer("0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if !resp.Close {
		t.Error("an answer to an upload in flight promises another exchange")
	}
	e.ends()
}

func TestInterim(t *testing.T) {
	t.Parallel()
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
	if resp := e.response("GET"); resp.StatusCode != 103 || resp.Header.Get("Link") != "</a>" {
		t.Errorf("%v", resp)
	}
	s.answer("HTTP/1.1 103 Early Hints\r\n\r\n" + ok5)
	e.response("GET")
	e.reads("GET", 200, "hello")

	// What goes wrong behind an interim response still has its own code.
	e.ask(getOf("/brief/x"))
	s.request()
	s.answer("HTTP/1.1 103 Early Hints\r\n\r\n")
	if resp := e.response("GET"); resp.StatusCode != 103 {
		t.Fatal(resp)
	}
	if f := e.fails(mezu.CodeWorkloadTimeout); f.Unsent {
		t.Error("said to be unsent")
	}
	e.goesOn()
	s.dropped()
}

func TestContinue(t *testing.T) {
	const put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask(put)
	s := wl.conn()
	r, err := http.ReadRequest(s.r)
	if err != nil || r.Header.Get("Expect") != "100-continue" {
		t.Fatal(r, err)
	}
	s.answer("HTTP/1.1 100 Continue\r\n\r\n")
	if resp := e.response("PUT"); resp.StatusCode != 100 {
		t.Fatal(resp)
	}
	e.write("hello")
	io.ReadAll(r.Body)
	s.answer(ok5)
	e.reads("PUT", 200, "hello")
	e.goesOn()

	e.ask(put)
	http.ReadRequest(s.r)
	s.answer("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
	if resp := e.reads("PUT", 403, ""); !resp.Close {
		t.Error("the body never comes, and the connection is said to go on")
	}
	e.ends()
	s.dropped()
}

// TestEarlyResponse: an upload in flight is answered and then cut.
func TestEarlyResponse(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\nhello")
	s := wl.conn()
	s.head()
	s.answer("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
	if resp := e.reads("POST", 413, "no"); !resp.Close {
		t.Error("not announced as the last")
	}
	e.ends()
	s.dropped()
}

// TestEarlyResponse_ArrivesComplete: an edge that is slow to read an answer gets all of it, while it
// sends an upload that nobody wants any more.
func TestEarlyResponse_ArrivesComplete(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\nhello")
	s := wl.conn()
	s.head()
	body := strings.Repeat("a", 200<<10)
	s.answer(fmt.Sprintf("HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	s.dropped() // the Warpgate has passed all of it on
	for range 50 {
		e.write(strings.Repeat("b", 10_000))
	}
	e.reads("POST", 413, body)
	e.ends()
}

func TestUntilClose(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	for _, head := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"} {
		e.ask(newGet)
		s := wl.conn()
		s.request()
		s.answer(head + "hello")
		s.conn.Close()
		if resp := e.reads("GET", 200, "hello"); resp.Close {
			t.Error("the workload's end is not the tunnel's")
		}
	}
	e.goesOn()
}

// TestCutResponses: a response that breaks off must not look whole.
func TestCutResponses(t *testing.T) {
	for name, raw := range map[string]string{
		"length":     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"chunks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"bad chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n" + strings.Repeat("a", 1<<14+1) + "\r\nzz\r\n",
	} {
		wl := tcpWorkload(t)
		e := newWorld(t, wl.addr()).connect(false)
		e.ask(newGet)
		s := wl.conn()
		s.request()
		s.answer(raw)
		s.conn.(*net.TCPConn).CloseWrite()
		resp := e.response("GET")
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: looks whole: %q", name, body)
		}
		e.ends()
		s.dropped()
	}
}

// TestBadWorkloads: what is no answer gets the code that says so; the data
// connection goes on and the workload's does not.
func TestBadWorkloads(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		code         mezu.Code
	}{
		{"garbage", "garbage garbage garbage\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"TLS where HTTP was due", "\x15\x03\x01\x00\x02\x02\x28\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"P18 CL and TE", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"P18 two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", mezu.CodeWorkloadBadResponse},
		{"P18 header injection", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"P18 1 MiB header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"P18 interim flood", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000), mezu.CodeWorkloadBadResponse},
		{"P18 one byte of garbage", "\x15", mezu.CodeWorkloadBadResponse},
		{"P18 garbage right behind the head", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", mezu.CodeWorkloadBadResponse},
		{"P18 garbage behind a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", mezu.CodeWorkloadBadResponse},
		{"unasked 101", "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"half a head and the end", "HTTP/1.1 200 OK\r\nX: ", mezu.CodeWorkloadReset},
		{"the end", "", mezu.CodeWorkloadReset},
	} {
		t.Run(c.name, func(t *testing.T) {
			wl := tcpWorkload(t)
			e := newWorld(t, wl.addr()).connect(false)
			e.ask(newGet)
			s := wl.conn()
			s.request()
			io.WriteString(s.conn, c.answer)
			if c.code == mezu.CodeWorkloadReset {
				s.conn.(*net.TCPConn).CloseWrite()
			}
			for {
				kind, payload := e.typed()
				if kind == preface.KindResponse { // interim ones up to the limit
					if resp, err := http.ReadResponse(e.r, nil); err != nil || resp.StatusCode != 103 {
						t.Fatal(resp, err)
					}
					continue
				}
				f, err := preface.ParseFailure(payload)
				if err != nil || f.Code != c.code || f.Unsent {
					t.Fatalf("%+v, %v; want %s", f, err, c.code)
				}
				break
			}
			e.goesOn()
			s.dropped()
			// The next exchange is not disturbed.
			e.ask(newGet)
			s = wl.conn()
			s.request()
			s.answer(ok5)
			e.reads("GET", 200, "hello")
		})
	}
}

// TestRow21_BodyBehind204: a 204 has no body, whatever its head says (RFC 9112, 6.3);
// what follows it reaches nobody (P18).
func TestRow21_BodyBehind204(t *testing.T) {
	for _, answer := range []string{
		"Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
	} {
		wl := tcpWorkload(t)
		e := newWorld(t, wl.addr()).connect(false)
		e.ask(newGet)
		s := wl.conn()
		s.request()
		s.answer("HTTP/1.1 204 No Content\r\n" + answer)
		if resp := e.reads("GET", 204, ""); len(resp.TransferEncoding) > 0 || resp.Header.Get("Content-Length") != "" || resp.Close {
			t.Errorf("%q: %+v", answer, resp)
		}
		s.dropped()
		e.ask(newGet)
		s = wl.conn()
		s.request()
		s.answer(ok5)
		e.reads("GET", 200, "hello")
	}
}

// TestTwoResponses: the second one, early or late, is nobody's answer.
func TestTwoResponses(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer(ok5 + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
	e.reads("GET", 200, "hello")
	s.dropped()

	e.ask(newGet)
	s = wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
	e.goesOn() // the connection is back in the pool
	s.answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
	e.ask(newGet)
	fresh := wl.conn()
	fresh.request()
	fresh.answer(ok5)
	e.reads("GET", 200, "hello")
	s.dropped()
}

// TestLateAnswer: the answer that came too late must not be the next one's.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask(getOf("/brief/x"))
	s := wl.conn()
	s.request()
	e.fails(mezu.CodeWorkloadTimeout)
	io.WriteString(s.conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
	e.ask(newGet)
	fresh := wl.conn()
	fresh.request()
	fresh.answer(ok5)
	e.reads("GET", 200, "hello")
	s.dropped()
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	// In a body: what was begun is cut.
	e.ask(getOf("/brief/x"))
	s := wl.conn()
	s.request()
	s.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
	if body, err := io.ReadAll(e.response("GET").Body); err == nil {
		t.Errorf("looks whole: %q", body)
	}
	e.ends()
	s.dropped()
	// A slow upload is no silence of the workload's.
	e = w.connect(false)
	e.ask("POST /brief/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
	s = wl.conn()
	tick := time.NewTicker(brief / 6)
	defer tick.Stop()
	for range 10 { // longer than the time-out
		<-tick.C
		e.write("x")
	}
	s.request()
	s.answer(ok5)
	e.reads("POST", 200, "hello")
	e.goesOn()
}

func TestMaxBody(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	e.ask(postOf("/small/x", "0123456789"))
	s := wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("POST", 200, "hello")

	// Declared: nothing is sent.
	e.ask(postOf("/small/x", "0123456789a"))
	if f := e.fails(mezu.CodeBodyTooLarge); !f.Unsent {
		t.Error("said to be sent")
	}
	e.ends()

	// Found out on the way: the workload must not see a finished message.
	e = w.connect(false)
	e.ask("POST /small/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n")
	if got := s.head(); !strings.Contains(got, "POST /small/x") {
		t.Fatal(got)
	}
	if _, err := io.ReadFull(s.r, make([]byte, len("8\r\n01234567\r\n"))); err != nil {
		t.Fatal(err)
	}
	e.write("8\r\n89abcdef\r\n0\r\n\r\n")
	if f := e.fails(mezu.CodeBodyTooLarge); f.Unsent {
		t.Error("said to be unsent")
	}
	rest, _ := io.ReadAll(s.r)
	if strings.Contains(string(rest), "0\r\n\r\n") {
		t.Errorf("the workload sees the end of the body: %q", rest)
	}
	e.ends()
}

// TestStaleConnection: a pooled connection that the workload has just closed
// costs nothing where the request may be repeated.
func TestStaleConnection(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	warm := func() *served {
		e.ask(newGet)
		s := wl.conn()
		s.request()
		s.answer(ok5)
		e.reads("GET", 200, "hello")
		e.goesOn()
		return s
	}
	// Closed before it is taken: seen at once, so that even a POST goes through.
	s := warm()
	s.conn.Close()
	e.ask(postOf("/", "hi"))
	s = wl.conn()
	if _, body := s.request(); body != "hi" {
		t.Error(body)
	}
	s.answer(ok5)
	e.reads("POST", 200, "hello")

	// Closed when the request was there: a GET is repeated, once.
	e.ask(newGet)
	s.request()
	s.conn.Close()
	s = wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")

	// Not when the connection was fresh.
	e.ask(newGet)
	s.request()
	s.conn.Close()
	s = wl.conn()
	s.request()
	s.conn.Close()
	e.fails(mezu.CodeWorkloadReset)

	// Not when part of an answer had come.
	s = warm()
	e.ask(newGet)
	s.request()
	s.answer("HTTP/1.1 200")
	s.conn.Close()
	e.fails(mezu.CodeWorkloadReset)

	// Not when what came was no answer at all.
	for _, garbage := range []string{"garbage", "\x00", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"} {
		s = warm()
		e.ask(newGet)
		s.request()
		s.answer(garbage)
		s.conn.Close()
		if f := e.fails(mezu.CodeWorkloadBadResponse); f.Unsent {
			t.Errorf("%q: said to be unsent", garbage)
		}
		wl.quiet()
	}

	// Never with a body, nor for a method that is not idempotent.
	for _, raw := range []string{postOf("/", "hi"), "POST / HTTP/1.1\r\nHost: a\r\n\r\n", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"} {
		s = warm()
		e.ask(raw)
		s.request()
		s.conn.Close()
		if f := e.fails(mezu.CodeWorkloadReset); f.Unsent {
			t.Error("said to be unsent")
		}
		wl.quiet()
	}
	e.goesOn()
}

// TestCancel: the edge gives up while the workload is slow, and the workload
// learns of it.
func TestCancel(t *testing.T) {
	for name, c := range map[string]struct{ raw, answer string }{
		"before the response": {newGet, ""},
		"with a small body":   {postOf("/", "hi"), ""},
		"in a response":       {newGet, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"},
		"in an upload":        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", ""},
	} {
		for _, how := range []string{"close", "cancel"} {
			t.Run(name+", "+how, func(t *testing.T) {
				wl := tcpWorkload(t)
				e := newWorld(t, wl.addr()).connect(true)
				e.ask(c.raw)
				s := wl.conn()
				s.head()
				if c.answer != "" {
					s.answer(c.answer)
					e.response("GET")
				}
				if how == "close" {
					e.conn.Close()
				} else {
					e.cancel()
				}
				s.dropped()
				receive(t, e.done, "end")
			})
		}
	}
}

const upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

func TestUpgrade(t *testing.T) {
	for _, secure := range []bool{false, true} {
		wl := tcpWorkload(t)
		e := newWorld(t, wl.addr()).connect(secure)
		e.ask(upgrade + "early")
		s := wl.conn()
		if head := s.head(); !strings.Contains(head, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n") || !strings.Contains(head, "Sec-WebSocket-Key: dGhl") {
			t.Fatal(head)
		}
		s.answer(switching + "first")
		if resp := e.response("GET"); resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") == "" {
			t.Fatal(resp)
		}
		expect(t, e.r, "first")
		expect(t, s.r, "early")
		e.write("ping")
		expect(t, s.r, "ping")
		// The edge ends its direction; the other goes on.
		e.conn.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := s.r.ReadByte(); err != io.EOF {
			t.Errorf("the workload reads %v", err)
		}
		s.answer("last words")
		expect(t, e.r, "last words")
		s.conn.Close()
		e.ends()
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

// TestUpgradeEnds: half-close from the workload, idleness, resets.
func TestUpgradeEnds(t *testing.T) {
	t.Parallel()
	open := func(path string) (*edge, *served) {
		wl := tcpWorkload(t)
		e := newWorld(t, wl.addr()).connect(false)
		e.ask(strings.Replace(upgrade, "/ws", path, 1))
		s := wl.conn()
		s.head()
		s.answer(switching)
		e.response("GET")
		return e, s
	}
	e, s := open("/ws")
	s.conn.(*net.TCPConn).CloseWrite()
	if _, err := e.r.ReadByte(); err != io.EOF {
		t.Errorf("the edge reads %v", err)
	}
	e.write("still there")
	expect(t, s.r, "still there")
	e.conn.Close()
	s.dropped()
	receive(t, e.done, "end")

	e, s = open("/brief/ws") // nobody says anything
	e.ends()
	s.dropped()

	e, s = open("/ws")
	e.conn.(*net.TCPConn).SetLinger(0)
	e.conn.Close()
	s.dropped()
	receive(t, e.done, "end")

	e, s = open("/ws")
	e.cancel()
	s.dropped()
	receive(t, e.done, "end")
}

// TestP17UpgradeRefused: without a 101 both stay in HTTP, and what the client
// sent behind is the next request's business, not the workload's.
func TestP17UpgradeRefused(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	for _, answer := range []string{"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 5\r\n\r\nhello", ok5} {
		e.ask(upgrade)
		s := wl.conn()
		s.head()
		s.answer(strings.Replace(answer, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
		if resp := e.response("GET"); resp.StatusCode == 101 {
			t.Fatal(resp)
		} else if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
			t.Fatal(string(body), err)
		}
		e.goesOn()
		if n := s.r.Buffered(); n != 0 {
			t.Errorf("%d bytes went to the workload", n)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.sock")
	wl := newWorkload(t, "unix", path)
	e := newWorld(t, "unix:"+path).connect(false)
	var s *served
	for range 3 {
		e.ask(postOf("/x", "hi"))
		if s == nil {
			s = wl.conn()
		}
		if r, body := s.request(); body != "hi" || r.Header.Get("X-Forwarded-For") != client.String() {
			t.Errorf("%q, %v", body, r.Header)
		}
		s.answer(ok5)
		e.reads("POST", 200, "hello")
	}
	e.ask(upgrade)
	s.head()
	s.answer(switching)
	e.response("GET")
	e.conn.(*net.TCPConn).CloseWrite()
	if _, err := s.r.ReadByte(); err != io.EOF {
		t.Error(err)
	}
	s.conn.Close()
	e.ends()
}

// TestEdgeCloses: an announced close is kept.
func TestEdgeCloses(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask(getOf("/", "Connection: close"))
	s := wl.conn()
	if head := s.head(); strings.Contains(head, "close") {
		t.Errorf("the workload's connection is another matter:\n%s", head)
	}
	s.answer(ok5)
	if resp := e.reads("GET", 200, "hello"); !resp.Close {
		t.Error("not confirmed")
	}
	e.ends()
}

// TestRefusedBodies: what was refused is read away within bounds.
func TestRefusedBodies(t *testing.T) {
	w := newWorld(t, "127.0.0.1:9")
	e := w.connect(false)
	e.ask(postOf("/internal/", strings.Repeat("x", relay.MaxDrain)))
	e.fails(mezu.CodeRefusedByWarpgate)
	e.goesOn()
	e.ask("POST /internal/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
	e.fails(mezu.CodeRefusedByWarpgate)
	e.write(strings.Repeat("x", 2_000_000))
	e.ends()
}

// TestP36_Panic costs one request an answer, and its data connection; it is counted.
func TestP36_Panic(t *testing.T) {
	wl := tcpWorkload(t)
	table := compile(t, position)
	var broken atomic.Bool
	var panics atomic.Int64
	w := &world{t: t}
	w.f = forward.New(forward.Config{
		Targets: forward.Targets{Upstream: parse(t, wl.addr())}, Log: slog.New(slog.DiscardHandler), Panicked: func() { panics.Add(1) },
		Table: func() *policy.Table {
			if broken.Load() {
				panic("secret of the inside")
			}
			return table
		},
	})
	t.Cleanup(w.f.Close)
	other := w.connect(false)
	e := w.connect(false)
	broken.Store(true)
	e.ask(newGet)
	if f := e.fails(mezu.CodeInternal); f.Unsent || strings.Contains(f.Detail, "secret") {
		t.Errorf("%+v", f)
	}
	e.ends()
	broken.Store(false)
	other.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer(ok5)
	other.reads("GET", 200, "hello")
	if panics.Load() != 1 {
		t.Errorf("%d panics counted", panics.Load())
	}
}

// panicking is a connection on which the second read panics: the first brings the typed head
// alone.
type panicking struct {
	net.Conn
	read bool
}

func (p *panicking) Read(b []byte) (int, error) {
	if p.read {
		panic("secret of the inside")
	}
	p.read = true
	return p.Conn.Read(b)
}

// A panic before the request is judged is answered too: without an answer, the edge may send
// the request to another Warpgate.
func TestP36_PanicInHead(t *testing.T) {
	w := newWorld(t, "127.0.0.1:9")
	var panics atomic.Int64
	f := forward.New(forward.Config{Log: slog.New(slog.NewTextHandler(&w.log, nil)), Table: w.table.Load,
		Panicked: func() { panics.Add(1) }, Requests: told{ended: func(e mezu.Event) { w.events <- e }}})
	t.Cleanup(f.Close)
	a, b := pair(t)
	e := &edge{t: t, conn: a, r: bufio.NewReader(a), done: make(chan struct{})}
	a.SetDeadline(time.Now().Add(patience))
	go e.serve(t.Context(), f, &panicking{Conn: b})
	e.ask("")
	if f := e.fails(mezu.CodeInternal); f.Unsent || strings.Contains(f.Detail, "secret") {
		t.Errorf("%+v", f)
	}
	e.ends()
	if event := receive(t, w.events, "event"); event.ID != "id-1" || event.Status != mezu.CodeInternal.Status() {
		t.Errorf("event %+v", event)
	}
	if panics.Load() != 1 || !strings.Contains(w.log.String(), "panic while serving an exchange") {
		t.Errorf("%d panics counted; log:\n%s", panics.Load(), w.log.String())
	}
}
