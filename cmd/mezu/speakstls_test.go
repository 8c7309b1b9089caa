package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// TestSaysTLS: a server of TLS that complains of a request without it is named beside its 400, in
// mezu dev and in mezu tunnel, with what to write.
func TestSaysTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	r := start(t, t.TempDir(), address)
	h := newTunneller(t, r, nil).open(address)
	url := h.said(h.out, `https://\S+`)
	for _, at := range []string{r.ready.URL, url} {
		resp, err := r.client().Get(at)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusBadRequest || !strings.HasPrefix(string(body), "Client sent an HTTP request") {
			t.Errorf("%s %q, %v", resp.Status, body, err)
		}
	}
	says := "what listens at " + address + " speaks TLS: write https://" + address
	if e := r.await(mezu.EventRequest); e.Message != says || e.Code != "" {
		t.Errorf("%+v", e)
	}
	until(t, "the tunnel names it", func() bool { return strings.Contains(h.out.String(), says) })
	until(t, "the tunnel says what helps", func() bool { return strings.Contains(h.talk.String(), "mezu tunnel https://"+address) })
}
