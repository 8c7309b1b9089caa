package edge_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/edge"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/testkit/frames"
)

// attacked is an edge of which one address may take little, but 127.0.0.1 all.
type attacked struct {
	*world
	edge *edge.Edge
	host string
}

// from makes a connection from another address of this machine, nil if its handshake fails.
func (a *attacked) from(address byte, protocol string) *tls.Conn {
	a.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, address)}, Timeout: frames.Patience}
	raw, err := d.Dial("tcp", a.edge.HTTPSAddr())
	if err != nil {
		a.t.Skipf("this system has one loopback address only: %v", err)
	}
	a.t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(frames.Patience))
	name, _, _ := strings.Cut(a.host, ":")
	c := tls.Client(raw, &tls.Config{RootCAs: a.in.Roots, ServerName: name, NextProtos: []string{protocol}})
	if c.Handshake() != nil {
		raw.Close()
		return nil
	}
	return c
}

// ask sends one request of HTTP/1.1.
func (a *attacked) ask(c *tls.Conn, r *bufio.Reader, path string) (*http.Response, string) {
	a.t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, a.host)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp, string(body)
}

// TestUnderAttack: an address gets what one may have of an edge and no more, and nobody else
// notices.
func TestUnderAttack(t *testing.T) {
	w := newWorld(t)
	a := &attacked{world: w, host: strings.TrimPrefix(w.env.URL, "https://")}
	a.edge = w.startLimited("edge-2", shed.Allowances{Connections: 6, Handshakes: 1, HandshakeBurst: 20, Requests: 1, RequestBurst: 100,
		Unlimited: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	good := w.browserOf(a.edge)
	controltest.Eventually(t, "the Warpgate to be connected", func() bool { return good.get("/.mezu/probe").StatusCode == 204 })
	for name, test := range map[string]func(a *attacked){"Connections": manyConnections, "Handshakes": manyHandshakes, "Requests": manyOfOne, "Scanner": scanner, "ScannerHTTP2": scannerHTTP2} {
		t.Run(name, func(t *testing.T) {
			of := *w
			of.t = t
			test(&attacked{world: &of, edge: a.edge, host: a.host})
			for range 30 { // more than any of the limits is for others
				good.client.CloseIdleConnections()
				good.says(good.get("/"), "GET /")
			}
		})
	}
	for _, limit := range []string{"connections", "handshakes", "requests", "refusals"} {
		if !strings.Contains(w.log.String(), "msg=\"a client is limited\" limit="+limit+" address=127.0.0.") {
			t.Errorf("the log tells nothing of %s", limit)
		}
	}
}

func manyConnections(a *attacked) {
	var in []*tls.Conn
	for range 10 {
		if c := a.from(2, "http/1.1"); c != nil {
			in = append(in, c)
		}
	}
	if len(in) != 6 {
		a.t.Errorf("%d came in", len(in))
	}
	in[0].Close()
	controltest.Eventually(a.t, "another one to come in", func() bool { return a.from(2, "http/1.1") != nil })
}

func manyHandshakes(a *attacked) {
	begin, in := time.Now(), 0
	for range 30 {
		if c := a.from(3, "http/1.1"); c != nil {
			in++
			c.Close()
		}
	}
	if most := 20 + int(time.Since(begin)/time.Second) + 1; in < 20 && in < most-2 || in > most {
		a.t.Errorf("%d came in", in)
	}
}

// manyOfOne sends requests over both versions, each from an address of its own.
func manyOfOne(a *attacked) {
	c := a.from(4, "http/1.1")
	r := bufio.NewReader(c)
	for i := range 100 {
		if resp, body := a.ask(c, r, "/"); resp.StatusCode != 200 {
			a.t.Fatalf("request %d: %s %s", i, resp.Status, body)
		}
	}
	for range 10 {
		if resp, body := a.ask(c, r, "/"); resp.StatusCode == 429 {
			if wait := resp.Header.Get("Retry-After"); wait != "1" || !strings.Contains(body, string(mezu.CodeRateLimited)) {
				a.t.Errorf("Retry-After: %s, %s", wait, body)
			}
			break
		}
	}
	two := frames.Client(a.t, a.from(5, "h2"), frames.Options{Refill: true})
	status := map[string]int{}
	for i := range 110 {
		two.Headers(odd(i), true, ":method", "GET", ":scheme", "https", ":authority", a.host, ":path", "/")
		status[two.End(odd(i))]++
	}
	if status["200"] < 100 || status["429"] == 0 {
		a.t.Errorf("over HTTP/2: %v", status)
	}
}

// scanner is refused until it is known, and served what it may have afterwards as before.
func scanner(a *attacked) {
	c := a.from(6, "http/1.1")
	r := bufio.NewReader(c)
	for i := 0; ; i++ {
		resp, body := a.ask(c, r, fmt.Sprint("/my/", i))
		if resp.StatusCode != 401 || resp.Header.Get(mezu.HeaderRequestID) == "" || i > 80 {
			a.t.Fatalf("refusal %d: %s %s", i, resp.Status, body)
		}
		if !strings.Contains(body, "detail") {
			if i < 60 || !resp.Close || resp.Header.Get("WWW-Authenticate") == "" {
				a.t.Errorf("refusal %d: %v %s", i, resp.Header, body)
			}
			break
		}
	}
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		a.t.Errorf("the connection goes on: %d, %v", n, err)
	}
	c = a.from(6, "http/1.1")
	if resp, body := a.ask(c, bufio.NewReader(c), "/"); resp.StatusCode != 200 || resp.Close {
		a.t.Errorf("what is allowed: %s %s", resp.Status, body)
	}
}

func scannerHTTP2(a *attacked) {
	get := func(c *frames.Conn, stream uint32, path string) string {
		c.Headers(stream, true, ":method", "GET", ":scheme", "https", ":authority", a.host, ":path", path)
		return c.End(stream)
	}
	busy := frames.Client(a.t, a.from(7, "h2"), frames.Options{Refill: true})
	busy.Headers(odd(90), true, ":method", "GET", ":scheme", "https", ":authority", a.host, ":path", "/stream")
	if s, ok := busy.WaitStream(odd(90), func(s *frames.Stream) bool { return s.Status == "200" }); !ok {
		a.t.Fatalf("%+v", s)
	}
	c := frames.Client(a.t, a.from(7, "h2"), frames.Options{Refill: true})
	i := 0
	for ; i < 80; i++ {
		if got := get(c, odd(i), "/my/"); got != "401" {
			a.t.Fatalf("refusal %d: %s, %v", i, got, c)
		}
		if !bytes.Contains(c.Stream(odd(i)).Body, []byte("detail")) {
			break
		}
	}
	if code, _, ok := c.WaitAway(); !ok || code != http2.ErrCodeNo || i < 60 || !c.Closed() {
		a.t.Errorf("after %d refusals: %v, %v", i, code, ok)
	}
	// What is under way on the connection of a refusal goes on.
	if got := get(busy, odd(91), "/my/"); got != "401" {
		a.t.Errorf("beside a stream: %s, %v", got, busy)
	}
	if _, last, ok := busy.WaitAway(); !ok || last < odd(91) {
		a.t.Errorf("told to leave %v, %d", ok, last)
	}
	if s := busy.Stream(odd(90)); !busy.Ping() || s.Ended || s.Reset != nil {
		a.t.Errorf("what was under way was cut: %v", busy)
	}
	busy.Close()
}
