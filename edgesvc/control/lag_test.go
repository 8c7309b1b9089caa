package control_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// TestLag: of an edge and a Warpgate that don't run the newest configuration it is said, by name,
// how many changes they lack, and since when.
func TestLag(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	gate := controltest.NewIdentity(t)
	registered := controltest.Call[api.RegisterResponse](t, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: gate.CSR, Name: "web-1"})
	e, _ := in.Enrol(op, "edge-1")
	env := controltest.Call[mezu.Environment](t, op, api.OpGetEnvironment, nil, x.Path()...)
	change := func(prefix string) api.RoutesState {
		t.Helper()
		in.Clock.Advance(time.Second)
		return controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{{Prefix: prefix, Methods: []string{"GET"}}}}, x.Path()...)
	}
	report := func(at mezu.Position) {
		t.Helper()
		controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{Full: true, Applied: at,
			Presence: []mezu.Presence{{Warpgate: registered.Warpgate, Environment: env.ID, Connected: true, Bundle: at}}})
	}
	first := change("/1/")
	for n := range mezu.MaxLag + 3 {
		report(first.Position) // or it counts as silent, when the clock has gone on for long enough
		state := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
		if len(state.Applied) != 2 {
			t.Fatalf("%+v", state.Applied)
		}
		for i, who := range api.Whose(state.Applied) {
			if want := []string{"edge edge-1", "Warpgate web-1"}[i]; who != want {
				t.Errorf("%q, want %q", who, want)
			}
			lag := state.Applied[i].Lag()
			if lag.Changes != min(n, mezu.MaxLag) {
				t.Errorf("after %d changes it is %+v", n, lag)
			}
			if n == 3 && lag.Text(in.Clock.Now()) != "3 changes behind (since 2 s)" {
				t.Errorf("it is %s", lag.Text(in.Clock.Now()))
			}
		}
		change("/x/" + string(rune('a'+n)) + "/")
	}
	last := change("/last/")
	report(last.Position)
	for _, a := range controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...).Applied {
		if a.Behind != 0 || !a.Since.IsZero() {
			t.Errorf("it runs the newest: %+v", a)
		}
	}
	controltest.Refused(t, mezu.CodeInvalid, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR, Name: "web\n1"})
	// It is kept when a build that says none registers.
	controltest.Call[api.RegisterResponse](t, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: gate.CSR, Warpgate: registered.Warpgate})
	if w := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(registered.Warpgate)...); w.Name != "web-1" {
		t.Errorf("its name is %q", w.Name)
	}
}
