package edge_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/testkit"
)

// TestWarpgate_ByEnrolmentToken: a Warpgate whose host has no key of a service account. Its
// token is made for its key; it serves, goes on over wakes, and takes another token as the
// same Warpgate. Once it is removed, no token brings it back.
func TestWarpgate_ByEnrolmentToken(t *testing.T) {
	w := &world{t: t, in: controltest.Install(t), log: &testkit.Buffer{}}
	w.op = w.in.Operator()
	w.pool = w.in.Pool(w.op)
	w.env = controltest.Call[mezu.Environment](t, w.op, api.OpGetEnvironment, nil, w.pool.Path()...)
	controltest.Call[api.RoutesState](t, w.op, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{{Prefix: "/"}}}, w.pool.Path()...)
	w.edge = w.startEdge("edge-1")
	server := httptest.NewServer(http.HandlerFunc(w.workload))
	t.Cleanup(server.Close)
	upstream, err := mezu.ParseUpstream(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := warpgate.Config{API: "https://" + w.in.Plane.Addr(), CAFile: w.in.Plane.CAFile(), StateDir: t.TempDir(), Environment: w.env.Name,
		Targets: &warpgate.Targets{Upstream: upstream}, Version: "test", DrainTimeout: time.Second, Log: slog.New(slog.DiscardHandler), Now: w.in.Clock.Now}
	gate, err := warpgate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	if err := gate.Listen(); err != nil {
		t.Fatal(err)
	}
	key, err := gate.KeySHA256()
	if err != nil {
		t.Fatal(err)
	}
	token := func(key string) string {
		return controltest.Call[api.TokenResponse](t, w.op, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: key}, w.pool.Path()...).Token
	}
	if err := gate.Enrol(t.Context(), token(mezu.HashSecret("another key"))); !errors.Is(err, warpgate.ErrNeedsToken) || mezu.CodeOf(err) != mezu.CodeForbidden {
		t.Fatalf("by a token of another key: %v", err)
	}
	first := token(key)
	if err := gate.Enrol(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := gate.Enrol(t.Context(), first); !errors.Is(err, warpgate.ErrNeedsToken) || mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Fatalf("by a token that is used up: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- gate.Run(context.Background()) }()
	b := w.browser()
	controltest.Eventually(t, "the Warpgate to be connected", func() bool { return b.get("/.mezu/probe").StatusCode == 204 })

	stream, err := b.client.Get(w.env.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	gate.Wake()
	is := gate.Snapshot()
	if err := gate.Enrol(t.Context(), token(key)); err != nil {
		t.Fatal(err)
	}
	b.says(b.get("/again"), "GET /again")
	now := gate.Snapshot()
	if now.ID != is.ID || now.URL != w.env.URL || now.Environment != w.env.Name || !now.Ready || len(now.Links) != 1 || now.Links[0].State != mezu.LinkConnected || !now.Links[0].Since.Equal(is.Links[0].Since) {
		t.Errorf("snapshot %+v, was %+v", now, is)
	}
	list := controltest.Call[api.List[mezu.Warpgate]](t, w.op, api.OpListWarpgates, nil, w.pool.Path()...)
	if len(list.Items) != 1 || list.Items[0].ID != is.ID {
		t.Errorf("Warpgates %+v", list.Items)
	}

	// Over the same state directory another one goes on without a token.
	stream.Body.Close()
	gate.Drain(time.Minute)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if gate, err = warpgate.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	go func() { ended <- gate.Run(context.Background()) }()
	controltest.Eventually(t, "it to be connected again", func() bool { return b.get("/.mezu/probe").StatusCode == 204 })
	controltest.Call[any](t, w.op, api.OpDeleteWarpgate, nil, w.pool.Path(is.ID)...)
	if err := <-ended; !errors.Is(err, warpgate.ErrRevoked) || errors.Is(err, warpgate.ErrNeedsToken) {
		t.Fatalf("after its removal: %v", err)
	}
}
