package rest

import (
	"fmt"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/service"
)

// A8: a stranger has one allowance, however many addresses his network gives him.
func TestA8_StrangersOfOneNetwork(t *testing.T) {
	stranger := func(l *limits, address string) bool {
		return mezu.CodeOf(l.call(service.Caller{Kind: service.Anonymous, Address: address})) == mezu.CodeRateLimited
	}
	for _, c := range []struct {
		name, other string
		address     func(i int) string
	}{
		{"IPv6", "2001:db8:0:2::1", func(i int) string { return fmt.Sprintf("2001:db8:0:1:%x::%x", i, i) }},
		{"IPv6 with zones", "fe80:0:0:1::1%eth0", func(i int) string { return fmt.Sprintf("fe80::%x%%eth%d", i+1, i) }},
		{"IPv4 in both forms", "192.0.2.2", func(i int) string { return []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2] }},
		{"no address", "192.0.2.3", func(int) string { return "" }},
	} {
		l := newLimits(strangerShare) // one call a second
		refused := 0
		for i := range 20 * burstSeconds {
			if stranger(l, c.address(i)) {
				refused++
			}
		}
		// A burst passes, and one more for each second that this took.
		if passed := 20*burstSeconds - refused; passed > burstSeconds+3 {
			t.Errorf("%s: %d calls passed, %d at once may", c.name, passed, burstSeconds)
		}
		if stranger(l, c.other) {
			t.Errorf("%s: another network's call was refused", c.name)
		}
	}
}
