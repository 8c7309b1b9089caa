package relay_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/relay"
)

// forbiddenTrailers are fields that mean something before the body only, and some that
// identify a client.
var forbiddenTrailers = []string{
	"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "WWW-Authenticate", "Cookie", "Cookie2", "Set-Cookie", "Set-Cookie2", "X-Api-Key", "X-Auth-Token",
	"Host", "Origin", "Max-Forwards", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Range", "Expect", "Transfer-Encoding", "Content-Length", "Content-Type", "Content-Encoding", "Content-Range",
	"Content-Disposition", "Content-Security-Policy", "TE", "Trailer", "Upgrade", "Connection", "Keep-Alive", "Proxy-Connection", "Age", "Cache-Control", "Expires", "Date", "Location", "Retry-After", "Vary", "Warning", "Pragma",
	"Access-Control-Allow-Origin", "Strict-Transport-Security", "X-Accel-Redirect", "X-Request-Id", "X-Mezu-User-Id", "X-Forwarded-For", "Client-IP", "X_Forwarded_For", "Remote-User", "SET_COOKIE", "Content_Type", "authorization", "cOOKIE", "x.api.key",
}

// goodTrailers are what protocols send.
var goodTrailers = []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin", "X-Checksum", "Content-Digest", "Repr-Digest", "ETag", "Server-Timing", "Authentication-Info", "X-Amz-Checksum-Sha256"}

// TestRow10_Trailers: what may not stand in a trailer section is dropped and not announced, in
// both versions. TestRow10_SectionTrailers has the sections of HTTP/2.
func TestRow10_Trailers(t *testing.T) {
	all := slices.Concat(forbiddenTrailers, goodTrailers)
	section := ""
	for _, name := range all {
		value := "forged"
		switch name { // what steers a message is refused if it is malformed
		case "Content-Length":
			value = "5"
		case "Transfer-Encoding":
			value = "chunked"
		case "Expect":
			value = "100-continue"
		}
		section += name + ": " + value + "\r\n"
	}
	names := func(fields []relay.Field) (out []string) {
		for i := range fields {
			out = append(out, string(fields[i].Name))
		}
		slices.Sort(out)
		return out
	}
	want := slices.Sorted(slices.Values(goodTrailers))
	var r relay.Reader
	r.Reset(strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: " + strings.Join(all, ", ") + "\r\n\r\n0\r\n" + section + "\r\n"))
	var head relay.RequestHead
	var req relay.Request
	if err := errors.Join(r.ReadRequest(&head), head.Canonical(&req, new(relay.Names))); err != nil {
		t.Fatal(err)
	}
	var body relay.Body
	body.Reset(&r, req.Framing, req.Length, 0)
	if _, err := body.Next(); err != io.EOF {
		t.Fatal(err)
	}
	if got := names(body.Trailer()); !slices.Equal(got, want) {
		t.Errorf("HTTP/1.1 passes %q, want %q", got, want)
	}
	if got := strings.Split(req.Announced, ", "); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("announced: %q", got)
	}
	req, _, err := requested(with("POST", "trailer", strings.Join(all, ", ")), false)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(req.Announced, ", "); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("announced over HTTP/2: %q", got)
	}
}
