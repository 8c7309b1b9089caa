package grant_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	start     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	directory = mezu.NewID(mezu.PrefixDirectory, start)
	shop      = mezu.NewID(mezu.PrefixEnvironment, start)
	blog      = mezu.NewID(mezu.PrefixEnvironment, start)
)

// authority signs keysets and grants of any shape.
type authority struct {
	t      testing.TB
	clock  *testkit.Clock
	root   ed25519.PrivateKey
	grants ed25519.PrivateKey
	roots  string
	anchor *trust.Anchor
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, clock: testkit.StillClock(start)}
	_, a.root, _ = ed25519.GenerateKey(rand.Reader)
	_, a.grants, _ = ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: start.Add(-time.Hour), NotAfter: start.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.root.Public(), a.root)
	if err != nil {
		t.Fatal(err)
	}
	a.roots = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.anchor = trust.New(a.root.Public().(ed25519.PublicKey), a.clock.Now)
	a.keyset(1, start.AddDate(0, 6, 0))
	return a
}

// keyset puts a keyset in force, whose key for grants is good until the given time.
func (a *authority) keyset(version uint64, until time.Time) {
	a.t.Helper()
	k := mezu.Keyset{Version: version, IssuedAt: start, NotAfter: start.AddDate(1, 0, 0), CARoots: []string{a.roots}, Keys: []mezu.PublicKey{
		{ID: "k", Purpose: mezu.PurposeGrant, Key: a.grants.Public().(ed25519.PublicKey), NotAfter: until},
		{ID: "b", Purpose: mezu.PurposeBundle, Key: a.grants.Public().(ed25519.PublicKey), NotAfter: until},
	}}
	s, err := mezu.Sign(mezu.PurposeKeyset, "root", a.root, k)
	if err != nil {
		a.t.Fatal(err)
	}
	if changed, err := a.anchor.AcceptKeyset(s); err != nil || !changed {
		a.t.Fatal(changed, err)
	}
}

// session makes the n-th session of an environment.
func (a *authority) session(n int, environment string) mezu.Grant {
	now := a.clock.Now()
	return mezu.Grant{
		Session: mezu.NewID(mezu.PrefixSession, now), User: mezu.NewID(mezu.PrefixUser, now), Directory: directory, Environment: environment,
		Epoch: 3, Method: mezu.MethodPassword, Email: fmt.Sprintf("ann%d@example.com", n), Name: "Ann, 100 % Ünal", Roles: []string{"staff", "admin"},
		AuthTime: now, IssuedAt: now, FreshUntil: now.Add(time.Hour), IdleUntil: now.Add(4 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		SecretHash: sha256.Sum256([]byte("secret")),
	}
}

func (a *authority) sign(g mezu.Grant) []byte { return a.signAs(mezu.PurposeGrant, "k", a.grants, g) }

func (a *authority) signAs(p mezu.Purpose, id string, key ed25519.PrivateKey, g mezu.Grant) []byte {
	a.t.Helper()
	s, err := mezu.Sign(p, id, key, g)
	if err != nil {
		a.t.Fatal(err)
	}
	return s.AppendCompact(nil)
}
