// Package granttest signs grants for tests as a control plane does, and as no control plane
// ever would.
//
// What lives here: keys, a keyset, grants of any shape. What may not: judging them. Tests of
// edges and Warpgates import it.
package granttest

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

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// Secret is that of every session.
const Secret = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

// KeyID is the id of the key that signs grants, OtherKeyID that of the one for bundles.
const (
	KeyID      = "k"
	OtherKeyID = "b"
)

// Authority signs, and believes itself.
type Authority struct {
	// Anchor has the last keyset in force.
	Anchor *trust.Anchor
	// Key signs grants, OtherKey bundles.
	Key, OtherKey ed25519.PrivateKey
	// Epoch is that of the installation.
	Epoch uint64

	t     testing.TB
	now   func() time.Time
	root  ed25519.PrivateKey
	roots string
}

// New makes an authority whose first keyset is good for half a year.
func New(t testing.TB, now func() time.Time) *Authority {
	t.Helper()
	a := &Authority{t: t, now: now, Epoch: 1, root: newKey(t), Key: newKey(t), OtherKey: newKey(t)}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now().Add(-time.Hour), NotAfter: now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.root.Public(), a.root)
	if err != nil {
		t.Fatal(err)
	}
	a.roots = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.Anchor = trust.New(a.root.Public().(ed25519.PublicKey), now)
	a.Accept(1, now().AddDate(0, 6, 0))
	return a
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// NewKey replaces Key. Accept puts it in force.
func (a *Authority) NewKey() { a.Key = newKey(a.t) }

// Accept puts a keyset in force, whose keys are good until the given time.
func (a *Authority) Accept(version uint64, until time.Time) {
	a.t.Helper()
	public := func(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
	k := mezu.Keyset{Version: version, IssuedAt: a.now(), NotAfter: a.now().AddDate(1, 0, 0), CARoots: []string{a.roots}, Keys: []mezu.PublicKey{
		{ID: KeyID, Purpose: mezu.PurposeGrant, Key: public(a.Key), NotAfter: until},
		{ID: OtherKeyID, Purpose: mezu.PurposeBundle, Key: public(a.OtherKey), NotAfter: until},
	}}
	s, err := mezu.Sign(mezu.PurposeKeyset, "root", a.root, k)
	if err != nil {
		a.t.Fatal(err)
	}
	if changed, err := a.Anchor.AcceptKeyset(s); err != nil || !changed {
		a.t.Fatal(changed, err)
	}
}

// Session makes the grant of the n-th user's new session.
func (a *Authority) Session(n int, environment, directory string) mezu.Grant {
	now := a.now()
	return mezu.Grant{
		Session: mezu.NewID(mezu.PrefixSession, now), User: mezu.NewID(mezu.PrefixUser, now), Directory: directory, Environment: environment,
		Epoch: a.Epoch, Method: mezu.MethodPassword, Email: fmt.Sprintf("ann%d@example.com", n), Name: "Ann, 100 % Ünal", Roles: []string{"staff", "admin"},
		AuthTime: now, IssuedAt: now, FreshUntil: now.Add(time.Hour), IdleUntil: now.Add(4 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		SecretHash: sha256.Sum256([]byte(Secret)),
	}
}

// Sign gives the compact form of a grant.
func (a *Authority) Sign(g mezu.Grant) []byte {
	a.t.Helper()
	return a.SignAs(mezu.PurposeGrant, KeyID, a.Key, g)
}

// SignAs signs for a purpose, as the key with an id.
func (a *Authority) SignAs(p mezu.Purpose, id string, key ed25519.PrivateKey, g mezu.Grant) []byte {
	a.t.Helper()
	s, err := mezu.Sign(p, id, key, g)
	if err != nil {
		a.t.Fatal(err)
	}
	return s.AppendCompact(nil)
}
