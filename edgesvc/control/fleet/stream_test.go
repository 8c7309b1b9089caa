package fleet_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/trust"
)

// A snapshot, live changes, a reconnect with changes in between: nothing is
// missing and nothing goes back.
func TestStream_Resume(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	e, enrolled := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(w.ID)...)

	f := controltest.NewFollower(t, enrolled)
	s := controltest.OpenStream(t, edge, mezu.Position{})
	f.Until(s, "the snapshot", func() bool { return f.Synced })
	if f.Kinds[0] != api.StreamKeyset || f.Kinds[1] != api.StreamRevocation || f.Bundles[x.Environment.ID] == nil || len(f.Edges.Edges) != 1 {
		t.Fatalf("snapshot %v", f.Kinds)
	}
	controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/live"}}}, x.Path()...)
	f.Until(s, "the live change", func() bool { return len(f.Bundles[x.Environment.ID].Routes) == 1 })
	s.Close()

	controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging"}, x.Org, x.Prj)
	controltest.Call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"exact": "/away"}, x.Path()...)
	controltest.Call[any](t, op, api.OpUpdateEnvironment, map[string]any{"enabled": false}, x.Path()...)
	f.Synced, f.Kinds = false, nil
	s = controltest.OpenStream(t, edge, f.At)
	f.Until(s, "the second snapshot", func() bool { return f.Synced })
	b := f.Bundles[x.Environment.ID]
	if len(f.Bundles) != 2 || len(b.Routes) != 2 || b.Enabled {
		t.Fatalf("after the reconnect: %d bundles, %+v", len(f.Bundles), b)
	}
	if len(f.Kinds) != 3 { // two bundles, synced
		t.Fatalf("the second snapshot repeats what was had: %v", f.Kinds)
	}
	controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, x.Path()...)
	f.Until(s, "the removal", func() bool { return f.Bundles[x.Environment.ID].Removed })
	s.Close()

	in.Restart()
	f.Synced, f.Kinds = false, nil
	s = controltest.OpenStream(t, in.Client("", e.Cert), f.At)
	f.Until(s, "the snapshot after the restart", func() bool { return f.Synced })
	if len(f.Kinds) != 1 {
		t.Fatalf("the snapshot after the restart repeats what was had: %v", f.Kinds)
	}
}

// Writers change routes while an edge keeps losing its connection: in the end it
// has the last bundle of each environment.
func TestStream_NoGapUnderReconnects(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	e, enrolled := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	const environments, changes = 3, 12
	var ids [environments]string
	for i := range environments {
		ids[i] = controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": fmt.Sprint("e", i)}, x.Org, x.Prj).ID
	}
	written := make(chan error, environments)
	for i := range environments {
		go func() {
			for n := range changes {
				_, err := api.Invoke[any](t.Context(), op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"exact": fmt.Sprint("/", n)}}}, x.Org, x.Prj, fmt.Sprint("e", i))
				if err != nil {
					written <- err
					return
				}
			}
			written <- nil
		}()
	}
	f := controltest.NewFollower(t, enrolled)
	last := func() bool {
		for _, id := range ids {
			b := f.Bundles[id]
			if b == nil || len(b.Routes) == 0 || b.Routes[0].Exact != fmt.Sprint("/", changes-1) {
				return false
			}
		}
		return true
	}
	for !last() {
		s := controltest.OpenStream(t, edge, f.At)
		for range 4 {
			if last() {
				break
			}
			event, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			f.Take(event)
		}
		s.Close()
	}
	for range environments {
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
}

// K2, K8: a removed edge's stream ends, and its certificate opens nothing more.
func TestK2_StreamEndsWithItsEdge(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	e, enrolled := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	f := controltest.NewFollower(t, enrolled)
	s := controltest.OpenStream(t, edge, mezu.Position{})
	f.Until(s, "the snapshot", func() bool { return f.Synced })
	controltest.Call[any](t, op, api.OpDeleteEdge, nil, e.ID)
	f.Until(s, "the revocation", func() bool { return f.Revoked[trust.Serial(e.Cert.Leaf)] })
	for {
		_, err := s.Next()
		if err != nil {
			break
		}
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, edge, api.OpEdgeReport, api.EdgeReport{})
	var refusal *mezu.Error
	if _, err := edge.Stream(t.Context(), f.At); !errors.As(err, &refusal) || refusal.Code != mezu.CodeUnauthenticated || refusal.Hint == "" {
		t.Fatalf("opening a stream again: %v", err)
	}
}

// A route change that no policy can be made of is refused in the same answer and
// publishes nothing; one of the largest size passes in chunks.
func TestStream_LargeBundle(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	e, enrolled := in.Enrol(op, "edge-1")
	routes := make([]map[string]any, 4000)
	for i := range routes {
		routes[i] = map[string]any{"exact": fmt.Sprintf("/a/rather/long/path/so/that/chunks/are/needed/%d", i)}
	}
	state := controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": routes}, x.Path()...)
	if len(state.Routes) != len(routes) {
		t.Fatalf("%d routes", len(state.Routes))
	}
	f := controltest.NewFollower(t, enrolled)
	f.Until(controltest.OpenStream(t, in.Client("", e.Cert), mezu.Position{}), "the snapshot", func() bool { return f.Synced })
	if n := len(f.Bundles[x.Environment.ID].Routes); n != len(routes) {
		t.Fatalf("the bundle has %d routes", n)
	}
	controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateRoute, map[string]any{"regexp": "a)|(b"}, x.Path()...)
	after := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if after.Position != state.Position || after.Revision != state.Revision {
		t.Fatal("a refused route changed something")
	}
}
