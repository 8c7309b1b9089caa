package fleet_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/trust"
)

// signs is what a Warpgate gives to have the key certified by which it signs.
func signs(t *testing.T, w *controltest.Identity) (ed25519.PublicKey, []byte) {
	t.Helper()
	own, err := trust.ParseKey(w.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.AssertionKey(own)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(w.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public().(ed25519.PublicKey), mezu.ProveAssertionKey(key, csr.RawSubjectPublicKeyInfo)
}

// Keys are listed once their Warpgates have registered, and an hour longer than they are used.
func TestAssertionKeys_AreListed(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, account := x.Account("gate", mezu.PermWarpgateRegister)
	e, enrolled := in.Enrol(op, "edge-1")
	f := controltest.NewFollower(t, enrolled)
	s := controltest.OpenStream(t, in.Client("", e.Cert), mezu.Position{})
	register := func(w *controltest.Identity, key ed25519.PublicKey, proof []byte) api.RegisterResponse {
		t.Helper()
		out := controltest.Call[api.RegisterResponse](t, in.Client(account, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR, Version: "1.0", AssertionKey: key, AssertionProof: proof})
		w.Take(t, out.Certificates, out.Warpgate)
		return out
	}
	listed := func(what string, met func(*mezu.AssertionKeys) bool) {
		t.Helper()
		f.Until(s, what, func() bool { k := f.Assertions[x.Environment.ID]; return k != nil && met(k) })
	}
	ended := func(k *mezu.AssertionKeys, key ed25519.PublicKey) time.Time {
		i := slices.IndexFunc(k.Keys, func(k mezu.AssertionKey) bool { return k.Key.Equal(key) })
		if i < 0 {
			return time.Time{}
		}
		return k.Keys[i].Until
	}

	// One that gives no key is served as before.
	in.Register(account, "")
	one, two := controltest.NewIdentity(t), controltest.NewIdentity(t)
	first, proof := signs(t, one)
	second, proof2 := signs(t, two)
	for name, in1 := range map[string]api.RegisterRequest{
		"without a proof":       {AssertionKey: first},
		"proof of another":      {AssertionKey: first, AssertionProof: proof2},
		"for another's request": {AssertionKey: second, AssertionProof: proof2},
		"no key":                {AssertionKey: first[:31], AssertionProof: proof},
	} {
		in1.CSR = one.CSR
		if err := controltest.Refused(t, mezu.CodeInvalid, in.Client(account, nil), api.OpRegisterWarpgate, in1); err.Field == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	register(one, first, proof)
	listed("the first key", func(k *mezu.AssertionKeys) bool { return k.InUse(first) })
	register(two, second, proof2)
	listed("both keys", func(k *mezu.AssertionKeys) bool { return k.InUse(first) && k.InUse(second) && len(k.Keys) == 2 })

	// Another key with a renewal: the one before ends.
	next := controltest.NewIdentity(t)
	third, proof3 := signs(t, next)
	out := controltest.Call[api.RegisterResponse](t, in.Client("", one.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: next.CSR, AssertionKey: third, AssertionProof: proof3})
	next.Take(t, out.Certificates, one.ID)
	listed("the third key", func(k *mezu.AssertionKeys) bool {
		return k.InUse(third) && !k.InUse(first) && ended(k, first).Sub(in.Clock.Now()) > mezu.AssertionKeyRest-time.Minute
	})
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(two.ID)...)
	listed("the second key to end", func(k *mezu.AssertionKeys) bool { return !ended(k, second).IsZero() && k.InUse(third) })

	// After their hour they are gone.
	in.Clock.Advance(mezu.AssertionKeyRest + time.Minute)
	s.Close()
	in.Restart()
	controltest.Eventually(t, "the third key alone", func() bool {
		var k mezu.AssertionKeys
		for _, value := range in.Records("stream/assertions/") {
			var stored struct{ Signed struct{ Inline []byte } }
			var signed mezu.Signed
			if errors.Join(json.Unmarshal([]byte(value), &stored), json.Unmarshal(stored.Signed.Inline, &signed), json.Unmarshal(signed.Payload, &k)) != nil {
				t.Fatal(value)
			}
		}
		return k.InUse(third) && len(k.Keys) == 1
	})
}

// What is said of an environment that was removed goes with it.
func TestAssertionKeys_GoWithTheirEnvironment(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, account := x.Account("gate", mezu.PermWarpgateRegister)
	w := controltest.NewIdentity(t)
	key, proof := signs(t, w)
	controltest.Call[api.RegisterResponse](t, in.Client(account, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR, AssertionKey: key, AssertionProof: proof})
	controltest.Eventually(t, "the statement", func() bool { return len(in.Keys("stream/assertions/")) == 1 })
	controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, x.Path()...)
	controltest.Eventually(t, "nothing to be left of the environment", func() bool {
		return len(in.Keys("stream/assertions/")) == 0 && len(in.Keys("assertions/")) == 0
	})
}

// Many registrations make few statements.
func TestAssertionKeys_AreGathered(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, account := x.Account("gate", mezu.PermWarpgateRegister)
	e, enrolled := in.Enrol(op, "edge-1")
	f := controltest.NewFollower(t, enrolled)
	s := controltest.OpenStream(t, in.Client("", e.Cert), mezu.Position{})
	const n = 30
	controltest.AtOnce(n, func(int) error {
		w := controltest.NewIdentity(t)
		key, proof := signs(t, w)
		_, err := api.Invoke[api.RegisterResponse](t.Context(), in.Client(account, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR, AssertionKey: key, AssertionProof: proof})
		return err
	})
	f.Until(s, "all keys", func() bool { k := f.Assertions[x.Environment.ID]; return k != nil && len(k.Keys) == n })
	statements := 0
	for _, k := range f.Kinds {
		if k == api.StreamAssertions {
			statements++
		}
	}
	if statements > n/2 {
		t.Errorf("%d statements for %d Warpgates", statements, n)
	}
}
