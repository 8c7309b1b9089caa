package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// badResponse asks for a path whose answer must not reach the client.
func (a *target) badResponse(t *testing.T, path string) {
	t.Helper()
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: path, route: "p", status: 502, last: true})
	c.send(a.fill(head("GET", path)+"\r\n", id))
	if got := c.must("GET"); got.status != 502 || got.code != "workload_bad_response" {
		t.Errorf("%s: answer is %d %s %q", path, got.status, got.code, got.body)
	}
	// The client is not to blame and goes on.
	next := a.newID()
	a.expect(next, delivery{method: "GET", target: "/p/after", route: "p", status: 200})
	c.send(a.fill(head("GET", "/p/after")+"\r\n", next))
	if got := c.must("GET"); got.status != 200 || got.body != "GET /p/after\n" {
		t.Errorf("%s: the next answer is %d %q", path, got.status, got.body)
	}
}

func attackP18(t *testing.T, a *target) {
	ok := "HTTP/1.1 200 OK\r\n"
	for i, answer := range []string{
		ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		ok + "Content-Length: 5, 5\r\n\r\nhello", ok + "Content-Length: -1\r\n\r\n", ok + "Content-Length: +5\r\n\r\nhello", ok + "Content-Length:\r\n\r\n",
		ok + "Transfer-Encoding: xchunked\r\n\r\nhello", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		ok + "X: a\rSet-Cookie: b=c\r\n\r\n", ok + "X: a\nSet-Cookie: b=c\r\n\r\n", ok + "X: a\x00b\r\n\r\n", ok + "X: a\r\n b\r\n\r\n", ok + "X : a\r\n\r\n",
		ok + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", ok + strings.Repeat("X: y\r\n", 10_000) + "\r\n",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1000) + ok + "Content-Length: 0\r\n\r\n",
		"SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 099 Low\r\n\r\n", "HTTP/1.1 600 High\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200\nX: y\n\n",
		"\r\n\r\n", strings.Repeat("\x00", 64<<10), "\x15", "garbage",
		// A malformed body behind a proper head, before anything of it has gone on.
		ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX : y\r\n\r\n",
	} {
		path := fmt.Sprintf("/p/18/%d", i)
		a.rec.says(path, answer, false)
		a.badResponse(t, path)
	}
	t.Run("two responses", func(t *testing.T) { attackTwoResponses(t, a) })
	t.Run("cut", func(t *testing.T) { attackCutResponses(t, a) })
	t.Run("early hints", func(t *testing.T) { attackEarlyHints(t, a) })
}

// attackTwoResponses: what follows a response reaches nobody.
func attackTwoResponses(t *testing.T, a *target) {
	evil := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for i, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + evil,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil,
		"HTTP/1.1 204 No Content\r\n\r\n" + evil,
		// A 204 ends with its head, whatever that says (RFC 9112, 6.3). It used to be
		// refused; that nobody sees what follows is what counts.
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + evil,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n" + evil,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + evil,
	} {
		path := fmt.Sprintf("/p/two/%d", i)
		a.rec.says(path, answer, false)
		c := a.dial(t)
		for range 3 {
			id := a.newID()
			a.expect(id, delivery{method: "GET", target: path, route: "p", last: true})
			c.send(a.fill(head("GET", path)+"\r\n", id))
			if got := c.must("GET"); got.body != "ok" && got.body != "" || got.status >= 400 {
				t.Errorf("%q: answer is %d %q", answer, got.status, got.body)
			}
			a.alive(t)
		}
	}
}

// attackCutResponses: a response that ends early is never taken for whole.
func attackCutResponses(t *testing.T, a *target) {
	for i, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		path := fmt.Sprintf("/p/cut/%d", i)
		a.rec.on(path, script{answer: func(conn net.Conn, _ *message) bool { io.WriteString(conn, answer); return false }})
		c := a.dial(t)
		id := a.newID()
		a.expect(id, delivery{method: "GET", target: path, route: "p", last: true})
		c.send(a.fill(head("GET", path)+"\r\n", id))
		if got, err := c.read("GET"); err == nil {
			t.Errorf("%q: the answer counts as whole: %d %q", answer, got.status, got.body)
		}
		c.Conn.Close()
	}
}

// attackEarlyHints: some interim responses pass, each on its own.
func attackEarlyHints(t *testing.T, a *target) {
	a.rec.says("/p/hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 3)+"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false)
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/p/hints", route: "p", status: 200})
	c.send(a.fill(head("GET", "/p/hints")+"\r\n", id))
	if got := c.must("GET"); got.early != 3 || got.body != "ok" {
		t.Errorf("%d interim responses and %q", got.early, got.body)
	}
}
