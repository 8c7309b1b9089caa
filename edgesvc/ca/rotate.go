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
	"github.com/mezusphere/mezu/api"
)

// ProposalLife is how long a proposal may be endorsed and installed. Old keys stay in the
// keyset for that much longer than mezu.KeysetOverlap.
const ProposalLife = 10 * time.Minute

// Create makes the authority of a new installation, with keyset 1. Both root keys go into
// offlineDir, everything else into the vault. After an interruption it can be called again:
// it uses the root keys that are in offlineDir. The error is fs.ErrExist if the vault has an
// authority. If now is nil, time.Now.
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
	if err := create(ctx, v, trustRoot, root, at); err != nil {
		return fmt.Errorf("creating the certificate authority: %w", err)
	}
	return nil
}

func create(ctx context.Context, v Vault, trustRoot ed25519.PrivateKey, root *rootKey, at time.Time) error {
	s := &state{TrustRoot: trustRoot.Public().(ed25519.PublicKey), Roots: []rootRecord{{Version: 1, Certificate: root.certificate.Raw}}}
	next := mezu.Keyset{Version: 1, CARoots: s.rootsPEM()}
	p := &pending{Keys: newKeys(&next, at)}
	issuer, err := p.addIssuer()
	if err != nil {
		return err
	}
	certificate, err := root.certify(issuer, at)
	if err != nil {
		return err
	}
	if s.Keyset, err = signKeyset(trustRoot, next, at); err != nil {
		return err
	}
	s.activate(p, certificate, time.Time{})
	return s.save(ctx, v, at)
}

// pending is a rotation that waits for its endorsement.
type pending struct {
	Proposal  api.KeyProposal `json:"proposal"`
	Keys      []keyRecord     `json:"keys,omitempty"`
	IssuerKey []byte          `json:"issuer_key,omitempty"` // PKCS #8
}

// Propose makes the new keys of a rotation, keeps them in the vault, unused, and gives
// what Endorse needs. It takes the place of an earlier proposal. The keyset's version is
// floor at least: a restored installation has forgotten some that its peers remember.
func Propose(ctx context.Context, v Vault, what api.Rotation, floor uint64, now func() time.Time) (api.KeyProposal, error) {
	at := clock(now)()
	p, err := propose(ctx, v, what, floor, at)
	if err != nil {
		return api.KeyProposal{}, fmt.Errorf("proposing new keys: %w", err)
	}
	return p.Proposal, nil
}

func propose(ctx context.Context, v Vault, what api.Rotation, floor uint64, now time.Time) (*pending, error) {
	s, err := load(ctx, v)
	if err != nil {
		return nil, err
	}
	previous, err := s.previous()
	if err != nil {
		return nil, fmt.Errorf("reading the keyset in use: %w", err)
	}
	next := mezu.Keyset{Version: max(previous.Version+1, floor)}
	for _, k := range previous.Keys {
		if !now.After(k.NotAfter) {
			next.Keys = append(next.Keys, k)
		}
	}
	p := &pending{Proposal: api.KeyProposal{What: what, Previous: s.Keyset, ExpiresAt: now.Add(ProposalLife).UTC()}}
	switch what {
	case api.RotateSigning:
		if len(s.Roots) == 0 {
			return nil, fmt.Errorf("the authority's record has no CA root")
		}
		end := now.Add(ProposalLife + ActivationDelay + mezu.KeysetOverlap)
		for i, k := range next.Keys {
			if k.NotAfter.After(end) {
				next.Keys[i].NotAfter = end
			}
		}
		p.Keys = newKeys(&next, now)
		p.Proposal.RootVersion = s.Roots[len(s.Roots)-1].Version
	case api.RotateRoot:
		p.Proposal.RootVersion = next.Version
	case api.RotatePrune:
		s.prune(now)
	default:
		return nil, mezu.Invalid("what", "is %s, %s or %s", api.RotateSigning, api.RotateRoot, api.RotatePrune)
	}
	if what != api.RotatePrune {
		if p.Proposal.IssuerKey, err = p.addIssuer(); err != nil {
			return nil, err
		}
	}
	next.CARoots = s.rootsPEM()
	p.Proposal.Keyset = next
	if s, err = load(ctx, v); err != nil { // without what was only tried
		return nil, err
	}
	s.Pending = p
	return p, s.put(ctx, v)
}

// Install puts an endorsed proposal in force: the keyset at once, and its keys after
// ActivationDelay, or at once if the authority has ended. Statements that the old keys signed
// verify for mezu.KeysetOverlap after that. By then everything that is to stay must have been
// signed again. A running Authority gets to know of it by Reload.
func Install(ctx context.Context, v Vault, e api.KeyEndorsement, now func() time.Time) error {
	if err := install(ctx, v, e, clock(now)()); err != nil {
		return fmt.Errorf("installing new keys: %w", err)
	}
	return nil
}

func install(ctx context.Context, v Vault, e api.KeyEndorsement, now time.Time) error {
	s, err := load(ctx, v)
	if err != nil {
		return err
	}
	p := s.Pending
	if p == nil || now.After(p.Proposal.ExpiresAt) {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "no proposal waits for an endorsement; each may be installed once, within ten minutes", Hint: "begin the rotation anew"}
	}
	if err := s.checkEndorsed(p, e, now); err != nil {
		return err
	}
	active := now.Add(ActivationDelay)
	if _, err := s.open(now); err != nil {
		active = now // the authority has ended: no old key may sign until then
	}
	s.dropSuperseded(now)
	s.Keys = slices.DeleteFunc(s.Keys, func(r keyRecord) bool {
		return !slices.ContainsFunc(p.Proposal.Keyset.Keys, func(k mezu.PublicKey) bool { return k.ID == r.ID })
	})
	switch p.Proposal.What {
	case api.RotatePrune:
		s.prune(now)
	case api.RotateRoot:
		for i := range s.Roots {
			if s.Roots[i].Until.IsZero() {
				s.Roots[i].Until = active.Add(mezu.KeysetOverlap)
			}
		}
		s.Roots = append(s.Roots, rootRecord{Version: p.Proposal.Keyset.Version, Certificate: e.Root})
	}
	s.Keyset = e.Keyset
	s.activate(p, e.Issuer, active)
	s.Pending = nil
	return s.save(ctx, v, now)
}

// checkEndorsed checks that the root keys signed what was proposed, and nothing else. Whether
// the issuer's certificate is right, save checks.
func (s *state) checkEndorsed(p *pending, e api.KeyEndorsement, now time.Time) error {
	signed, err := mezu.OpenKeyset(e.Keyset, s.TrustRoot, now)
	if err != nil {
		return mezu.Invalid("keyset", "is not signed by this installation's trust root: %v", err)
	}
	want := p.Proposal.Keyset
	if p.Proposal.What == api.RotateRoot {
		want.CARoots = append(slices.Clone(want.CARoots), string(certificatePEM(e.Root)))
	}
	same := slices.EqualFunc(signed.Keys, want.Keys, func(a, b mezu.PublicKey) bool {
		return a.ID == b.ID && a.Purpose == b.Purpose && a.Key.Equal(b.Key) && a.NotAfter.Equal(b.NotAfter)
	})
	if signed.Version != want.Version || !same || !slices.Equal(signed.CARoots, want.CARoots) {
		return &mezu.Error{Code: mezu.CodeConflict, Field: "keyset", Detail: "is not what was proposed last", Hint: "begin the rotation anew"}
	}
	return nil
}

// activate adds the keys of a rotation, to be used from a moment on.
func (s *state) activate(p *pending, issuer []byte, from time.Time) {
	for _, k := range p.Keys {
		k.From = from
		s.Keys = append(s.Keys, k)
	}
	if p.IssuerKey != nil {
		s.Issuers = append(s.Issuers, issuerRecord{Certificate: issuer, Key: p.IssuerKey, From: from})
	}
}

// prune drops the roots whose overlap with a newer one has ended.
func (s *state) prune(now time.Time) {
	s.Roots = slices.DeleteFunc(s.Roots, func(r rootRecord) bool { return !r.Until.IsZero() && !now.Before(r.Until) })
}

func (s *state) rootsPEM() []string {
	out := []string{}
	for _, r := range s.Roots {
		out = append(out, string(certificatePEM(r.Certificate)))
	}
	return out
}

// newKeys makes one key for each purpose and adds their public halves to the keyset.
func newKeys(k *mezu.Keyset, now time.Time) []keyRecord {
	var out []keyRecord
	for _, p := range purposes() {
		seed := make([]byte, ed25519.SeedSize)
		var suffix [4]byte // makes the ids of the keys of one purpose different
		rand.Read(seed)
		rand.Read(suffix[:])
		private := ed25519.NewKeyFromSeed(seed)
		id := string(p) + "-" + hex.EncodeToString(suffix[:])
		out = append(out, keyRecord{ID: id, Purpose: p, Seed: seed})
		k.Keys = append(k.Keys, mezu.PublicKey{
			ID: id, Purpose: p, Key: private.Public().(ed25519.PublicKey),
			NotAfter: now.UTC().Truncate(time.Second).Add(KeysetLife),
		})
	}
	return out
}

// addIssuer makes the key of an issuing intermediate and gives its public half.
func (p *pending) addIssuer() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an issuer's key: %w", err)
	}
	if p.IssuerKey, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, fmt.Errorf("encoding an issuer's key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encoding an issuer's public key: %w", err)
	}
	return public, nil
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
