package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
)

// Create makes the authority of a new installation: both root keys into
// offlineDir, everything else into the vault, keyset 1. It is done wholly or can be
// called again: root keys that an interrupted call left in offlineDir are used. On
// a vault that has an authority the error is fs.ErrExist. If now is nil, time.Now.
func Create(ctx context.Context, v Vault, offlineDir string, now func() time.Time) error {
	at := clock(now)()
	if found, err := exists(ctx, v); err != nil {
		return fmt.Errorf("creating the certificate authority: %w", err)
	} else if found {
		return fmt.Errorf("creating the certificate authority: %w", fs.ErrExist)
	}
	trustRoot, err := makeTrustRoot(offlineDir)
	if err != nil {
		return fmt.Errorf("creating the certificate authority: %w", err)
	}
	root, err := makeRoot(offlineDir, 1, at)
	if err != nil {
		return fmt.Errorf("creating the certificate authority: %w", err)
	}
	s := &state{TrustRoot: trustRoot.Public().(ed25519.PublicKey)}
	s.Roots = []rootRecord{{Version: 1, Certificate: root.certificate.Raw}}
	next := &mezu.Keyset{Version: 1}
	err = s.addIssuer(root, at, time.Time{})
	if err == nil {
		s.addKeys(next, at, time.Time{})
		err = s.publish(ctx, v, next, trustRoot, at)
	}
	if err != nil {
		return fmt.Errorf("creating the certificate authority: %w", err)
	}
	return nil
}

// Rotate makes a new issuer and new signing keys and a keyset that has them
// beside the old. They are used ActivationDelay from now on, or at once if the
// authority is past its end. Statements of the old keys verify for
// mezu.KeysetOverlap after that, by when everything that is to stay must have been
// signed anew. A running Authority learns of it by Reload. The caller lets no two
// rotations run at once.
func Rotate(ctx context.Context, v Vault, offlineDir string, now func() time.Time) error {
	return rotate(ctx, v, offlineDir, clock(now)(), "rotating the signing keys", func(r *rotation) error {
		root, err := loadRoot(offlineDir, r.state.Roots[len(r.state.Roots)-1].Version)
		if err != nil {
			return err
		}
		for i, k := range r.keyset.Keys {
			if end := r.active.Add(mezu.KeysetOverlap); k.NotAfter.After(end) {
				r.keyset.Keys[i].NotAfter = end
			}
		}
		r.state.addKeys(r.keyset, r.now, r.active)
		return r.state.addIssuer(root, r.now, r.active)
	})
}

// RotateRoot makes a new CA root, trusted beside the old from now on, and an
// issuer under it that is used ActivationDelay later. The old root stays until a Prune
// at mezu.KeysetOverlap after that, which is longer than any leaf lives. Reload
// and concurrency are as for Rotate.
func RotateRoot(ctx context.Context, v Vault, offlineDir string, now func() time.Time) error {
	return rotate(ctx, v, offlineDir, clock(now)(), "rotating the CA root", func(r *rotation) error {
		root, err := makeRoot(offlineDir, r.keyset.Version, r.now)
		if err != nil {
			return err
		}
		for i := range r.state.Roots {
			if r.state.Roots[i].Until.IsZero() {
				r.state.Roots[i].Until = r.active.Add(mezu.KeysetOverlap)
			}
		}
		r.state.Roots = append(r.state.Roots, rootRecord{Version: r.keyset.Version, Certificate: root.certificate.Raw})
		return r.state.addIssuer(root, r.now, r.active)
	})
}

// Prune publishes a keyset without the CA roots whose overlap is over: what
// they signed is refused from then on. It also begins the keyset's life anew.
// Reload and concurrency are as for Rotate.
func Prune(ctx context.Context, v Vault, offlineDir string, now func() time.Time) error {
	return rotate(ctx, v, offlineDir, clock(now)(), "pruning the CA roots", func(r *rotation) error {
		var kept []rootRecord
		for _, root := range r.state.Roots {
			if root.Until.IsZero() || r.now.Before(root.Until) {
				kept = append(kept, root)
			}
		}
		r.state.Roots = kept
		return nil
	})
}

// rotation is a change of the authority in the making.
type rotation struct {
	state  *state
	keyset *mezu.Keyset // the next one, with the keys of the previous that are not past their end
	now    time.Time
	active time.Time // when what is new begins to sign
}

// rotate loads the state, has it changed, and publishes the next keyset.
func rotate(ctx context.Context, v Vault, offlineDir string, now time.Time, doing string, change func(*rotation) error) error {
	s, err := load(ctx, v)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	previous, err := s.previous()
	if err != nil {
		return fmt.Errorf("%s: reading the keyset in use: %w", doing, err)
	}
	if len(s.Roots) == 0 {
		return fmt.Errorf("%s: the authority's record has no CA root", doing)
	}
	trustRoot, err := loadTrustRoot(offlineDir, s.TrustRoot)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	active := now.Add(ActivationDelay)
	if _, err := s.open(now); err != nil {
		active = now // it is past its end: there is nothing old to go on with
	}
	s.dropSuperseded(now)
	next := &mezu.Keyset{Version: previous.Version + 1}
	for _, k := range previous.Keys {
		if !now.After(k.NotAfter) {
			next.Keys = append(next.Keys, k)
		}
	}
	s.Keys = slices.DeleteFunc(s.Keys, func(r keyRecord) bool {
		return !slices.ContainsFunc(next.Keys, func(k mezu.PublicKey) bool { return k.ID == r.ID })
	})
	if err := change(&rotation{s, next, now, active}); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.publish(ctx, v, next, trustRoot, now); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// publish completes and signs the next keyset and saves the state with it.
func (s *state) publish(ctx context.Context, v Vault, next *mezu.Keyset, trustRoot ed25519.PrivateKey, now time.Time) error {
	next.IssuedAt = now.UTC().Truncate(time.Second)
	next.NotAfter = next.IssuedAt.Add(KeysetLife)
	for _, r := range s.Roots {
		next.CARoots = append(next.CARoots, string(certificatePEM(r.Certificate)))
	}
	signed, err := mezu.Sign(mezu.PurposeKeyset, trustRootID, trustRoot, next)
	if err != nil {
		return err
	}
	s.Keyset = signed
	return s.save(ctx, v, now)
}

// trustRootID is the key id on keysets. It is a name only: keysets are verified
// under the pinned key.
const trustRootID = "trust-root"

// addKeys makes one key for each purpose, used from then on.
func (s *state) addKeys(k *mezu.Keyset, now, from time.Time) {
	for _, p := range purposes() {
		seed := make([]byte, ed25519.SeedSize)
		var suffix [4]byte // tells the keys of one purpose apart
		rand.Read(seed)
		rand.Read(suffix[:])
		private := ed25519.NewKeyFromSeed(seed)
		id := string(p) + "-" + hex.EncodeToString(suffix[:])
		s.Keys = append(s.Keys, keyRecord{ID: id, Purpose: p, Seed: seed, From: from})
		k.Keys = append(k.Keys, mezu.PublicKey{
			ID: id, Purpose: p, Key: private.Public().(ed25519.PublicKey),
			NotAfter: now.UTC().Truncate(time.Second).Add(KeysetLife),
		})
	}
}

// addIssuer makes an issuing intermediate under root, used from then on. It may
// sign leaves only.
func (s *state) addIssuer(root *rootKey, now, from time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making an issuer's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding an issuer's key: %w", err)
	}
	template := caTemplate("Mezusphere issuer", now, IssuerLife)
	template.MaxPathLenZero = true
	if template.NotAfter.After(root.certificate.NotAfter) {
		template.NotAfter = root.certificate.NotAfter
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, root.certificate, &key.PublicKey, root.key)
	if err != nil {
		return fmt.Errorf("signing an issuer's certificate: %w", err)
	}
	s.Issuers = append(s.Issuers, issuerRecord{Certificate: certificate, Key: der, From: from})
	return nil
}

// caTemplate is what the certificates of root and issuer have in common.
func caTemplate(name string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-mezu.LeafBackdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

// newSerial makes a serial number of 128 random bits.
func newSerial() *big.Int {
	var raw [16]byte
	rand.Read(raw[:])
	return new(big.Int).SetBytes(raw[:])
}
