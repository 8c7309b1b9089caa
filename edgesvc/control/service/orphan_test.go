package service_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// What was deleted leaves no record that nothing leads to.
func TestDeleted_LeavesNothing(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	e, _ := in.Enrol(op, "edge-1")
	controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{Presence: []mezu.Presence{{Warpgate: w.ID, Environment: x.Environment.ID, Connected: true}}})
	controltest.Call[mezu.Warpgate](t, op, api.OpDrainWarpgate, nil, x.Path(w.ID)...)
	x.Rotate("gate", map[string]any{"overlap": "1h"})
	controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, x.Path()...)
	controltest.Call[any](t, op, api.OpDeleteProject, nil, x.Org, x.Prj)
	for _, prefix := range []string{"wgt/", "held/", "presence/", "draining/", "routes/", "sva/", "key/", "used/", "applied/", "pending/"} {
		if keys := in.Keys(prefix); len(keys) != 0 {
			t.Errorf("left behind: %v", keys)
		}
	}
}

// What an edge said of a Warpgate that a process had removed when it was killed goes
// with the edge's next full report.
func TestReport_FullForgetsTheGone(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	e, _ := in.Enrol(op, "edge-1")
	gone := mezu.NewID(mezu.PrefixWarpgate, in.Clock.Now())
	said := `{"warpgate":"` + gone + `","environment":"` + x.Environment.ID + `","connected":true}`
	_, err := in.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{
		{Key: "held/" + gone + "/" + e.ID, Value: []byte(said)}, {Key: "presence/" + e.ID + "/" + gone, Value: []byte(`"` + gone + `"`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{Full: true})
	if left := append(in.Keys("held/"), in.Keys("presence/")...); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// K7: the join token of somebody who is no operator any more lets no edge in.
func TestK7_JoinTokenOfAFormerOperator(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	ana, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, map[string]any{"person": member.Person})
	join := in.JoinToken(ana)
	controltest.Call[any](t, op, api.OpDeleteOperator, nil, member.Person)
	id := controltest.NewIdentity(t)
	enrol := api.EnrolRequest{CSR: id.CSR, Name: "edge-1", TunnelAddress: "127.0.0.1:9443"}
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(join, nil), api.OpEnrolEdge, enrol)
	controltest.Call[api.EnrolResponse](t, in.Client(in.JoinToken(op), nil), api.OpEnrolEdge, enrol)
}

// K7: a bootstrap link that was lost and replaced, or another control plane's, opens
// nothing once there is an operator.
func TestK7_OtherBootstrapLinks(t *testing.T) {
	in := controltest.Install(t)
	lost := in.Secret(in.BootstrapCode())
	if err := os.Remove(filepath.Join(in.Dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	in.Restart()
	op := in.Operator()
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: lost})
	if n := len(controltest.Call[api.List[mezu.Operator]](t, op, api.OpListOperators, nil).Items); n != 1 {
		t.Errorf("%d operators", n)
	}
}
