package relay_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// pairs are the fields of a section: a name, its value, the next name.
type pairs []string

// section takes fields in.
func section(kind relay.SectionKind, fields pairs) *relay.Section {
	s := new(relay.Section)
	s.Reset(kind)
	for i := 0; i < len(fields); i += 2 {
		s.Add(fields[i], fields[i+1])
	}
	return s
}

// of is a request's fields: those of a GET and further ones.
func of(more ...string) pairs { return with("GET", more...) }

func with(method string, more ...string) pairs {
	return append(pairs{":method", method, ":scheme", "https", ":authority", "a", ":path", "/x"}, more...)
}

// requested is what fields become.
func requested(fields pairs, end bool) (req relay.Request, s *relay.Section, err error) {
	s = section(relay.SectionRequest, fields)
	err = s.Request(&req, new(relay.Names), end)
	return req, s, err
}

func isMalformed(err error) bool { return errors.As(err, new(*relay.MalformedError)) }

// verdict is what a refusal leads to: a reset, or the answer with a code.
func verdict(err error) string {
	if isMalformed(err) {
		return "reset"
	}
	return string(code(err))
}

// TestP11_MalformedRequests: what RFC 9113 calls malformed resets the stream.
func TestP11_MalformedRequests(t *testing.T) {
	connect := pairs{":method", "CONNECT", ":authority", "a:443"}
	webSocket := pairs{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/x", "sec-websocket-version", "13"}
	for name, fields := range map[string]pairs{
		"no method":                     {":scheme", "https", ":authority", "a", ":path", "/"},
		"no scheme":                     {":method", "GET", ":authority", "a", ":path", "/"},
		"no path":                       {":method", "GET", ":scheme", "https", ":authority", "a"},
		"nothing":                       {},
		"empty method":                  {":method", "", ":scheme", "https", ":authority", "a", ":path", "/"},
		"empty scheme":                  {":method", "GET", ":scheme", "", ":authority", "a", ":path", "/"},
		"empty path":                    {":method", "GET", ":scheme", "https", ":authority", "a", ":path", ""},
		"path without a slash":          {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "admin"},
		"URL for a path":                {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "https://a/x"},
		"asterisk of a GET":             {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "*"},
		"two paths":                     of(":path", "/y"),
		"two equal methods":             {":method", "GET", ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"},
		"two schemes":                   {":method", "GET", ":scheme", "https", ":scheme", "https", ":authority", "a", ":path", "/"},
		"two authorities":               {":method", "GET", ":scheme", "https", ":authority", "a", ":authority", "a", ":path", "/"},
		"unknown pseudo-field":          append(pairs{":test", "x"}, of()...),
		"a colon alone":                 append(pairs{":", "x"}, of()...),
		"pseudo-field of a response":    append(pairs{":status", "200"}, of()...),
		"pseudo-field in capitals":      {":METHOD", "GET", ":scheme", "https", ":authority", "a", ":path", "/"},
		"pseudo-field behind others":    {":method", "GET", ":scheme", "https", "accept", "x", ":authority", "a", ":path", "/"},
		"name in capitals":              of("Accept", "x"),
		"one capital":                   of("x-tESt", "x"),
		"empty name":                    of("", "x"),
		"blank in a name":               of("x y", "x"),
		"colon in a name":               of("x:y", "x"),
		"CR in a name":                  of("x\r", "x"),
		"8-bit name":                    of("x\xe9", "x"),
		"CRLF in a value":               of("x", "a\r\nb: c"),
		"LF in a value":                 of("x", "a\nb"),
		"NUL in a value":                of("x", "a\x00b"),
		"LF at the end of a value":      of("x", "a\n"),
		"LF in a crumb":                 of("cookie", "a\nb"),
		"LF in the path":                {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/\nx"},
		"CR in the authority":           {":method", "GET", ":scheme", "https", ":authority", "a\r", ":path", "/x"},
		"NUL in the method":             {":method", "GET\x00", ":scheme", "https", ":authority", "a", ":path", "/x"},
		"connection":                    of("connection", "close"),
		"keep-alive":                    of("keep-alive", "5"),
		"proxy-connection":              of("proxy-connection", "keep-alive"),
		"transfer-encoding":             with("POST", "transfer-encoding", "chunked"),
		"upgrade":                       of("upgrade", "websocket"),
		"http2-settings":                of("http2-settings", "AAMAAABk"),
		"te: gzip":                      of("te", "gzip"),
		"te: trailers, deflate":         of("te", "trailers, deflate"),
		"te twice":                      of("te", "trailers", "te", "gzip"),
		"empty te":                      of("te", ""),
		"length where the stream ended": with("POST", "content-length", "1"),
		"CONNECT with a path":           append(connect, ":path", "/"),
		"CONNECT with a scheme":         append(connect, ":scheme", "https"),
		"CONNECT without authority":     {":method", "CONNECT"},
		"CONNECT with a length":         append(connect, "content-length", "1"),
		"protocol of a GET":             append(pairs{":protocol", "websocket"}, of()...),
		"WebSocket without path":        {":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a"},
		"WebSocket without scheme":      {":method", "CONNECT", ":protocol", "websocket", ":path", "/", ":authority", "a"},
		"WebSocket without authority":   {":method", "CONNECT", ":protocol", "websocket", ":path", "/", ":scheme", "https", "host", "a"},
		"WebSocket with a length":       append(webSocket, "content-length", "1"),
	} {
		if _, _, err := requested(fields, true); !isMalformed(err) || code(err) != mezu.CodeNotCanonical {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSectionAnswers: what HTTP/1.1 refuses with an answer is answered.
func TestSectionAnswers(t *testing.T) {
	many := func(n int) (out []string) {
		for range n {
			out = append(out, "x", "y")
		}
		return out
	}
	long := func(n int) pairs {
		return pairs{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/" + strings.Repeat("a", n-1)}
	}
	for _, c := range []struct {
		name   string
		fields pairs
		want   mezu.Code
	}{
		{"usual", of(), accepted},
		{"host alone", pairs{":method", "GET", ":scheme", "https", ":path", "/", "host", "a"}, accepted},
		{"host beside", of("host", "a"), accepted},
		{"the same host in another form", of("host", "A.:443"), accepted},
		{"P11, another host", of("host", "b"), mezu.CodeNotCanonical},
		{"another port", of("host", "a:8443"), mezu.CodeNotCanonical},
		{"two hosts", of("host", "a", "host", "a"), mezu.CodeNotCanonical},
		{"no host", pairs{":method", "GET", ":scheme", "https", ":path", "/"}, mezu.CodeNotCanonical},
		{"empty authority", pairs{":method", "GET", ":scheme", "https", ":authority", "", ":path", "/"}, mezu.CodeNotCanonical},
		{"user info", pairs{":method", "GET", ":scheme", "https", ":authority", "u@a", ":path", "/"}, mezu.CodeNotCanonical},
		{"scheme", pairs{":method", "GET", ":scheme", "ftp", ":authority", "a", ":path", "/"}, mezu.CodeNotCanonical},
		{"scheme of what stands before", pairs{":method", "GET", ":scheme", "HTTP", ":authority", "a", ":path", "/"}, accepted},
		{"OPTIONS *", pairs{":method", "OPTIONS", ":scheme", "https", ":authority", "a", ":path", "*"}, mezu.CodeNotCanonical},
		{"P15, TRACE", with("TRACE"), mezu.CodeNotImplemented},
		{"P15, get", with("get"), mezu.CodeNotImplemented},
		{"P15, CONNECT", pairs{":method", "CONNECT", ":authority", "a:443"}, mezu.CodeNotImplemented},
		{"method that is no token", with("G@T"), mezu.CodeNotCanonical},
		{"space in the method", with("GET /y HTTP/1.1"), mezu.CodeNotCanonical},
		{"space in the path", pairs{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a b"}, mezu.CodeNotCanonical},
		{"fragment", pairs{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a#b"}, mezu.CodeNotCanonical},
		{"fragment in the query", pairs{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a?b#c"}, mezu.CodeNotCanonical},
		{"H2, look-alike", of("x_real_ip", "1"), mezu.CodeNotCanonical},
		{"control character", of("x", "a\x01"), mezu.CodeNotCanonical},
		{"DEL", of("x", "a\x7f"), mezu.CodeNotCanonical},
		{"8-bit value", of("x", "\xe9"), accepted},
		{"proxy-authorization", of("proxy-authorization", "x"), accepted},
		{"expectation", with("POST", "expect", "the-moon"), mezu.CodeNotCanonical},
		{"other protocol", pairs{":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", "a", ":path", "/"}, mezu.CodeNotImplemented},
		{"WebSocket without version", pairs{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/"}, mezu.CodeNotCanonical},
		{"P25, target at the limit", long(relay.MaxTarget), accepted},
		{"P25, target over the limit", long(relay.MaxTarget + 1), mezu.CodeURITooLong},
		{"P25, 64 KiB target", long(64 << 10), mezu.CodeURITooLong},
		{"P25, as many fields as may be", of(many(relay.MaxFields - 1)...), accepted},
		{"P25, one field too many", of(many(relay.MaxFields)...), mezu.CodeHeaderTooLarge},
		{"P25, 10,000 fields", of(many(10_000)...), mezu.CodeHeaderTooLarge},
		{"P25, 1 MiB of fields", of("x", strings.Repeat("y", 1<<20)), mezu.CodeHeaderTooLarge},
	} {
		req, s, err := requested(c.fields, true)
		if code(err) != c.want || isMalformed(err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if s.TooLarge() != (c.want == mezu.CodeHeaderTooLarge || len(strings.Join(c.fields, "")) > relay.MaxHead) {
			t.Errorf("%s: too large: %t", c.name, s.TooLarge())
		}
		if err == nil && (req.Host != "a" || req.ID == "" || req.Framing != relay.NoBody || s.Content() != 0) {
			t.Errorf("%s: %+v", c.name, req)
		}
	}
}

// TestP12_SectionLength: Content-Length and the end of the stream say how the body ends.
func TestP12_SectionLength(t *testing.T) {
	for _, c := range []struct {
		fields  pairs
		end     bool
		want    string
		framing relay.Framing
		content int64
	}{
		{with("POST"), true, "", relay.NoBody, 0},
		{with("POST"), false, "", relay.Chunked, -1},
		{with("POST", "content-length", "0"), true, "", relay.NoBody, 0},
		{with("POST", "content-length", "0"), false, "", relay.NoBody, 0},
		{with("POST", "content-length", "5"), false, "", relay.Length, 5},
		{with("POST", "content-length", "5", "trailer", "x-sum"), false, "", relay.Chunked, 5},
		{with("POST", "content-length", "5", "trailer", "te"), false, "", relay.Length, 5},
		{with("POST", "content-length", "5"), true, "reset", 0, 0},
		{with("POST", "content-length", "5", "content-length", "5"), false, "not_canonical", 0, 0},
		{with("POST", "content-length", "5", "content-length", "6"), false, "not_canonical", 0, 0},
		{with("POST", "content-length", "5, 5"), false, "not_canonical", 0, 0},
		{with("POST", "content-length", "+5"), false, "not_canonical", 0, 0},
		{with("POST", "content-length", ""), false, "not_canonical", 0, 0},
		{with("POST", "content-length", "99999999999999999999"), false, "not_canonical", 0, 0},
	} {
		req, s, err := requested(c.fields, c.end)
		if verdict(err) != c.want {
			t.Errorf("%q, end %t: %v, want %q", c.fields[8:], c.end, err, c.want)
		}
		if err == nil && (req.Framing != c.framing || s.Content() != c.content || req.Length != 0 && req.Framing != relay.Length) {
			t.Errorf("%q, end %t: framing %d, length %d, content %d", c.fields[8:], c.end, req.Framing, req.Length, s.Content())
		}
	}
}

// TestSectionRequest compares all that a request becomes.
func TestSectionRequest(t *testing.T) {
	req, _, err := requested(pairs{
		":method", "PUT", ":scheme", "https", ":authority", "A.Example:8443", ":path", "/a/../b?c", "user-agent", "x", "cookie", "a=b", "cookie", "c=d", "accept", " */* ", "cookie", "e=f", "sec-ch-ua", "\"x\"",
		"te", "trailers", "expect", "100-continue", "trailer", "x-sum, te", "x-request-id", "abc", "x-forwarded-for", "6.6.6.6", "sec-websocket-protocol", "p", "x_odd", "", "cookie", "",
	}, false)
	const want = "User-Agent: x\nCookie: a=b; c=d; e=f; \nAccept: */*\nSec-Ch-Ua: \"x\"\nSec-WebSocket-Protocol: p\nX_odd: \n"
	if got := fieldLines(req.Fields); err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	req.Fields = nil
	if got := fmt.Sprint(req); got != fmt.Sprint(relay.Request{Method: "PUT", Host: "a.example", Authority: "a.example:8443", Path: mezu.Path{Path: "/b"}, Query: "?c", Framing: relay.Chunked, Expect: true, Trailers: true, Announced: "x-sum", ID: "abc"}) {
		t.Error(got)
	}
}
