package warpgate_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// says is what Warpgates said of their targets.
func (w *world) says(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unheard != "" {
		w.unsaid++
		problem(rw, mezu.Errorf(w.unheard, "there is no such operation"))
		return
	}
	var req api.WarpgateTargetsRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || len(r.TLS.PeerCertificates) == 0 {
		problem(rw, mezu.Errorf(mezu.CodeInvalid, "%v", err))
		return
	}
	w.said = append(w.said, req)
	rw.WriteHeader(http.StatusOK)
	rw.Write([]byte("{}"))
}

// TestTargetsAreSaid: once, and again when they change.
func TestTargetsAreSaid(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(t.TempDir())
	cfg.Upstream, cfg.AllowTargets, cfg.Version = "8080", []string{"https://api.internal"}, "1.0"
	g := w.start(cfg)
	until := func(n int, want mezu.WarpgateTargets) {
		t.Helper()
		eventually(t, "it is said", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.said) == n && w.said[n-1].Version == "1.0" && reflect.DeepEqual(w.said[n-1].WarpgateTargets, want)
		})
	}
	until(1, mezu.WarpgateTargets{Upstream: "localhost:8080", Allow: []string{"https://api.internal:443"}})
	other := to(t, workload(t, "b"))
	other.MayForward = func(mezu.Upstream) bool { return false }
	g.Retarget(*other)
	until(2, mezu.WarpgateTargets{Upstream: other.Upstream.String(), More: true})
	g.stop()
}

// TestTargets_OlderControlPlane: one that knows no such call is asked once, and any other refusal
// troubles nobody.
func TestTargets_OlderControlPlane(t *testing.T) {
	for _, code := range []mezu.Code{mezu.CodeNotFound, mezu.CodeInvalid, mezu.CodeUnavailable, mezu.CodeUnauthenticated} {
		w := newWorld(t, 1)
		w.unheard = code
		g := w.start(w.config(t.TempDir()))
		g.ready()
		eventually(t, "it was asked", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.unsaid > 0 })
		g.stop()
		w.mu.Lock()
		if code == mezu.CodeNotFound && w.unsaid != 1 {
			t.Errorf("asked %d times", w.unsaid)
		}
		w.mu.Unlock()
	}
}
