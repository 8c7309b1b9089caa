package control_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// keys lists what the store has under a prefix.
func (in *installation) keys(prefix string) []string {
	in.t.Helper()
	page, err := in.store.List(in.t.Context(), prefix, "", 1000)
	if err != nil {
		in.t.Fatal(err)
	}
	var out []string
	for _, r := range page.Records {
		out = append(out, r.Key)
	}
	return out
}

// What has ended goes by itself: tokens, remembered creations, revocations, and
// Warpgates that can't come back.
func TestSweep(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	dead, _ := in.register(key, "")
	revoked, _ := in.register(key, "")
	call[any](t, op, api.OpDeleteWarpgate, nil, x.path(revoked.id)...)
	in.joinToken(op)
	if len(in.keys("stream/revocation/")) != 1 || len(in.keys("idempotency/")) == 0 || len(in.keys("token/")) != 2 {
		t.Fatal("there is nothing to sweep")
	}
	in.clock.advance(service.SecretLife + time.Minute)
	in.restart()
	sealed := func() (n int) {
		for _, k := range in.keys("idempotency/") {
			rec, err := in.store.Get(t.Context(), k)
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
	eventually(t, "sealed answers to go", func() bool { return sealed() == 0 })
	if len(in.keys("idempotency/")) == 0 {
		t.Error("remembered creations went before their time")
	}
	in.clock.advance(mezu.LeafLife + time.Hour)
	in.restart()
	eventually(t, "what ended to go", func() bool {
		return len(in.keys("stream/revocation/")) == 0 && len(in.keys("idempotency/")) == 0 && len(in.keys("token/")) == 1 && len(in.keys("wgt/")) == 0
	})
	for _, k := range in.keys("id/") {
		if strings.HasSuffix(k, dead.id) {
			t.Errorf("%s is left behind", k)
		}
	}
}

// A control plane that died while it swept is replaced a term later, not when the next
// sweep is due.
func TestSweep_AfterADeath(t *testing.T) {
	t.Parallel()
	in := withStore(t)
	swept := func() bool { return len(in.keys("meta/done/sweep")) == 1 && len(in.keys("meta/lead/")) == 0 }
	eventually(t, "the first sweep", swept)
	in.clock.advance(service.SweepInterval)
	lease, err := in.store.Grant(t.Context(), election.Term)
	if err != nil {
		t.Fatal(err)
	}
	held := store.Op{Key: "meta/lead/sweep", Value: []byte(`{"holder":"the dead"}`), Lease: lease}
	if _, err := in.store.Commit(t.Context(), store.Txn{Ops: []store.Op{held}}); err != nil {
		t.Fatal(err)
	}
	last, err := in.store.Get(t.Context(), "meta/done/sweep")
	if err != nil {
		t.Fatal(err)
	}
	in.restart()
	eventuallyWithin(t, 5*election.Term, "the next sweep after the lease ended", func() bool {
		now, err := in.store.Get(t.Context(), last.Key)
		return err == nil && now.Revision > last.Revision
	})
}

// New roles of a project reach the bundles of all its environments before the
// change is answered.
func TestProject_RolesReachBundles(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging"}, "acme", "shop")
	e, enrolled := in.enrol(op, "edge-1")
	call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"staff": map[string]any{"permissions": []string{"orders.read"}}}}, "acme", "shop")
	f := newFollower(t, enrolled)
	f.until(open(t, in.client("", e.cert), mezu.Position{}), "the snapshot", func() bool { return f.synced })
	if len(f.bundles) != 2 {
		t.Fatalf("%d bundles", len(f.bundles))
	}
	for _, b := range f.bundles {
		if got := b.PermissionsOf([]string{"staff"}); len(got) != 1 || got[0] != "orders.read" {
			t.Errorf("bundle of %s: roles %v", b.EnvironmentName, b.Roles)
		}
	}
	refused(t, mezu.CodeInvalid, op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"Staff!": map[string]any{"permissions": []string{}}}}, "acme", "shop")
	org := call[mezu.Organization](t, op, api.OpUpdateOrganization, map[string]any{"display_name": "Acme, Inc."}, "acme")
	if org.DisplayName != "Acme, Inc." || org.Revision != 2 {
		t.Errorf("organization %+v", org)
	}
}
