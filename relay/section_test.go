package relay_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// pairs are the fields of a section: a name, its value, the next name.
type pairs []string

// sectionOf takes fields in.
func sectionOf(kind relay.SectionKind, fields pairs) *relay.Section {
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
	s = sectionOf(relay.SectionRequest, fields)
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
		if err == nil && (req.Host != "a" || req.ID == "" || req.Framing != relay.NoBody) {
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
		{with("POST"), true, "", relay.NoBody, -1},
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
		{with("POST", "content-length", "x"), true, "not_canonical", 0, 0},
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
		":method", "PUT", ":scheme", "https", ":authority", "A.Example:8443", ":path", "/a/../b?c", "user-agent", "x", "cookie", "a=b", "cookie", "c=d", "accept", "*/*", "cookie", "e=f", "sec-ch-ua", "\"x\"",
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

// TestSectionCrumbs: what HTTP/2 has split is one Cookie field, and counts as one.
func TestSectionCrumbs(t *testing.T) {
	crumbs, joined := pairs{}, []string{}
	for i := range 400 { // more than fields may be
		crumbs = append(crumbs, "cookie", fmt.Sprint("a", i, "=b"))
		joined = append(joined, fmt.Sprint("a", i, "=b"))
	}
	req, _, err := requested(of(crumbs...), true)
	if got := fieldLines(req.Fields); err != nil || got != "Cookie: "+strings.Join(joined, "; ")+"\n" {
		t.Errorf("in a row: %.100q, %v", got, err)
	}
	apart := pairs{"x-first", "1"}
	for i := range 200 {
		apart = append(apart, crumbs[2*i], crumbs[2*i+1], "x-y", fmt.Sprint(i))
	}
	req, _, err = requested(of(apart...), true)
	if err != nil || len(req.Fields) != 202 || string(req.Fields[0].Name) != "X-First" || string(req.Fields[201].Value) != "199" {
		t.Fatalf("apart: %d fields, %v", len(req.Fields), err)
	}
	if got := fieldsOf(&req, "cookie"); len(got) != 1 || got[0] != strings.Join(joined[:200], "; ") || !req.Fields[1].Is("cookie") {
		t.Errorf("apart: %.200q", got)
	}
	if !req.Carries("cookie", strings.Join(joined[:200], "; ")) {
		t.Error("a condition on the cookie doesn't see it")
	}
}

// TestSectionIsUsedAgain: nothing of a section gets into the next one, and a large one leaves
// no memory behind.
func TestSectionIsUsedAgain(t *testing.T) {
	s := sectionOf(relay.SectionRequest, of("connection", "x", "cookie", "a", "x-request-id", "first", "te", "trailers", "content-length", "7", "host", "b"))
	s.Reset(relay.SectionRequest)
	for i, f := 0, of("accept", "y"); i < len(f); i += 2 {
		s.Add(f[i], f[i+1])
	}
	var req relay.Request
	if err := s.Request(&req, new(relay.Names), true); err != nil || fieldLines(req.Fields) != "Accept: y\n" || req.ID == "first" || req.Trailers {
		t.Errorf("%+v, %v", req, err)
	}
	s.Reset(relay.SectionTrailer)
	s.Add("grpc-status", "0")
	if fields, err := s.Trailer(); err != nil || fieldLines(fields) != "Grpc-Status: 0\n" {
		t.Errorf("%q, %v", fieldLines(fields), err)
	}
}

// TestSectionSpoilt: of a request that is refused people are told what it asked for, as far as
// that came, without what may be secret.
func TestSectionSpoilt(t *testing.T) {
	get := func(path string) pairs {
		return pairs{":method", "GET", ":scheme", "https", ":authority", "a", ":path", path}
	}
	long := strings.Repeat("a", 64<<10)
	for _, c := range []struct {
		fields pairs
		want   string
	}{
		{get("/%00?key=secret"), "GET /%00"},
		{append(get("/x?key=secret"), "connection", "close"), "GET /x"},
		{get("/x?a b"), "GET /x"},
		{get("*"), "GET *"},
		{append(get("/x"), "y", long), "GET /x"},
		{get("/" + long), "GET /" + long[:relay.MaxTarget-1]},
		{append(get("/fine"), "host", "b"), "GET "},
		{pairs{":method", "G(T", ":scheme", "https", ":authority", "a", ":path", "/x"}, " /x"},
		{pairs{":method", strings.Repeat("A", 40), ":scheme", "https", ":authority", "a", ":path", "/x"}, " /x"},
		{pairs{":method", "GET"}, "GET "},
	} {
		req, _, err := requested(c.fields, true)
		if got := req.Method + " " + req.Spoilt; err == nil || got != c.want {
			t.Errorf("%.100q: %.100q, want %.100q (%v)", c.fields, got, c.want, err)
		}
	}
	// The answer to a refusal needs its id and what it accepts.
	if req, _, err := requested(append(get("/%00"), "x-request-id", "mine", "accept", "text/html"), true); err == nil || req.ID != "mine" || !req.Carries("accept", "text/html") {
		t.Errorf("id %q, fields %q, %v", req.ID, fieldLines(req.Fields), err)
	}
}

// TestSectionWebSocket: a WebSocket over HTTP/2 is the upgrade that a workload knows, with a
// key that its answer is held to.
func TestSectionWebSocket(t *testing.T) {
	ask := func(more ...string) (relay.Request, *relay.Section, error) {
		return requested(append(pairs{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/chat?x", "sec-websocket-version", "13", "origin", "https://a"}, more...), false)
	}
	req, s, err := ask("sec-websocket-key", "theirs", "sec_websocket_key", "theirs", "sec-websocket-extensions", "permessage-deflate")
	if err != nil || req.Method != "GET" || req.Upgrade != "websocket" || req.Framing != relay.NoBody || req.Path.Path != "/chat" || s.Protocol() != "websocket" || s.Content() != -1 {
		t.Fatalf("%+v, %v", req, err)
	}
	key := fieldsOf(&req, "sec-websocket-key")
	if len(key) != 1 || len(key[0]) != 24 || strings.Contains(fieldLines(req.Fields), "theirs") {
		t.Fatal(fieldLines(req.Fields))
	}
	want := "GET /chat?x HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\nOrigin: https://a\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: " + key[0] + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	if got := string(req.Append(nil)); got != want {
		t.Errorf("%q, want\n%q", got, want)
	}
	if other, _, _ := ask(); fieldsOf(&other, "sec-websocket-key")[0] == key[0] {
		t.Error("a key came twice")
	}
	if req, s, err := ask("content-length", "0", "te", "trailers"); err != nil || req.Upgrade != "websocket" || s.Content() != -1 {
		t.Errorf("%+v, %v", req, err)
	}

	// RFC 6455, 1.3 has a key and what accepts it.
	known := relay.Request{Fields: []relay.Field{{Name: []byte("Sec-WebSocket-Key"), Value: []byte("dGhlIHNhbXBsZSBub25jZQ==")}}}
	for lines, want := range map[string]bool{
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n":                                                       true,
		"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n":                                                       true,
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n":                                                       false,
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n": false,
		"Sec-WebSocket-Accept:\r\n":                                                                                    false,
		"":                                                                                                             false,
	} {
		h, _, err := readResponse(strings.NewReader("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"+lines+"\r\n"), "GET")
		if err != nil || relay.AcceptsKey(&h, &known) != want {
			t.Errorf("%q: %t, %v", lines, !want, err)
		}
	}
	if relay.AcceptsKey(new(relay.ResponseHead), new(relay.Request)) {
		t.Error("without a key any answer does")
	}
}

// TestSectionResponse compares what a response goes on as in HTTP/1.1.
func TestSectionResponse(t *testing.T) {
	const length = "Content-Length: 5\r\n"
	for _, c := range []struct {
		method  string
		end     bool
		fields  pairs
		want    string
		content int64
	}{
		{"GET", false, pairs{":status", "200", "content-length", "5", "server", "s"}, "200 OK\r\nServer: s\r\n" + length, 5},
		{"GET", false, pairs{":status", "200"}, "200 OK\r\nTransfer-Encoding: chunked\r\n", -1},
		{"GET", true, pairs{":status", "200"}, "200 OK\r\nContent-Length: 0\r\n", 0},
		{"GET", true, pairs{":status", "500", "content-length", "0"}, "500 Internal Server Error\r\nContent-Length: 0\r\n", 0},
		{"GET", false, pairs{":status", "200", "content-length", "0"}, "200 OK\r\nContent-Length: 0\r\n", 0},
		{"GET", false, pairs{":status", "200", "content-length", "5", "trailer", "x-sum"}, "200 OK\r\nTransfer-Encoding: chunked\r\n", 5},
		{"POST", false, pairs{":status", "200", "content-length", "5", "content-type", "application/grpc+proto"}, "200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n", 5},
		{"POST", true, pairs{":status", "200", "content-type", "application/grpc", "grpc-status", "5"}, "200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 5\r\nContent-Length: 0\r\n", 0},
		{"HEAD", true, pairs{":status", "200", "content-length", "5"}, "200 OK\r\n" + length, 0},
		{"HEAD", true, pairs{":status", "200", "content-length", "0"}, "200 OK\r\nContent-Length: 0\r\n", 0},
		{"HEAD", false, pairs{":status", "200"}, "200 OK\r\n", 0},
		{"GET", true, pairs{":status", "204"}, "204 No Content\r\n", 0},
		{"GET", false, pairs{":status", "204", "content-length", "5"}, "204 No Content\r\n", 0},
		{"GET", true, pairs{":status", "304", "content-length", "5", "etag", "x"}, "304 Not Modified\r\nEtag: x\r\n" + length, 0},
		{"GET", true, pairs{":status", "304"}, "304 Not Modified\r\n", 0},
		{"GET", false, pairs{":status", "103", "link", "</a>"}, "103 Early Hints\r\nLink: </a>\r\n", 0},
		{"GET", true, pairs{":status", "299", "set-cookie", "a", "set-cookie", "b", "x-request-id", "i", "te", "x", "proxy-authenticate", "x"}, "299 \r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Request-Id: i\r\nContent-Length: 0\r\n", 0},
	} {
		var h relay.ResponseHead
		s := sectionOf(relay.SectionResponse, c.fields)
		err := s.Response(&h, c.method, c.end)
		if err != nil || string(h.Append(nil, relay.Hop{})) != "HTTP/1.1 "+c.want+"\r\n" || s.Content() != c.content || !h.KeepAlive() {
			t.Errorf("%q to %s: %q, content %d, %v", c.fields, c.method, h.Append(nil, relay.Hop{}), s.Content(), err)
		}
	}
}

// TestP18_MalformedResponses: they are all refused by one error, which names the rule.
func TestP18_MalformedResponses(t *testing.T) {
	for name, c := range map[string]struct {
		end    bool
		fields pairs
	}{
		"no status":                    {true, pairs{"server", "s"}},
		"two":                          {true, pairs{":status", "200", ":status", "200"}},
		"behind others":                {true, pairs{"server", "s", ":status", "200"}},
		"two digits":                   {true, pairs{":status", "20"}},
		"four digits":                  {true, pairs{":status", "2000"}},
		"no digits":                    {true, pairs{":status", "+20"}},
		"empty":                        {true, pairs{":status", ""}},
		"a blank":                      {true, pairs{":status", " 200"}},
		"600":                          {true, pairs{":status", "600"}},
		"099":                          {true, pairs{":status", "099"}},
		"101":                          {false, pairs{":status", "101"}},
		"interim that ends the stream": {true, pairs{":status", "103"}},
		"method":                       {true, pairs{":status", "200", ":method", "GET"}},
		"capitals":                     {true, pairs{":status", "200", "Server", "s"}},
		"blank in a name":              {true, pairs{":status", "200", "x y", "a"}},
		"line end":                     {true, pairs{":status", "200", "x", "a\r\nset-cookie: b"}},
		"control":                      {true, pairs{":status", "200", "x", "a\x01"}},
		"connection":                   {true, pairs{":status", "200", "connection", "close"}},
		"chunked":                      {true, pairs{":status", "200", "transfer-encoding", "chunked"}},
		"upgrade":                      {true, pairs{":status", "426", "upgrade", "websocket"}},
		"keep-alive":                   {true, pairs{":status", "200", "keep-alive", "timeout=5"}},
		"no body of five bytes":        {true, pairs{":status", "200", "content-length", "5"}},
		"two lengths":                  {false, pairs{":status", "200", "content-length", "5", "content-length", "5"}},
		"negative length":              {false, pairs{":status", "200", "content-length", "-1"}},
		"1 MiB":                        {true, pairs{":status", "200", "x", strings.Repeat("a", 1<<20)}},
	} {
		h := relay.ResponseHead{Status: 200}
		err := sectionOf(relay.SectionResponse, c.fields).Response(&h, "GET", c.end)
		if !errors.Is(err, relay.ErrMalformedResponse) || relay.Rule(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRow10_SectionTrailers: what may not stand in a trailer section is dropped, and what is
// malformed ends the body.
func TestRow10_SectionTrailers(t *testing.T) {
	fields := pairs{}
	for _, name := range append(append([]string{}, forbiddenTrailers...), goodTrailers...) {
		switch lower := strings.ToLower(name); lower {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length", "expect":
		default:
			fields = append(fields, lower, "x")
		}
	}
	got, err := sectionOf(relay.SectionTrailer, fields).Trailer()
	if err != nil || len(got) != len(goodTrailers) {
		t.Errorf("%q, %v", fieldLines(got), err)
	}
	for i := range got {
		if !got[i].Is(strings.ToLower(goodTrailers[i])) {
			t.Errorf("%s, want %s", got[i].Name, goodTrailers[i])
		}
	}
	for name, fields := range map[string]pairs{
		"pseudo-field": {":path", "/"}, "status": {":status", "200"}, "capitals": {"Grpc-Status", "0"}, "line end": {"x", "a\nb"}, "control": {"x", "\x01"}, "connection": {"connection", "close"},
		"too large": {"x", strings.Repeat("a", relay.MaxTrailer)}, "length": {"content-length", "x"},
	} {
		if got, err := sectionOf(relay.SectionTrailer, fields).Trailer(); !errors.Is(err, relay.ErrBody) || got != nil || relay.Rule(err) == "" {
			t.Errorf("%s: %q, %v", name, fieldLines(got), err)
		}
	}
	if got, err := sectionOf(relay.SectionTrailer, nil).Trailer(); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	// gRPC writes messages as they are, blanks at their ends too.
	if got, err := sectionOf(relay.SectionTrailer, pairs{"grpc-status", "5", "grpc-message", "not found "}).Trailer(); err != nil || fieldLines(got) != "Grpc-Status: 5\nGrpc-Message: not found\n" {
		t.Errorf("%q, %v", fieldLines(got), err)
	}
}

// TestEachField: in HTTP/2 goes on what goes on in HTTP/1.1, but for framing.
func TestEachField(t *testing.T) {
	for _, c := range []struct {
		raw  string
		hop  relay.Hop
		want string
	}{
		{"HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 2\r\nTrailer: x\r\nServer: s\r\nX-Request-Id: theirs\r\nContent-Length: 5\r\n\r\n", relay.Hop{RequestID: "ours", Date: "now"},
			"Server: s\nX-Request-Id: ours\nDate: now\nContent-Length: 5\n"},
		{"HTTP/1.1 200 OK\r\ndate: then\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", relay.Hop{Date: "now"}, "date: then\n"},
		{"HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\n", relay.Hop{}, ""},
		{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", relay.Hop{Date: "now"}, "Link: x\n"},
		{"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: p\r\n\r\n", relay.Hop{Date: "now", RequestID: "i"}, "Sec-WebSocket-Protocol: p\nX-Request-Id: i\nDate: now\n"},
	} {
		h, _, err := readResponse(strings.NewReader(c.raw+"hello"), "GET")
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		h.EachField(c.hop, new(relay.Text), func(name, value []byte) { fmt.Fprintf(&got, "%s: %s\n", name, value) })
		if got.String() != c.want {
			t.Errorf("%q: %q, want %q", c.raw, got.String(), c.want)
		}
	}
}

// TestEachForwarded: an HTTP/2 workload is told what one of HTTP/1.1 is.
func TestEachForwarded(t *testing.T) {
	known := relay.Forwarded{Client: netip.MustParseAddr("203.0.113.7"), ID: "id1", Identity: []relay.Field{{Name: []byte("X-Mezu-User-Id"), Value: []byte("usr_1")}}}
	inner := relay.Forwarded{ID: "id2", Host: "inner", Asked: "inner:3000", Proto: "http"}
	for _, raw := range []string{
		post("Content-Length: 2", "Accept: x", "Expect: 100-continue", "TE: trailers") + "hi", post("Transfer-Encoding: chunked", "Trailer: X-Sum") + "0\r\n\r\n", post("X: y"), "GET / HTTP/1.1\r\nHost: b:8443\r\n\r\n",
	} {
		m := understand(strings.NewReader(raw))
		if m.err != nil {
			t.Fatal(m.err)
		}
		for _, f := range []*relay.Forwarded{&known, &inner} {
			var got strings.Builder
			m.req.EachForwarded(f, new(relay.Text), func(name, value []byte) { fmt.Fprintf(&got, "%s: %s\r\n", name, value) })
			_, want, _ := strings.Cut(string(m.req.AppendForwarded(nil, f)), "\r\nHost: ")
			_, want, _ = strings.Cut(want, "\r\n")
			if want = strings.Replace(strings.TrimSuffix(want, "\r\n"), "Transfer-Encoding: chunked\r\n", "", 1); got.String() != want {
				t.Errorf("%q, want %q", got.String(), want)
			}
		}
	}
}

// TestSectionAllocations: the head of a usual request costs no more memory than in HTTP/1.1,
// which is what its path, its query and its id are kept in.
func TestSectionAllocations(t *testing.T) {
	var r relay.Reader
	var h relay.RequestHead
	var req relay.Request
	var names relay.Names
	r.Reset(repeat(browserGet))
	one := testing.AllocsPerRun(100, func() {
		if err := errors.Join(r.ReadRequest(&h), h.Canonical(&req, &names)); err != nil {
			t.Fatal(err)
		}
		r.Park()
	})
	var s relay.Section
	fields := browserFields()
	two := testing.AllocsPerRun(100, func() {
		s.Reset(relay.SectionRequest)
		for i := 0; i < len(fields); i += 2 {
			s.Add(fields[i], fields[i+1])
		}
		if err := s.Request(&req, &names, true); err != nil {
			t.Fatal(err)
		}
	})
	if two > one {
		t.Errorf("%v allocations, in HTTP/1.1 %v", two, one)
	}
	var head relay.ResponseHead
	var text relay.Text
	size := 0
	add := func(name, value []byte) { size += len(name) + len(value) }
	f := relay.Forwarded{Client: netip.MustParseAddr("203.0.113.7"), ID: "id"}
	if n := testing.AllocsPerRun(100, func() {
		s.Reset(relay.SectionResponse)
		for _, f := range [][2]string{{":status", "200"}, {"content-type", "application/grpc"}, {"server", "s"}, {"set-cookie", "a=b"}} {
			s.Add(f[0], f[1])
		}
		if err := s.Response(&head, "GET", false); err != nil {
			t.Fatal(err)
		}
		head.EachField(relay.Hop{RequestID: "id", Date: "now"}, &text, add)
		req.EachForwarded(&f, &text, add)
		s.Reset(relay.SectionTrailer)
		s.Add("grpc-status", "0")
		s.Add("grpc-message", "fine")
		if fields, err := s.Trailer(); err != nil || len(fields) != 2 {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a response, its trailers and what is sent of it and of the request make %v allocations", n)
	}
}
