package console_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow serves one page, when the test lets it.
type slow struct {
	begun  chan struct{}
	answer chan struct{}
}

func (s slow) TeamPaths() []string { return []string{"/login"} }

func (s slow) TeamPage(ctx context.Context, in api.EdgePageRequest) (api.EdgePage, error) {
	s.begun <- struct{}{}
	select {
	case <-s.answer:
	case <-ctx.Done():
	}
	return api.EdgePage{Status: 200, Body: []byte(in.Client)}, nil
}

// request is one for the page, from the nth network.
func request(n int) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://control.example/login", nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}), 1000).String()
	return r
}

// Only so many pages are served at once; further ones are told to come back.
func TestConsole_InFlight(t *testing.T) {
	const most = 256
	s := slow{make(chan struct{}, most), make(chan struct{})}
	h := console.New(console.Config{Site: "https://control.example", Logins: s, Log: slog.New(slog.DiscardHandler)}, http.NotFoundHandler())
	done := make(chan int, most)
	for n := range most {
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(n))
			done <- w.Code
		}()
	}
	for range most {
		<-s.begun
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(most))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d", w.Code)
	}
	close(s.answer)
	for range most {
		if code := <-done; code != 200 {
			t.Errorf("%d", code)
		}
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, request(most))
	if body, _ := io.ReadAll(w.Body); w.Code != 200 || string(body) != "10.1.0.1" {
		t.Errorf("%d %q", w.Code, body)
	}
}

// Other paths are somebody else's, in whatever spelling.
func TestConsole_OtherPaths(t *testing.T) {
	s := slow{make(chan struct{}, 1), make(chan struct{})}
	close(s.answer)
	h := console.New(console.Config{Site: "https://control.example", Logins: s, Log: slog.New(slog.DiscardHandler)}, http.NotFoundHandler())
	for _, path := range []string{"/", "/log%69n", "/login/", "//login", "/LOGIN", "/v1/self"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "https://control.example"+path, nil)
		if h.ServeHTTP(w, r); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	// A host is a host in capital letters too, and nothing else.
	for host, status := range map[string]int{"CONTROL.example": 200, "control.example:443": 421, "evil.example": 421} {
		w := httptest.NewRecorder()
		r := request(0)
		r.Host = host
		if h.ServeHTTP(w, r); w.Code != status || strings.Contains(w.Body.String(), host) && status == 421 {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
	}
}

// Somebody who opens an address that is no page's gets a page, and a program the API's answer.
func TestConsole_BrowsersGetPages(t *testing.T) {
	s := slow{make(chan struct{}, 1), make(chan struct{})}
	close(s.answer)
	h := console.New(console.Config{Site: "https://control.example", Logins: s, Log: slog.New(slog.DiscardHandler)}, http.NotFoundHandler())
	ask := func(method, address, accept string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, address, nil)
		r.Header.Set("Accept", accept)
		h.ServeHTTP(w, r)
		return w
	}
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, path := range []string{"/bootstrap/", "/log%69n", "/nothing"} {
		w := ask("GET", "https://control.example"+path, browser)
		if w.Code != 404 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || !strings.Contains(w.Body.String(), "There is no such page") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, w := range []*httptest.ResponseRecorder{ask("GET", "https://control.example/nothing", "application/json"), ask("POST", "https://control.example/nothing", browser)} {
		if w.Code != 404 || strings.Contains(w.Body.String(), "<html") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if w := ask("GET", "https://127.0.0.1/login", browser); w.Code != 421 || !strings.Contains(w.Body.String(), "https://control.example") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Errorf("by another name: %d %s", w.Code, w.Body)
	}
}
