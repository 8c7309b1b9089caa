package service_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// What has ended goes by itself: tokens, remembered creations, revocations, and
// Warpgates that can't come back.
func TestSweep(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	dead, _ := in.Register(key, "")
	revoked, _ := in.Register(key, "")
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(revoked.ID)...)
	in.JoinToken(op)
	if len(in.Keys("stream/revocation/")) != 1 || len(in.Keys("idempotency/")) == 0 || len(in.Keys("token/")) != 2 {
		t.Fatal("there is nothing to sweep")
	}
	in.Clock.Advance(record.SecretLife + time.Minute)
	in.Restart()
	sealed := func() (n int) {
		for _, k := range in.Keys("idempotency/") {
			rec, err := in.Store.Get(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			var r struct {
				Answer    []byte    `json:"answer"`
				SealedEnd time.Time `json:"sealed_end"`
			}
			if err := json.Unmarshal(rec.Value, &r); err != nil {
				t.Fatal(err)
			}
			if !r.SealedEnd.IsZero() && len(r.Answer) > 0 {
				n++
			}
		}
		return n
	}
	controltest.Eventually(t, "sealed answers to go", func() bool { return sealed() == 0 })
	if len(in.Keys("idempotency/")) == 0 {
		t.Error("remembered creations went before their time")
	}
	in.Clock.Advance(mezu.LeafLife + time.Hour)
	in.Restart()
	controltest.Eventually(t, "what ended to go", func() bool {
		return len(in.Keys("stream/revocation/")) == 0 && len(in.Keys("idempotency/")) == 0 && len(in.Keys("token/")) == 1 && len(in.Keys("wgt/")) == 0
	})
	for _, k := range in.Keys("id/") {
		if strings.HasSuffix(k, dead.ID) {
			t.Errorf("%s is left behind", k)
		}
	}
}

// A control plane that died while it swept is replaced a term later, not when the next
// sweep is due.
func TestSweep_AfterADeath(t *testing.T) {
	t.Parallel()
	in := controltest.InstallWithStore(t)
	swept := func() bool { return len(in.Keys("meta/done/sweep")) == 1 && len(in.Keys("meta/lead/")) == 0 }
	controltest.Eventually(t, "the first sweep", swept)
	in.Clock.Advance(record.SweepInterval)
	lease, err := in.Store.Grant(t.Context(), election.Term)
	if err != nil {
		t.Fatal(err)
	}
	held := store.Op{Key: "meta/lead/sweep", Value: []byte(`{"holder":"the dead"}`), Lease: lease}
	if _, err := in.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{held}}); err != nil {
		t.Fatal(err)
	}
	last, err := in.Store.Get(t.Context(), "meta/done/sweep")
	if err != nil {
		t.Fatal(err)
	}
	in.Restart()
	controltest.EventuallyWithin(t, 5*election.Term, "the next sweep after the lease ended", func() bool {
		now, err := in.Store.Get(t.Context(), last.Key)
		return err == nil && now.Revision > last.Revision
	})
}

// New roles of a project reach the bundles of all its environments before the
// change is answered.
func TestProject_RolesReachBundles(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging"}, "acme", "shop")
	e, enrolled := in.Enrol(op, "edge-1")
	controltest.Call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"staff": map[string]any{"permissions": []string{"orders.read"}}}}, "acme", "shop")
	f := controltest.NewFollower(t, enrolled)
	f.Until(controltest.OpenStream(t, in.Client("", e.Cert), mezu.Position{}), "the snapshot", func() bool { return f.Synced })
	if len(f.Bundles) != 2 {
		t.Fatalf("%d bundles", len(f.Bundles))
	}
	for _, b := range f.Bundles {
		if got := b.PermissionsOf([]string{"staff"}); len(got) != 1 || got[0] != "orders.read" {
			t.Errorf("bundle of %s: roles %v", b.EnvironmentName, b.Roles)
		}
	}
	controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"Staff!": map[string]any{"permissions": []string{}}}}, "acme", "shop")
	org := controltest.Call[mezu.Organization](t, op, api.OpUpdateOrganization, map[string]any{"display_name": "Acme, Inc."}, "acme")
	if org.DisplayName != "Acme, Inc." || org.Revision != 2 {
		t.Errorf("organization %+v", org)
	}
}
