package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// TestRestoredAll: an installation on one machine comes back from its backup on a new one, as
// docs/operations.md says. Its edge takes its place again, and the Warpgate finds it.
func TestRestoredAll(t *testing.T) {
	t.Parallel()
	w, e, _ := startAll(t, filepath.Join(t.TempDir(), "all"))
	safe, file := filepath.Join(t.TempDir(), "seal.key"), filepath.Join(t.TempDir(), "backup")
	if err := os.Link(filepath.Join(w.dir, "control", "seal.key"), safe); err != nil {
		t.Fatal(err)
	}
	was := invoke[api.List[mezu.Edge]](w, w.client, api.OpListEdges, nil).Items
	w.operate(0, "backup", file)
	w.control.kill()
	w.dir = filepath.Join(t.TempDir(), "anew")
	w.operate(0, "restore", file, "--state", filepath.Join(w.dir, "control"), "--seal-key-file", safe)
	w.runAll(e, "--seal-key-file", safe)
	healthy(t, w.admin)
	healthy(t, e.admin)
	w.reachable(e)
	is := invoke[api.List[mezu.Edge]](w, w.client, api.OpListEdges, nil).Items
	if len(was) != 1 || len(is) != 1 || was[0].ID != is[0].ID {
		t.Errorf("edges are %+v, were %+v", is, was)
	}
}

// startAll starts both services in one process, on the state in dir, with a project whose
// Warpgate is there.
func startAll(t *testing.T, dir string) (*world, *edgeNode, *workload) {
	t.Helper()
	w := &world{t: t, dir: dir, api: freeAddr(t)}
	e := &edgeNode{w: w, name: "edge", https: freeAddr(t)}
	w.runAll(e)
	healthy(t, w.admin)
	w.bootstrap()
	healthy(t, e.admin)
	w.makeProject([]mezu.Route{open})
	wl := newWorkload(t, false)
	g := &gate{w: w, health: freeAddr(t)}
	state := t.TempDir()
	g.process = start(t, "gate", "warpgate", "--api", "https://"+w.api, "--ca-file", w.caFile(), "--token-file", w.secretFile("gate.key", w.key),
		"--upstream", wl.addr(), "--state", filepath.Join(state, "gate"), "--health-addr", g.health)
	healthy(t, g.health)
	w.reachable(e)
	return w, e, wl
}

// runAll starts the process.
func (w *world) runAll(e *edgeNode, more ...string) {
	w.t.Helper()
	w.admin, e.admin = freeAddr(w.t), freeAddr(w.t)
	w.control = start(w.t, "all", "mezusphere", append([]string{"all", "--state", w.dir, "--domain", "localhost", "--log-format", "json",
		"--api-addr", w.api, "--admin-addr", w.admin, "--edge-admin-addr", e.admin, "--https-addr", e.https}, more...)...)
	e.process, w.edges = w.control, []*edgeNode{e}
}
