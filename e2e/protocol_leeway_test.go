package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// TestRow21_WhereHTTPSaysHowToGoOn: what RFC 9112 and its neighbours have an answer for
// is no reason to give up. Each with raw bytes on either side.
func TestRow21_WhereHTTPSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	a := newTarget(t, attackRoutes()...)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *target)
	}{
		{"no body", row21NoBody}, {"101 with a coding", row21Switch}, {"interim responses", row21Interims}, {"empty line", row21EmptyLine}, {"HTTP/1.0", row21Keep},
		{"in the clear", row21Plain}, {"handshakes", row21Handshakes}, {"WebSocket version", row21Version}, {"Host", row21Host},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, a)
			a.alive(t)
		})
	}
	a.settle(t)
}

// ask sends a request to a path of the open route and reads its answer.
func (a *target) ask(t *testing.T, c *rawConn, path string) *rawAnswer {
	t.Helper()
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: path, route: "p"})
	c.send(a.fill(head("GET", path)+"\r\n", id))
	return c.must("GET")
}

// row21NoBody: a 204 with a coding is a 204; the client's connection goes on.
func row21NoBody(t *testing.T, a *target) {
	a.rec.says("/p/204", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false)
	c := a.dial(t)
	for range 3 {
		if got := a.ask(t, c, "/p/204"); got.status != 204 || got.header.Get("Transfer-Encoding") != "" {
			t.Errorf("%+v", got)
		}
	}
	resp, err := a.http2(a.edge).Get("https://" + a.host + "/p/204")
	if err != nil {
		t.Fatal(err)
	}
	a.expect(resp.Header.Get("X-Request-Id"), delivery{method: "GET", target: "/p/204", route: "p"})
	if body := readAll(t, resp); resp.StatusCode != 204 || body != "" {
		t.Errorf("over HTTP/2: %v %q", resp, body)
	}
}

// row21Switch: a 101 has no body either, and what follows it is the stream.
func row21Switch(t *testing.T, a *target) {
	a.rec.on("/ws/coded", script{answer: func(conn net.Conn, _ *message) bool {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\nfirst")
		return false
	}})
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/ws/coded", route: "socket", status: 101})
	c.send(a.fill(head("GET", "/ws/coded")+handshake, id))
	if got := c.must("GET"); got.status != 101 || got.header.Get("Transfer-Encoding") != "" {
		t.Fatalf("%+v", got)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(c.in, first); err != nil || string(first) != "first" {
		t.Errorf("%q, %v", first, err)
	}
}

// row21Interims: as many as a large page has hints, and more if they come slowly.
func row21Interims(t *testing.T, a *target) {
	const atOnce, later = 50, 12
	hint := "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	a.rec.on("/p/many", script{answer: func(conn net.Conn, _ *message) bool {
		io.WriteString(conn, strings.Repeat(hint, atOnce))
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range later {
			<-tick.C
			io.WriteString(conn, hint)
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		return true
	}})
	if got := a.ask(t, a.dial(t), "/p/many"); got.status != 200 || got.early != atOnce+later {
		t.Errorf("%d interim responses before %d %s", got.early, got.status, got.body)
	}
}

// row21EmptyLine: old clients send an empty line behind a body.
func row21EmptyLine(t *testing.T, a *target) {
	c := a.dial(t)
	for range 3 {
		id := a.newID()
		a.expect(id, delivery{method: "POST", target: "/p/line", route: "p", body: "hello", status: 200})
		c.send(a.fill(head("POST", "/p/line")+"Content-Length: 5\r\n\r\nhello\r\n", id))
		if got := c.must("POST"); got.status != 200 || got.close {
			t.Fatalf("%+v", got)
		}
	}
	// Before the first one, too, and in pieces.
	c = a.dial(t)
	c.send("\r")
	c.send("\n")
	if got := a.ask(t, c, "/p/line"); got.status != 200 {
		t.Errorf("%+v", got)
	}
}

// row21Keep: a client of HTTP/1.0 that asks to go on (ab -k) reads by the length and
// sends its next request, or sees the end.
func row21Keep(t *testing.T, a *target) {
	a.rec.says("/p/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false)
	c := a.dial(t)
	ask := func(path string, route string) (head, body string) {
		t.Helper()
		id := a.newID()
		if route != "" {
			a.expect(id, delivery{method: "GET", target: path, route: route, status: 200})
		}
		c.send(a.fill("GET "+path+" HTTP/1.0\r\nHost: {host}\r\nX-Request-Id: {id}\r\nConnection: Keep-Alive\r\n\r\n", id))
		for !strings.HasSuffix(head, "\r\n\r\n") {
			l, err := c.in.ReadString('\n')
			if err != nil {
				t.Fatalf("%q, %v", head, err)
			}
			head += l
		}
		length := -1
		for l := range strings.Lines(head) {
			fmt.Sscanf(l, "Content-Length: %d", &length)
		}
		if length < 0 {
			rest, err := io.ReadAll(c.in)
			if err != nil {
				t.Error(err)
			}
			return head, string(rest)
		}
		b := make([]byte, length)
		if _, err := io.ReadFull(c.in, b); err != nil {
			t.Fatal(err)
		}
		return head, string(b)
	}
	for range 3 {
		if head, body := ask("/p/keep", "p"); !strings.Contains(head, "\r\nConnection: keep-alive\r\n") || body != "GET /p/keep\n" {
			t.Errorf("%q %q", head, body)
		}
	}
	// An answer of the edge's own says it, too.
	if head, _ := ask("/none", ""); !strings.Contains(head, "404") || !strings.Contains(head, "\r\nConnection: keep-alive\r\n") {
		t.Errorf("%q", head)
	}
	// Of unknown length: the end of the connection is its end.
	if head, body := ask("/p/chunks", "p"); !strings.Contains(head, "\r\nConnection: close\r\n") || body != "ok" {
		t.Errorf("%q %q", head, body)
	}
}

// row21Plain: who speaks HTTP without TLS reads one sentence.
func row21Plain(t *testing.T, a *target) {
	for _, raw := range []string{"GET / HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n", "POST /p/clear HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "PROPFIND / HTTP/1.1\r\n\r\n"} {
		conn, err := net.Dial("tcp", a.edge.https)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, raw)
		method, _, _ := strings.Cut(raw, " ")
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 400 || !resp.Close || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || resp.Header.Get("Date") == "" ||
			method != "HEAD" && !strings.Contains(string(body), "This port speaks HTTPS") {
			t.Errorf("%q: %+v %q, %v", raw, resp, body, err)
		}
		conn.Close()
	}
	// What is neither gets nothing.
	for _, raw := range []string{"\x00\x01\x02\x03\x04\x05\x06", "SSH-2.0-x\r\n", "get / HTTP/1.1\r\n\r\n"} {
		conn, err := net.Dial("tcp", a.edge.https)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, raw)
		if got, _ := io.ReadAll(conn); strings.Contains(string(got), "HTTP/1") {
			t.Errorf("%q: %q", raw, got)
		}
		conn.Close()
	}
}

// row21Handshakes: protocols and suites.
func row21Handshakes(t *testing.T, a *target) {
	dial := func(cfg *tls.Config) (*tls.Conn, error) {
		cfg.RootCAs = a.roots
		conn, err := tls.Dial("tcp", a.edge.https, cfg)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(patience))
		}
		return conn, err
	}
	// ALPN «http/1.0» is the server of HTTP/1.1.
	conn, err := dial(&tls.Config{ServerName: a.host, NextProtos: []string{"http/1.0"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.ask(t, &rawConn{conn, t, bufio.NewReader(conn)}, "/p/alpn"); got.status != 200 {
		t.Errorf("%+v", got)
	}
	// No name: the alert says so.
	var alert tls.AlertError
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		const unrecognizedName = 112 // RFC 6066, 9
		if _, err := dial(&tls.Config{InsecureSkipVerify: true, MaxVersion: version}); !errors.As(err, &alert) && !strings.Contains(fmt.Sprint(err), "unrecognized name") || alert != 0 && alert != unrecognizedName {
			t.Errorf("without a name: %v", err)
		}
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		aead := strings.Contains(s.Name, "GCM") || strings.Contains(s.Name, "CHACHA20")
		if s.SupportedVersions[len(s.SupportedVersions)-1] > tls.VersionTLS12 {
			continue
		}
		_, err := dial(&tls.Config{ServerName: a.host, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{s.ID}})
		if err == nil && (!aead || !strings.HasPrefix(s.Name, "TLS_ECDHE")) {
			t.Errorf("the edge takes %s", s.Name)
		}
	}
	if _, err := dial(&tls.Config{ServerName: a.host, MaxVersion: tls.VersionTLS12}); err != nil {
		t.Errorf("no suite of TLS 1.2 is left: %v", err)
	}
}

// row21Version: the workload says which version it speaks, in a way that reaches the
// client.
func row21Version(t *testing.T, a *target) {
	a.rec.on("/ws/old", script{answer: func(conn net.Conn, m *message) bool {
		if m.get("Upgrade") != "websocket" || m.get("Sec-WebSocket-Version") != "8" {
			return recite(conn, m)
		}
		io.WriteString(conn, "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n")
		return true
	}})
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/ws/old", route: "socket", status: 426})
	c.send(a.fill(head("GET", "/ws/old")+strings.Replace(handshake, "Version: 13", "Version: 8", 1), id))
	got := c.must("GET")
	if got.status != 426 || got.header.Get("Sec-WebSocket-Version") != "13" || got.header.Get("Upgrade") != "websocket" || got.close {
		t.Errorf("%+v", got)
	}
	if got := a.ask(t, c, "/p/after"); got.status != 200 {
		t.Errorf("afterwards: %+v", got)
	}
}

// row21Host: the workload sees the host in one form, over either version.
func row21Host(t *testing.T, a *target) {
	for written, want := range map[string]string{strings.ToUpper(a.host): a.host, a.host + ".": a.host, a.host + ":443": a.host, strings.ToUpper(a.host) + ".:8443": a.host + ":8443"} {
		m := a.accepted(t, "GET /p/host HTTP/1.1\r\nHost: "+written+"\r\nX-Request-Id: {id}\r\n\r\n", "p", "GET", "/p/host", "")
		if m.get("Host") != want || m.get("X-Forwarded-Host") != want {
			t.Errorf("%q: the workload received %v", written, m)
		}
		id := a.newID()
		a.expect(id, delivery{method: "GET", target: "/p/host", route: "p", status: 200})
		c := a.dialHTTP2(t)
		fields := a.request2("GET", "/p/host", id)
		fields[5] = written // :authority
		c.headers(1, true, fields)
		if got := c.outcome(1); got != "200" {
			t.Fatalf("%q over HTTP/2: %s", written, got)
		}
		if m := a.rec.find(t, id); m.get("Host") != want {
			t.Errorf("%q over HTTP/2: the workload received %v", written, m)
		}
	}
	a.refused(t, "GET /p/host HTTP/1.1\r\nHost: "+a.host+":99999\r\n\r\n", mezu.CodeNotCanonical)
}
