package ca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// recordName names the one record in the vault. There is only one so that a rotation takes
// effect in one write.
const recordName = "authority"

// state is the record. It has every online key and no root key.
type state struct {
	TrustRoot ed25519.PublicKey `json:"trust_root"`
	Keyset    mezu.Signed       `json:"keyset"`
	// Roots, Issuers and Keys are in the order in which they were made.
	Roots   []rootRecord   `json:"roots"`
	Issuers []issuerRecord `json:"issuers"`
	Keys    []keyRecord    `json:"keys"`
	// Pending is a rotation that is not in force.
	Pending *pending `json:"pending,omitempty"`
}

// rootRecord is one trusted CA root.
type rootRecord struct {
	// Version is that of the first keyset that had it, and names its file.
	Version     uint64 `json:"version"`
	Certificate []byte `json:"certificate"`
	// Until is when a rotation of the kind prune may remove it; zero for the newest.
	Until time.Time `json:"until,omitzero"`
}

// issuerRecord is an issuing intermediate. It issues from From on, until a newer one begins
// to.
type issuerRecord struct {
	Certificate []byte    `json:"certificate"`
	Key         []byte    `json:"key"` // PKCS #8
	From        time.Time `json:"from,omitzero"`
}

// keyRecord is a signing key, used as an issuer is.
type keyRecord struct {
	ID      string       `json:"id"`
	Purpose mezu.Purpose `json:"purpose"`
	Seed    []byte       `json:"seed"` // RFC 8032
	From    time.Time    `json:"from,omitzero"`
}

// load reads the record. If it is empty or damaged, the error is not fs.ErrNotExist, so that
// nobody takes this for a first run.
func load(ctx context.Context, v Vault) (*state, error) {
	data, err := v.Load(ctx, recordName)
	if err != nil {
		return nil, fmt.Errorf("loading its record: %w", err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("decoding its record of %d bytes: %w", len(data), err)
	}
	return &s, nil
}

// save writes the record, if it can be opened now and when what is new in it has become
// active.
func (s *state) save(ctx context.Context, v Vault, now time.Time) error {
	for _, t := range []time.Time{now, now.Add(ActivationDelay)} {
		if _, err := s.open(t); err != nil {
			return fmt.Errorf("checking what would be saved: %w", err)
		}
	}
	return s.put(ctx, v)
}

// put writes the record.
func (s *state) put(ctx context.Context, v Vault) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the authority's record: %w", err)
	}
	if err := v.Save(ctx, recordName, data); err != nil {
		return fmt.Errorf("saving the authority's record: %w", err)
	}
	return nil
}

// previous is the keyset of the record, even if it has ended: a rotation is what replaces it
// then.
func (s *state) previous() (*mezu.Keyset, error) {
	return mezu.OpenKeyset(s.Keyset, s.TrustRoot, time.Time{})
}

// opened is a state, checked and parsed. It is immutable.
type opened struct {
	trustRoot ed25519.PublicKey
	signed    mezu.Signed
	keyset    *mezu.Keyset
	roots     *x509.CertPool
	rootsPEM  []byte
	issuers   []*issuer
	signers   []*signer
}

type issuer struct {
	certificate *x509.Certificate
	pem         string
	key         *ecdsa.PrivateKey
	from        time.Time
}

type signer struct {
	id             string
	purpose        mezu.Purpose
	private        ed25519.PrivateKey
	from, notAfter time.Time
}

// open checks and parses a state, as of now.
func (s *state) open(now time.Time) (*opened, error) {
	k, err := mezu.OpenKeyset(s.Keyset, s.TrustRoot, now)
	if err != nil {
		return nil, fmt.Errorf("opening its keyset: %w", err)
	}
	o := &opened{trustRoot: s.TrustRoot, signed: s.Keyset, keyset: k}
	for _, text := range k.CARoots {
		o.rootsPEM = append(o.rootsPEM, text...)
	}
	if o.roots, err = trust.ParseRoots(o.rootsPEM); err != nil {
		return nil, fmt.Errorf("reading the roots of keyset %d: %w", k.Version, err)
	}
	for _, r := range s.Issuers {
		i, err := r.open()
		if err != nil {
			return nil, err
		}
		o.issuers = append(o.issuers, i)
	}
	for _, r := range s.Keys {
		key, err := r.open(k)
		if err != nil {
			return nil, err
		}
		o.signers = append(o.signers, key)
	}
	for _, p := range purposes() {
		key := o.signer(p, now)
		if key == nil && laterPurpose(p) {
			continue
		}
		if key == nil {
			return nil, fmt.Errorf("no key for a %s is active", p)
		}
		if now.After(key.notAfter) {
			return nil, fmt.Errorf("key %q is past its end, %s; rotate the keys", key.id, key.notAfter.UTC().Format(time.RFC3339))
		}
	}
	active := o.issuer(now)
	if active == nil {
		return nil, errors.New("no issuer is active")
	}
	_, err = active.certificate.Verify(x509.VerifyOptions{
		Roots: o.roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("verifying its issuer under keyset %d: %w", k.Version, err)
	}
	return o, nil
}

// open parses an issuer and checks that key and certificate belong together.
func (r *issuerRecord) open() (*issuer, error) {
	c, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parsing an issuer's certificate: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(r.Key)
	if err != nil {
		return nil, errors.New("parsing an issuer's key: not PKCS #8")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(c.PublicKey) {
		return nil, errors.New("the key of an issuer doesn't fit its certificate")
	}
	return &issuer{certificate: c, pem: string(certificatePEM(r.Certificate)), key: key, from: r.From}, nil
}

// open parses a signing key and checks that the keyset has it.
func (r *keyRecord) open(k *mezu.Keyset) (*signer, error) {
	if len(r.Seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("signing key %q is no Ed25519 seed", r.ID)
	}
	private := ed25519.NewKeyFromSeed(r.Seed)
	for _, p := range k.Keys {
		if p.ID == r.ID && p.Purpose == r.Purpose && bytes.Equal(p.Key, private.Public().(ed25519.PublicKey)) {
			return &signer{id: r.ID, purpose: r.Purpose, private: private, from: r.From, notAfter: p.NotAfter}, nil
		}
	}
	return nil, fmt.Errorf("signing key %q is not in keyset %d", r.ID, k.Version)
}

// issuer is the newest active issuer, nil if none.
func (o *opened) issuer(now time.Time) *issuer {
	for i := len(o.issuers) - 1; i >= 0; i-- {
		if !now.Before(o.issuers[i].from) {
			return o.issuers[i]
		}
	}
	return nil
}

// signer is the newest active key for a purpose, nil if none.
func (o *opened) signer(p mezu.Purpose, now time.Time) *signer {
	for i := len(o.signers) - 1; i >= 0; i-- {
		if k := o.signers[i]; k.purpose == p && !now.Before(k.from) {
			return k
		}
	}
	return nil
}

// dropSuperseded removes private keys that are never used again, because a newer one is
// active. Their public halves stay in the keyset.
func (s *state) dropSuperseded(now time.Time) {
	for i := len(s.Issuers) - 1; i > 0; i-- {
		if !now.Before(s.Issuers[i].From) {
			s.Issuers = s.Issuers[i:]
			break
		}
	}
	var kept []keyRecord
	for i, k := range s.Keys {
		superseded := false
		for _, newer := range s.Keys[i+1:] {
			superseded = superseded || newer.Purpose == k.Purpose && !now.Before(newer.From)
		}
		if !superseded {
			kept = append(kept, k)
		}
	}
	s.Keys = kept
}

// exists reports whether the vault has a record.
func exists(ctx context.Context, v Vault) (bool, error) {
	switch _, err := v.Load(ctx, recordName); {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	default:
		return false, fmt.Errorf("loading the authority's record: %w", err)
	}
}
