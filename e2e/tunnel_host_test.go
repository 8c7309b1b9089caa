package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/local"
)

// TestTunnelHost: a tunnel of the local daemon, enrolled at a real control plane, serves through
// a real edge: its target changes while requests are under way, and what happens is told.
func TestTunnelHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	slow := make(chan struct{})
	answer := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-slow
			}
			if r.URL.Path == "/held" {
				<-r.Context().Done()
			}
			io.WriteString(rw, name)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	one, two := answer("one"), answer("two")
	hub := event.NewHub(time.Now)
	h, err := daemon.New(daemon.Config{StateDir: filepath.Join(t.TempDir(), "daemon"), Hub: hub, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- h.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	spec := mezu.TunnelSpec{Profile: "acme", API: "https://" + w.api, CAFile: w.caFile(), Organization: "acme", Project: "shop", Environment: "production",
		TunnelTarget: mezu.TunnelTarget{Target: one}, Detached: true}
	o, err := h.Open(t.Context(), spec)
	if err != nil || o.State != mezu.TunnelNeedsLogin {
		t.Fatalf("%+v, %v", o, err)
	}
	token := invoke[api.TokenResponse](w, w.client, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: o.PublicKeySHA256}, w.path()...).Token
	if _, err := h.Enrol(t.Context(), o.ID, token); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Enrol(t.Context(), o.ID, token); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("the token again: %v", err)
	}
	eventually(t, "live", func() error {
		if is, err := h.Get(o.ID); err != nil || is.State != mezu.TunnelLive || is.Links[0].RoundTripMS <= 0 {
			return fmt.Errorf("%+v, %v", is, err)
		}
		return nil
	})
	events := hub.Reader(o.ID, "")
	defer events.Close()
	client := w.http(w.edges[0])
	get := func(path string) (int, string) {
		resp, err := client.Get("https://" + w.host + path)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	if code, text := get("/a"); code != 200 || text != "one" {
		t.Errorf("%d %q", code, text)
	}
	waiting := make(chan string, 1)
	go func() {
		_, text := get("/slow")
		waiting <- text
	}()
	eventually(t, "a request in flight", func() error {
		if is, _ := h.Get(o.ID); is.Stats.InFlight != 1 || h.Status().InFlight != 1 {
			return fmt.Errorf("%+v", is.Stats)
		}
		return nil
	})
	if _, err := h.Patch(t.Context(), o.ID, local.TunnelPatch{Target: &mezu.TunnelTarget{Target: two}}); err != nil {
		t.Fatal(err)
	}
	if code, text := get("/b"); code != 200 || text != "two" {
		t.Errorf("after the change: %d %q", code, text)
	}
	close(slow)
	if text := <-waiting; text != "one" {
		t.Errorf("what was under way: %q", text)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	if _, err := h.Patch(t.Context(), o.ID, local.TunnelPatch{Target: &mezu.TunnelTarget{Target: gone.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	if code, _ := get("/c"); code != 502 {
		t.Errorf("with nobody there: %d", code)
	}
	eventually(t, "the figures", func() error {
		if is, _ := h.Get(o.ID); is.Stats.Requests != 4 || is.Stats.Failed != 1 || is.Stats.InFlight != 0 || is.Workload.Up == nil || *is.Workload.Up || is.Workload.Code != mezu.CodeWorkloadRefused {
			return fmt.Errorf("%+v, %+v", is.Stats, is.Workload)
		}
		return nil
	})
	var all []local.Event
	has := func(what string, match func(local.Event) bool) {
		t.Helper()
		eventually(t, what, func() error {
			all, _ = events.Take(all, 100)
			if !slices.ContainsFunc(all, match) {
				return fmt.Errorf("events %+v", all)
			}
			return nil
		})
	}
	for _, path := range []string{"/a", "/slow", "/b", "/c"} {
		for _, phase := range []local.Phase{local.PhaseBegin, local.PhaseEnd} {
			has(path+" "+string(phase), func(e local.Event) bool {
				return e.Event.Event == mezu.EventRequest && e.Path == path && e.Phase == phase && e.Tunnel == "shop/production" && e.TunnelID == o.ID
			})
		}
	}
	has("what is in the way", func(e local.Event) bool {
		return e.Event.Event == mezu.EventError && e.Code == mezu.CodeWorkloadRefused && len(e.Fixes) > 0
	})

	// A drain of a minute is cut by whoever has no time for it.
	if _, err := h.Patch(t.Context(), o.ID, local.TunnelPatch{Target: &mezu.TunnelTarget{Target: one}}); err != nil {
		t.Fatal(err)
	}
	go func() {
		if resp, err := client.Get("https://" + w.host + "/held"); err == nil {
			resp.Body.Close()
		}
		waiting <- ""
	}()
	inFlight := func(state mezu.TunnelState) func() error {
		return func() error {
			if is, _ := h.Get(o.ID); is.Stats.InFlight != 1 || is.State != state {
				return fmt.Errorf("%s, %+v", is.State, is.Stats)
			}
			return nil
		}
	}
	eventually(t, "a request that is held", inFlight(mezu.TunnelLive))
	drained := make(chan error, 1)
	go func() {
		_, err := h.Stop(context.Background(), o.ID, time.Hour)
		drained <- err
	}()
	eventually(t, "a drain", inFlight(mezu.TunnelDraining))
	if is, err := h.Stop(t.Context(), o.ID, 0); err != nil || is.State != mezu.TunnelStopped || is.Stats.InFlight != 0 {
		t.Errorf("%+v, %v", is, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	<-waiting
}
