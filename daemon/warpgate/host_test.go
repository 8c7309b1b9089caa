package warpgate_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// These are tests of package daemon. They stand here, where the world of Warpgates is.

// tunnels is a Host at work.
type tunnels struct {
	*daemon.Host
	t    *testing.T
	w    *world
	hub  *event.Hub
	log  *testkit.Buffer
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// hostTunnels runs a Host until the end of the test.
func (w *world) hostTunnels(dir string, change ...func(*daemon.Config)) *tunnels {
	w.t.Helper()
	h := &tunnels{t: w.t, w: w, hub: event.NewHub(time.Now), log: &testkit.Buffer{}, done: make(chan struct{})}
	cfg := daemon.Config{StateDir: dir, Kind: local.HostDaemon, Version: "1.2.3", Hub: h.hub, Log: slog.New(slog.NewTextHandler(h.log, nil))}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if h.Host, err = daemon.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	if err := h.Listen(); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	go func() {
		defer close(h.done)
		h.err = h.Run(ctx)
	}()
	w.t.Cleanup(func() {
		h.kill()
		if w.t.Failed() {
			w.t.Log("log of the host:\n" + h.log.String())
		}
	})
	return h
}

// kill ends the Host as SIGKILL would, as far as its files can tell.
func (h *tunnels) kill() {
	h.Close()
	h.stop()
	<-h.done
}

// end ends the Host in good order.
func (h *tunnels) end() {
	h.t.Helper()
	h.stop()
	<-h.done
	if h.err != nil {
		h.t.Error(h.err)
	}
}

// spec is a tunnel to an environment.
func (w *world) spec(environment string) mezu.TunnelSpec {
	return mezu.TunnelSpec{Profile: "acme", API: w.url(), CAFile: w.caFile, Organization: "acme", Project: "shop", Environment: environment,
		TunnelTarget: mezu.TunnelTarget{Target: "127.0.0.1:9"}}
}

// token makes an enrolment token for the key with a hash.
func (w *world) token(key string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	token := mezu.TokenEnrolment + mezu.NewKey()
	w.enrolments[token] = key
	return token
}

// open opens a tunnel and enrols it if need be.
func (h *tunnels) open(spec mezu.TunnelSpec) local.Opened {
	h.t.Helper()
	o, err := h.Open(h.t.Context(), spec)
	if err != nil {
		h.t.Fatal(err)
	}
	if o.State == mezu.TunnelNeedsLogin {
		if o.Tunnel, err = h.Enrol(h.t.Context(), o.ID, h.w.token(o.PublicKeySHA256)); err != nil {
			h.t.Fatal(err)
		}
	}
	return o
}

// becomes waits until a tunnel is in a state.
func (h *tunnels) becomes(id string, state mezu.TunnelState) (is mezu.Tunnel) {
	h.t.Helper()
	eventually(h.t, "tunnel "+string(state), func() bool {
		is, _ = h.Get(id)
		return is.State == state
	})
	return is
}

// detached is a spec of a tunnel that lives until it is stopped.
func detached(s mezu.TunnelSpec) mezu.TunnelSpec {
	s.Detached = true
	return s
}

func TestHost(t *testing.T) {
	w := newWorld(t, 2)
	dir := t.TempDir()
	h := w.hostTunnels(dir)
	o, err := h.Open(t.Context(), detached(w.spec("dev-ada")))
	if err != nil || o.State != mezu.TunnelNeedsLogin || o.Code != mezu.CodeUnauthenticated || len(o.PublicKeySHA256) != 64 || !o.New || o.Name != "shop/dev-ada" {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := h.Enrol(t.Context(), o.ID, mezu.NewKey()); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("an API key: %v", err)
	}
	if _, err := h.Enrol(t.Context(), o.ID, mezu.TokenEnrolment+"bad"); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("an unknown token: %v", err)
	}
	if is := h.becomes(o.ID, mezu.TunnelNeedsLogin); is.PublicKeySHA256 != o.PublicKeySHA256 {
		t.Errorf("another key after a refusal: %+v", is)
	}
	o = h.open(detached(w.spec("dev-ada")))
	is := h.becomes(o.ID, mezu.TunnelLive)
	if is.URL == "" || is.Warpgate == "" || len(is.Links) != 2 || is.Code != "" || is.Detail != "" {
		t.Errorf("%+v", is)
	}
	h.kill()
	h = w.hostTunnels(dir)
	again := h.becomes(o.ID, mezu.TunnelLive)
	if again.Warpgate != is.Warpgate || again.PublicKeySHA256 != is.PublicKeySHA256 || !again.CreatedAt.Equal(is.CreatedAt) {
		t.Errorf("after a kill %+v, before it %+v", again, is)
	}
	if err := h.Delete(t.Context(), o.ID); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tunnels", o.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
	h.end()
}
