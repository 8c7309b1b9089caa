package fleet_test

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/trust"
)

// The way of a new installation to a Warpgate that can serve.
func TestFlow(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	if x.Environment.Endpoint != "shop-acme" || x.Environment.URL != "https://shop-acme.localhost:8443" || !*x.Environment.Enabled {
		t.Fatalf("environment %+v", x.Environment)
	}
	state := controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/", "name": "all"}}}, x.Path()...)
	if len(state.Routes) != 1 || state.Routes[0].ID == "" || state.Position.IsZero() {
		t.Fatalf("routes %+v", state)
	}
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, reg := in.Register(key, "")
	if reg.Organization != "acme" || reg.Project != "shop" || reg.Environment != "production" || reg.URL != x.Environment.URL {
		t.Fatalf("registration %+v", reg)
	}
	anchor := trust.New(ed25519.PublicKey(reg.TrustRoot), nil)
	if _, err := anchor.AcceptKeyset(reg.Keyset); err != nil {
		t.Fatal(err)
	}
	bundle, err := anchor.OpenBundle(reg.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	if bundle.Position != state.Position || len(bundle.Routes) != 1 || bundle.Endpoint != "shop-acme" || bundle.Environment != x.Environment.ID {
		t.Fatalf("bundle %+v", bundle)
	}
	if _, err := anchor.OpenEdges(reg.Edges); err != nil {
		t.Fatal(err)
	}

	e, enrolled := in.Enrol(op, "edge-1")
	if enrolled.Domain != "localhost" {
		t.Fatalf("enrolment %+v", enrolled)
	}
	edge := in.Client("", e.Cert)
	// Who has said nothing yet may run anything: it counts as behind.
	controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Applied: state.Position, Presence: []mezu.Presence{{Warpgate: w.ID, Environment: x.Environment.ID, Connected: true}}})
	state = controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if at := slices.IndexFunc(state.Applied, func(a api.Applied) bool { return a.ID == w.ID }); at < 0 || !state.Applied[at].Position.IsZero() || state.Applied[at].Behind == 0 {
		t.Fatalf("applied %+v", state.Applied)
	}
	controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Applied: state.Position, Presence: []mezu.Presence{
		{Warpgate: w.ID, Environment: x.Environment.ID, Connected: true, Address: "192.0.2.7", Version: "1.0", Bundle: state.Position},
		{Warpgate: mezu.NewID("wgt", in.Clock.Now()), Environment: x.Environment.ID, Connected: true},
	}})
	gate := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...)
	if gate.Status != mezu.WarpgateConnected || gate.Address != "192.0.2.7" || gate.Bundle != state.Position || len(gate.Edges) != 1 || gate.Edges[0] != e.ID || gate.LastSeenAt.IsZero() {
		t.Fatalf("Warpgate %+v", gate)
	}
	gates := controltest.Call[api.List[mezu.Warpgate]](t, op, api.OpListWarpgates, nil, x.Path()...)
	if len(gates.Items) != 1 {
		t.Fatalf("Warpgates %+v", gates)
	}
	state = controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if len(state.Applied) != 2 {
		t.Fatalf("applied %+v", state.Applied)
	}
	controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Applied: state.Position, Presence: []mezu.Presence{{Warpgate: w.ID, Environment: x.Environment.ID}}})
	if gate = controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...); gate.Status != mezu.WarpgateDisconnected {
		t.Fatalf("Warpgate %+v", gate)
	}

	// The gate renews with its certificate, the edge with its own.
	next := controltest.NewIdentity(t)
	renewed := controltest.Call[api.RegisterResponse](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: next.CSR})
	if renewed.Warpgate != w.ID || len(renewed.Bundle.Payload) == 0 {
		t.Fatalf("renewal %+v", renewed)
	}
	next.Take(t, renewed.Certificates, w.ID)
	controltest.Call[api.EnrolResponse](t, edge, api.OpRenewEdge, api.RenewRequest{CSR: controltest.NewIdentity(t).CSR})
	controltest.Call[api.PublicCertificateChain](t, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: controltest.NewIdentity(t).CSR, Hosts: []string{"shop-acme.localhost"}})
	for _, host := range []string{"console.localhost", "localhost", "nobody.localhost", "shop-acme.localhost.example", "*.localhost", "SHOP-ACME.localhost", "_acme-challenge.localhost"} {
		controltest.Refused(t, mezu.CodeForbidden, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: next.CSR, Hosts: []string{host}})
	}
}

// An edge that falls silent leaves its Warpgates unknown; one that is removed
// leaves them disconnected.
func TestStatus_SilentEdge(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	e, _ := in.Enrol(op, "edge-1")
	controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{{Warpgate: w.ID, Environment: x.Environment.ID, Connected: true}}})
	in.Clock.Advance(api.EdgeSilence + mezu.WarpgateStatusDelay)
	controltest.Eventually(t, "the Warpgate to be unknown", func() bool {
		return controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...).Status == mezu.WarpgateUnknown
	})
	controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{})
	if s := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...).Status; s != mezu.WarpgateConnected {
		t.Fatalf("after the edge came back the Warpgate is %s", s)
	}
	controltest.Call[any](t, op, api.OpDeleteEdge, nil, "edge-1")
	if s := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...).Status; s != mezu.WarpgateDisconnected {
		t.Fatalf("after the edge was removed the Warpgate is %s", s)
	}
}

// An edge that was started on another address says so, and Warpgates learn of it.
func TestReport_Addresses(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	e, _ := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	before := controltest.Call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0]
	controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{TunnelAddress: "edge.example.com:9443"})
	after := controltest.Call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0]
	if after.TunnelAddress != "edge.example.com:9443" || after.PublicAddress != before.PublicAddress || after.Revision <= before.Revision {
		t.Fatalf("the edge is listed as %+v, before as %+v", after, before)
	}
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	_, got := in.Register(key, "")
	var list mezu.EdgeList
	if err := json.Unmarshal(got.Edges.Payload, &list); err != nil || len(list.Edges) != 1 || list.Edges[0].TunnelAddress != "edge.example.com:9443" {
		t.Fatalf("a new Warpgate is told %+v, %v", list, err)
	}
	controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{TunnelAddress: "edge.example.com:9443"})
	if again := controltest.Call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0]; again.Revision != after.Revision {
		t.Error("the same address again was a change")
	}
	controltest.Refused(t, mezu.CodeInvalid, edge, api.OpEdgeReport, api.EdgeReport{TunnelAddress: "nonsense"})
}

// A full report takes back what the edge said before.
func TestReport_Full(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	a, _ := in.Register(key, "")
	b, _ := in.Register(key, "")
	e, _ := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	on := func(id string) mezu.Presence {
		return mezu.Presence{Warpgate: id, Environment: x.Environment.ID, Connected: true}
	}
	controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{on(a.ID), on(b.ID)}})
	controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{on(b.ID)}})
	for id, want := range map[string]mezu.WarpgateStatus{a.ID: mezu.WarpgateDisconnected, b.ID: mezu.WarpgateConnected} {
		if s := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(id)...).Status; s != want {
			t.Errorf("Warpgate is %s, want %s", s, want)
		}
	}
}
