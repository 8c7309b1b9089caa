package web

import (
	"testing"

	"github.com/mezusphere/mezu/tunnel"
)

// What is held of bodies is bounded, and neither one address nor one environment takes
// all of it.
func TestRow7_HeldBodiesAreBounded(t *testing.T) {
	const piece = 64 << 10
	type owner struct {
		address     tunnel.Address
		environment string
	}
	var h heldBodies
	h.init(maxHeldBodies)
	took := map[owner]int{}
	fill := func(o owner) int {
		for h.take(o.address, o.environment, piece) {
			took[o] += piece
		}
		return took[o] * 100 / maxHeldBodies
	}
	if n := fill(owner{1, "a"}); n < 45 || n > heldAddressShare {
		t.Errorf("one address holds %d %%", n)
	}
	for address := range tunnel.Address(20) {
		fill(owner{2 + address, "a"})
	}
	if n := h.bytes() * 100 / maxHeldBodies; n < 70 || n > heldEnvironmentShare {
		t.Errorf("one environment holds %d %%", n)
	}
	if n := fill(owner{100, "b"}); n == 0 {
		t.Error("another has no room")
	}
	for address := range tunnel.Address(1000) {
		fill(owner{1000 + address, "c"})
	}
	if n := h.bytes(); n > maxHeldBodies {
		t.Errorf("%d bytes are held", n)
	}
	for o, n := range took {
		h.give(o.address, o.environment, n)
	}
	if h.bytes() != 0 || len(h.addresses) != 0 || len(h.environments) != 0 {
		t.Errorf("%d bytes, %d addresses and %d environments are left", h.bytes(), len(h.addresses), len(h.environments))
	}
}
