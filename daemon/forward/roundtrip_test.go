package forward_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// h2cWorkload is a workload that speaks HTTP/2 without TLS.
func h2cWorkload(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return "h2c://" + s.Listener.Addr().String()
}

// httpsWorkload is a workload behind TLS, with HTTP/2 or without.
func httpsWorkload(t testing.TB, two bool, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = two
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	return "https://" + s.Listener.Addr().String()
}

// overEach runs a test against each kind of workload whose connections may be shared.
func overEach(t *testing.T, h http.HandlerFunc, test func(t *testing.T, w *world)) {
	for name, start := range map[string]func(testing.TB, http.HandlerFunc) string{
		"h2c":      h2cWorkload,
		"https h2": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, true, h) },
		"https h1": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, false, h) },
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, start(t, h))) })
	}
}

func TestRoundTrip(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<14)
	overEach(t, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, n := range []string{"X-Auth-User", "X-Forwarded-Prefix", "X-Mine", "User-Agent", "Accept-Encoding", "Forwarded"} {
			if v, has := r.Header[n]; has {
				t.Errorf("%s: %q arrived", n, v)
			}
		}
		rw.Header().Set("Seen", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header.Values("X-Forwarded-For"), r.Header.Get("X-Forwarded-Host"), " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("X-Request-Id")))
		switch r.URL.Path {
		case "/none":
			rw.WriteHeader(http.StatusNoContent)
		case "/redirect":
			http.Redirect(rw, r, "/elsewhere", http.StatusFound)
		case "/big":
			io.WriteString(rw, big)
		default:
			rw.Header().Set("Content-Length", fmt.Sprint(len(body)))
			rw.Write(body)
		}
	}, func(t *testing.T, w *world) {
		e := w.connect(true)
		tricks := []string{"Connection: X-Mine, X-Forwarded-For", "X-Mine: 1", "X-Auth-User: root", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Prefix: /", "Forwarded: for=6.6.6.6"}
		resp := func() *http.Response {
			e.ask(getOf("/a%20b?x=%zz&y", tricks...))
			return e.reads("GET", 200, "")
		}()
		if want := fmt.Sprintf("GET /a%%20b?x=%%zz&y app.example [%s]app.example https id-1", client); resp.Header.Get("Seen") != want {
			t.Errorf("the workload saw %q, want %q", resp.Header.Get("Seen"), want)
		}
		e.ask(postOf("/x", "hello"))
		e.reads("POST", 200, "hello")
		go e.ask(postOf("/x", big))
		e.reads("POST", 200, big)
		e.ask(chunkedPost + "3\r\nabc\r\n0\r\nX: 1\r\n\r\n")
		e.reads("POST", 200, "abc")
		e.ask("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
		e.reads("HEAD", 200, "")
		e.ask(getOf("/none"))
		e.reads("GET", 204, "")
		e.ask(getOf("/big"))
		e.reads("GET", 200, big)
		e.ask(getOf("/redirect"))
		if resp := e.response("GET"); resp.StatusCode != 302 || resp.Header.Get("Location") != "/elsewhere" {
			t.Error(resp)
		} else {
			io.Copy(io.Discard, resp.Body)
		}
		e.goesOn()
		for range 2 {
			receive(t, w.events, "event")
		}
		if got := receive(t, w.events, "event"); got.BytesIn != int64(len(big)) || got.BytesOut != int64(len(big)) {
			t.Errorf("%d bytes in, %d out", got.BytesIn, got.BytesOut)
		}
	})
}

// TestRoundTripStreams is gRPC's shape: both directions stream, trailers end it.
func TestRoundTripStreams(t *testing.T) {
	addr := h2cWorkload(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			t.Errorf("%s, TE %q", r.Proto, r.Header.Get("Te"))
		}
		rw.Header().Set("Content-Type", "application/grpc")
		rw.Header().Set("Trailer", "Grpc-Status")
		rw.WriteHeader(200)
		http.NewResponseController(rw).Flush()
		buf := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				break
			}
			io.WriteString(rw, "re:"+string(buf))
			http.NewResponseController(rw).Flush()
		}
		rw.Header().Set("Grpc-Status", "0")
		rw.Header().Set(http.TrailerPrefix+"Grpc-Message", "done")
	})
	e := newWorld(t, addr).connect(true)
	e.ask(strings.Replace(chunkedPost, "\r\n\r\n", "\r\nTE: trailers\r\nContent-Type: application/grpc\r\n\r\n", 1))
	resp := e.response("POST")
	buf := make([]byte, 7)
	for i := range 5 {
		e.write(fmt.Sprintf("4\r\np%03d\r\n", i))
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != fmt.Sprintf("re:p%03d", i) {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	e.write("0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Fatalf("%q, %v", rest, err)
	}
	if resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("Grpc-Message") != "done" {
		t.Errorf("trailers %v", resp.Trailer)
	}
	if !resp.Close {
		t.Error("an answer to an upload in flight promises another exchange")
	}

	// A unary call leaves the connection usable.
	e = newWorld(t, addr).connect(true)
	for range 20 {
		e.ask(strings.Replace(chunkedPost, "\r\n\r\n", "\r\nTE: trailers\r\n\r\n", 1) + "4\r\ncall\r\n0\r\n\r\n")
		if resp := e.response("POST"); resp.Close {
			io.Copy(io.Discard, resp.Body)
			e = newWorld(t, addr).connect(true) // the response began before the body was read: both are right
		} else {
			io.Copy(io.Discard, resp.Body)
			e.goesOn()
		}
	}
}

func TestRoundTripInterim(t *testing.T) {
	overEach(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hint":
			rw.Header().Set("Link", "</a>")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
		case "/flood":
			for range 100 {
				rw.WriteHeader(http.StatusEarlyHints)
			}
		case "/refuse":
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		io.Copy(rw, r.Body) // says 100 Continue at the first read
	}, func(t *testing.T, w *world) {
		e := w.connect(false)
		e.ask(getOf("/hint"))
		if resp := e.response("GET"); resp.StatusCode != 103 || resp.Header.Get("Link") != "</a>" {
			t.Fatal(resp)
		}
		if resp := e.reads("GET", 200, ""); resp.Header.Get("Link") != "" {
			t.Error(resp)
		}

		e.ask("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		if resp := e.response("PUT"); resp.StatusCode != 100 {
			t.Fatal(resp)
		}
		e.write("hello")
		e.reads("PUT", 200, "hello")
		e.goesOn()

		e.ask("PUT /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		if resp := e.reads("PUT", 403, "no\n"); !resp.Close {
			t.Error("the body never comes, and the connection is said to go on")
		}
		e.ends()

		e = w.connect(false)
		e.ask(getOf("/flood"))
		for count := 0; ; count++ {
			kind, payload := e.typed()
			if kind == preface.KindFailure {
				if f, err := preface.ParseFailure(payload); err != nil || f.Code != mezu.CodeWorkloadBadResponse {
					t.Errorf("%+v, %v", f, err)
				}
				break
			}
			if resp, err := http.ReadResponse(e.r, nil); err != nil || resp.StatusCode != 103 || count > relay.MaxInterim {
				t.Fatal(count, resp, err)
			}
		}
	})
}

// TestRoundTripEnds: time-outs, resets, cuts, cancels, each with a word of its own.
func TestRoundTripEnds(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	noticed := make(chan struct{}, 100)
	hold := func(r *http.Request) {
		io.Copy(io.Discard, r.Body) // net/http's server looks after its client only then
		select {
		case <-r.Context().Done():
			noticed <- struct{}{}
		case <-release:
		}
	}
	overEach(t, func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/silent"):
			hold(r)
		case strings.HasSuffix(r.URL.Path, "/half"):
			rw.Header().Set("Content-Length", "10")
			io.WriteString(rw, "hello")
			http.NewResponseController(rw).Flush()
			hold(r)
		case strings.HasSuffix(r.URL.Path, "/reset"):
			panic(http.ErrAbortHandler)
		case strings.HasSuffix(r.URL.Path, "/cut"):
			io.WriteString(rw, "hello")
			http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		case strings.HasSuffix(r.URL.Path, "/early"):
			http.Error(rw, "no", http.StatusRequestEntityTooLarge)
		default:
			io.Copy(io.Discard, r.Body)
		}
	}, func(t *testing.T, w *world) {
		e := w.connect(true)
		e.ask(getOf("/brief/silent"))
		e.fails(mezu.CodeWorkloadTimeout)
		receive(t, noticed, "notice of the time-out")
		e.ask(postOf("/reset", "hello"))
		if f := e.fails(mezu.CodeWorkloadReset); f.Unsent {
			t.Error("said to be unsent")
		}
		e.goesOn()
		// Though the edge owes the rest of the body.
		e.ask("POST /reset HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\nhello")
		if f := e.fails(mezu.CodeWorkloadReset); f.Unsent {
			t.Error("said to be unsent")
		}

		e = w.connect(true)
		e.ask(getOf("/brief/half"))
		if body, err := io.ReadAll(e.response("GET").Body); err == nil {
			t.Errorf("it looks whole: %q", body)
		}
		e.ends()
		e = w.connect(true)
		e.ask(getOf("/cut"))
		if kind, _ := e.typed(); kind == preface.KindResponse { // else it was cut before it was sent on
			resp, err := http.ReadResponse(e.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("it looks whole: %q", body)
			}
			e.ends()
		}
		receive(t, noticed, "notice of the time-out")

		for _, raw := range []string{getOf("/silent"), postOf("/silent", "hi"), "POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", getOf("/half")} {
			for _, how := range []string{"close", "cancel"} {
				e = w.connect(true)
				e.ask(raw)
				if strings.Contains(raw, "half") {
					e.response("GET")
				} else {
					waitUnderWay(t, w, e)
				}
				if how == "close" {
					e.conn.Close()
				} else {
					e.cancel()
				}
				receive(t, e.done, "end")
			}
		}

		e = w.connect(true)
		e.ask("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\nhello")
		if resp := e.reads("POST", 413, "no\n"); !resp.Close {
			t.Error("not announced as the last")
		}
		e.ends()

		e = w.connect(true)
		e.ask("POST /small/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n")
		e.write("8\r\n89abcdef\r\n0\r\n\r\n")
		e.fails(mezu.CodeBodyTooLarge)
	})
	close(release)
}

// waitUnderWay gives a request the time to be waited for: the Warpgate looks
// after its edge from then on.
func waitUnderWay(t *testing.T, _ *world, e *edge) {
	t.Helper()
	e.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if b, err := e.r.ReadByte(); err == nil {
		t.Fatalf("byte %#x", b)
	}
	e.conn.SetReadDeadline(time.Now().Add(patience))
}

// TestRoundTripUpgrade: WebSocket to a workload behind TLS, in HTTP/1.1 even if
// it offers HTTP/2; and to one of h2c, where there is none.
func TestRoundTripUpgrade(t *testing.T) {
	t.Parallel()
	hijack := func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			rw.WriteHeader(http.StatusUpgradeRequired)
			return
		}
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, switching+"first")
		io.Copy(conn, buf) // echoes until half-close
		io.WriteString(conn, "bye")
	}
	for _, two := range []bool{false, true} {
		e := newWorld(t, httpsWorkload(t, two, hijack)).connect(true)
		e.ask(upgrade)
		if resp := e.response("GET"); resp.StatusCode != 101 {
			t.Fatal(resp)
		}
		expect(t, e.r, "first")
		e.write("ping")
		expect(t, e.r, "ping")
		e.conn.(*tls.Conn).CloseWrite()
		expect(t, e.r, "bye")
		e.ends()
	}
	e := newWorld(t, h2cWorkload(t, hijack)).connect(true)
	e.ask(upgrade)
	e.reads("GET", http.StatusUpgradeRequired, "")
	e.goesOn()

	// Idle in one direction after the other has ended: it still ends.
	e = newWorld(t, httpsWorkload(t, false, func(rw http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, switching)
		io.Copy(io.Discard, conn)
		conn.SetReadDeadline(time.Now().Add(patience))
		bufio.NewReader(conn).ReadByte()
	})).connect(true)
	e.ask(strings.Replace(upgrade, "/ws", "/brief/ws", 1))
	e.response("GET")
	e.conn.(*tls.Conn).CloseWrite()
	e.ends()
}

// TestWorkloadTLS: the certificate of a workload on loopback is not checked; a
// workload that speaks no TLS is refused by name.
func TestWorkloadTLS(t *testing.T) {
	var hits atomic.Int64
	addr := httpsWorkload(t, true, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	e := newWorld(t, addr).connect(false)
	e.ask(newGet)
	e.reads("GET", 200, "")

	plain := tcpWorkload(t) // speaks no TLS
	e = newWorld(t, "https://"+plain.addr()).connect(false)
	e.ask(newGet)
	s := plain.conn()
	s.answer("HTTP/1.1 400 Bad Request\r\n\r\n")
	s.conn.Close()
	if f := e.fails(mezu.CodeWorkloadBadResponse); !f.Unsent || f.Detail != "the workload speaks no TLS, and its upstream is https" {
		t.Errorf("%+v", f)
	}
	e.goesOn()
	if hits.Load() != 1 {
		t.Errorf("%d requests arrived", hits.Load())
	}
}

// TestP18_GarbageByRoundTrip: what came and is no response has a code of its own, and
// the request is not repeated for it.
func TestP18_GarbageByRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name, scheme, proto, answer string
		code                        mezu.Code
	}{
		{"h2c: HTTP/1.1", "h2c://", "", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"h2c: garbage", "h2c://", "", strings.Repeat("garbage ", 100), mezu.CodeWorkloadBadResponse},
		{"h2c: the end", "h2c://", "", "", mezu.CodeWorkloadReset},
		{"h2: garbage", "https://", "h2", strings.Repeat("garbage ", 100), mezu.CodeWorkloadBadResponse},
		{"h2: the end", "https://", "h2", "", mezu.CodeWorkloadReset},
		{"TLS: garbage", "https://", "http/1.1", "garbage garbage\r\n\r\n", mezu.CodeWorkloadBadResponse},
		{"TLS: two lengths", "https://", "http/1.1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", mezu.CodeWorkloadBadResponse},
		{"TLS: half a head", "https://", "http/1.1", "HTTP/1.1 200 OK\r\nX: ", mezu.CodeWorkloadReset},
		{"TLS: the end", "https://", "http/1.1", "", mezu.CodeWorkloadReset},
	} {
		t.Run(c.name, func(t *testing.T) {
			wl := tcpWorkload(t)
			e := newWorld(t, c.scheme+wl.addr()).connect(false)
			e.ask(newGet)
			s := wl.conn()
			conn := s.conn
			if c.proto != "" {
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{c.proto}})
			}
			in := bufio.NewReader(conn)
			if c.proto == "http/1.1" {
				if _, err := http.ReadRequest(in); err != nil {
					t.Fatal(err)
				}
			} else {
				readHeaders(t, in)
			}
			io.WriteString(conn, c.answer)
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
			if f := e.fails(c.code); f.Unsent {
				t.Error("said to be unsent")
			}
			wl.quiet()
			e.goesOn()
			conn.Close()
		})
	}
}

// readHeaders reads what a client of HTTP/2 says up to its first HEADERS (RFC 9113,
// 3.4 and 6.2).
func readHeaders(t *testing.T, r io.Reader) {
	t.Helper()
	const preface, headers = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1
	if _, err := io.CopyN(io.Discard, r, int64(len(preface))); err != nil {
		t.Fatal(err)
	}
	for frame := make([]byte, 9); frame[3] != headers; {
		if _, err := io.ReadFull(r, frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, int64(frame[0])<<16|int64(frame[1])<<8|int64(frame[2])); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRoundTripTrailers: the trailers of a request reach workloads of every version
// of HTTP, those that may stand in one, even when they end a stream that the
// workload has begun to answer.
func TestRoundTripTrailers(t *testing.T) {
	seen := make(chan http.Header, 1)
	overEach(t, func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).EnableFullDuplex()
		io.WriteString(rw, "begun")
		http.NewResponseController(rw).Flush()
		io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
	}, func(t *testing.T, w *world) {
		e := w.connect(true)
		e.ask(strings.TrimSuffix(chunkedPost, "\r\n") + "Trailer: X-Sum, X-None, Content-Length\r\nTE: trailers\r\n\r\n3\r\nabc\r\n")
		resp := e.response("POST")
		e.write("0\r\nX-Sum: 1\r\nX-Sum: 2\r\nContent-Length: 5\r\nX-Forwarded-For: evil\r\nX-Mezu-User-Id: evil\r\n\r\n")
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "begun" {
			t.Errorf("%q, %v", body, err)
		}
		got := receive(t, seen, "trailers")
		if fmt.Sprint(got["X-Sum"]) != "[1 2]" || len(got["Content-Length"])+len(got["X-Forwarded-For"])+len(got["X-Mezu-User-Id"])+len(got["X-None"]) > 0 {
			t.Errorf("the workload saw the trailers %v", got)
		}
	})
}
