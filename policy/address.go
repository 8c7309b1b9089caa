package policy

import (
	"net/netip"

	"github.com/mezusphere/mezu"
)

// addresses are rules for client addresses. The zero value admits everybody.
type addresses struct{ allow, deny []netip.Prefix }

func parseAddresses(allow, deny []string) (a addresses, err error) {
	if a.allow, err = parseRanges(allow); err != nil {
		return a, err
	}
	a.deny, err = parseRanges(deny)
	return a, err
}

func parseRanges(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := mezu.ParseIPRange(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// admit judges the client's address. An address that is both denied and allowed is denied. An
// unknown address passes only if there is no rule.
func (a *addresses) admit(client netip.Addr) bool {
	if len(a.allow) == 0 && len(a.deny) == 0 {
		return true
	}
	return client.IsValid() && !passes(client, a.deny) && (len(a.allow) == 0 || passes(client, a.allow))
}

// passes reports whether a client's address is in one of the ranges.
func passes(client netip.Addr, ranges []netip.Prefix) bool {
	client = client.Unmap().WithZone("") // ranges never contain mapped or zoned addresses
	for i := range ranges {
		if ranges[i].Contains(client) {
			return true
		}
	}
	return false
}
