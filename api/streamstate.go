package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
)

// StreamState names what an edge must have once it is in step, of every kind of
// statement. An edge that has something else has lost a statement, or was given back an
// older disk, and asks for everything.
type StreamState struct {
	// At is the control plane's time: revocations that end before it don't count.
	At time.Time `json:"at"`
	// Keyset is the digest of the keyset's payload, Edges the place of the list.
	Keyset Digest        `json:"keyset"`
	Edges  mezu.Position `json:"edges"`
	// Bundles are those of environments that are there, Revocations those in force.
	Bundles     StatementSet `json:"bundles"`
	Revocations StatementSet `json:"revocations"`
}

// Digest is SHA-256, or the sum of several.
type Digest [sha256.Size]byte

// MarshalText is hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(d[:], text[:min(len(text), 2*len(d))]); err != nil || n != len(d) || len(text) != 2*len(d) {
		return fmt.Errorf("%q is no digest of %d bytes in hexadecimal", text, len(d))
	}
	return nil
}

// StatementSet names a set of statements, in whatever order they came: how many they
// are, and all bits of their digests added without carry. It is against loss and not
// against whoever makes statements to fit, who is the control plane.
type StatementSet struct {
	Count int    `json:"count"`
	Sum   Digest `json:"sum"`
}

// add counts a statement in, or out with n = -1.
func (s *StatementSet) add(n int, format string, args ...any) {
	one := sha256.Sum256(fmt.Appendf(nil, format, args...))
	s.Count += n
	for i := range s.Sum {
		s.Sum[i] ^= one[i]
	}
}

// Without is by what a set differs from another: empty of equal ones.
func (s StatementSet) Without(other StatementSet) StatementSet {
	s.Count -= other.Count
	for i := range s.Sum {
		s.Sum[i] ^= other.Sum[i]
	}
	return s
}

// CountBundle counts the bundle of an environment at a position in, or out with n = -1.
func (s *StatementSet) CountBundle(environment string, at mezu.Position, n int) {
	s.add(n, "bundle %s %s", environment, at)
}

// CountRevocation counts what is in force of one subject in, or out with n = -1.
func (s *StatementSet) CountRevocation(r mezu.Revocation, n int) {
	s.add(n, "%s %s %d %d", r.Kind, r.Subject, unixMilli(r.NotBefore), unixMilli(r.Until))
}

// unixMilli is as exactly as control planes count; 0 where there is none.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
