package ca

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
)

// Endorse signs a proposal with the root keys in offlineDir. It runs where the operator is,
// so that no root key gets to the control plane. A new root is made in offlineDir; one that
// an interrupted call left there is used. If now is nil, time.Now.
func Endorse(offlineDir string, p api.KeyProposal, now func() time.Time) (api.KeyEndorsement, error) {
	e, err := endorse(offlineDir, p, clock(now)())
	if errors.Is(err, fs.ErrNotExist) {
		return e, &mezu.Error{Code: mezu.CodeInvalid, Field: "offline", Detail: fmt.Sprintf("the offline folder lacks a key: %v", err),
			Hint: cmp.Or(atomicfile.Remedy(err), "name the folder that the first start made, with all files that rotations added, with --offline DIR"), Cause: err}
	}
	if err != nil {
		return e, fmt.Errorf("endorsing new keys: %w", err)
	}
	return e, nil
}

func endorse(offlineDir string, p api.KeyProposal, now time.Time) (api.KeyEndorsement, error) {
	var e api.KeyEndorsement
	trustRoot, err := loadTrustRoot(offlineDir)
	if err != nil {
		return e, err
	}
	previous, err := mezu.OpenKeyset(p.Previous, trustRoot.Public().(ed25519.PublicKey), time.Time{})
	if err != nil {
		return e, mezu.Invalid("offline", "the trust root in %s belongs to another installation: %v", offlineDir, err)
	}
	next := p.Keyset
	if next.Version <= previous.Version || p.What == api.RotateRoot && p.RootVersion != next.Version {
		return e, fmt.Errorf("keyset %d is no successor of keyset %d", next.Version, previous.Version)
	}
	if p.What != api.RotatePrune {
		root, err := rootFor(offlineDir, p, now)
		if err != nil {
			return e, err
		}
		if e.Issuer, err = root.certify(p.IssuerKey, now); err != nil {
			return e, err
		}
		if p.What == api.RotateRoot {
			e.Root = root.certificate.Raw
		}
	}
	if e.Root != nil {
		next.CARoots = append(next.CARoots[:len(next.CARoots):len(next.CARoots)], string(certificatePEM(e.Root)))
	}
	e.Keyset, err = signKeyset(trustRoot, next, now)
	return e, err
}

// rootFor is the root that signs the issuer. A new one is made if the proposal asks for it.
func rootFor(offlineDir string, p api.KeyProposal, now time.Time) (*rootKey, error) {
	if p.What == api.RotateRoot {
		return makeRoot(offlineDir, p.RootVersion, now)
	}
	return loadRoot(offlineDir, p.RootVersion)
}

// signKeyset dates and signs a keyset.
func signKeyset(trustRoot ed25519.PrivateKey, k mezu.Keyset, now time.Time) (mezu.Signed, error) {
	k.IssuedAt = now.UTC().Truncate(time.Second)
	k.NotAfter = k.IssuedAt.Add(KeysetLife)
	return mezu.Sign(mezu.PurposeKeyset, trustRootID, trustRoot, k)
}

// trustRootID is the key id on keysets. It is only a name: keysets are verified under the
// pinned key.
const trustRootID = "trust-root"

// certify signs the certificate of an issuer, which may sign leaves only.
func (r *rootKey) certify(issuer []byte, now time.Time) ([]byte, error) {
	parsed, err := x509.ParsePKIXPublicKey(issuer)
	public, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("the issuer's public key is no ECDSA key")
	}
	template := caTemplate("Mezusphere issuer", now, IssuerLife)
	template.MaxPathLenZero = true
	if template.NotAfter.After(r.certificate.NotAfter) {
		template.NotAfter = r.certificate.NotAfter
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, r.certificate, public, r.key)
	if err != nil {
		return nil, fmt.Errorf("signing an issuer's certificate: %w", err)
	}
	return certificate, nil
}
