package relay_test

import (
	"net/http/httptest"
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
		if err := relay.CanonicalHTTP(in, &req); (err == nil) != c.ok || err != nil && mezu.CodeOf(err) != mezu.CodeNotCanonical {
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
	err := relay.CanonicalHTTP(in, &req)
	if accept, _ := req.Header("accept"); err == nil || req.ID != "mine" || accept != "text/html" {
		t.Errorf("id %q, accept %q, %v", req.ID, accept, err)
	}
}
