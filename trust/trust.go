// Package trust is what a peer may believe: under one pinned trust root it holds
// the keyset, opens signed statements, remembers revocations, and decides who is
// at the other end of a TLS connection.
//
// What lives here: verifying, which statement may replace the one in force, reading CA
// files, and the TLS configurations of both ends of a mutually authenticated connection.
// What may not: signing or issuing (edgesvc/ca does), writing files (packages ledger and
// statedir below), HTTP, and system roots, which are never consulted. Edges, control
// planes and Warpgates import it.
package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/namedfile"
)

// Anchor holds what one peer believes. It is safe for concurrent use. Its clock is the one
// that New was given.
type Anchor struct {
	root    ed25519.PublicKey
	now     func() time.Time
	current atomic.Pointer[accepted] // nil before the first keyset

	mu    sync.RWMutex
	ended endings
}

// accepted is a keyset in force, with its roots compiled.
type accepted struct {
	signed mezu.Signed
	keyset *mezu.Keyset
	roots  *x509.CertPool

	verified verified
}

// New makes an anchor that believes nothing but keysets signed by root. If now
// is nil, time.Now.
func New(root ed25519.PublicKey, now func() time.Time) *Anchor {
	if now == nil {
		now = time.Now
	}
	return &Anchor{root: bytes.Clone(root), now: now}
}

// Root is the pinned trust root.
func (a *Anchor) Root() ed25519.PublicKey { return bytes.Clone(a.root) }

// AcceptKeyset verifies a keyset and puts it in force at once. It refuses one that is past
// its end, that has a lower version than the one in force, or that has the same version
// and other content. Of the one in force it says that nothing changed.
func (a *Anchor) AcceptKeyset(s mezu.Signed) (changed bool, err error) {
	k, err := mezu.OpenKeyset(s, a.root, a.now())
	if err != nil {
		return false, fmt.Errorf("accepting a keyset: %w", err)
	}
	pool := x509.NewCertPool()
	for _, text := range k.CARoots {
		if err := addRoots(pool, []byte(text)); err != nil {
			return false, fmt.Errorf("accepting keyset %d: %w", k.Version, err)
		}
	}
	next := &accepted{signed: s, keyset: k, roots: pool}
	for {
		was := a.current.Load()
		switch {
		case was == nil || k.Version > was.keyset.Version:
		case k.Version < was.keyset.Version:
			return false, fmt.Errorf("keyset %d is older than keyset %d, which is in force", k.Version, was.keyset.Version)
		case !bytes.Equal(s.Payload, was.signed.Payload):
			return false, fmt.Errorf("keyset %d differs from the one in force under the same version", k.Version)
		default:
			return false, nil
		}
		if a.current.CompareAndSwap(was, next) {
			return true, nil
		}
	}
}

// Keyset is the keyset in force, as it was signed and decoded; zero and nil before the
// first. It must not be changed.
func (a *Anchor) Keyset() (mezu.Signed, *mezu.Keyset) {
	c := a.current.Load()
	if c == nil {
		return mezu.Signed{}, nil
	}
	return c.signed, c.keyset
}

// Roots are the CA roots of the keyset in force, for verifying plain servers of
// the installation such as its API. Before the first keyset the pool is empty. It is never
// nil, since crypto/tls would take the system's roots instead.
func (a *Anchor) Roots() *x509.CertPool {
	c := a.current.Load()
	if c == nil {
		return x509.NewCertPool()
	}
	return c.roots.Clone()
}

// inForce is the keyset that decides at a moment, or an error that says why there is none.
func (a *Anchor) inForce(now time.Time) (*accepted, error) {
	c := a.current.Load()
	if c == nil {
		return nil, errors.New("no keyset has been accepted yet")
	}
	if now.After(c.keyset.NotAfter) {
		return nil, fmt.Errorf("keyset %d ended %s; this machine's clock says %s",
			c.keyset.Version, stamp(c.keyset.NotAfter), stamp(now))
	}
	return c, nil
}

// open verifies and decodes a statement under the keyset in force.
func (a *Anchor) open(s mezu.Signed, purpose mezu.Purpose, statement any) error {
	now := a.now()
	c, err := a.inForce(now)
	if err == nil {
		err = c.keyset.Open(s, purpose, now, statement)
	}
	if err != nil {
		return fmt.Errorf("opening a signed %s: %w", purpose, err)
	}
	return nil
}

// OpenBundle verifies, decodes and validates a bundle. Newer control planes add fields that
// this build doesn't know; what these do to routes mezu.Bundle says.
func (a *Anchor) OpenBundle(s mezu.Signed) (*mezu.Bundle, error) {
	var b mezu.Bundle
	if err := a.open(s, mezu.PurposeBundle, &b); err != nil {
		return nil, err
	}
	if err := b.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validating the bundle of %q: %w", b.Environment, err)
	}
	return &b, nil
}

// OpenEdges verifies and decodes the list of edges.
func (a *Anchor) OpenEdges(s mezu.Signed) (*mezu.EdgeList, error) {
	var l mezu.EdgeList
	if err := a.open(s, mezu.PurposeEdges, &l); err != nil {
		return nil, err
	}
	for _, e := range l.Edges {
		if err := mezu.ValidateID("edges.id", mezu.PrefixEdge, e.ID); err != nil {
			return nil, fmt.Errorf("validating the list of edges: %w", err)
		}
	}
	return &l, nil
}

// OpenRevocation verifies and decodes a revocation. Revoke puts it in force.
func (a *Anchor) OpenRevocation(s mezu.Signed) (*mezu.Revocation, error) {
	var r mezu.Revocation
	if err := a.open(s, mezu.PurposeRevocation, &r); err != nil {
		return nil, err
	}
	if r.Subject == "" || r.Until.IsZero() {
		return nil, fmt.Errorf("revocation %s of a %s has no subject or no end", r.Position, r.Kind)
	}
	return &r, nil
}

// OpenAssertions verifies and decodes the keys of an environment's Warpgates.
func (a *Anchor) OpenAssertions(s mezu.Signed) (*mezu.AssertionKeys, error) {
	var k mezu.AssertionKeys
	if err := a.open(s, mezu.PurposeAssertions, &k); err != nil {
		return nil, err
	}
	if err := k.Validate(); err != nil {
		return nil, fmt.Errorf("validating the keys of Warpgates: %w", err)
	}
	return &k, nil
}

// OpenEdgePart verifies and decodes what edges alone get of an environment. What is encrypted in
// it stays so.
func (a *Anchor) OpenEdgePart(s mezu.Signed) (*mezu.EdgePart, error) {
	var p mezu.EdgePart
	if err := a.open(s, mezu.PurposeEdgePart, &p); err != nil {
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("validating an edge's part: %w", err)
	}
	return &p, nil
}

// OpenGrant verifies and decodes a grant in its compact form. Whether it is in its time,
// revoked, or of which environment and epoch, is not looked at: that changes, and the rest
// may be remembered as long as the keyset stays in force.
func (a *Anchor) OpenGrant(compact []byte) (*mezu.Grant, error) {
	if len(compact) > mezu.MaxGrantText {
		return nil, fmt.Errorf("a grant has at most %d bytes, not %d", mezu.MaxGrantText, len(compact))
	}
	s, err := mezu.ParseCompact(mezu.PurposeGrant, compact)
	if err != nil {
		return nil, err
	}
	var g mezu.Grant
	if err := a.open(s, mezu.PurposeGrant, &g); err != nil {
		return nil, err
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("validating a grant: %w", err)
	}
	return &g, nil
}

// maxRootsFile bounds a file of CA certificates; ours has one or two of less than
// 1 KiB, a distribution's bundle of public roots has about 250 KiB.
const maxRootsFile = 1 << 20

// LoadRoots reads the CA certificates of a PEM file. It is an error if the file is missing,
// empty, larger than 1 MiB or has anything else in it. The system's roots never take their
// place.
func LoadRoots(path string) (*x509.CertPool, error) {
	data, err := namedfile.Read(path, maxRootsFile+1)
	if err != nil {
		return nil, fmt.Errorf("reading CA certificates: %w", err)
	}
	if len(data) > maxRootsFile {
		return nil, fmt.Errorf("reading CA certificates: %s has more than %d bytes", path, maxRootsFile)
	}
	pool, err := ParseRoots(data)
	if err != nil {
		return nil, fmt.Errorf("reading CA certificates of %s: %w", path, err)
	}
	return pool, nil
}

// ParseRoots is LoadRoots for PEM text at hand.
func ParseRoots(pemText []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if err := addRoots(pool, pemText); err != nil {
		return nil, err
	}
	return pool, nil
}

// addRoots adds all certificates of a PEM text to pool. What is no CA certificate is an
// error, where x509.CertPool.AppendCertsFromPEM would ignore it.
func addRoots(pool *x509.CertPool, text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return errors.New("no CA certificate in an empty text")
	}
	for rest := text; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return errors.New("text that is no PEM where a CA certificate is expected")
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("PEM block %q where a CA certificate is expected", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("parsing a CA certificate: %w", err)
		}
		if !c.BasicConstraintsValid || !c.IsCA {
			return fmt.Errorf("certificate %s is no CA's", Serial(c))
		}
		pool.AddCert(c)
	}
	return nil
}

// stamp is how errors show a time.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
