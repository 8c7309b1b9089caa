package status

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is the way of tui-screens.
func shop() Report {
	return Report{Organization: "acme", Project: "shop", Environment: "dev-ada", URL: "https://shop-dev-ada-acme.edge.example.com", Hops: []Hop{
		{Hop: "you", State: OK}, {Hop: "edge", Name: "fra-1", State: OK, MS: 1.2}, {Hop: "warpgate", Name: "wgt_7Q2abcdefgh", State: OK, MS: 2.4}, {Hop: "workload", Name: "localhost:5173", State: Failed, Detail: "refused"},
	}}
}

func TestDraw(t *testing.T) {
	r := shop()
	unicode := terminal.Streams{Unicode: true}
	want := `acme/shop/dev-ada   https://shop-dev-ada-acme.edge.example.com

  you ──1 ms── edge fra-1 ──2 ms── Warpgate wgt_7Q2… ──── localhost:5173
   ✓             ✓                   ✓                        ✗ refused

`
	if got := r.draw(unicode); got != want {
		t.Errorf("\n%s", got)
	}
	r.Hops[1].Name = "a-rather-long-name-of-an-edge"
	for columns, drawn := range map[int]bool{120: true, 60: false} {
		terminal := terminal.Streams{Unicode: true, OutTerminal: true, Columns: func() int { return columns }}
		if got := strings.Contains(r.draw(terminal), " ──1 ms── edge a-rather-long-name-of-an-edge ──"); got != drawn {
			t.Errorf("drawn in %d columns: %v", columns, got)
		}
	}
	r = shop()
	r.Hops[2].State, r.Hops[2].MS, r.Hops[2].Name = Unknown, 0, ""
	r.Hops[3].Name = "unix:/run/user/1000/a-rather-long-name/of-a/socket-of-the-shop.sock\x1b[2J"
	want = `acme/shop/dev-ada   https://shop-dev-ada-acme.edge.example.com

  you                                                                           ✓
  edge fra-1                                                                    ✓  1 ms
  Warpgate                                                                      ?
  unix:/run/user/1000/a-rather-long-name/of-a/socket-of-the-shop.sock\x1b[2J  ✗ refused
`
	if got := r.draw(unicode); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("\n%s", got)
	}
	if runtime.GOOS != "windows" {
		r = shop()
		r.Hops[0].MS = 0.2
		want = `acme/shop/dev-ada   https://shop-dev-ada-acme.edge.example.com

  you --1 ms-- edge fra-1 --2 ms-- Warpgate wgt_7Q2... ---- localhost:5173
   ok            ok                  ok                         fail refused

`
		if got := r.draw(terminal.Streams{}); got != want {
			t.Errorf("\n%s", got)
		}
	}
}

// A look that ends before the daemon has said how the workload is does not say that requests come
// through. Of another machine's workload nothing is known, and nothing is wrong.
func TestFlows(t *testing.T) {
	r := shop()
	r.Hops[3] = Hop{Hop: "workload", State: Unknown}
	if !r.flows() {
		t.Error("another machine's workload is in the way")
	}
	(&target{}).judgeWorkload(t.Context(), &r, &r.Hops[3], local.Probe{}, context.DeadlineExceeded)
	if r.flows() {
		t.Error("a look that was cut off says that requests come through")
	}
	r = shop()
	refused := mezu.Workload{Up: new(bool), Code: mezu.CodeWorkloadRefused}
	(&target{tunnel: &mezu.Tunnel{TunnelSpec: mezu.TunnelSpec{TunnelTarget: mezu.TunnelTarget{Target: "shop.internal:80"}}}}).judgeWorkload(t.Context(), &r, &r.Hops[3], local.Probe{Workload: refused}, nil)
	if r.flows() {
		t.Error("requests come to a workload that refuses them")
	}
	here := &target{tunnel: &mezu.Tunnel{TunnelSpec: mezu.TunnelSpec{TunnelTarget: mezu.TunnelTarget{Target: "shop.internal:80"}}}}
	up := true
	for what, w := range map[string]mezu.Workload{
		"whose state is left out": {},
		"that speaks no HTTP":     {Up: &up, Code: mezu.CodeWorkloadBadResponse, Detail: "what listens at shop.internal:80 speaks TLS"},
	} {
		r = shop()
		r.Tunnel = "shop/dev-ada"
		here.judgeWorkload(t.Context(), &r, &r.Hops[3], local.Probe{Workload: w}, nil)
		if r.flows() || r.Hops[3].State == OK || r.Detail == "" || r.Hint == "" && w.Hint != "" {
			t.Errorf("requests come to a workload %s: %+v", what, r)
		}
	}
	r = shop()
	r.Tunnel, r.Hops[3].State = "shop/dev-ada", Unknown
	if r.flows() {
		t.Error("nobody asked the workload, and requests come to it")
	}
	r.Hops[3].State = OK
	if !r.flows() {
		t.Error("what is in the way?")
	}
}

// A daemon that does not say what it serves may serve what is looked at: so that is not known to
// work, and no tunnel is said not to be here.
func TestUnasked(t *testing.T) {
	silent := &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the daemon does not answer", Hint: "mezu daemon restart"}
	env := map[string]string{"MEZU_API": "https://127.0.0.1:1", "MEZU_TOKEN": "mezu_x", "MEZU_ORG": "acme", "MEZU_PROJECT": "shop"}
	inv := &invocation.Invocation{Getenv: func(name string) string { return env[name] }, Dir: t.TempDir(), State: t.TempDir()}
	o := &options{Invocation: inv, Running: func(context.Context, invocation.Settings) (*local.Client, error) { return nil, silent }}
	if _, err := o.choose(t.Context()); !errors.Is(err, silent) {
		t.Errorf("%v", err)
	}
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server-Timing", "edge;dur=1, warpgate;dur=1")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer site.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := &target{inv: inv, url: site.URL, caFile: ca}
	if r := elsewhere.look(t.Context()); !r.Flows {
		t.Errorf("%+v", r)
	}
	elsewhere.unasked = silent
	if r := elsewhere.look(t.Context()); r.Flows || r.Hops[2].State != OK || !strings.Contains(r.Detail, "the daemon does not answer") {
		t.Errorf("%+v", r)
	}
}

// A control plane that is away is said, and stops nothing.
func TestControlPlaneAway(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var out, talk strings.Builder
	inv := &invocation.Invocation{Streams: terminal.Streams{Out: &out, Err: &talk}, Now: func() time.Time { return now }, Flags: invocation.Flags{Output: terminal.Table}}
	daemon := local.New(filepath.Join(t.TempDir(), "daemon.sock"), "1.0.0")
	defer daemon.Close()
	here := &target{inv: inv, url: "https://127.0.0.1:1", daemon: daemon, tunnel: &mezu.Tunnel{Name: "shop/dev-ada", ControlAway: now.Add(-3 * time.Hour)}}
	r := here.look(t.Context())
	if !r.ControlAway.Equal(here.tunnel.ControlAway) {
		t.Errorf("%+v", r)
	}
	r = shop()
	r.Hops[3].State, r.Flows, r.ControlAway = OK, true, here.tunnel.ControlAway
	if err := (&options{Invocation: inv}).show(r); err != nil || !strings.Contains(talk.String(), "the control plane could not be reached for 3 h; the tunnel goes on without it") {
		t.Errorf("%q, %v", talk.String(), err)
	}
}

func TestPick(t *testing.T) {
	tunnel := func(id, organization, project, environment string) mezu.Tunnel {
		return mezu.Tunnel{ID: id, Name: project + "/" + environment, TunnelSpec: mezu.TunnelSpec{Organization: organization, Project: project, Environment: environment}}
	}
	all := []mezu.Tunnel{tunnel("1", "acme", "shop", "dev-ada"), tunnel("2", "acme", "shop", "dev-ada-docs"), tunnel("3", "acme", "blog", "dev-ada")}
	stopped := tunnel("5", "acme", "wiki", "dev-ada-hooks")
	stopped.State = mezu.TunnelStopped
	all = append(all, tunnel("4", "acme", "wiki", "dev-ada"), stopped)
	blog := invocation.Settings{Organization: "acme", Project: "blog"}
	other := invocation.Settings{Organization: "other"}
	staging := invocation.Settings{Organization: "acme", Project: "shop", Environment: "staging"}
	docs := invocation.Settings{Organization: "acme", Project: "shop", Environment: "dev-ada-docs"}
	for _, c := range []struct {
		what, name string
		named      bool
		s          invocation.Settings
		want       string
	}{
		{"by name", "shop/dev-ada", false, other, "1"},
		{"by id", "3", false, other, "3"},
		{"by environment", "dev-ada", false, blog, "3"},
		{"by environment of several", "dev-ada", false, invocation.Settings{}, "several"},
		{"nothing like it", "staging", false, blog, ""},
		{"the only one of the project", "", false, blog, "3"},
		{"the one of the context", "", false, docs, "2"},
		{"beside mezu dev", "", false, invocation.Settings{Organization: "acme", Project: "shop", Environment: "dev-ada", Socket: "dev.sock"}, "2"},
		{"beside one that was stopped", "", false, invocation.Settings{Project: "wiki"}, "4"},
		{"one that was stopped, by name", "wiki/dev-ada-hooks", false, other, "5"},
		{"several", "", false, invocation.Settings{Project: "shop"}, "several"},
		{"named, and not here", "", true, staging, ""},
		{"named, and here", "", true, docs, "2"},
		{"of nobody here", "", false, other, ""},
	} {
		got, err := pick(all, c.name, c.named, c.s)
		id := ""
		if exit.Of(err) == exit.Usage {
			id = "several"
		}
		if got != nil {
			id = got.ID
		}
		if id != c.want {
			t.Errorf("%s: %q instead of %q, %v", c.what, id, c.want, err)
		}
	}
}
