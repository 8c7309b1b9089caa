package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
)

// elsewhere is a connection from another address.
type elsewhere struct {
	net.Conn
	from netip.Addr
}

func (c elsewhere) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 1000))
}

// Whoever has a /64 has one allowance, from however many of its addresses the connections come.
func TestLimits_RotationInsideANetwork(t *testing.T) {
	const host = "shop.example.com"
	table, err := policy.Compile(&mezu.Bundle{
		Environment: "env_00000000000000000000000001", Endpoint: "shop", Issued: time.Unix(0, 0), Position: mezu.Position{Epoch: 1, Revision: 1}, Enabled: true,
		Routes: []mezu.Route{{Prefix: "/", RateLimit: &mezu.RateLimit{Requests: 20, Per: mezu.Duration(time.Hour), By: mezu.LimitByIP}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts := &sites{site: &policy.Site{}}
	hosts.site.Set(table)
	var network, address atomic.Int32
	over := func(c net.Conn) net.Conn {
		return elsewhere{c, netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x:%x::1", network.Load(), address.Add(1)))}
	}
	nobody := session.New(session.Config{Trust: func() *trust.Anchor { return nil }, Limits: gcra.NewTable(nil), Now: time.Now})
	for version, client := range serveFrom(t, hosts, host, nobody, noGuard{}, over) {
		network.Add(1)
		ask := func() int {
			t.Helper()
			resp, err := client.Get("https://" + host + "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			client.CloseIdleConnections() // the next one comes from another address
			if resp.Proto != version {
				t.Fatalf("%s instead of %s", resp.Proto, version)
			}
			return resp.StatusCode
		}
		passed := 0
		for range 40 {
			if ask() != http.StatusTooManyRequests {
				passed++
			}
		}
		if passed != 20 {
			t.Errorf("over %s %d of 40 requests passed", version, passed)
		}
		if network.Add(1); ask() == http.StatusTooManyRequests {
			t.Errorf("over %s another network is refused", version)
		}
	}
	if n := address.Load(); n < 82 {
		t.Errorf("there were %d connections", n)
	}
}
