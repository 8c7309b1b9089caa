package relay_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// genRequest makes the text of a request, mostly a proper one.
func genRequest(t *rapid.T) string {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	var b strings.Builder
	b.WriteString(pick("method", "GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "get") + " ")
	b.WriteString(pick("form", "", "", "", "http://a.example", "https://A.example:443", "http://b"))
	for range rapid.IntRange(1, 4).Draw(t, "segments") {
		b.WriteString("/" + pick("segment", "a", "b.c", "..", ".", "", "%41", "%2f", "%2F..", "%e2%82%ac", "x;y=1", "a:b", "~", "%00", "%zz", "é", "a|b", "\"<>"))
	}
	b.WriteString(pick("query", "", "?", "?q=1&r=%zz", "?/../", "?a?b", "?é") + " ")
	b.WriteString(pick("version", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0") + "\r\n")
	b.WriteString("Host: " + pick("host", "a.example", "A.Example:8443", "a.example.", "[::1]:80", "b") + "\r\n")
	for range rapid.IntRange(0, 6).Draw(t, "fields") {
		b.WriteString(pick("field", "Accept: */*", "X-A:b", "x-a: \t c ", "Cookie: a=b; c=d", "User-Agent: é", "X-Forwarded-For: 1.2.3.4", "X_Forwarded_For: 1",
			"Connection: close, X-A", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Expect: 100-continue", "TE: trailers", "X-Request-Id: abc",
			"Trailer: X-Sum", "X:", "Keep-Alive: 5", "Sec-WebSocket-Key: x") + "\r\n")
	}
	body := rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "body")
	switch pick("framing", "none", "length", "chunked") {
	case "none":
		b.WriteString("\r\n")
	case "length":
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	case "chunked":
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		cut := rapid.IntRange(0, len(body)).Draw(t, "cut")
		b.Write(relay.AppendChunk(relay.AppendChunk(nil, []byte(body[:cut])), []byte(body[cut:])))
		b.WriteString("0\r\n" + pick("trailer", "", "X-Sum: 1\r\n") + "\r\n")
	}
	return b.String()
}

// reserialise gives the bytes that a request leaves in.
func reserialise(m *message) []byte {
	out := m.req.Append(nil)
	switch m.req.Framing {
	case relay.Length:
		out = append(out, m.body...)
	case relay.Chunked:
		out = relay.AppendChunk(out, []byte(m.body))
		out = append(out, "0\r\n"...)
		out = append(out, strings.ReplaceAll(m.trailer, "\n", "\r\n")...)
		out = append(out, "\r\n"...)
	}
	return out
}

// sameRequest compares everything but a made-up id.
func sameRequest(a, b *message) error {
	x, y := a.req, b.req
	x.Fields, y.Fields, x.ID, y.ID = nil, nil, "", ""
	if fmt.Sprint(x) != fmt.Sprint(y) || fieldLines(a.req.Fields) != fieldLines(b.req.Fields) || a.body != b.body || a.trailer != b.trailer {
		return fmt.Errorf("read again it differs:\n%+v %q %q %q\n%+v %q %q %q", x, fieldLines(a.req.Fields), a.body, a.trailer, y, fieldLines(b.req.Fields), b.body, b.trailer)
	}
	return nil
}

// checkRequest asserts what must hold for any bytes that are accepted: what goes
// out is read again as the same request, by us and by net/http, to the last
// byte; and net/http saw the same in what came in, if it took it.
func checkRequest(raw []byte) error {
	if b, ok := bothOf(string(raw)); ok {
		if _, err := b.compare(); err != nil {
			return fmt.Errorf("in HTTP/2: %w", err)
		}
	}
	m := understand(bytes.NewReader(raw))
	if m.err != nil {
		return nil
	}
	out := reserialise(&m)
	again := understand(bytes.NewReader(out))
	if again.err != nil {
		return fmt.Errorf("%q is not understood again: %w", out, again.err)
	}
	if err := sameRequest(&m, &again); err != nil {
		return err
	}
	if err := compareWithHTTP(&m, out, true); err != nil {
		return fmt.Errorf("what goes out, %q: %w", out, err)
	}
	if err := compareWithHTTP(&m, raw, false); err != nil {
		return fmt.Errorf("what came in: %w", err)
	}
	return nil
}

func compareWithHTTP(m *message, raw []byte, outgoing bool) error {
	r := bufio.NewReader(bytes.NewReader(raw))
	theirs, err := http.ReadRequest(r)
	if err != nil {
		if outgoing {
			return fmt.Errorf("net/http refuses it: %w", err)
		}
		return nil
	}
	body, err := io.ReadAll(theirs.Body)
	if err != nil {
		if outgoing {
			return fmt.Errorf("net/http refuses its body: %w", err)
		}
		return nil
	}
	host, err := mezu.CanonicalHost(theirs.Host)
	if err != nil {
		return fmt.Errorf("net/http sees the host %q", theirs.Host)
	}
	target := theirs.RequestURI
	if i := strings.Index(target, "://"); i >= 0 && target[0] != '/' {
		target = strings.TrimLeft(target[i+3:], "[]:.-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
		if target == "" || target[0] == '?' {
			target = "/" + target
		}
	}
	path, query, _ := strings.Cut(target, "?")
	canonical, err := mezu.CanonicalPath(path)
	if err != nil {
		return fmt.Errorf("net/http sees the path %q", path)
	}
	switch {
	case theirs.Method != m.req.Method, host != m.req.Host, canonical != m.req.Path, query != strings.TrimPrefix(m.req.Query, "?"):
		return fmt.Errorf("net/http sees %s %s %s?%s, we %s %s %s%s", theirs.Method, host, canonical.Path, query, m.req.Method, m.req.Host, m.req.Path.Path, m.req.Query)
	case string(body) != m.body:
		return fmt.Errorf("net/http sees the body %q, we %q", body, m.body)
	}
	if !outgoing {
		return nil
	}
	if path != m.req.Path.Path || theirs.Host != m.req.Authority {
		return fmt.Errorf("%q at %q is not the canonical path or the authority", path, theirs.Host)
	}
	if r.Buffered() > 0 {
		return errors.New("something stands behind the message")
	}
	for name := range theirs.Header {
		if mezu.ReservedHeader(name) || mezu.LookalikeHeader(name) {
			return fmt.Errorf("%s passes", name)
		}
	}
	return nil
}

func TestReserialised(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := genRequest(t)
		if err := checkRequest([]byte(raw)); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}

// TestMutated breaks proper requests at random places: whatever is still accepted
// must be read alike by everybody.
func TestMutated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(genRequest(t))
		for range rapid.IntRange(1, 3).Draw(t, "mutations") {
			at := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
			with := rapid.SampledFrom([]string{"\r", "\n", "\r\n", " ", "\t", "\x00", ":", ",", ";", "0", "1", "\x0b", "\xff", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Host: b\r\n"}).Draw(t, "with")
			drop := rapid.IntRange(0, 2).Draw(t, "drop")
			raw = slices.Concat(raw[:at], []byte(with), raw[min(len(raw), at+drop):])
		}
		if err := checkRequest(raw); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}

// TestCanonicalHTTP: the same request, come in by HTTP/1.1 and by net/http's
// HTTP/2, is one canonical request.
func TestCanonicalHTTP(t *testing.T) {
	for _, c := range []struct {
		method, target, host string
		header               http.Header
		length               int64
	}{
		{"GET", "/", "a.example", nil, 0},
		{"GET", "/a/../b//c?x=%zz", "A.Example:8443", http.Header{"Accept": {"*/*"}, "X-Two": {"1", "2"}}, 0},
		{"POST", "/%41%2fb", "a.example", http.Header{"Content-Type": {"text/plain"}}, 5},
		{"PUT", "/x", "a.example", http.Header{"Te": {"trailers"}, "Expect": {"100-continue"}, "X-Request-Id": {"abc"}}, -1},
		{"GET", "/", "a.example", http.Header{"Te": {"gzip"}, "Expect": {"100-continue"}, "X-Forwarded-For": {"1"}, "Cookie": {"a=b; c=d"}}, 0},
		{"DELETE", "/\"é", "[::1]:80", http.Header{"User-Agent": {"é"}}, 0},
		// Refusals must be the same too.
		{"TRACE", "/", "a.example", nil, 0},
		{"GET", "/a%00", "a.example", nil, 0},
		{"GET", "/a#b", "a.example", nil, 0},
		{"GET", "/a?b#c", "a.example", nil, 0},
		{"GET", "/", "a b", nil, 0},
		{"GET", "*", "a.example", nil, 0},
		{"GET", "/%2f..", "a.example", nil, 0},
		{"GET", "/", "a.example", http.Header{"X_real_ip": {"1"}}, 0},
		{"GET", "/" + strings.Repeat("a", relay.MaxTarget), "a.example", nil, 0},
	} {
		var raw strings.Builder
		fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.method, c.target, c.host)
		for name, values := range c.header {
			for _, v := range values {
				fmt.Fprintf(&raw, "%s: %s\r\n", name, v)
			}
		}
		switch {
		case c.length > 0:
			fmt.Fprintf(&raw, "Content-Length: %d\r\n\r\n%s", c.length, strings.Repeat("x", int(c.length)))
		case c.length < 0:
			raw.WriteString("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		default:
			raw.WriteString("\r\n")
		}
		one := understand(strings.NewReader(raw.String()))
		if b, ok := bothOf(raw.String()); ok {
			if _, err := b.compare(); err != nil {
				t.Errorf("%s %.40s: %v", c.method, c.target, err)
			}
		}
		two := message{body: one.body, trailer: one.trailer}
		two.err = relay.CanonicalHTTP(&http.Request{Method: c.method, RequestURI: c.target, Host: c.host, Header: c.header, ContentLength: c.length}, &two.req, new(relay.Text))
		if code(one.err) != code(two.err) {
			t.Errorf("%s %.40s: %v in HTTP/1.1, %v in HTTP/2", c.method, c.target, one.err, two.err)
			continue
		}
		if one.err != nil {
			continue
		}
		for _, m := range []*message{&one, &two} {
			slices.SortStableFunc(m.req.Fields, func(a, b relay.Field) int { return bytes.Compare(a.Name, b.Name) })
		}
		if err := sameRequest(&one, &two); err != nil {
			t.Errorf("%s %s: %v", c.method, c.target, err)
		}
		if id := c.header.Get("X-Request-Id"); id != "" && (one.req.ID != id || two.req.ID != id) {
			t.Errorf("ids %q and %q", one.req.ID, two.req.ID)
		}
	}
}

func TestCanonicalHTTPAlone(t *testing.T) {
	in := func(header http.Header) *http.Request {
		return &http.Request{Method: "GET", RequestURI: "/", Host: "a", Header: header}
	}
	var req relay.Request
	if err := relay.CanonicalHTTP(in(http.Header{"Cookie": {"a=1", "b=2", "c=3"}}), &req, new(relay.Text)); err != nil || fieldLines(req.Fields) != "Cookie: a=1; b=2; c=3\n" {
		t.Errorf("crumbs: %q, %v", fieldLines(req.Fields), err)
	}
	if err := relay.CanonicalHTTP(in(http.Header{"Cookie": {"a=1", "b=\r\nX: y"}}), &req, new(relay.Text)); code(err) != mezu.CodeNotCanonical {
		t.Errorf("a hostile crumb: %v", err)
	}
	if err := relay.CanonicalHTTP(in(http.Header{"Host": {"b"}}), &req, new(relay.Text)); code(err) != mezu.CodeNotCanonical {
		t.Errorf("P11, two hosts: %v", err)
	}
	many := http.Header{}
	for i := range relay.MaxFields + 1 {
		many.Set(fmt.Sprintf("X-%d", i), "1")
	}
	if err := relay.CanonicalHTTP(in(many), &req, new(relay.Text)); code(err) != mezu.CodeHeaderTooLarge {
		t.Errorf("P25: %v", err)
	}
}

func TestForwardedHead(t *testing.T) {
	m := understand(strings.NewReader("POST /a/../b?q HTTP/1.1\r\nHost: App.Example:8443\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\nConnection: X-Forwarded-For, X-Request-Id\r\nAccept: x\r\nContent-Length: 2\r\n\r\nhi"))
	if m.err != nil {
		t.Fatal(m.err)
	}
	f := relay.Forwarded{Client: netip.MustParseAddr("203.0.113.7"), ID: "id1", Identity: []relay.Field{{Name: []byte("X-Mezu-User-Id"), Value: []byte("usr_1")}}}
	const want = "POST /b?q HTTP/1.1\r\nHost: app.example:8443\r\nAccept: x\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n" +
		"X-Forwarded-Host: app.example:8443\r\nX-Request-Id: id1\r\nX-Mezu-User-Id: usr_1\r\nContent-Length: 2\r\n\r\n"
	if got := string(m.req.AppendForwarded(nil, &f)); got != want {
		t.Errorf("%q, want\n%q", got, want)
	}
	// The other way to write it says the same.
	h := http.Header{}
	m.req.ForwardedFields(&f, h.Add)
	for name, value := range map[string]string{"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example:8443", "X-Request-Id": "id1", "X-Mezu-User-Id": "usr_1", "Accept": "x"} {
		if got := h.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	// An unknown address is not told at all, rather than as a word.
	f.Client, f.Host = netip.Addr{}, "inner"
	if got := string(m.req.AppendForwarded(nil, &f)); strings.Contains(got, "X-Forwarded-For") || !strings.Contains(got, "\r\nHost: inner\r\n") {
		t.Errorf("%q", got)
	}
	clear(h)
	m.req.ForwardedFields(&f, h.Add)
	if h.Get("X-Forwarded-For") != "" {
		t.Errorf("%q", h)
	}
}

func TestHasPath(t *testing.T) {
	for target, want := range map[string]bool{"/a": true, "/a?b": true, "/a?": true, "/ab": false, "/a/": false, "/": false, "/%61": false, "http://a/a": false} {
		h := relay.RequestHead{Target: []byte(target)}
		if h.HasPath("/a") != want {
			t.Errorf("%s: %t", target, !want)
		}
	}
}

func TestResponseFrom(t *testing.T) {
	from := func(status int, length int64, method string, header http.Header) (string, error) {
		var h relay.ResponseHead
		err := relay.ResponseFrom(&http.Response{StatusCode: status, ContentLength: length, Header: header}, method, &h)
		if err != nil {
			return "", err
		}
		return string(h.Append(nil, relay.Hop{})), nil
	}
	for _, c := range []struct {
		status int
		length int64
		method string
		header http.Header
		want   string
	}{
		{200, 5, "GET", http.Header{"Connection": {"X-Hop"}, "X-Hop": {"1"}, "Transfer-Encoding": {"x"}}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{200, 0, "GET", nil, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{200, -1, "GET", nil, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{200, 5, "HEAD", http.Header{"Content-Length": {"5"}}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{200, 0, "HEAD", http.Header{"Content-Length": {"0"}}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{200, -1, "HEAD", nil, "HTTP/1.1 200 OK\r\n\r\n"},
		{204, 0, "GET", nil, "HTTP/1.1 204 No Content\r\n\r\n"},
		{304, 5, "GET", http.Header{"Content-Length": {"5"}}, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"},
		{304, 0, "GET", nil, "HTTP/1.1 304 Not Modified\r\n\r\n"}, // net/http says 0 of a stream that has ended
		{103, 0, "GET", http.Header{"Link": {"</a>"}}, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"},
	} {
		if got, err := from(c.status, c.length, c.method, c.header); err != nil || got != c.want {
			t.Errorf("%d to %s: %q, %v; want %q", c.status, c.method, got, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		status int
		header http.Header
	}{"status 999": {999, nil}, "status 99": {99, nil}, "CRLF": {200, http.Header{"X": {"a\r\nY: b"}}}, "name": {200, http.Header{"X Y": {"a"}}}} {
		if got, err := from(c.status, 0, "GET", c.header); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestSpoilt: of a request that is refused it is known what its line says, as far as it came, without
// what may be secret. Of one with a canonical path nothing else is said.
func TestSpoilt(t *testing.T) {
	long := strings.Repeat("a", relay.MaxHead)
	for head, want := range map[string]string{
		"GET /x?key=secret HTTP/1.1\r\n\r\n":                        "GET /x",
		"GET /x HTTP/2.0\r\nHost: a\r\n\r\n":                        "GET /x",
		"GET /x\r\nHost: a\r\n\r\n":                                 "GET /x",
		"GET /x HTTP/1.1\nHost: a\n\n":                              "GET /x",
		"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n":                  "GET /\x1b[2J",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n":                     "OPTIONS *",
		"GET https://u:secret@b/y?z HTTP/1.1\r\nHost: a\r\n\r\n":    "GET /y",
		"GET https://u:secret@b HTTP/1.1\r\nHost: a\r\n\r\n":        "GET /",
		"POST /%2f.. HTTP/1.1\r\nHost: a\r\n\r\n":                   "POST /%2f..",
		"G(T /x HTTP/1.1\r\nHost: a\r\n\r\n":                        " ",
		"\x16\x03\x01\r\n\r\n":                                      " ",
		"GET /x HTTP/1.1\r\nHost: a\r\nA: " + long + "\r\n\r\n":     "GET /x",
		"GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n":             "GET /" + long[:relay.MaxTarget-1],
		strings.Repeat("A", 40) + " /x HTTP/1.1\r\nHost: a\r\n\r\n": " /x",
		"GET /fine HTTP/1.1\r\nHost: a b\r\n\r\n":                   "GET ",
	} {
		client, server := pair(t)
		go io.WriteString(client, head)
		var c relay.Client
		c.Reset(server, patience, patience)
		req := relay.Request{Method: "PUT", Spoilt: "/before"}
		_, err := c.ReadRequest(&req, patience)
		c.Reader.Release()
		if got := req.Method + " " + req.Spoilt; code(err) == "" || got != want {
			t.Errorf("%.60q: %.60q, want %.60q (%v)", head, got, want, err)
		}
	}
	for target, want := range map[string]string{"/x?a b": "/x", "*": "*", "/a%00": "/a%00", "/" + long: "/" + long[:relay.MaxTarget-1]} {
		var req relay.Request
		err := relay.CanonicalHTTP(&http.Request{Method: "GET", RequestURI: target, Host: "a"}, &req, new(relay.Text))
		if code(err) == "" || req.Method != "GET" || req.Spoilt != want {
			t.Errorf("%.60q: %.60q, want %.60q (%v)", target, req.Spoilt, want, err)
		}
	}
}
