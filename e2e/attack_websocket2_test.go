package e2e

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
)

// webSocket2 is an extended CONNECT (RFC 8441).
func (a *target) webSocket2(path, id string) []string {
	return []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", a.host, ":path", path, "x-request-id", id,
		"sec-websocket-version", "13", "sec-websocket-extensions", "permessage-deflate", "sec-websocket-protocol", "chat", "sec-websocket-key", "bWluZSwgbm90IHRoZWlycw=="}
}

// accept is what a workload says to a handshake.
func accept(m *message) string {
	sum := sha1.Sum([]byte(m.get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// data reads DATA of a stream until so many bytes came, or its end.
func (c *h2raw) data(stream uint32, n int) (got []byte, ended bool) {
	for len(got) < n {
		f, err := c.f.ReadFrame()
		if err != nil {
			c.t.Fatal(err)
		}
		if d, ok := f.(*http2.DataFrame); ok && d.StreamID == stream {
			if got = append(got, d.Data()...); d.StreamEnded() {
				return got, true
			}
		}
		if f.Header().Type == http2.FrameRSTStream {
			c.t.Fatalf("after %d bytes: %v", len(got), f)
		}
	}
	return got, false
}

// attackWebSocket2 checks WebSockets over HTTP/2 (RFC 8441): the workload sees an upgrade of
// HTTP/1.1 with a key of the edge's own, bytes go both ways untouched, and each direction ends by
// itself. An answer that doesn't open one is never taken for one that does.
func attackWebSocket2(t *testing.T, a *target) {
	a.rec.on("/ws/echo2", script{answer: func(conn net.Conn, m *message) bool {
		if m.get("Upgrade") != "websocket" || m.get("Sec-WebSocket-Extensions") != "permessage-deflate" || m.get("Sec-WebSocket-Protocol") != "chat" || m.count("Sec-WebSocket-Key") != 1 || m.get("Sec-WebSocket-Key") == "bWluZSwgbm90IHRoZWlycw==" {
			t.Errorf("the workload received %v", m)
		}
		io.WriteString(conn, accept(m)+"at once ")
		io.Copy(conn, conn)
		io.WriteString(conn, "the end")
		return false
	}})
	a.rec.on("/ws/wrong2", script{answer: func(conn net.Conn, _ *message) bool {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
		return false
	}})
	a.rec.says("/ws/page2", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true)
	a.rec.says("/ws/no2", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", true)
	c := a.dialHTTP2(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/ws/echo2", route: "socket", status: 101})
	c.headers(1, false, a.webSocket2("/ws/echo2", id))
	if got := c.outcome(1); got != "200" {
		t.Fatalf("status %s", got)
	}
	sent := bytes.Repeat([]byte("\x81\x85masked"), 2000)
	c.f.WriteData(1, false, sent)
	got, ended := c.data(1, len("at once ")+len(sent))
	if string(got) != "at once "+string(sent) || ended {
		t.Errorf("%d bytes came back, ended: %v", len(got), ended)
	}
	c.f.WriteData(1, true, nil)
	if got, ended := c.data(1, 1<<20); string(got) != "the end" || !ended {
		t.Errorf("after the half-close came %q, ended: %v", got, ended)
	}
	for i, want := range []struct{ path, status, route string }{{"/ws/wrong2", "502", "socket"}, {"/ws/page2", "502", "socket"}, {"/ws/no2", "403", "socket"}, {"/nows/x", "502", "no-socket"}, {"/.mezu/probe?hop=edge", "501", ""}} {
		id := a.newID()
		if want.route != "" {
			a.expect(id, delivery{method: "GET", target: want.path, route: want.route, any: true})
		}
		stream := uint32(2*i + 3)
		c.headers(stream, false, a.webSocket2(want.path, id))
		if got := c.outcome(stream); got != want.status {
			t.Errorf("%s: status %s and not %s", want.path, got, want.status)
		}
	}
}
