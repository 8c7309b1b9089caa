package grant

import "github.com/mezusphere/mezu/trust"

// NewVerifierOf is NewVerifier with less memory.
func NewVerifierOf(anchor *trust.Anchor, room int) *Verifier {
	v := NewVerifier(anchor)
	v.memory.room = room
	return v
}

// Remembers reports how many grants of an environment are remembered, and what all of them
// take.
func (v *Verifier) Remembers(environment string) (n, size int) {
	v.memory.mu.RLock()
	defer v.memory.mu.RUnlock()
	if s := v.memory.shelves[environment]; s != nil {
		n = len(s.entries)
	}
	return n, v.memory.size
}
