package warpgate_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/sidecar"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// These are tests of package sidecar. They stand here, where the world of Warpgates is.

// host is a process that runs Warpgates.
type host struct {
	*sidecar.Process
	gates []*gate
	done  chan struct{}
	err   error
}

// hosted runs the Warpgates of these configurations in one process. Their gates
// cancel and end together.
func hosted(t *testing.T, cfg sidecar.Config) *host {
	t.Helper()
	h := &host{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	for i := range cfg.Warpgates {
		g := watch(t, &cfg.Warpgates[i])
		g.cancel, g.done = cancel, h.done
		h.gates = append(h.gates, g)
	}
	cfg.HealthAddr = "127.0.0.1:0"
	var err error
	if h.Process, err = sidecar.New(cfg); err != nil {
		t.Fatal(err)
	}
	for i, made := range h.Warpgates() {
		h.gates[i].is(made)
	}
	go func() {
		defer close(h.done)
		h.err = h.Run(ctx)
	}()
	t.Cleanup(func() {
		h.Close()
		cancel()
		<-h.done
		if t.Failed() {
			for i, g := range h.gates {
				t.Logf("log of Warpgate %d:\n%s", i, g.log.String())
			}
		}
	})
	eventually(t, "health listener", func() bool { return h.HealthAddr() != "" })
	return h
}

// get asks the health listener.
func (h *host) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + h.HealthAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealth(t *testing.T) {
	w := newWorld(t, 1)
	w.edges[0].kill()
	h := hosted(t, sidecar.Config{Warpgates: []warpgate.Config{w.config(t.TempDir())}})
	if code, _ := h.get(t, "/livez"); code != 200 {
		t.Errorf("livez %d", code)
	}
	eventually(t, "not ready without an edge", func() bool { _, why := h.get(t, "/readyz"); return why == "no edge holds a tunnel\n" })
	w.setEdges(w.addEdge()) // found by asking the control plane
	h.gates[0].ready()
	if code, text := h.get(t, "/readyz"); code != 200 || text != "ok\n" {
		t.Errorf("readyz %d %q", code, text)
	}
	_, text := h.get(t, "/metrics")
	for _, want := range []string{"mezu_warpgate_ready 1\n", `version="1.2.3"`, "mezu_warpgate_bundle_revision 1\n", "mezu_warpgate_tunnel_up{edge=\"" + w.edges[1].info.ID + "\"} 1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q:\n%s", want, text)
		}
	}
	wellFormed(t, text)
}

// wellFormed holds metrics against the text format: each is described once, before all
// of its values.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	described, values := map[string]bool{}, map[string]bool{}
	name := ""
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "# HELP "):
			if name = fields[2]; described[name] {
				t.Errorf("%s is described twice", name)
			}
			described[name] = true
		case strings.HasPrefix(line, "# TYPE "):
			if fields[2] != name {
				t.Errorf("the type of %s after the help of %s", fields[2], name)
			}
		default:
			series := fields[0]
			if of, _, _ := strings.Cut(series, "{"); len(fields) != 2 || of != name || values[series] {
				t.Errorf("malformed, misplaced or repeated line %q", line)
			}
			values[series] = true
		}
	}
}

// What one Warpgate says of itself stays what it was when a process ran one: only the
// figures themselves differ.
func TestMetricsOfOne(t *testing.T) {
	w := newWorld(t, 1)
	h := hosted(t, sidecar.Config{Warpgates: []warpgate.Config{w.config(t.TempDir())}, MaxConns: 7, LinesLost: func() uint64 { return 3 }})
	h.gates[0].ready()
	_, text := h.get(t, "/metrics")
	for name, pattern := range map[string]string{
		"$1 _": `(mezu_warpgate_certificate_not_after_seconds|go_goroutines|mezu_warpgate_data_connections) \d+`,
		"ID":   h.gates[0].ID() + "|" + w.edges[0].info.ID,
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, name)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if text != string(golden) {
		t.Errorf("metrics:\n%s\nwant:\n%s", text, golden)
	}
}

// Two Warpgates of one process: each with a control plane, edges and a state directory of
// its own. Both serve; health tells of both; what ends one leaves the other alone.
func TestTwoWarpgates(t *testing.T) {
	for name, end := range map[string]func(*world, *gate){
		"closed":  func(_ *world, g *gate) { g.Close() },
		"revoked": func(w *world, _ *gate) { w.edges[0].hub.Push("", w.revoke(w.serial)) },
	} {
		t.Run(name, func(t *testing.T) {
			one, two := newWorld(t, 1), newWorld(t, 2)
			firstDir := t.TempDir()
			h := hosted(t, sidecar.Config{Warpgates: []warpgate.Config{one.config(firstDir), two.config(t.TempDir())}, MaxConns: 100})
			first, second := h.gates[0], h.gates[1]
			first.ready()
			second.ready()
			if first.ID() == second.ID() {
				t.Fatalf("both are %s", first.ID())
			}
			one.edges[0].ping(t, one.env)
			two.edges[0].ping(t, two.env)
			two.edges[1].ping(t, two.env)
			if code, text := h.get(t, "/readyz"); code != 200 || text != "ok\n" {
				t.Errorf("readyz %d %q", code, text)
			}
			_, text := h.get(t, "/metrics")
			wellFormed(t, text)
			for _, want := range []string{
				`mezu_warpgate_info{warpgate="` + first.ID() + `",id="` + first.ID() + `",version="1.2.3"} 1`,
				`mezu_warpgate_ready{warpgate="` + first.ID() + `"} 1`, `mezu_warpgate_ready{warpgate="` + second.ID() + `"} 1`,
				`mezu_warpgate_tunnel_up{warpgate="` + second.ID() + `",edge="` + two.edges[1].info.ID + `"} 1`,
				"mezu_warpgate_data_connections_max 100",
			} {
				if !strings.Contains(text, want+"\n") {
					t.Errorf("metrics lack %q:\n%s", want, text)
				}
			}
			for _, g := range h.gates {
				g.TestOnlyRequest(mezu.Event{Event: mezu.EventRequest, Path: "/"})
				e := g.event("request", func(e mezu.Event) bool { return e.Event == mezu.EventRequest })
				if e.WarpgateID != g.ID() {
					t.Errorf("the request of %s names %q", g.ID(), e.WarpgateID)
				}
			}

			busy := two.edges[0].checkout(t, two.env)
			if _, err := busy.Write([]byte("slow\n")); err != nil {
				t.Fatal(err)
			}
			end(one, first)
			first.event("stopped", func(e mezu.Event) bool { return e.Event == mezu.EventStopped })
			if got := exchange(t, busy, "late\n"); got != "late\n" {
				t.Errorf("what was in flight at the other got %q", got)
			}
			busy.Release()
			two.edges[1].ping(t, two.env)
			eventually(t, "health tells who ended", func() bool {
				code, text := h.get(t, "/readyz")
				return code == 503 && text == first.ID()+": ended\n"
			})
			if ready, why := second.Ready(); !ready {
				t.Errorf("the other is not ready: %s", why)
			}
			_, text = h.get(t, "/metrics")
			wellFormed(t, text)
			if want := `mezu_warpgate_ready{warpgate="` + first.ID() + `"} 0`; !strings.Contains(text, want) {
				t.Errorf("metrics lack %q:\n%s", want, text)
			}

			// The one that ended gave back its state directory.
			again := one.start(one.config(firstDir))
			if name == "closed" {
				again.ready()
			} else if err := again.wait(); mezu.CodeOf(err) != mezu.CodeForbidden {
				t.Errorf("error after a restart %v", err)
			}

			if second.cancel(); second.event("stopped", func(e mezu.Event) bool { return e.Event == mezu.EventStopped }).Code != "" {
				t.Error("the other ended with an error")
			}
			if conn, err := net.Dial("tcp", h.HealthAddr()); err == nil {
				conn.Close()
				t.Error("the health listener is there after the last Warpgate said that it stopped")
			}
			<-h.done
			if want := name == "revoked"; want != (mezu.CodeOf(h.err) == mezu.CodeForbidden) || want != (h.err != nil && strings.Contains(h.err.Error(), first.ID())) {
				t.Errorf("error %v", h.err)
			}
		})
	}
}

// A process whose start fails holds nothing: each state directory can be used by another.
func TestStartFails(t *testing.T) {
	w := newWorld(t, 1)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	one, two := t.TempDir(), t.TempDir()
	for name, c := range map[string]struct {
		dirs   []string
		health string
		want   mezu.Code
	}{
		"one state directory twice": {[]string{one, two, one}, "", mezu.CodeConflict},
		"health port in use":        {[]string{one, two}, busy.Addr().String(), mezu.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := sidecar.Config{HealthAddr: c.health}
			for _, dir := range c.dirs {
				cfg.Warpgates = append(cfg.Warpgates, w.config(dir))
			}
			d, err := sidecar.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Run(t.Context()); mezu.CodeOf(err) != c.want {
				t.Fatalf("error %v, want %s", err, c.want)
			}
		})
	}
	for _, dir := range []string{one, two} {
		g := w.start(w.config(dir))
		g.ready()
		g.stop()
	}
}

func TestNoWarpgate(t *testing.T) {
	if _, err := sidecar.New(sidecar.Config{}); err == nil {
		t.Fatal("a process without a Warpgate")
	}
}

// Close before Run, and after it, of a process.
func TestCloseProcessBeforeRun(t *testing.T) {
	w := newWorld(t, 0)
	d, err := sidecar.New(sidecar.Config{Warpgates: []warpgate.Config{w.config(t.TempDir())}, HealthAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	d.Close()
	if err := d.Run(t.Context()); err == nil {
		t.Fatal("it ran")
	}
	d.Close()
}
