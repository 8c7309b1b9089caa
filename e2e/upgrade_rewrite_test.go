package e2e

import (
	"os"
	"testing"

	"github.com/mezusphere/mezu"
)

// TestUpgrade_Rewriting: an edge or a Warpgate of the build before, beside one of this, closes a route
// that it can't rewrite or answer. Nothing of it comes to the workload as it was not meant.
func TestUpgrade_Rewriting(t *testing.T) {
	t.Parallel()
	before := os.Getenv(beforeVariable)
	if before == "" {
		t.Skip("no earlier build is given: make before builds one, and MEZU_BEFORE names its folder")
	}
	routes := []mezu.Route{
		{Name: "p", Prefix: "/p/"}, {Name: "cut", Prefix: "/cut/", StripPrefix: "/cut"}, {Name: "moved", Exact: "/moved", Redirect: &mezu.Redirect{To: "/p/"}}, {Name: "gone", Exact: "/gone", Respond: &mezu.Respond{Status: 410}},
		{Name: "asks", Exact: "/asks", RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-A": "b"}}}, {Name: "says", Exact: "/says", ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-A": "b"}}},
	}
	for name, old := range map[string]struct {
		edge, gate string
		status     map[string]int
	}{
		"an edge":    {before, "", map[string]int{"/cut/x": 503, "/moved": 503, "/gone": 503, "/asks": 503, "/says": 503}},
		"a Warpgate": {"", before, map[string]int{"/cut/x": 403, "/moved": 302, "/gone": 410, "/asks": 403, "/says": 403}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, dir: t.TempDir(), api: freeAddr(t), faulty: old.edge}
			w.startControl()
			w.bootstrap()
			w.addEdge("edge-1")
			w.makeProject(routes)
			w.faulty = old.gate
			a := newTargetAt(w)
			a.alive(t)
			a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
				for path, status := range old.status {
					if got := ask("GET", path); got.status != status {
						t.Errorf("%s: %d %s, not %d", path, got.status, got.code, status)
					}
				}
			})
			a.settle(t)
		})
	}
}
