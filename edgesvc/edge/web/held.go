package web

import (
	"sync"
	"time"

	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

// Bounds on a request's body until all of it has come.
const (
	// leastBodyRate is how many bytes of a body must come in a second on average, while the
	// edge waits for them. A modem of 1990 is faster. Whoever wants to hold a thousand data
	// connections by slow bodies has to send a megabyte a second for it.
	leastBodyRate = 1 << 10
	// bodyGrace is how far a body may fall behind that rate at its beginning. A phone sends
	// nothing while it looks for another cell.
	bodyGrace = 20 * time.Second
	// bodyCredit is how long a body may stop that came faster before: the time by which it is
	// ahead counts, up to this.
	bodyCredit = time.Minute
	// maxHeldBodies bounds the memory of bodies that are held until all of them has come. It
	// is enough for 8,000 slow ones of a few bytes each. A body for which there is no room
	// is sent on as it comes, and so takes a data connection for longer.
	maxHeldBodies = 64 << 20
	// heldAddressShare and heldEnvironmentShare are the parts of what is left of that
	// memory, in percent, that one client address and one environment may take.
	heldAddressShare     = 50
	heldEnvironmentShare = 80
)

// heldBodies is the memory of bodies that are held before they are sent on.
type heldBodies struct {
	mu           sync.Mutex
	most         int
	total        int
	addresses    map[tunnel.Address]int
	environments map[string]int
}

func (h *heldBodies) init(most int) {
	h.most = most
	h.addresses, h.environments = map[tunnel.Address]int{}, map[string]int{}
}

// take asks for n bytes.
func (h *heldBodies) take(address tunnel.Address, environment string, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	free := h.most - h.total
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

// Take asks for n bytes for this exchange's body, and reports whether it got them.
func (x *exchange) Take(n int) bool {
	return x.s.held.take(tunnel.AddressOf(x.Client), x.table.Bundle().Environment, n)
}

// Give gives it back.
func (x *exchange) Give(n int) {
	x.s.held.give(tunnel.AddressOf(x.Client), x.table.Bundle().Environment, n)
}

// Spare reports whether so many data connections are free, and its client holds so few of
// them, that this exchange's body may be sent on before all of it has come.
func (x *exchange) Spare() bool {
	s := x.pick()
	return s != nil && s.Spare(tunnel.AddressOf(x.Client))
}

// gather waits for a body that is small, or may be, so that the request takes a data
// connection only when it can be sent in one go. It doesn't wait if there is no Warpgate to
// send it to. From now on each body that isn't here yet must come at a rate, except for one
// side of a streaming call.
func (x *exchange) gather(c client) error {
	r := &x.Request
	if r.Framing == relay.NoBody || c.UploadNow() && !r.Expect || r.Streams() {
		return nil
	}
	idle := x.Route.IdleTimeout
	x.pace.Begin(leastBodyRate, min(bodyGrace, idle), min(bodyCredit, idle), c)
	if r.Expect || r.Framing == relay.Length && r.Length > relay.MaxHeld {
		return nil
	}
	if x.pick() == nil {
		return x.noWarpgate()
	}
	return c.Hold(&x.pace, x)
}
