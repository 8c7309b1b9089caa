package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// TestWorkloadComes: where nothing answers is said with its address, in mezu dev and in mezu tunnel,
// and when something does, once each time.
func TestWorkloadComes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	address := l.Addr().String()
	r := start(t, t.TempDir(), address)
	p := newTunneller(t, r, nil)
	h := p.open(address)
	client := r.client()
	ask := func(url string) {
		t.Helper()
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.Body.Close(); resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%s", resp.Status)
		}
	}
	url := h.said(h.out, `https://\S+`)
	for round := range 2 {
		ask(r.ready.URL)
		if e := r.await(mezu.EventRequest); e.Code != mezu.CodeWorkloadRefused || e.Message != "nothing answers at "+address {
			t.Errorf("%+v", e)
		}
		ask(url)
		if l, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
		if e := r.await(mezu.EventWorkload); e.Status != "up" || e.Upstream != address || e.Message != address+" answers now" {
			t.Errorf("%+v", e)
		}
		until(t, "the tunnel says so", func() bool { return strings.Count(h.talk.String(), "✓ "+address+" answers now\n") == round+1 })
		l.Close()
	}
	if n := strings.Count(h.out.String(), "  nothing answers at "+address+"\n"); n != 2 {
		t.Errorf("%d times in\n%s", n, h.out)
	}
}
