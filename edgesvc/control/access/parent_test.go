package access_test

import (
	"errors"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// vanish deletes a record with an id as its deletion does, and nothing of what that
// owes: so it is when the process is killed in between.
func vanish(in *controltest.Installation, id string) {
	in.T.Helper()
	at, err := in.Store.Get(in.T.Context(), "id/"+id)
	if err != nil {
		in.T.Fatal(err)
	}
	key := string(at.Value[1 : len(at.Value)-1]) // in JSON
	_, err = in.Store.Commit(in.T.Context(), store.Txn{Ops: []store.Op{{Key: key, Delete: true}, {Key: at.Key, Delete: true}}})
	if err != nil {
		in.T.Fatal(err)
	}
}

// K2: the key of a service account whose project was deleted opens as much as one that
// never was, at once: also while the account is still to be removed.
func TestK2_KeyOfADeletedProject(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	account, key := x.Account("all", mezu.PermProjectsRead, mezu.PermWarpgateRegister)
	holder, bad := in.Client(key, nil), in.Client(mezu.NewKey(), nil)
	w, err := api.Watch[mezu.Project](t.Context(), holder, api.OpWatchProjects, "", "acme")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	vanish(in, x.Environment.ID)
	vanish(in, controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, "acme", "shop").ID)
	register := api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR}
	for _, c := range []struct {
		op     api.Operation
		in     any
		params []string
	}{
		{api.OpListProjects, nil, []string{"acme"}}, {api.OpWatchProjects, nil, []string{"acme"}}, {api.OpGetProject, nil, []string{"acme", "shop"}},
		{api.OpSelf, nil, nil}, {api.OpRegisterWarpgate, register, nil},
	} {
		want := controltest.Refused(t, mezu.CodeUnauthenticated, bad, c.op, c.in, c.params...)
		if got := controltest.Refused(t, mezu.CodeUnauthenticated, holder, c.op, c.in, c.params...); got.Detail != want.Detail || got.Hint == "" {
			t.Errorf("%s: %v, a bad key gets %v", c.op.ID, got, want)
		}
	}
	for err == nil {
		_, err = w.Next()
	}
	if errors.Is(err, api.ErrStreamIdle) {
		t.Error("the watch of a deleted project goes on")
	}
	if rec, err := in.Store.Get(t.Context(), "id/"+account.ID); err != nil {
		t.Errorf("the account was removed already: %v, %v", rec, err)
	}
}

// K8, K9: the certificate of a Warpgate whose environment was deleted opens nothing, at
// once: also while the Warpgate is still to be removed.
func TestK8_CertificateOfADeletedEnvironment(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	vanish(in, x.Environment.ID)
	got := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: controltest.NewIdentity(t).CSR})
	if got.Hint == "" {
		t.Errorf("no next step: %v", got)
	}
}
