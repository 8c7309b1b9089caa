package control_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/testkit"
)

// rotate is one rotation as the command makes it.
func (in *installation) rotate(op *api.Client, what api.Rotation) api.KeyStatus {
	in.t.Helper()
	p := call[api.KeyProposal](in.t, op, api.OpProposeKeys, api.RotationRequest{What: what})
	e, err := ca.Endorse(filepath.Join(in.dir, "offline"), p, in.clock.now)
	if err != nil {
		in.t.Fatal(err)
	}
	return call[api.KeyStatus](in.t, op, api.OpInstallKeys, e)
}

// K10: keys rotate while a Warpgate renews; the stream has each keyset, and what is
// signed verifies under it throughout. A control plane that did not do it follows.
func TestK10_Rotation(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	second := &installation{t: t, dir: in.dir, clock: in.clock, log: &testkit.Buffer{}, notice: &testkit.Buffer{}, driver: in.driver}
	second.start()
	defer second.stop()
	before := call[api.KeyStatus](t, op, api.OpShowKeys, nil)
	if before.KeysetVersion != 1 || before.Roots != 1 || !before.ActiveAt.IsZero() || before.Seal.OldKeys != 0 {
		t.Fatalf("%+v", before)
	}
	for i, what := range []api.Rotation{api.RotateSigning, api.RotateRoot} {
		status := in.rotate(op, what)
		if status.KeysetVersion != uint64(i+2) || status.Roots != i+1 || status.ActiveAt.IsZero() {
			t.Fatalf("after %s: %+v", what, status)
		}
		eventually(t, "the other control plane follows", func() bool {
			return call[api.KeyStatus](t, second.client(token, nil), api.OpShowKeys, nil).KeysetVersion == status.KeysetVersion
		})
		for _, step := range []time.Duration{0, ca.ActivationDelay, time.Minute} {
			in.clock.advance(step)
			renewed := call[api.RegisterResponse](t, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
			keyset, err := mezu.OpenKeyset(renewed.Keyset, renewed.TrustRoot, in.clock.now())
			if err != nil || keyset.Version != status.KeysetVersion {
				t.Fatalf("%s later: keyset %+v, %v", step, keyset, err)
			}
			var b mezu.Bundle
			if err := keyset.Open(renewed.Bundle, mezu.PurposeBundle, in.clock.now(), &b); err != nil {
				t.Errorf("%s later: %v", step, err)
			}
		}
	}
	in.clock.advance(mezu.KeysetOverlap)
	op = in.client(devToken(t, in), nil) // the first has ended
	if status := in.rotate(op, api.RotatePrune); status.Roots != 1 || status.KeysetVersion != 4 {
		t.Errorf("after pruning: %+v", status)
	}
}

// Seal keys rotate by the API: records follow in the background, under the key that the
// file has by then.
func TestRotateSealKeys(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	in.tenant(op, "acme")
	before := call[api.KeyStatus](t, op, api.OpShowKeys, nil).Seal
	added, err := (&seal.File{Path: filepath.Join(in.dir, "seal.key")}).Add()
	if err != nil {
		t.Fatal(err)
	}
	after := call[api.KeyStatus](t, op, api.OpRotateSealKeys, nil).Seal
	if after.Key == before.Key || !slices.Equal(after.WrappedBy, []string{added}) {
		t.Errorf("%+v after %+v", after, before)
	}
	eventually(t, "the old key is dropped", func() bool {
		return call[api.KeyStatus](t, op, api.OpShowKeys, nil).Seal.OldKeys == 0
	})
	in.restart()
	audited := false
	for _, k := range in.keys("audit/") {
		rec, err := in.store.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		audited = audited || strings.Contains(string(rec.Value), `"operation":"rotate-seal-keys"`)
	}
	if !audited {
		t.Error("the rotation is not in the audit records")
	}
}
