package control_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// What was deleted leaves no record that nothing leads to.
func TestDeleted_LeavesNothing(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	e, _ := in.enrol(op, "edge-1")
	call[any](t, in.client("", e.cert), api.OpEdgeReport, api.EdgeReport{Presence: []mezu.Presence{{Warpgate: w.id, Environment: x.environment.ID, Connected: true}}})
	call[mezu.Warpgate](t, op, api.OpDrainWarpgate, nil, x.path(w.id)...)
	x.rotate("gate", map[string]any{"overlap": "1h"})
	call[any](t, op, api.OpDeleteEnvironment, nil, x.path()...)
	call[any](t, op, api.OpDeleteProject, nil, x.org, x.prj)
	for _, prefix := range []string{"wgt/", "held/", "presence/", "draining/", "routes/", "sva/", "key/", "used/", "applied/", "pending/"} {
		if keys := in.keys(prefix); len(keys) != 0 {
			t.Errorf("left behind: %v", keys)
		}
	}
}

// What an edge said of a Warpgate that a process had removed when it was killed goes
// with the edge's next full report.
func TestReport_FullForgetsTheGone(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	e, _ := in.enrol(op, "edge-1")
	gone := mezu.NewID(mezu.PrefixWarpgate, in.clock.now())
	said := `{"warpgate":"` + gone + `","environment":"` + x.environment.ID + `","connected":true}`
	_, err := in.store.Commit(t.Context(), store.Txn{Ops: []store.Op{
		{Key: "held/" + gone + "/" + e.id, Value: []byte(said)}, {Key: "presence/" + e.id + "/" + gone, Value: []byte(`"` + gone + `"`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	call[any](t, in.client("", e.cert), api.OpEdgeReport, api.EdgeReport{Full: true})
	if left := append(in.keys("held/"), in.keys("presence/")...); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// K7: the join token of somebody who is no operator any more lets no edge in.
func TestK7_JoinTokenOfAFormerOperator(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	ana, member := in.join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	call[mezu.Operator](t, op, api.OpCreateOperator, map[string]any{"person": member.Person})
	join := in.joinToken(ana)
	call[any](t, op, api.OpDeleteOperator, nil, member.Person)
	id := newIdentity(t)
	enrol := api.EnrolRequest{CSR: id.csr, Name: "edge-1", TunnelAddress: "127.0.0.1:9443"}
	refused(t, mezu.CodeUnauthenticated, in.client(join, nil), api.OpEnrolEdge, enrol)
	call[api.EnrolResponse](t, in.client(in.joinToken(op), nil), api.OpEnrolEdge, enrol)
}

// K7: a bootstrap link that was lost and replaced, or another control plane's, opens
// nothing once there is an operator.
func TestK7_OtherBootstrapLinks(t *testing.T) {
	in := install(t)
	lost := in.secret(in.bootstrapCode())
	if err := os.Remove(filepath.Join(in.dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	in.restart()
	op := in.operator()
	refused(t, mezu.CodeUnauthenticated, in.client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: lost})
	if n := len(call[api.List[mezu.Operator]](t, op, api.OpListOperators, nil).Items); n != 1 {
		t.Errorf("%d operators", n)
	}
}
