package relay_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// TestP12LengthOfStream: net/http's server passes over lengths that are no
// number, repeated, or beside a stream that has no body; they are refused here.
func TestP12LengthOfStream(t *testing.T) {
	for _, c := range []struct {
		lengths []string
		length  int64 // that net/http goes by
		ok      bool
	}{
		{nil, 0, true}, {nil, -1, true}, {[]string{"0"}, 0, true}, {[]string{"5"}, 5, true},
		{[]string{"5"}, 0, false}, {[]string{"5"}, -1, false}, {[]string{"x"}, 0, false}, {[]string{"+5"}, 5, false}, {[]string{""}, 0, false},
		{[]string{"5", "5"}, 5, false}, {[]string{"5", "6"}, 5, false}, {[]string{"5, 5"}, 0, false},
	} {
		in := httptest.NewRequest("POST", "/x", nil)
		in.ContentLength = c.length
		in.Header["Content-Length"] = c.lengths
		var req relay.Request
		if err := relay.CanonicalHTTP(in, &req, new(relay.Text)); (err == nil) != c.ok || err != nil && mezu.CodeOf(err) != mezu.CodeNotCanonical {
			t.Errorf("%q where the length is %d: %v", c.lengths, c.length, err)
		}
	}
}

// TestRefusalKeepsWhoAsked: an answer to a refused request needs its id and what
// it accepts.
func TestRefusalKeepsWhoAsked(t *testing.T) {
	in := httptest.NewRequest("GET", "/x", nil)
	in.RequestURI = "/%00"
	in.Header.Set("X-Request-Id", "mine")
	in.Header.Set("Accept", "text/html")
	var req relay.Request
	err := relay.CanonicalHTTP(in, &req, new(relay.Text))
	if err == nil || req.ID != "mine" || !req.Carries("accept", "text/html") {
		t.Errorf("id %q, fields %q, %v", req.ID, req.Fields, err)
	}
}

// TestRow9_Carries: every line of a field counts, in both versions alike.
func TestRow9_Carries(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   bool
	}{
		{nil, false}, {[]string{"X-Tier", "gold"}, true}, {[]string{"x-tier", "gold"}, true}, {[]string{"X-Tier", "free"}, false}, {[]string{"X-Tier", "Gold"}, false},
		{[]string{"X-Tier", "gold", "X-Tier", "gold"}, true}, {[]string{"X-Tier", "gold", "X-Tier", "free"}, false}, {[]string{"X-Tier", "free", "X-Tier", "gold"}, false}, {[]string{"X-Tier", "gold", "X-Tier", ""}, false},
		{[]string{"X-Tier", "gold, free"}, false}, {[]string{"X-Tier", "gold,gold"}, false}, {[]string{"X-Tier", "gold", "X_Tier", "gold"}, false}, {[]string{"X_Tier", "gold"}, false}, {[]string{"X-Tierx", "free", "X-Tier", "gold"}, true},
	} {
		raw, in := "GET / HTTP/1.1\r\nHost: a\r\n", httptest.NewRequest("GET", "/", nil)
		in.RequestURI = "/"
		for i := 0; i < len(c.fields); i += 2 {
			raw += c.fields[i] + ": " + c.fields[i+1] + "\r\n"
			in.Header.Add(c.fields[i], c.fields[i+1])
		}
		var one, two relay.Request
		var head relay.RequestHead
		var names relay.Names
		var r relay.Reader
		r.Reset(strings.NewReader(raw + "\r\n"))
		if err := errors.Join(r.ReadRequest(&head), head.Canonical(&one, &names), relay.CanonicalHTTP(in, &two, new(relay.Text))); err != nil {
			t.Fatal(err)
		}
		b, _ := bothOf(raw + "\r\n")
		fields, end := b.section()
		three, _, err := requested(fields, end)
		if err != nil {
			t.Fatal(err)
		}
		for i, req := range []*relay.Request{&one, &two, &three} {
			if req.Carries("x-tier", "gold") != c.want {
				t.Errorf("%q: %v by reading %d", c.fields, !c.want, i)
			}
		}
	}
}

// TestRow9_RepeatedFieldsAreNoTruth: of two request ids neither is taken, and TE is a
// list over all its lines, in both versions.
func TestRow9_RepeatedFieldsAreNoTruth(t *testing.T) {
	in := httptest.NewRequest("GET", "/", nil)
	in.RequestURI = "/"
	in.Header["X-Request-Id"], in.Header["Te"] = []string{"first", "second"}, []string{"trailers", "gzip"}
	var one, two relay.Request
	var head relay.RequestHead
	var names relay.Names
	var r relay.Reader
	r.Reset(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: first\r\nX-Request-Id: second\r\nTE: trailers\r\nTE: gzip\r\n\r\n"))
	if err := errors.Join(r.ReadRequest(&head), head.Canonical(&one, &names), relay.CanonicalHTTP(in, &two, new(relay.Text))); err != nil {
		t.Fatal(err)
	}
	three, _, err := requested(of("x-request-id", "first", "x-request-id", "second", "te", "trailers", "te", "trailers"), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []*relay.Request{&one, &two, &three} {
		if req.ID == "first" || req.ID == "second" || req.ID == "" || !req.Trailers {
			t.Errorf("id %q, trailers %v", req.ID, req.Trailers)
		}
	}
}
