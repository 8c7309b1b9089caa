package control_test

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// The way of a new installation to a Warpgate that can serve.
func TestFlow(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	if x.environment.Endpoint != "shop-acme" || x.environment.URL != "https://shop-acme.localhost:8443" || !*x.environment.Enabled {
		t.Fatalf("environment %+v", x.environment)
	}
	state := call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/", "name": "all"}}}, x.path()...)
	if len(state.Routes) != 1 || state.Routes[0].ID == "" || state.Position.IsZero() {
		t.Fatalf("routes %+v", state)
	}
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, reg := in.register(key, "")
	if reg.Organization != "acme" || reg.Project != "shop" || reg.Environment != "production" || reg.URL != x.environment.URL {
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
	if bundle.Position != state.Position || len(bundle.Routes) != 1 || bundle.Endpoint != "shop-acme" || bundle.Environment != x.environment.ID {
		t.Fatalf("bundle %+v", bundle)
	}
	if _, err := anchor.OpenEdges(reg.Edges); err != nil {
		t.Fatal(err)
	}

	e, enrolled := in.enrol(op, "edge-1")
	if enrolled.Domain != "localhost" {
		t.Fatalf("enrolment %+v", enrolled)
	}
	edge := in.client("", e.cert)
	call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Applied: state.Position, Presence: []mezu.Presence{
		{Warpgate: w.id, Environment: x.environment.ID, Connected: true, Address: "192.0.2.7", Version: "1.0", Bundle: state.Position},
		{Warpgate: mezu.NewID("wgt", in.clock.now()), Environment: x.environment.ID, Connected: true},
	}})
	gate := call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...)
	if gate.Status != mezu.WarpgateConnected || gate.Address != "192.0.2.7" || gate.Bundle != state.Position || len(gate.Edges) != 1 || gate.Edges[0] != e.id || gate.LastSeenAt.IsZero() {
		t.Fatalf("Warpgate %+v", gate)
	}
	gates := call[api.List[mezu.Warpgate]](t, op, api.OpListWarpgates, nil, x.path()...)
	if len(gates.Items) != 1 {
		t.Fatalf("Warpgates %+v", gates)
	}
	state = call[api.RoutesState](t, op, api.OpListRoutes, nil, x.path()...)
	if len(state.Applied) != 2 {
		t.Fatalf("applied %+v", state.Applied)
	}
	call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Applied: state.Position, Presence: []mezu.Presence{{Warpgate: w.id, Environment: x.environment.ID}}})
	if gate = call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...); gate.Status != mezu.WarpgateDisconnected {
		t.Fatalf("Warpgate %+v", gate)
	}

	// The gate renews with its certificate, the edge with its own.
	next := newIdentity(t)
	renewed := call[api.RegisterResponse](t, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: next.csr})
	if renewed.Warpgate != w.id || len(renewed.Bundle.Payload) == 0 {
		t.Fatalf("renewal %+v", renewed)
	}
	next.take(t, renewed.Certificates, w.id)
	call[api.EnrolResponse](t, edge, api.OpRenewEdge, api.RenewRequest{CSR: newIdentity(t).csr})
	call[api.PublicCertificateResponse](t, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: newIdentity(t).csr, Hosts: []string{"shop-acme.localhost"}})
	for _, host := range []string{"console.localhost", "localhost", "nobody.localhost", "shop-acme.localhost.example", "*.localhost", "SHOP-ACME.localhost", "_acme-challenge.localhost"} {
		refused(t, mezu.CodeForbidden, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: next.csr, Hosts: []string{host}})
	}
}

// An edge that falls silent leaves its Warpgates unknown; one that is removed
// leaves them disconnected.
func TestStatus_SilentEdge(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	e, _ := in.enrol(op, "edge-1")
	call[any](t, in.client("", e.cert), api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{{Warpgate: w.id, Environment: x.environment.ID, Connected: true}}})
	in.clock.advance(api.EdgeSilence + mezu.WarpgateStatusDelay)
	eventually(t, "the Warpgate to be unknown", func() bool {
		return call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...).Status == mezu.WarpgateUnknown
	})
	call[any](t, in.client("", e.cert), api.OpEdgeReport, api.EdgeReport{})
	if s := call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...).Status; s != mezu.WarpgateConnected {
		t.Fatalf("after the edge came back the Warpgate is %s", s)
	}
	call[any](t, op, api.OpDeleteEdge, nil, "edge-1")
	if s := call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...).Status; s != mezu.WarpgateDisconnected {
		t.Fatalf("after the edge was removed the Warpgate is %s", s)
	}
}

// An edge that was started on another address says so, and Warpgates learn of it.
func TestReport_Addresses(t *testing.T) {
	in := install(t)
	op := in.operator()
	e, _ := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	before := call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0]
	call[any](t, edge, api.OpEdgeReport, api.EdgeReport{TunnelAddress: "edge.example.com:9443"})
	after := call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0]
	if after.TunnelAddress != "edge.example.com:9443" || after.PublicAddress != before.PublicAddress || after.Revision <= before.Revision {
		t.Fatalf("the edge is listed as %+v, before as %+v", after, before)
	}
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	_, got := in.register(key, "")
	var list mezu.EdgeList
	if err := json.Unmarshal(got.Edges.Payload, &list); err != nil || len(list.Edges) != 1 || list.Edges[0].TunnelAddress != "edge.example.com:9443" {
		t.Fatalf("a new Warpgate is told %+v, %v", list, err)
	}
	call[any](t, edge, api.OpEdgeReport, api.EdgeReport{TunnelAddress: "edge.example.com:9443"})
	if again := call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0]; again.Revision != after.Revision {
		t.Error("the same address again was a change")
	}
	refused(t, mezu.CodeInvalid, edge, api.OpEdgeReport, api.EdgeReport{TunnelAddress: "nonsense"})
}

// A full report takes back what the edge said before.
func TestReport_Full(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	a, _ := in.register(key, "")
	b, _ := in.register(key, "")
	e, _ := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	on := func(id string) mezu.Presence {
		return mezu.Presence{Warpgate: id, Environment: x.environment.ID, Connected: true}
	}
	call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{on(a.id), on(b.id)}})
	call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{on(b.id)}})
	for id, want := range map[string]mezu.WarpgateStatus{a.id: mezu.WarpgateDisconnected, b.id: mezu.WarpgateConnected} {
		if s := call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(id)...).Status; s != want {
			t.Errorf("Warpgate is %s, want %s", s, want)
		}
	}
}
