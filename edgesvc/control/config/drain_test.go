package config_test

import (
	"slices"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

func TestDrain(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	other, _ := in.Register(key, "")
	bundle := func() []string {
		t.Helper()
		out := controltest.Call[api.RegisterResponse](t, in.Client("", other.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: other.CSR})
		return controltest.DecodeBundle(t, out.Bundle).Draining
	}
	before := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...).Position
	got := controltest.Call[mezu.Warpgate](t, op, api.OpDrainWarpgate, nil, x.Path(w.ID)...)
	if !got.Draining || !slices.Equal(bundle(), []string{w.ID}) {
		t.Errorf("drained: %+v, bundle %v", got, bundle())
	}
	after := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...).Position
	if after.Compare(before) <= 0 {
		t.Error("no new bundle")
	}
	// Again, nothing happens.
	controltest.Call[mezu.Warpgate](t, op, api.OpDrainWarpgate, nil, x.Path(w.ID)...)
	if again := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...).Position; again != after {
		t.Error("a bundle for nothing")
	}
	// It survives whatever else changes: routes, the switch, a renewal of its own.
	controltest.Call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.Path()...)
	controltest.Call[mezu.Environment](t, op, api.OpUpdateEnvironment, map[string]any{"enabled": false}, x.Path()...)
	controltest.Call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"staff": map[string]any{"permissions": []string{"a"}}}}, x.Org, x.Prj)
	controltest.Call[api.RegisterResponse](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	if !slices.Equal(bundle(), []string{w.ID}) || !controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...).Draining {
		t.Errorf("bundle %v", bundle())
	}
	// Several at once are all on the list.
	ids := []string{w.ID, other.ID}
	for range 4 {
		v, _ := in.Register(key, "")
		ids = append(ids, v.ID)
	}
	got2 := controltest.AtOnce(len(ids), func(i int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpDrainWarpgate, nil, x.Path(ids[i])...)
		return err
	})
	slices.Sort(ids)
	if got2[""] != len(ids) || !slices.Equal(bundle(), ids) {
		t.Errorf("outcomes %v, bundle %v, want %v", got2, bundle(), ids)
	}
	// Removed, it is off the list from the next bundle on.
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(w.ID)...)
	if got := controltest.Call[mezu.Warpgate](t, op, api.OpUndrainWarpgate, nil, x.Path(other.ID)...); got.Draining {
		t.Error("still draining")
	}
	if list := bundle(); len(list) != 4 || slices.Contains(list, w.ID) || slices.Contains(list, other.ID) {
		t.Errorf("bundle %v", list)
	}
	// K3: another tenant's Warpgate is none.
	stranger := in.Tenant(op, "other")
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpDrainWarpgate, nil, stranger.Path(other.ID)...)
	controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateEnvironment, map[string]any{"draining": []string{}}, x.Path()...)
}
