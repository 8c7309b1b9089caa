package shed

import (
	"net/netip"
	"time"

	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/gcra"
)

// key is an address or a network, without what all of it have in common.
type key [16]byte

const (
	// subscriber6 and site6 are how many bytes of an address of IPv6 count as one address
	// and as one network, as in package admission: /64 and /48.
	subscriber6, site6 = 8, 6
)

// client is what counts as one address. All that are no address are one.
func client(from netip.Addr) (k key) {
	if !from.IsValid() {
		return k
	}
	k = from.As16() // that of IPv4 has the form ::ffff:192.0.2.1
	if !from.Unmap().Is4() {
		clear(k[subscriber6:])
	}
	return k
}

// network is what an attacker with many addresses of IPv6 has of them.
func network(from netip.Addr) (k key) {
	k = from.As16()
	clear(k[site6:])
	return k
}

// rates limits how often each address may do something, and each network of IPv6.
type rates struct{ own, around *gcra.Keyed[key] }

func newRates(r gcra.Rate) *rates {
	all := r
	all.Events, all.Burst = admission.NetworkFactor*r.Events, admission.NetworkFactor*r.Burst
	return &rates{gcra.NewKeyed[key](r), gcra.NewKeyed[key](all)}
}

// allow counts an event of an address, unless it has had too many; wait is how long it is
// too early then.
func (r *rates) allow(from netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	if wait, ok = r.own.Allow(client(from), now); !ok || !from.Is6() || from.Is4In6() {
		return wait, ok
	}
	return r.around.Allow(network(from), now)
}
