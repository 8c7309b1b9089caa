package relay_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/relay"
)

// FuzzRequestHead: whatever is accepted leaves in a form that everybody reads
// alike, and how the bytes were cut makes no difference.
func FuzzRequestHead(f *testing.F) {
	for _, s := range []string{
		get, post(lengthOf+"5") + "hello", post(chunked) + "5;x=y\r\nhello\r\n0\r\nX: 1\r\n\r\n", post(chunked, lengthOf+"5") + "0\r\n\r\n",
		"GET http://a/x?y HTTP/1.1\r\nHost: a\r\nX_Real_IP: 1\r\n\r\n", "GET /%2f../%41 HTTP/1.0\r\nHost: A.:80\r\nConnection: close, x\r\nX: \t y \r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
	} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		if err := checkRequest(raw); err != nil {
			t.Fatal(err)
		}
		whole := understand(bytes.NewReader(raw))
		split := understand(&splitReader{bytes.Clone(raw), rand.New(rand.NewPCG(seed, 1))})
		if (whole.err == nil) != (split.err == nil) || code(whole.err) != code(split.err) {
			t.Fatalf("%v as a whole, %v in pieces", whole.err, split.err)
		}
		if whole.err == nil {
			if err := sameRequest(&whole, &split); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzResponseHead: a response that is accepted goes on as one that is read alike.
func FuzzResponseHead(f *testing.F) {
	for _, s := range []string{ok, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HTTP/1.0 200\r\n\r\nhello", "HTTP/1.1 204 No\r\nConnection: x\r\nX: 1\r\n\r\n",
		"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		h, body, err := readResponse(bytes.NewReader(raw), method)
		if err != nil {
			if h.Status != 0 && errors.Is(err, relay.ErrMalformedResponse) && len(body) > 0 {
				t.Fatal("a malformed head has a body")
			}
			return
		}
		out := h.Append(nil, relay.Hop{RequestID: "id"})
		switch h.Out(relay.Hop{}) {
		case relay.Chunked:
			out = relay.AppendLastChunk(relay.AppendChunk(out, []byte(body)), nil)
		default:
			out = append(out, body...)
		}
		again, body2, err := readResponse(bytes.NewReader(out), method)
		if err != nil || again.Status != h.Status || body2 != body {
			t.Fatalf("%q goes on as %q: status %d, %d bytes, %v", raw, out, again.Status, len(body2), err)
		}
		ids := 0
		for _, field := range again.Fields {
			if field.Is("x-request-id") {
				ids++
			}
		}
		if ids != 1 {
			t.Fatalf("%d request ids in %q", ids, out)
		}
	})
}

// FuzzBody: no bytes make a body that depends on how they were cut, readiness
// that waits, or unbounded reading.
func FuzzBody(f *testing.F) {
	for _, c := range bodyCases() {
		if len(c.raw) < 500 {
			f.Add([]byte(c.raw), uint8(2), int64(5), uint64(1))
		}
	}
	f.Add([]byte("hello"), uint8(1), int64(5), uint64(1))
	f.Add([]byte("hello"), uint8(3), int64(0), uint64(1))
	f.Fuzz(func(t *testing.T, raw []byte, how uint8, length int64, seed uint64) {
		framing := relay.Framing(how % 4)
		length = max(0, length)
		read := func(src io.Reader) (string, string, error) {
			var r relay.Reader
			r.Reset(src)
			defer r.Release()
			return drain(&r, framing, length, 0)
		}
		data, trailer, err := read(bytes.NewReader(raw))
		data2, trailer2, err2 := read(&splitReader{bytes.Clone(raw), rand.New(rand.NewPCG(seed, 2))})
		if (err == nil) != (err2 == nil) || err == nil && (data != data2 || trailer != trailer2) {
			t.Fatalf("%q %q %v as a whole, %q %q %v in pieces", data, trailer, err, data2, trailer2, err2)
		}
		if len(data) > len(raw) {
			t.Fatal("more came out than went in")
		}
		checkReady(t, "fuzz", bytes.Clone(raw), framing, length, int(seed%7)+1)
	})
}

// FuzzSection: the same request, written in HTTP/1.1 and as fields of HTTP/2, becomes the same
// canonical request, or both are refused. Fields are lines of name and value. What no text of
// HTTP/1.1 can have is malformed in HTTP/2.
func FuzzSection(f *testing.F) {
	for _, s := range []struct{ method, target, host, fields string }{
		{"GET", "/a/../b//c?x=%zz", "A.Example:8443", "accept:*/*\nx-two:1\nx-two:2"},
		{"POST", "/%41%2fb", "a", "content-length:5\ncontent-type:text/plain\nexpect:100-continue"},
		{"POST", "/x", "a", "te:trailers\ntrailer:x-sum, te\nx-request-id:abc\nX-Forwarded-For:1"},
		{"GET", "/", "[::1]:80", "cookie:a=b\nx:y\ncookie:c=d\ncookie:\nx_real_ip:1"},
		{"GET", "/\"é", "b.", "sec-websocket-version:13\nsec-websocket-key:k\norigin: \t x "},
		{"OPTIONS", "*", "a", "connection:close"}, {"CONNECT", "a:443", "a:443", ""}, {"TRACE", "http://a/x", "a", ":path:/y"}, {"GET", "/", "a", ":authority:b\nx:y"}, {"GET", "/%2f..", "a b", "host:a\nHost:b"},
	} {
		for how := range uint8(4) {
			f.Add(s.method, s.target, s.host, s.fields, how)
		}
	}
	f.Fuzz(func(t *testing.T, method, target, host, fields string, how uint8) {
		b := both{method: method, target: target, host: host, chunked: how&1 != 0, webSocket: how&2 != 0 && method == "GET"}
		for line := range strings.SplitSeq(fields, "\n") {
			mark := line[:min(len(line), 1)] // may be a colon, which begins a pseudo-field
			if name, value, ok := strings.Cut(line[len(mark):], ":"); ok {
				name = mark + name
				b.fields = append(b.fields, [2]string{name, strings.Trim(value, " \t")}) // in HTTP/1.1 they are no part of it
			}
		}
		if b.chunked && (b.webSocket || len(b.values("content-length")) > 0) {
			b.chunked = false
		}
		if method == "CONNECT" && strings.Contains(fields, ":protocol") {
			return // it is a WebSocket
		}
		if !b.inBoth() {
			fields, end := b.section()
			if req, _, err := requested(fields, end); err == nil {
				t.Fatalf("%q becomes %+v", fields, req)
			}
			return
		}
		if host != strings.Trim(host, " \t") || target == "" || len(b.values("host")) > 0 {
			return // HTTP/1.1 has blanks and one Host there, and nothing where HTTP/2 has an empty text
		}
		if _, err := b.compare(); err != nil {
			t.Fatalf("%q: %v", b.text(), err)
		}
	})
}

// FuzzResponseSection: the same response, written in HTTP/1.1 and as fields of HTTP/2, goes on
// alike, or both are refused.
func FuzzResponseSection(f *testing.F) {
	for _, s := range []struct{ method, status, fields string }{
		{"GET", "200", "content-type:text/html\ncontent-length:5"}, {"GET", "200", "server:s\nset-cookie:a\nset-cookie:b"}, {"HEAD", "200", "content-length:5"}, {"GET", "304", "etag:x"},
		{"GET", "204", "content-length:5"}, {"GET", "103", "link:x"}, {"POST", "200", "content-type:application/grpc\ngrpc-status:5\ncontent-length:5"}, {"GET", "600", "x_y: \t z "}, {"GET", "426", "x-request-id:a\ndate:now\nte:x\ntrailer:x"},
	} {
		f.Add(s.method, s.status, s.fields, false)
		f.Add(s.method, s.status, s.fields, true)
	}
	f.Fuzz(func(t *testing.T, method, status, fields string, chunked bool) {
		b := both{}
		for line := range strings.SplitSeq(fields, "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				b.fields = append(b.fields, [2]string{name, strings.Trim(value, " \t")}) // in HTTP/1.1 they are no part of it
			}
		}
		if !b.inBoth() || strings.ContainsAny(status, "\r\n") || status == "101" || len(b.values("cookie")) > 1 || len(fields) > relay.MaxHead/2 {
			return
		}
		if err := compareResponse(method, status, b.fields, chunked); err != nil {
			t.Fatalf("%s %q %q: %v", method, status, fields, err)
		}
	})
}
