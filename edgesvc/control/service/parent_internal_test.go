package service

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/trust"
)

// What a caller hangs on may be deleted after it was found out who calls: that ends the
// call as it would have before.
func TestParentGoesDuringACall(t *testing.T) {
	p := newPool(t, nil)
	gone := mezu.NewID(mezu.PrefixProject, p.now)
	cert := fleet.Certificate{Serial: "1", NotAfter: p.now.Add(time.Hour)}
	gate, edge := mezu.NewID(mezu.PrefixWarpgate, p.now), mezu.NewID(mezu.PrefixEdge, p.now)
	environment := mezu.NewID(mezu.PrefixEnvironment, p.now)
	_, err := p.records.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		ch.Create(fleet.WarpgatesOf(environment)+gate, fleet.Warpgate{Certificates: []fleet.Certificate{cert}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := trust.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := trust.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"project": func() error {
			account := access.Caller{Kind: access.ServiceAccount, Organization: orgID(t, p), Project: gone, Permissions: []mezu.Permission{mezu.PermProjectsRead}}
			_, err := p.ListProjects(t.Context(), account, p.place, record.Paging{})
			return err
		},
		"environment": func() error {
			_, err := p.RenewWarpgate(t.Context(), access.Caller{Kind: access.Warpgate, ID: gate, Environment: environment, Serial: cert.Serial}, api.RenewRequest{CSR: csr})
			return err
		},
		"edge": func() error {
			return p.ReportEdge(t.Context(), access.Caller{Kind: access.Edge, ID: edge, Serial: cert.Serial}, api.EdgeReport{TunnelAddress: "127.0.0.1:1"})
		},
	} {
		if err := do(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
}
