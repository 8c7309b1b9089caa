package control_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// decodeBundle reads a bundle whose signature others verify.
func decodeBundle(t *testing.T, signed mezu.Signed) mezu.Bundle {
	t.Helper()
	var b mezu.Bundle
	if err := json.Unmarshal(signed.Payload, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDrain(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	other, _ := in.register(key, "")
	bundle := func() []string {
		t.Helper()
		out := call[api.RegisterResponse](t, in.client("", other.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: other.csr})
		return decodeBundle(t, out.Bundle).Draining
	}
	before := call[api.RoutesState](t, op, api.OpListRoutes, nil, x.path()...).Position
	got := call[mezu.Warpgate](t, op, api.OpDrainWarpgate, nil, x.path(w.id)...)
	if !got.Draining || !slices.Equal(bundle(), []string{w.id}) {
		t.Errorf("drained: %+v, bundle %v", got, bundle())
	}
	after := call[api.RoutesState](t, op, api.OpListRoutes, nil, x.path()...).Position
	if after.Compare(before) <= 0 {
		t.Error("no new bundle")
	}
	// Again, nothing happens.
	call[mezu.Warpgate](t, op, api.OpDrainWarpgate, nil, x.path(w.id)...)
	if again := call[api.RoutesState](t, op, api.OpListRoutes, nil, x.path()...).Position; again != after {
		t.Error("a bundle for nothing")
	}
	// It survives whatever else changes: routes, the switch, a renewal of its own.
	call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.path()...)
	call[mezu.Environment](t, op, api.OpUpdateEnvironment, map[string]any{"enabled": false}, x.path()...)
	call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"staff": map[string]any{"permissions": []string{"a"}}}}, x.org, x.prj)
	call[api.RegisterResponse](t, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	if !slices.Equal(bundle(), []string{w.id}) || !call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...).Draining {
		t.Errorf("bundle %v", bundle())
	}
	// Several at once are all on the list.
	ids := []string{w.id, other.id}
	for range 4 {
		v, _ := in.register(key, "")
		ids = append(ids, v.id)
	}
	got2 := atOnce(len(ids), func(i int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpDrainWarpgate, nil, x.path(ids[i])...)
		return err
	})
	slices.Sort(ids)
	if got2[""] != len(ids) || !slices.Equal(bundle(), ids) {
		t.Errorf("outcomes %v, bundle %v, want %v", got2, bundle(), ids)
	}
	// Removed, it is off the list from the next bundle on.
	call[any](t, op, api.OpDeleteWarpgate, nil, x.path(w.id)...)
	if got := call[mezu.Warpgate](t, op, api.OpUndrainWarpgate, nil, x.path(other.id)...); got.Draining {
		t.Error("still draining")
	}
	if list := bundle(); len(list) != 4 || slices.Contains(list, w.id) || slices.Contains(list, other.id) {
		t.Errorf("bundle %v", list)
	}
	// K3: another tenant's Warpgate is none.
	stranger := in.tenant(op, "other")
	refused(t, mezu.CodeNotFound, op, api.OpDrainWarpgate, nil, stranger.path(other.id)...)
	refused(t, mezu.CodeInvalid, op, api.OpUpdateEnvironment, map[string]any{"draining": []string{}}, x.path()...)
}
