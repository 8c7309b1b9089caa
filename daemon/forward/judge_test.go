package forward_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/preface"
)

// TestSecondLine: an edge that sends what the bundle forbids gets nothing past
// the Warpgate.
func TestSecondLine(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	for name, raw := range map[string]string{
		"forbidden address":            getOf("/internal/x"),
		"login required":               getOf("/private/x"),
		"method":                       getOf("/posted/x"),
		"closed route":                 getOf("/closed/x"),
		"upgrade where none may be":    getOf("/plain/x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
		"encoded slash (R2)":           getOf("/a%2Fb"),
		"reserved path":                getOf("/.mezu/session"),
		"R1 double slash":              getOf("//internal/x"),
		"R1 dot segments":              getOf("/public/../internal/x"),
		"R1 encoded dot segments":      getOf("/public/%2e%2e/internal/x"),
		"R5 escaped NUL":               getOf("/%00"),
		"R5 broken escape":             getOf("/%zz"),
		"escape that needs none":       getOf("/%69nternal/x"),
		"lower-case escape":            getOf("/%e2%82%ac"),
		"backslash":                    getOf(`/a\internal`),
		"absolute form":                getOf("http://app.example/"),
		"P15 TRACE":                    "TRACE / HTTP/1.1\r\nHost: app.example\r\n\r\n",
		"P15 lower case":               "get / HTTP/1.1\r\nHost: app.example\r\n\r\n",
		"H2 look-alike":                getOf("/", "X_Forwarded_For: 6.6.6.6"),
		"H2 look-alike of ours":        getOf("/", "X-Mezu_User_Id: root"),
		"fragment in the query":        getOf("/?a#b"),
		"host with a space":            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"forbidden, with a small body": "POST /internal/x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhello",
		"forbidden, with chunks":       "POST /internal/x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			e := w.connect(false)
			e.t = t
			e.ask(raw)
			if f := e.fails(mezu.CodeRefusedByWarpgate); !f.Unsent {
				t.Error("something is said to have reached the workload")
			}
			e.goesOn() // refusing costs no connection
			e.cancel()
		})
	}
	wl.quiet()
}

// TestMalformedHeads: a head that is no HTTP ends the connection, because
// nothing behind it can be trusted.
func TestMalformedHeads(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	info := string(preface.AppendRequest(nil, &preface.Request{ID: "x"}))
	for name, raw := range map[string]string{
		"P1":                    info + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"P7 bare LF":            info + "GET / HTTP/1.1\nHost: a\n\n",
		"P9 two hosts":          info + "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"no typed head":         newGet,
		"unknown kind":          "\x63\x00\x00\x00",
		"a response":            "\x02\x00\x00\x00",
		"payload cut by length": "\x01\x00\x00\x02ab",
		"endless payload":       "\x01\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			e := w.connect(false)
			e.t = t
			e.write(raw)
			e.ends()
		})
	}
	wl.quiet()
}

// TestPositions: what is not decided alike because one side's bundle is older.
func TestPositions(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	next := mezu.Position{Epoch: 1, Revision: 8}

	// The edge judged by an older bundle: the answer is the newer one's.
	e := w.connect(false)
	e.askAt(mezu.Position{Epoch: 1, Revision: 6}, getOf("/private/x"))
	e.fails(mezu.CodeUnauthenticated)

	// The edge judged by a newer one: the request waits for it.
	e.askAt(next, getOf("/internal/x"))
	select {
	case <-wl.conns:
		t.Fatal("the request did not wait for the bundle by which it was judged")
	case <-time.After(20 * time.Millisecond):
	}
	open := compile(t, next, mezu.Route{Exact: "/internal/x"})
	w.table.Store(open)
	s := wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")

	// It never comes: the old bundle decides, after a bounded wait.
	start := time.Now()
	e.askAt(mezu.Position{Epoch: 2, Revision: 1}, getOf("/private/x"))
	e.fails(mezu.CodeRefusedByWarpgate)
	if waited := time.Since(start); waited < time.Second || waited > patience/2 {
		t.Errorf("waited %s", waited)
	}
	e.goesOn()
}

func TestNoConfiguration(t *testing.T) {
	w := newWorld(t, "127.0.0.1:9")
	w.table.Store(nil)
	e := w.connect(false)
	e.askAt(mezu.Position{}, newGet)
	if f := e.fails(mezu.CodeRouteUnavailable); !f.Unsent {
		t.Error("not said to be unsent")
	}
	// Whoever waits for a bundle does not outlive its connection.
	e.ask(newGet)
	e.cancel()
	receive(t, e.done, "end")
}

func TestTargets(t *testing.T) {
	wl, second := tcpWorkload(t), tcpWorkload(t)
	w := newWorld(t, wl.addr(), second.addr())
	e := w.connect(false)
	e.ask(getOf("/foreign/x"))
	if f := e.fails(mezu.CodeUpstreamNotAllowed); !f.Unsent || strings.Contains(f.Detail, "127.0.0.1") {
		t.Errorf("%+v", f)
	}
	e.ask(getOf("/allowed0/x"))
	s := second.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
	wl.quiet()

	none := newWorld(t, "")
	e = none.connect(false)
	e.ask(newGet)
	e.fails(mezu.CodeUpstreamNotAllowed)
	e.goesOn()
}

// TestWorkloadDown: no answer is an answer, and costs no connection.
func TestWorkloadDown(t *testing.T) {
	wl := tcpWorkload(t)
	addr := wl.addr()
	wl.l.Close()
	for _, scheme := range []string{"http://", "https://", "h2c://"} {
		w := newWorld(t, scheme+addr)
		e := w.connect(false)
		for range 3 {
			e.ask(newGet)
			if f := e.fails(mezu.CodeWorkloadRefused); !f.Unsent || strings.Contains(f.Detail, addr) {
				t.Errorf("%s: %+v", scheme, f)
			}
			e.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
			e.fails(mezu.CodeWorkloadRefused)
			e.goesOn()
		}
	}
}

// header gives the request that reaches the workload for these field lines.
func header(t *testing.T, path string, lines ...string) (string, *http.Request) {
	t.Helper()
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	e.ask(getOf(path, lines...))
	s := wl.conn()
	raw := s.head()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return raw, r
}

func TestH1ForgedFields(t *testing.T) {
	forged := []string{
		"X-Auth-User", "X-Forwarded-For", "X-FORWARDED-HOST", "x-forwarded-proto", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-User", "X-Forwarded-Anything",
		"Forwarded", "X-Real-IP", "X-Original-URL", "X-Original-Anything", "X-Mezu-User-Id", "x-mezu-user-roles", "X-MEZU-ASSERTION", "X-Mezu-Whatever", "X-Rewrite-URL",
		"X-HTTP-Method-Override", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Remote-User", "X-Request-Id",
	}
	var lines []string
	for _, n := range forged {
		lines = append(lines, n+": forged")
	}
	raw, r := header(t, "/", append(lines, "X-Kept: yes", "Authorization: Bearer theirs", "Cookie: a=b")...)
	if strings.Contains(raw, "forged") {
		t.Errorf("a forged field arrived:\n%s", raw)
	}
	for name, want := range map[string]string{"X-Forwarded-For": client.String(), "X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example", "X-Request-Id": "id-1",
		"X-Kept": "yes", "Authorization": "Bearer theirs", "Cookie": "a=b"} {
		if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Mezu-") { // H7: anonymous, so none at all
			t.Errorf("%s is there", name)
		}
	}
	if r.Host != "app.example" {
		t.Errorf("host %q", r.Host)
	}
}

func TestH3ConnectionTricks(t *testing.T) {
	raw, r := header(t, "/", "Connection: X-Auth-User, X-Forwarded-Host, X-Forwarded-For, X-Request-Id, X-Mezu-User-Id, Host, X-Mine", "X-Mine: 1", "X-Forwarded-Host: evil",
		"Connection: x-forwarded-proto", "Keep-Alive: 1", "Proxy-Authorization: x", "Proxy-Connection: x", "TE: trailers", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
	for name, want := range map[string]string{"X-Forwarded-For": client.String(), "X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example", "X-Request-Id": "id-1", "Te": "trailers"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"X-Mine", "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Upgrade", "Http2-Settings"} {
		if _, has := r.Header[name]; has {
			t.Errorf("%s goes on:\n%s", name, raw)
		}
	}
}

func TestH9ClientAddress(t *testing.T) {
	_, r := header(t, "/", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4, 5.5.5.5", "X-Forwarded-For: 6.6.6.6")
	if got := r.Header.Values("X-Forwarded-For"); len(got) != 1 || got[0] != client.String() {
		t.Errorf("%q", got)
	}
	// Policy judges the address of the typed head: one inside the range passes.
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	info := preface.Request{ID: "x", Position: position}
	info.Client = client.Next() // not in the range
	e.write(string(preface.AppendRequest(nil, &info)) + getOf("/internal/x", "X-Forwarded-For: 198.51.100.1"))
	e.fails(mezu.CodeRefusedByWarpgate)
	info.Client = netip.MustParseAddr("198.51.100.7")
	e.write(string(preface.AppendRequest(nil, &info)) + getOf("/internal/x"))
	s := wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
}

func TestHostHeader(t *testing.T) {
	_, r := header(t, "/inner/x")
	if r.Host != "inner.example" || r.Header.Get("X-Forwarded-Host") != "app.example" {
		t.Errorf("host %q, forwarded %q", r.Host, r.Header.Get("X-Forwarded-Host"))
	}
}

func TestEvents(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	e.ask("POST /x?secret=1 HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\r\nabc")
	s := wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("POST", 200, "hello")
	got := receive(t, w.events, "event")
	if got.Event != mezu.EventRequest || got.Status != 200 || got.Method != "POST" || got.Path != "/x" || got.BytesIn != 3 || got.BytesOut != 5 || got.ID != "id-1" || got.Route == "" {
		t.Errorf("%+v", got)
	}
	e.ask(getOf("/internal/"))
	e.fails(mezu.CodeRefusedByWarpgate)
	if got := receive(t, w.events, "event"); got.Status != 403 || got.Code != mezu.CodeRefusedByWarpgate {
		t.Errorf("%+v", got)
	}
}

// TestR12_UnknownField: the second line closes a route of which it does not know a
// field, whatever the edge made of it, and no other.
func TestR12_UnknownField(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	var b mezu.Bundle
	if err := json.Unmarshal([]byte(`{"position": {"epoch": 1, "revision": 7}, "environment": "env_00000000000000000000000001", "endpoint": "shop-acme", "enabled": true,
		"routes": [{"prefix": "/"}, {"prefix": "/novel/", "novelty": true}]}`), &b); err != nil {
		t.Fatal(err)
	}
	table, err := policy.Compile(&b)
	if err != nil {
		t.Fatal(err)
	}
	w.table.Store(table)
	e := w.connect(false)
	e.ask(getOf("/novel/x"))
	e.fails(mezu.CodeRefusedByWarpgate)
	wl.quiet()
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
}

// TestRow9_ConditionsJudgeAllValues: the second line takes no request as one that
// carries a header of which any line says something else.
func TestRow9_ConditionsJudgeAllValues(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	w.table.Store(compile(t, position, mezu.Route{Prefix: "/tier/", Headers: map[string]string{"X-Tier": "gold"}}))
	e := w.connect(false)
	for _, lines := range [][]string{
		{}, {"X-Tier: free"}, {"X-Tier: gold", "X-Tier: free"}, {"X-Tier: free", "X-Tier: gold"}, {"X-Tier: gold", "x-tier:"}, {"X-Tier: gold, free"}, {"X-Tier: gold,gold"}, {"X-Tier: Gold"},
		{"X-Tier: gold", "X_Tier: free"}, {"X.Tier: gold"}, {"X-Tier: gold", "Connection: x-tier"},
	} {
		e.ask(getOf("/tier/x", lines...))
		e.fails(mezu.CodeRefusedByWarpgate)
	}
	wl.quiet()
	var s *served
	for _, lines := range [][]string{{"X-Tier: gold"}, {"x-tier:gold\t"}, {"X-Tier: gold", "X-TIER: gold"}} {
		e.ask(getOf("/tier/x", lines...))
		if s == nil {
			s = wl.conn()
		}
		s.request()
		s.answer(ok5)
		e.reads("GET", 200, "hello")
	}
}

// TestRow12_ForeignHosts: what the edge says of the host is not taken on trust.
func TestRow12_ForeignHosts(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	w.f = forward.New(forward.Config{Targets: forward.Targets{Upstream: parse(t, wl.addr())}, Table: w.table.Load, Log: slog.New(slog.DiscardHandler), Serves: func(host string) bool { return host == "app.example" }})
	t.Cleanup(w.f.Close)
	e := w.connect(false)
	for _, host := range []string{"evil.example", "app.example.evil.example", "xapp.example", "127.0.0.1", "[::1]:80", "app.evil.example:443", "app"} {
		e.ask("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		e.fails(mezu.CodeRefusedByWarpgate)
	}
	wl.quiet()
	e.ask("GET / HTTP/1.1\r\nHost: APP.example:8443\r\n\r\n")
	s := wl.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
}

// TestRow10_TrailersAtTheWarpgate: neither an edge nor a workload passes on in trailers
// what belongs before the body.
func TestRow10_TrailersAtTheWarpgate(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	const section = "Authorization: Basic eDp5\r\nCookie: a=b\r\nSet-Cookie: a=b\r\nHost: evil\r\nContent-Type: text/html\r\nIf-None-Match: x\r\nCache-Control: public\r\nX-Mezu-User-Id: root\r\nClient-IP: 10.0.0.1\r\nX-Sum: 1\r\n"
	e.ask("POST / HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization, Cookie, X-Sum, Client-IP\r\n\r\n2\r\nhi\r\n0\r\n" + section + "\r\n")
	s := wl.conn()
	raw := s.head()
	if !strings.Contains(raw, "\r\nTrailer: X-Sum\r\n") {
		t.Errorf("the head announces other trailers:\n%s", raw)
	}
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(raw), s.r)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); err != nil {
		t.Fatal(err)
	}
	if len(r.Trailer) != 1 || r.Trailer.Get("X-Sum") != "1" {
		t.Errorf("the workload receives the trailers %v", r.Trailer)
	}
	s.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, X-Sum\r\n\r\n5\r\nhello\r\n0\r\n" + section + "\r\n")
	resp := e.reads("POST", 200, "hello")
	if len(resp.Trailer) != 1 || resp.Trailer.Get("X-Sum") != "1" {
		t.Errorf("the edge receives the trailers %v", resp.Trailer)
	}
}
