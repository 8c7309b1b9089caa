package gcra

import (
	"net/netip"
	"testing"
)

func TestClient(t *testing.T) {
	for text, want := range map[string][2]string{
		"192.0.2.77":             {"192.0.2.77/32", "192.0.2.0/24"},
		"::ffff:192.0.2.77":      {"192.0.2.77/32", "192.0.2.0/24"},
		"2001:db8:0:1:2:3:4:5":   {"2001:db8:0:1::/64", "2001:db8:0:1::/64"},
		"fe80::1:2:3:4%ethernet": {"fe80::/64", "fe80::/64"},
	} {
		a := netip.MustParseAddr(text)
		if client, network := Client(a), Network(a); client.String() != want[0] || network.String() != want[1] {
			t.Errorf("%s is of %s in %s", text, client, network)
		}
	}
	if Client(netip.Addr{}) != (netip.Prefix{}) || Network(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("no address has an allowance of its own")
	}
}
