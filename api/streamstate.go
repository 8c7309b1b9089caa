package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
)

// StreamState describes which statements of each kind an edge must have when it is in step
// with the control plane. An edge that has others has lost a statement, or has an older copy
// of its disk, and asks for everything.
type StreamState struct {
	// At is the control plane's time. Revocations that end before it are not counted.
	At time.Time `json:"at"`
	// Keyset is the digest of the keyset's payload, Edges the position of the list of edges.
	Keyset Digest        `json:"keyset"`
	Edges  mezu.Position `json:"edges"`
	// Bundles are those of all environments that exist, Revocations those in force.
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

// StatementSet identifies a set of statements, in any order: by their number, and by the XOR
// of their digests. It is there to notice a loss. It can't resist somebody who makes
// statements whose digests fit, but only the control plane makes statements.
type StatementSet struct {
	Count int    `json:"count"`
	Sum   Digest `json:"sum"`
}

// add adds a statement with n = 1, or takes it out with n = -1.
func (s *StatementSet) add(n int, format string, args ...any) {
	one := sha256.Sum256(fmt.Appendf(nil, format, args...))
	s.Count += n
	for i := range s.Sum {
		s.Sum[i] ^= one[i]
	}
}

// Without is the difference of two sets. It is empty if they are equal.
func (s StatementSet) Without(other StatementSet) StatementSet {
	s.Count -= other.Count
	for i := range s.Sum {
		s.Sum[i] ^= other.Sum[i]
	}
	return s
}

// CountBundle adds the bundle of an environment at a position, or takes it out with n = -1.
func (s *StatementSet) CountBundle(environment string, at mezu.Position, n int) {
	s.add(n, "bundle %s %s", environment, at)
}

// CountRevocation adds the revocation in force of one subject, or takes it out with n = -1.
func (s *StatementSet) CountRevocation(r mezu.Revocation, n int) {
	s.add(n, "%s %s %d %d", r.Kind, r.Subject, unixMilli(r.NotBefore), unixMilli(r.Until))
}

// unixMilli is a time to the millisecond, in which control planes count; 0 if there is none.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
