// Package ca is the internal certificate authority and the signer of the
// installation's statements.
//
// Two keys are made once in an offline folder and never kept in memory: the trust root
// (Ed25519), which signs keysets, and the CA root (P-256). The online keys are an issuing
// intermediate and one Ed25519 key for each purpose. They are replaced in three steps:
//   - Propose: the control plane makes new keys and a keyset that has them beside the old.
//   - Endorse: the operator signs that keyset where the offline folder is.
//   - Install: the control plane publishes the keyset. The new keys sign ActivationDelay
//     later.
//
// What lives here: making, keeping, rotating and using these keys. What may not:
// who may have a certificate (control decides), HTTP, the store (a Vault is
// handed in), verifying peers (trust does). Only edgesvc packages import it.
package ca

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// Lives of what leaf certificates depend on. Keyset and issuer live much longer than the time
// between rotations, so that a rotation may be put off. Authority.NotAfter is for the alarm.
const (
	RootLife   = 10 * 365 * 24 * time.Hour
	IssuerLife = 365 * 24 * time.Hour
	KeysetLife = 365 * 24 * time.Hour
)

// ActivationDelay is how long a new keyset is published before its new keys
// sign. A connected edge has the keyset within seconds, and one that was away gets it before
// anything else.
const ActivationDelay = 5 * time.Minute

// Vault keeps records sealed at rest. Load of a name that was never saved is
// fs.ErrNotExist. When Save returns nil, the record is durable and has replaced the one
// before it.
type Vault interface {
	Load(ctx context.Context, name string) ([]byte, error)
	Save(ctx context.Context, name string, data []byte) error
}

// Authority issues certificates and signs statements. It is safe for concurrent
// use.
type Authority struct {
	vault   Vault
	now     func() time.Time
	current atomic.Pointer[opened]
}

// Open reads what Create made and checks it: the trust root signed the keyset, which has not
// ended; the keyset has each key; and one of its roots signed the issuer. The error is
// fs.ErrNotExist only if Create was never called. If now is nil, time.Now.
func Open(ctx context.Context, v Vault, now func() time.Time) (*Authority, error) {
	a := &Authority{vault: v, now: clock(now)}
	if err := a.Reload(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload reads the vault again, after a rotation. It refuses a keyset with a lower version
// than the one in use. After an error the authority goes on as before.
func (a *Authority) Reload(ctx context.Context) error {
	s, err := load(ctx, a.vault)
	if err != nil {
		return fmt.Errorf("opening the certificate authority: %w", err)
	}
	next, err := s.open(a.now())
	if err != nil {
		return fmt.Errorf("opening the certificate authority: %w", err)
	}
	for {
		was := a.current.Load()
		if was != nil && next.keyset.Version < was.keyset.Version {
			return fmt.Errorf("opening the certificate authority: keyset %d is older than keyset %d, which is in use",
				next.keyset.Version, was.keyset.Version)
		}
		if a.current.CompareAndSwap(was, next) {
			return nil
		}
	}
}

// TrustRoot is the public key that peers pin at registration.
func (a *Authority) TrustRoot() ed25519.PublicKey { return bytes.Clone(a.current.Load().trustRoot) }

// Keyset is the keyset to publish. It must not be changed.
func (a *Authority) Keyset() mezu.Signed { return a.current.Load().signed }

// Roots are the CA roots of the keyset.
func (a *Authority) Roots() *x509.CertPool { return a.current.Load().roots.Clone() }

// RootsPEM are the CA roots of the keyset as one PEM text.
func (a *Authority) RootsPEM() []byte { return bytes.Clone(a.current.Load().rootsPEM) }

// NotAfter is when the first of keyset, signing keys in use and issuer ends. After that
// nothing is signed, until the keys are rotated.
func (a *Authority) NotAfter() time.Time {
	c, now := a.current.Load(), a.now()
	end := c.keyset.NotAfter
	for _, p := range purposes() {
		if k := c.signer(p, now); k != nil && k.notAfter.Before(end) {
			end = k.notAfter
		}
	}
	if i := c.issuer(now); i != nil && i.certificate.NotAfter.Before(end) {
		end = i.certificate.NotAfter
	}
	return end
}

// ActiveAt is when the newest of the keys began to be used, or will begin to be.
func (a *Authority) ActiveAt() time.Time {
	var at time.Time
	c := a.current.Load()
	for _, k := range c.signers {
		if k.from.After(at) {
			at = k.from
		}
	}
	for _, i := range c.issuers {
		if i.from.After(at) {
			at = i.from
		}
	}
	return at
}

// Sign signs a statement with the newest active key for its purpose. It signs no keysets:
// those are signed in rotations, with the trust root.
func (a *Authority) Sign(p mezu.Purpose, statement any) (mezu.Signed, error) {
	c, now := a.current.Load(), a.now()
	key := c.signer(p, now)
	switch {
	case key == nil:
		return mezu.Signed{}, fmt.Errorf("signing a %q: there is no key for it", p)
	case now.After(key.notAfter), now.After(c.keyset.NotAfter):
		return mezu.Signed{}, fmt.Errorf("signing a %s: key %q of keyset %d is past its end, %s; rotate the keys",
			p, key.id, c.keyset.Version, key.notAfter.UTC().Format(time.RFC3339))
	}
	s, err := mezu.Sign(p, key.id, key.private, statement)
	if err != nil {
		return mezu.Signed{}, fmt.Errorf("signing a %s: %w", p, err)
	}
	return s, nil
}

// Signs reports whether there is a key for a purpose now. An installation older than a purpose
// gets its key with the next rotation.
func (a *Authority) Signs(p mezu.Purpose) bool { return a.current.Load().signer(p, a.now()) != nil }

// laterPurpose reports whether there may be an installation that has no key for a purpose,
// because it is older than that. It does without what such statements are for.
func laterPurpose(p mezu.Purpose) bool {
	return p == mezu.PurposeAudit || p == mezu.PurposeAssertions || p == mezu.PurposeEdgePart
}

// purposes are those of the online keys.
func purposes() []mezu.Purpose {
	return []mezu.Purpose{mezu.PurposeBundle, mezu.PurposeEdges, mezu.PurposeRevocation, mezu.PurposeGrant, mezu.PurposeAudit, mezu.PurposeAssertions, mezu.PurposeEdgePart}
}

// clock is now, or time.Now.
func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// certificatePEM encodes a certificate.
func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// onlyBlock decodes a text that is one PEM block of this type and nothing else.
func onlyBlock(text []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not exactly one PEM block " + kind)
	}
	return block.Bytes, nil
}
