package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestContinueField: net/http still keeps where we look whether a client waits for
// 100 Continue, and looking costs nothing.
func TestContinueField(t *testing.T) {
	var f continueField
	type found struct {
		waits  bool
		allocs float64
	}
	seen := make(chan found, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		waits := f.continues(r.Body)
		seen <- found{waits, testing.AllocsPerRun(100, func() { f.continues(r.Body) })}
		io.Copy(io.Discard, r.Body)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	client := s.Client()
	client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	for _, expect := range []string{"", "100-continue"} {
		req, err := http.NewRequest("PUT", s.URL, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		if expect != "" {
			req.Header.Set("Expect", expect)
		}
		resp, err := client.Do(req)
		if err != nil || resp.ProtoMajor != 2 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
		if got := <-seen; got.waits != (expect != "") || got.allocs > 0 {
			t.Errorf("with Expect %q: %+v", expect, got)
		}
	}
	if f.continues(http.NoBody) || f.continues(io.NopCloser(strings.NewReader(""))) {
		t.Error("a body of another kind waits")
	}
}
