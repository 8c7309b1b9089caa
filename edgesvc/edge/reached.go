package edge

import (
	"cmp"
	"net"
	"os"

	"github.com/mezusphere/mezu"
)

// reached is what others are told to dial for a listener of this edge.
func (e *Edge) reached(listener string) string {
	return mezu.Dialable(listener, cmp.Or(e.cfg.Host, ownAddress()))
}

// ownAddress is the first address of this machine that other machines may use, its name if
// it has none.
func ownAddress() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		all = nil
	}
	six := ""
	for _, a := range all {
		network, ok := a.(*net.IPNet)
		if !ok || !network.IP.IsGlobalUnicast() {
			continue
		}
		if network.IP.To4() != nil {
			return network.IP.String()
		}
		six = cmp.Or(six, network.IP.String())
	}
	if six == "" {
		six, _ = os.Hostname() // without one, the address has no host and nobody uses it
	}
	return six
}
