package mezu

import (
	"net/netip"
	"strconv"
	"strings"
)

// ParseIPRange reads an address or a CIDR range and masks it. IPv4 in IPv6
// notation becomes IPv4, because client addresses are compared in that form.
func ParseIPRange(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") { // not with ParsePrefix first, whose error takes memory
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			a = a.Unmap()
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, Invalid("", "%q is not an address or a range such as 192.0.2.0/24", s)
	}
	if p.Addr().Is4In6() {
		const mapped = 96 // bits in front of the IPv4 address (RFC 4291, 2.5.5.2)
		if p.Bits() < mapped {
			return netip.Prefix{}, Invalid("", "%q mixes IPv4 and IPv6; write a range for each", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), nil
}

// validateIPRanges checks a list of ranges; nil has no rule.
func validateIPRanges(field string, list []string) error {
	if list != nil && len(list) == 0 {
		return Invalid(field, "is empty; leave it out to have no rule")
	}
	if len(list) > MaxRouteIPs {
		return Invalid(field, "at most %d", MaxRouteIPs)
	}
	for i, s := range list {
		if _, err := ParseIPRange(s); err != nil {
			return at(field+"["+strconv.Itoa(i)+"]", err)
		}
	}
	return nil
}
