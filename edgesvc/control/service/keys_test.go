package service_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/seal"
)

// K10: keys rotate while a Warpgate renews; the stream has each keyset, and what is
// signed verifies under it throughout. A control plane that did not do it follows.
func TestK10_Rotation(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	second := in.Beside(in.Dir)
	second.Start()
	defer second.Stop()
	before := controltest.Call[api.KeyStatus](t, op, api.OpShowKeys, nil)
	if before.KeysetVersion != 1 || before.Roots != 1 || !before.ActiveAt.IsZero() || before.Seal.OldKeys != 0 {
		t.Fatalf("%+v", before)
	}
	for i, what := range []api.Rotation{api.RotateSigning, api.RotateRoot} {
		status := in.RotateKeys(op, what)
		if status.KeysetVersion != uint64(i+2) || status.Roots != i+1 || status.ActiveAt.IsZero() {
			t.Fatalf("after %s: %+v", what, status)
		}
		controltest.Eventually(t, "the other control plane follows", func() bool {
			return controltest.Call[api.KeyStatus](t, second.Client(token, nil), api.OpShowKeys, nil).KeysetVersion == status.KeysetVersion
		})
		for _, step := range []time.Duration{0, ca.ActivationDelay, time.Minute} {
			in.Clock.Advance(step)
			renewed := controltest.Call[api.RegisterResponse](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
			keyset, err := mezu.OpenKeyset(renewed.Keyset, renewed.TrustRoot, in.Clock.Now())
			if err != nil || keyset.Version != status.KeysetVersion {
				t.Fatalf("%s later: keyset %+v, %v", step, keyset, err)
			}
			var b mezu.Bundle
			if err := keyset.Open(renewed.Bundle, mezu.PurposeBundle, in.Clock.Now(), &b); err != nil {
				t.Errorf("%s later: %v", step, err)
			}
		}
	}
	in.Clock.Advance(mezu.KeysetOverlap)
	op = in.Client(in.RecoveredToken(), nil) // the first has ended
	if status := in.RotateKeys(op, api.RotatePrune); status.Roots != 1 || status.KeysetVersion != 4 {
		t.Errorf("after pruning: %+v", status)
	}
}

// Seal keys rotate by the API: records follow in the background, under the key that the
// file has by then.
func TestRotateSealKeys(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	before := controltest.Call[api.KeyStatus](t, op, api.OpShowKeys, nil).Seal
	added, err := (&seal.File{Path: filepath.Join(in.Dir, "seal.key")}).Add()
	if err != nil {
		t.Fatal(err)
	}
	after := controltest.Call[api.KeyStatus](t, op, api.OpRotateSealKeys, nil).Seal
	if after.Key == before.Key || !slices.Equal(after.WrappedBy, []string{added}) {
		t.Errorf("%+v after %+v", after, before)
	}
	controltest.Eventually(t, "the old key is dropped", func() bool {
		return controltest.Call[api.KeyStatus](t, op, api.OpShowKeys, nil).Seal.OldKeys == 0
	})
	in.Restart()
	audited := false
	for _, k := range in.Keys("audit/") {
		rec, err := in.Store.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		audited = audited || strings.Contains(string(rec.Value), `"operation":"rotate-seal-keys"`)
	}
	if !audited {
		t.Error("the rotation is not in the audit records")
	}
}
