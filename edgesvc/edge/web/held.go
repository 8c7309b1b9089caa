package web

import (
	"sync"
	"time"

	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

// What a request's body may cost before it is all there.
const (
	// leastBodyRate is how many bytes of a body must come in a second on average, for as
	// long as the edge waits for them: a modem of 1990 is faster, and a thousand bodies
	// that hold a data connection each cost their sender a megabyte a second.
	leastBodyRate = 1 << 10
	// bodyGrace is how long a body may fall behind that at its beginning: a phone that
	// looks for another cell sends nothing meanwhile.
	bodyGrace = 20 * time.Second
	// bodyCredit is how long a body that came fast enough may stop: what it was ahead
	// counts, up to this.
	bodyCredit = time.Minute
	// maxHeldBodies bounds the memory of the bodies that are held until they are whole:
	// 8,000 slow ones of a few bytes each. Those for which there is no room hold a data
	// connection instead.
	maxHeldBodies = 64 << 20
	// heldAddressShare and heldEnvironmentShare are the parts of that, in percent, that one
	// client address and one environment take at most.
	heldAddressShare     = 50
	heldEnvironmentShare = 80
)

// heldBodies is the memory of bodies that are held before they are sent on.
type heldBodies struct {
	mu           sync.Mutex
	total        int
	addresses    map[tunnel.Address]int
	environments map[string]int
}

func (h *heldBodies) init() {
	h.addresses, h.environments = map[tunnel.Address]int{}, map[string]int{}
}

// take asks for n bytes.
func (h *heldBodies) take(address tunnel.Address, environment string, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	free := maxHeldBodies - h.total
	if n > free || !tunnel.MayHold(h.addresses[address], free, heldAddressShare) || !tunnel.MayHold(h.environments[environment], free, heldEnvironmentShare) {
		return false
	}
	h.total += n
	h.addresses[address] += n
	h.environments[environment] += n
	return true
}

// give gives n bytes back.
func (h *heldBodies) give(address tunnel.Address, environment string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total -= n
	if h.addresses[address] -= n; h.addresses[address] == 0 {
		delete(h.addresses, address)
	}
	if h.environments[environment] -= n; h.environments[environment] == 0 {
		delete(h.environments, environment)
	}
}

// bytes is how much is held.
func (h *heldBodies) bytes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

// Take asks for memory for this exchange's body.
func (x *exchange) Take(n int) bool {
	return x.s.held.take(tunnel.AddressOf(x.Client), x.table.Bundle().Environment, n)
}

// Give gives it back.
func (x *exchange) Give(n int) {
	x.s.held.give(tunnel.AddressOf(x.Client), x.table.Bundle().Environment, n)
}

// Spare reports whether there is so much room for this exchange's client that its body
// may be sent on before it is whole.
func (x *exchange) Spare() bool {
	bundle := x.table.Bundle()
	s := x.s.cfg.Tunnels.PickBut(bundle.Environment, bundle.Draining)
	return s != nil && s.Spare(tunnel.AddressOf(x.Client))
}

// gather has the body come, if it is to come before a data connection is taken for it:
// one that is small, or may be. It reports whether that may have taken time. Each body that
// isn't here yet is held to a rate from now on, but for one side of a streaming call.
func (x *exchange) gather(c client) (waited bool, err error) {
	r := &x.Request
	if r.Framing == relay.NoBody || c.UploadNow() && !r.Expect || r.Streams() {
		return false, nil
	}
	idle := x.Route.IdleTimeout
	x.pace.Begin(leastBodyRate, min(bodyGrace, idle), min(bodyCredit, idle), c)
	if r.Expect || r.Framing == relay.Length && r.Length > relay.MaxHeld {
		return false, nil
	}
	return true, c.Hold(&x.pace, x)
}
