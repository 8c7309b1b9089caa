package gcra

import "net/netip"

const (
	// bits6 is what one subscriber of IPv6 has at least (RFC 6177): 2^64 addresses, each of which
	// would have an allowance of its own.
	bits6 = 64
	// neighbours4 is how many bits the addresses of IPv4 have in common that one attacker often has.
	neighbours4 = 24
)

// Client is what counts as one client: an address of IPv4, and what one subscriber has of IPv6.
// All that are no address are the zero Prefix, and share one allowance.
func Client(address netip.Addr) netip.Prefix { return prefix(address, 32) }

// ClientOf is Client of an address that came as text. What is none is itself.
func ClientOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	return Client(a).String()
}

// Network is what counts as one network where an attacker with neighbours is to be slowed, and
// few who have nothing to do with one another would come at once.
func Network(address netip.Addr) netip.Prefix { return prefix(address, neighbours4) }

func prefix(address netip.Addr, bits4 int) netip.Prefix {
	address = address.Unmap().WithZone("")
	bits := bits6
	if address.Is4() {
		bits = bits4
	}
	p, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
