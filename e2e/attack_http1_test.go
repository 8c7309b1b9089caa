package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// attackRoutes are the routes of attack tests. There is none for "/": what is
// not named is not open.
func attackRoutes() []mezu.Route {
	no := false
	return []mezu.Route{
		{Name: "public", Prefix: "/public"},
		{Name: "secret", Prefix: "/public/secret", Auth: mezu.AuthRequired},
		{Name: "admin", Prefix: "/admin", Auth: mezu.AuthRequired},
		{Name: "p", Prefix: "/p/"},
		{Name: "zero", Exact: "/exact/0"},
		{Name: "slashes", Prefix: "/s/", EncodedSlashes: true},
		{Name: "socket", Prefix: "/ws/"},
		{Name: "no-socket", Prefix: "/nows/", WebSocket: &no},
		{Name: "unenforced", Prefix: "/unenforced", Auth: mezu.AuthRequired, AuthMethods: []string{"basic"}},
		{Name: "small", Prefix: "/small", MaxBody: 1000},
		{Name: "tier", Prefix: "/tier", Headers: map[string]string{"X-Tier": "gold"}},
		{Name: "get-only", Prefix: "/get", Methods: []string{"GET", "HEAD"}},
		{Name: "denied", Prefix: "/denied", DenyIPs: []string{"127.0.0.0/8"}},
		{Name: "elsewhere", Prefix: "/elsewhere", AllowIPs: []string{"10.0.0.0/8"}},
		{Name: "quick", Prefix: "/quick", Timeout: mezu.Duration(1e9)},
		{Name: "absent", Prefix: "/absent", Upstream: "127.0.0.1:1"},
	}
}

// TestAttack sends raw bytes to a real edge, before a real Warpgate with a
// recording workload. At the end everything that the workload received is
// compared with what was accepted.
func TestAttack(t *testing.T) {
	t.Parallel()
	a := newTarget(t, attackRoutes()...)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *target)
	}{
		{"P1 length beside coding", attackP1}, {"P2 lengths", attackP2}, {"P3 codings", attackP3}, {"P5 chunks", attackP5},
		{"P6 chunk extensions", attackP6}, {"P7 lines", attackP7}, {"P9 hosts", attackP9}, {"P10 absolute form", attackP10},
		{"P13 bodies like requests", attackP13}, {"P15 methods", attackP15}, {"P16 h2c", attackP16}, {"P17 WebSocket refused", attackP17},
		{"P18 responses", attackP18}, {"P25 sizes", attackP25}, {"P31 server names", attackP31}, {"P32 split hello", attackP32},
		{"P11 HTTP2 heads", attackP11}, {"P12 HTTP2 lengths", attackP12}, {"P21 rapid reset", attackP21}, {"P22 made resets", attackP22}, {"P23 frame floods", attackP23},
		{"R1 dot segments", attackR1}, {"R2 encoded slashes", attackR2}, {"R4 semicolons", attackR4}, {"R5 escapes", attackR5},
		{"R7 near misses", attackR7}, {"R8 prefixes", attackR8}, {"R10 host forms", attackR10}, {"R12 unenforced", attackR12},
		{"R15 override", attackR15}, {"H1 reserved fields", attackH1}, {"H2 look-alikes", attackH2}, {"H3 Connection", attackH3},
		{"H9 client address", attackH9}, {"header conditions", attackConditions}, {"A11 other planes", attackA11}, {"request id", attackRequestID}, {"WebSocket", attackWebSocket}, {"WebSocket over HTTP2", attackWebSocket2}, {"mutations", attackMutations},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, a)
			a.alive(t)
		})
	}
	a.settle(t)
}

const bad = mezu.CodeNotCanonical

// head is the start of a request to a path.
func head(method, path string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n"
}

func attackP1(t *testing.T, a *target) {
	smuggled := "GET /p/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"
	for _, raw := range []string{
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled,
		"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + smuggled,
		"content-length: 60\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n" + smuggled,
	} {
		a.refused(t, head("POST", "/p/1")+raw, bad)
	}
}

func attackP2(t *testing.T, a *target) {
	for _, v := range []string{
		"Content-Length: 1\r\nContent-Length: 1", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: 1, 1", "Content-Length: +1",
		"Content-Length: 0x1", "Content-Length:", "Content-Length:  \t", "Content-Length: -1", "Content-Length: 99999999999999999999",
		"Content-Length: 18446744073709551617", "Content-Length: 1 1", "Content-Length: 1;", "Content-Length: 1.0",
	} {
		a.refused(t, head("POST", "/p/2")+v+"\r\n\r\nX", bad)
	}
}

func attackP3(t *testing.T, a *target) {
	for _, v := range []string{"xchunked", "identity", "chunked, chunked", "\x0bchunked", "chunked, gzip", "gzip, chunked", "chunked;x=1", "", "chunked,"} {
		a.refused(t, head("POST", "/p/3")+"Transfer-Encoding: "+v+"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", bad, mezu.CodeNotImplemented)
	}
	a.refused(t, head("POST", "/p/3")+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad)
	for _, v := range []string{"CHUNKED", "Chunked", " chunked\t"} {
		a.accepted(t, head("POST", "/p/3")+"Transfer-Encoding: "+v+"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "p", "POST", "/p/3", "hello")
	}
}

func attackP5(t *testing.T, a *target) {
	for _, body := range []string{
		"5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
		"1_0\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n",
		"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n0\r\nX : y\r\n\r\n", "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
	} {
		a.broken(t, head("POST", "/p/5")+"Transfer-Encoding: chunked\r\n\r\n"+body)
	}
	// Framing and routing fields of a trailer section steer nothing.
	m := a.accepted(t, head("POST", "/p/5")+"Transfer-Encoding: chunked\r\n\r\n5;ok=\"1\"\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: b\r\nX-Mezu-User-Id: root\r\n\r\n",
		"p", "POST", "/p/5", "hello")
	if m.get("X-Mezu-User-Id") != "" {
		t.Errorf("the workload received %v", m)
	}
}

func attackP6(t *testing.T, a *target) {
	long := strings.Repeat("x", 16<<10)
	a.broken(t, head("POST", "/p/6")+"Transfer-Encoding: chunked\r\n\r\n1;"+long+"\r\na\r\n0\r\n\r\n")
	// Short extensions add up, too: the edge stops long before it has read ten
	// times the body.
	a.broken(t, head("POST", "/p/6")+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1;"+long[:200]+"\r\na\r\n", 2000)+"0\r\n\r\n")
}

func attackP7(t *testing.T, a *target) {
	for _, fields := range []string{
		"X: a\n\r\n", "X: a\r\n b\r\n\r\n", "X: a\r\n\tb\r\n\r\n", "X: a\rb\r\n\r\n", "X: a\x00b\r\n\r\n", "X : a\r\n\r\n", "X\t: a\r\n\r\n",
		"X\xe9: a\r\n\r\n", "X(: a\r\n\r\n", "X\r\n\r\n", ": a\r\n\r\n", "X: a\x7f\r\n\r\n", "X: a\x01\r\n\r\n", "X: a\n\n", "\r X: a\r\n\r\n",
	} {
		a.refused(t, head("GET", "/p/7")+fields, bad)
	}
	for _, raw := range []string{
		"GET /p/7 HTTP/1.1\r\n X: a\r\nHost: {host}\r\n\r\n", "GET /p/7 HTTP/1.1\nHost: {host}\n\n", "\r\n\r\nGET /p/7 HTTP/1.1\r\nHost: {host}\r\n\r\n", "\nGET /p/7 HTTP/1.1\r\nHost: {host}\r\n\r\n",
		"GET  /p/7 HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /p/7  HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET\t/p/7 HTTP/1.1\r\nHost: {host}\r\n\r\n",
		"GET /p/7 HTTP/1.1 \r\nHost: {host}\r\n\r\n", "GET /p/7\r\nHost: {host}\r\n\r\n", "GET /p/7 HTTP/2.0\r\nHost: {host}\r\n\r\n",
		"GET /p/7 HTTP/1.2\r\nHost: {host}\r\n\r\n", "GET /p/7 http/1.1\r\nHost: {host}\r\n\r\n", "G\x00ET /p/7 HTTP/1.1\r\nHost: {host}\r\n\r\n",
		" GET /p/7 HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /p/7#x HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /p/\x7f HTTP/1.1\r\nHost: {host}\r\n\r\n",
	} {
		a.refused(t, raw, bad)
	}
}

func attackP9(t *testing.T, a *target) {
	for _, hosts := range []string{
		"", "Host: {host}\r\nHost: {host}\r\n", "Host: {host}\r\nhost: other.localhost\r\n", "Host: user@{host}\r\n", "Host: {host}/b\r\n", "Host: [::1\r\n",
		"Host:\r\n", "Host:  \r\n", "Host: {host}:\r\n", "Host: {host}:x\r\n", "Host: {host}:99999\r\n", "Host: a {host}\r\n", "Host: {host},{host}\r\n",
		"Host : {host}\r\n", "Host: {host}\x00\r\n", "Host: {host}#\r\n", "Host: {host}?\r\n", "Host: {host}..\r\n", "Host: .{host}\r\n", "Host: h\xc3\xa9.localhost\r\n",
	} {
		a.refused(t, "GET /p/9 HTTP/1.1\r\n"+hosts+"X-Request-Id: {id}\r\n\r\n", bad)
	}
	// A space after the colon is no part of the value.
	a.accepted(t, "GET /p/9 HTTP/1.1\r\nHost:  {host} \r\nX-Request-Id: {id}\r\n\r\n", "p", "GET", "/p/9", "")
}

func attackP10(t *testing.T, a *target) {
	for _, target := range []string{"http://b.localhost/p/10", "https://user@{host}/p/10", "https://{host}.evil/p/10", "https://{host}:80@b/p/10", "http:///p/10", "//{host}/p/10 x", "ftp://{host}/p/10", "*", "{host}:443", "p/10"} {
		a.refused(t, "GET "+target+" HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n\r\n", bad)
	}
	for _, form := range []string{"https://{host}/p/10", "http://{host}/p/10", "HTTPS://{host}:443/p/10"} {
		m := a.accepted(t, "GET "+form+" HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n\r\n", "p", "GET", "/p/10", "")
		if m.get("Host") != a.host {
			t.Errorf("the workload received Host %q", m.get("Host"))
		}
	}
}

func attackP13(t *testing.T, a *target) {
	smuggled := "GET /p/smuggled HTTP/1.1\r\nHost: " + a.host + "\r\nX-Request-Id: smuggled\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(smuggled))
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS"} {
		a.accepted(t, head(method, "/p/13")+length+smuggled, "p", method, "/p/13", smuggled)
	}
	// Refused by the edge: the body is no request.
	for path, code := range map[string]mezu.Code{"/none": mezu.CodeNoRoute, "/admin": mezu.CodeUnauthenticated, "/unenforced": mezu.CodeRouteUnavailable} {
		c := a.dial(t)
		c.send(a.fill(head("POST", path)+length+smuggled, "p13-refused") + a.fill("GET /none HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", ""))
		if got := c.must("POST"); got.code != string(code) {
			t.Errorf("%s: answer is %d %s", path, got.status, got.code)
		}
		if got, err := c.read("GET"); err == nil && got.code != "no_route" {
			t.Errorf("%s: the second answer is %d %s", path, got.status, got.body)
		}
		c.ended()
	}
	// Answered early by the workload, which leaves the body unread: whatever
	// becomes of the connection, no second request appears.
	for _, size := range []int{len(smuggled), 1 << 20} {
		body := strings.Repeat(smuggled, size/len(smuggled))
		for path, answer := range map[string]string{
			"/p/13/early":    "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
			"/p/13/redirect": "HTTP/1.1 302 Found\r\nLocation: /p/elsewhere\r\nContent-Length: 0\r\n\r\n",
		} {
			ended := make(chan struct{})
			a.rec.on(path, script{early: true, ended: sync.OnceFunc(func() { close(ended) }), answer: func(conn net.Conn, _ *message) bool {
				io.WriteString(conn, answer)
				return false
			}})
			id := a.newID()
			a.expect(id, delivery{method: "POST", target: path, body: body, route: "p", any: true})
			c := a.dial(t)
			c.send(a.fill(head("POST", path), id) + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)))
			go io.WriteString(c.Conn, body)
			if got := c.must("POST"); got.status != 403 && got.status != 302 {
				t.Errorf("answer is %d %s", got.status, got.body)
			}
			c.Conn.Close()
			// It ends a connection that it said would stay, and the next request must not
			// take that one in the same moment.
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("the workload's connection goes on")
			}
		}
	}
}

func attackP15(t *testing.T, a *target) {
	for _, raw := range []string{
		"CONNECT {host}:443 HTTP/1.1\r\n", "CONNECT /p/15 HTTP/1.1\r\n", "CONNECT / HTTP/1.1\r\n", "TRACE /p/15 HTTP/1.1\r\n", "TRACK /p/15 HTTP/1.1\r\n",
		"get /p/15 HTTP/1.1\r\n", "Get /p/15 HTTP/1.1\r\n", "GET! /p/15 HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", strings.Repeat("G", 100) + " /p/15 HTTP/1.1\r\n",
	} {
		a.refused(t, raw+"Host: {host}\r\nX-Request-Id: {id}\r\n\r\n", mezu.CodeNotImplemented, mezu.CodeMethodNotAllowed, bad)
	}
	got := a.refused(t, head("POST", "/get")+"Content-Length: 0\r\n\r\n", mezu.CodeMethodNotAllowed)
	if got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow is %q", got.header.Get("Allow"))
	}
}

func attackP16(t *testing.T, a *target) {
	for _, fields := range []string{
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c\r\n", "Upgrade: h2c, websocket\r\nConnection: upgrade\r\n", "Upgrade: TLS/1.0\r\nConnection: upgrade\r\n",
		"Upgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n",
	} {
		m := a.accepted(t, head("GET", "/ws/16")+fields+"\r\n", "socket", "GET", "/ws/16", "")
		if m.count("Upgrade")+m.count("HTTP2-Settings")+m.count("Connection") > 0 {
			t.Errorf("the workload received %v", m)
		}
	}
}

// handshake is the rest of a WebSocket handshake.
const handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func attackP17(t *testing.T, a *target) {
	for path, answer := range map[string]string{
		"/ws/200": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
		"/ws/426": "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
	} {
		a.rec.says(path, answer, false)
		c := a.dial(t)
		first, second := a.newID(), a.newID()
		a.expect(first, delivery{method: "GET", target: path, route: "socket"})
		// What is pipelined behind is a request, never bytes for the workload.
		c.send(a.fill(head("GET", path)+handshake, first) + a.fill(head("GET", "/admin")+"\r\n", second))
		if got := c.must("GET"); got.status != 200 && got.status != 426 {
			t.Errorf("answer is %d %s", got.status, got.body)
		}
		if got, err := c.read("GET"); err == nil && got.code != "unauthenticated" {
			t.Errorf("the pipelined request was answered with %d %s", got.status, got.body)
		}
		c.Conn.Close()
	}
	attackP17Versions(t, a)
	// A 101 that nobody asked for ends the exchange.
	a.rec.says("/p/101", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false)
	a.badResponse(t, "/p/101")
	a.rec.says("/ws/101-other", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", false)
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/ws/101-other", route: "socket", status: 502})
	c.send(a.fill(head("GET", "/ws/101-other")+handshake, id))
	if got := c.must("GET"); got.code != "workload_bad_response" {
		t.Errorf("answer is %d %s", got.status, got.code)
	}
}

// attackP17Versions: a version that nobody speaks comes to the workload, which can say
// so; whatever it answers, the connection goes on in HTTP. What is no version at all
// is no upgrade.
func attackP17Versions(t *testing.T, a *target) {
	old := strings.Replace(handshake, "Version: 13", "Version: 12", 1)
	m := a.accepted(t, head("GET", "/ws/version")+old, "socket", "GET", "/ws/version", "")
	if m.get("Upgrade") != "websocket" || !strings.EqualFold(m.get("Connection"), "upgrade") || m.get("Sec-WebSocket-Version") != "12" {
		t.Errorf("the workload received %v", m)
	}
	for _, v := range []string{"", "x", "256", "13, 12", "-13", "013"} {
		m := a.accepted(t, head("GET", "/ws/none")+strings.Replace(handshake, "Version: 13", "Version: "+v, 1), "socket", "GET", "/ws/none", "")
		if m.count("Upgrade") > 0 {
			t.Errorf("version %q: the workload received %v", v, m)
		}
	}
	a.rec.says("/ws/101-old", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false)
	c := a.dial(t)
	id, next := a.newID(), a.newID()
	a.expect(id, delivery{method: "GET", target: "/ws/101-old", route: "socket", status: 502})
	c.send(a.fill(head("GET", "/ws/101-old")+old, id) + a.fill(head("GET", "/admin")+"\r\n", next))
	if got := c.must("GET"); got.code != "workload_bad_response" {
		t.Errorf("answer is %d %s", got.status, got.code)
	}
	if got := c.must("GET"); got.code != "unauthenticated" {
		t.Errorf("the pipelined request was answered with %d %s", got.status, got.code)
	}
}

func attackP25(t *testing.T, a *target) {
	a.refused(t, head("GET", "/p/25")+"X: "+strings.Repeat("x", 1<<20)+"\r\n\r\n", mezu.CodeHeaderTooLarge)
	a.refused(t, head("GET", "/p/25")+strings.Repeat("X: y\r\n", 10_000)+"\r\n", mezu.CodeHeaderTooLarge)
	a.refused(t, head("GET", "/p/25")+strings.Repeat("X: y\r\n", 300)+"\r\n", mezu.CodeHeaderTooLarge)
	a.refused(t, head("GET", "/p/"+strings.Repeat("x", 64<<10))+"\r\n", mezu.CodeURITooLong)
	a.refused(t, head("GET", "/p/"+strings.Repeat("x", 20<<10))+"\r\n", mezu.CodeURITooLong)
	a.refused(t, strings.Repeat("x", 1<<20), mezu.CodeURITooLong)
	long := "/p/" + strings.Repeat("x", 8<<10)
	a.accepted(t, head("GET", long)+"X: "+strings.Repeat("x", 16<<10)+"\r\n\r\n", "p", "GET", long, "")
	a.refused(t, head("POST", "/small")+"Content-Length: 1001\r\n\r\n"+strings.Repeat("x", 1001), mezu.CodeBodyTooLarge)
	id := a.newID()
	a.expect(id, delivery{cut: true})
	c := a.dial(t)
	c.send(a.fill(head("POST", "/small")+"Transfer-Encoding: chunked\r\n\r\n", id) + "3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n")
	if got := c.must("POST"); got.code != "body_too_large" {
		t.Errorf("answer is %d %s", got.status, got.code)
	}
}

// attackWebSocket checks that an upgrade passes where the route allows it, with
// bytes both ways, and nowhere else.
func attackWebSocket(t *testing.T, a *target) {
	a.rec.on("/ws/echo", script{answer: func(conn net.Conn, m *message) bool {
		if m.get("Upgrade") != "websocket" {
			t.Errorf("the workload received %v", m)
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
		io.Copy(conn, conn)
		return false
	}})
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/ws/echo", route: "socket", status: 101})
	c.send(a.fill(head("GET", "/ws/echo")+handshake, id) + "early ")
	if got := c.must("GET"); got.status != 101 || got.header.Get("Upgrade") != "websocket" || got.header.Get("X-Request-Id") != id {
		t.Fatalf("answer is %d %v", got.status, got.header)
	}
	c.send("late")
	echo := make([]byte, len("early late"))
	if _, err := io.ReadFull(c.in, echo); err != nil || string(echo) != "early late" {
		t.Errorf("echo is %q, %v", echo, err)
	}
	c.CloseWrite()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		t.Errorf("after the half-close came %q, %v", rest, err)
	}
	m := a.accepted(t, head("GET", "/nows/x")+handshake, "no-socket", "GET", "/nows/x", "")
	if m.count("Upgrade")+m.count("Connection") > 0 {
		t.Errorf("the workload received %v", m)
	}
	// A handshake with a body, or by POST, is a plain request.
	m = a.accepted(t, head("POST", "/ws/post")+"Content-Length: 2\r\n"+strings.Replace(handshake, "\r\n\r\n", "\r\n\r\nhi", 1), "socket", "POST", "/ws/post", "hi")
	if m.count("Upgrade") > 0 {
		t.Errorf("the workload received %v", m)
	}
}

// attackRequestID checks that a well-formed id is kept and any other replaced, on
// the way to the workload and back.
func attackRequestID(t *testing.T, a *target) {
	for id, kept := range map[string]bool{
		"A-z_0.9": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a b": false, "a,b": false, "": false, "<script>": false, "\xc3\xa9": false,
	} {
		c := a.dial(t)
		c.send(a.fill("GET /p/id HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n\r\n", id))
		got := c.must("GET")
		made := got.header.Get("X-Request-Id")
		if got.status != 200 || (made == id) != kept || made == "" || len(got.header.Values("X-Request-Id")) != 1 {
			t.Errorf("id %q came back as %q (%d)", id, made, got.status)
		}
		a.expect(made, delivery{method: "GET", target: "/p/id", route: "p", status: 200})
		if m := a.rec.find(t, made); m.count("X-Request-Id") != 1 {
			t.Errorf("the workload received %v", m)
		}
	}
	// A workload's own id does not replace it on the way back.
	a.rec.says("/p/own-id", "HTTP/1.1 200 OK\r\nX-Request-Id: forged\r\nContent-Length: 0\r\n\r\n", false)
	id := a.newID()
	c := a.dial(t)
	c.send(a.fill(head("GET", "/p/own-id")+"\r\n", id))
	a.expect(id, delivery{method: "GET", target: "/p/own-id", route: "p", status: 200})
	if got := c.must("GET"); got.header.Get("X-Request-Id") != id || len(got.header["X-Request-Id"]) != 1 {
		t.Errorf("ids are %q", got.header["X-Request-Id"])
	}
	// Two ids: one is kept or one made, never both sent on.
	c = a.dial(t)
	c.send(a.fill("GET /p/id HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: one\r\nX-Request-Id: two\r\n\r\n", ""))
	made := c.must("GET").header.Get("X-Request-Id")
	a.expect(made, delivery{method: "GET", target: "/p/id", route: "p", status: 200})
	if m := a.rec.find(t, made); m.count("X-Request-Id") != 1 {
		t.Errorf("the workload received %v", m)
	}
}
