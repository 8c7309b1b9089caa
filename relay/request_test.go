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

// TestBothVersionsAreOneRequest: the same request, come in by HTTP/1.1 and by HTTP/2, is one
// canonical request, or both are refused for one reason.
func TestBothVersionsAreOneRequest(t *testing.T) {
	for _, c := range []struct {
		line, host string
		fields     []string
		want       mezu.Code
	}{
		{"GET /", "a.example", nil, accepted},
		{"GET /a/../b//c?x=%zz", "A.Example:8443", []string{"Accept: */*", "X-Two: 1", "X-Two: 2"}, accepted},
		{"POST /%41%2fb", "a.example", []string{"Content-Type: text/plain", "Content-Length: 5"}, accepted},
		{"PUT /x", "a.example", []string{"Te: trailers", "Expect: 100-continue", "X-Request-Id: abc", "Transfer-Encoding: chunked"}, accepted},
		{"GET /", "a.example", []string{"Expect: 100-continue", "X-Forwarded-For: 1", "Cookie: a=b; c=d"}, accepted},
		{"DELETE /\"é", "[::1]:80", []string{"User-Agent: é"}, accepted},
		{"TRACE /", "a.example", nil, mezu.CodeNotImplemented},
		{"GET /a%00", "a.example", nil, mezu.CodeNotCanonical},
		{"GET /a#b", "a.example", nil, mezu.CodeNotCanonical},
		{"GET /a?b#c", "a.example", nil, mezu.CodeNotCanonical},
		{"GET /", "a b", nil, mezu.CodeNotCanonical},
		{"GET *", "a.example", nil, mezu.CodeNotCanonical},
		{"GET /%2f..", "a.example", nil, mezu.CodeNotCanonical},
		{"GET /", "a.example", []string{"X_real_ip: 1"}, mezu.CodeNotCanonical},
		{"GET /" + strings.Repeat("a", relay.MaxTarget), "a.example", nil, mezu.CodeURITooLong},
	} {
		raw := c.line + " HTTP/1.1\r\nHost: " + c.host + "\r\n" + strings.Join(append(c.fields, "\r\n"), "\r\n")
		var one relay.Request
		var head relay.RequestHead
		var r relay.Reader
		r.Reset(strings.NewReader(raw))
		err := r.ReadRequest(&head)
		if err == nil {
			err = head.Canonical(&one, new(relay.Names))
		}
		b, ok := bothOf(raw)
		if !ok {
			t.Fatalf("%.60q has no form in HTTP/2", raw)
		}
		refusal, difference := b.compare()
		if difference != nil || code(err) != c.want || code(refusal) != c.want {
			t.Errorf("%.60q: %v in HTTP/1.1, %v in HTTP/2, want %q: %v", raw, err, refusal, c.want, difference)
		}
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
	// An unknown address is not told at all, rather than as a word.
	f.Client, f.Host = netip.Addr{}, "inner"
	if got := string(m.req.AppendForwarded(nil, &f)); strings.Contains(got, "X-Forwarded-For") || !strings.Contains(got, "\r\nHost: inner\r\n") {
		t.Errorf("%q", got)
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
}
