package main

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// caller makes a client of the control plane.
func (r *running) caller(token string, cert *tls.Certificate) *api.Client {
	r.t.Helper()
	roots, err := invocation.Roots(r.ready.CAFile)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := api.ClientConfig{BaseURL: r.ready.API, TLS: &tls.Config{RootCAs: roots}, UserAgent: "test", Token: func() (string, error) { return token, nil }}
	if cert != nil {
		cfg.TLS.Certificates = []tls.Certificate{*cert}
	}
	c, err := api.NewClient(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.CloseIdle)
	return c
}

// TestTunnelWaitsForEdges: nobody is let in by an edge that does not run yet what a run asks of
// visitors. While one is behind, nothing is opened; and when the command says that the tunnel is
// there, all keep out whom they must.
func TestTunnelWaitsForEdges(t *testing.T) {
	world := start(t, t.TempDir())
	port := serveText(t, "app")
	p := newTunneller(t, world, nil)
	address, _ := p.do("tunnel", port, "--detach", "--wait", "--name", "kept")
	address = strings.TrimSpace(address)
	name := strings.TrimPrefix(strings.SplitN(address, "-dev.localhost", 2)[0], "https://shop-")
	if status, _ := p.get(address); status != 200 {
		t.Fatal(status)
	}

	operator := world.caller(world.ready.Token, nil)
	edge := controltest.NewIdentity(t)
	join := controltest.Call[api.JoinTokenResponse](t, operator, api.OpCreateJoinToken, nil).Token
	in := controltest.Call[api.EnrolResponse](t, world.caller(join, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: edge.CSR, Name: "slow", TunnelAddress: "127.0.0.1:1", Version: "1.0"})
	edge.Take(t, in.Certificates, in.Edge)
	runs := func(at mezu.Position) {
		t.Helper()
		controltest.Call[any](t, world.caller("", edge.Cert), api.OpEdgeReport, api.EdgeReport{Full: true, Applied: at, Version: "1.0"})
	}
	for _, args := range [][]string{{"--name", "kept", "--detach"}, {"--name", "kept"}} {
		runs(mezu.Position{})
		code, out, talk := p.mezu(append([]string{"tunnel", port, "--allow-cidr", "192.0.2.0/24", "--timeout", "1s"}, args...)...)
		if want := fmt.Sprintf("mezu: edge slow does not run the routes of dev/shop/%s yet (1 s), and would let everybody in; nothing was opened\n  try: mezu routes list -e %s, and once more when every edge runs them\n", name, name); code != 7 || out != "" || talk != want {
			t.Errorf("code %d: %s%s", code, out, talk)
		}
	}
	runs(mezu.Position{})
	// It comes while the command waits.
	h := p.open(port, "--allow-cidr", "192.0.2.0/24", "--name", "kept")
	runs(controltest.Call[api.RoutesState](t, operator, api.OpListRoutes, nil, "dev", "shop", name).Position)
	h.said(h.out, addressLine)
	if status, _ := p.get(address); status != 403 {
		t.Errorf("it answers %d when it is said to be open", status)
	}
	h.stop()
	// So for each of several changes, by the edge that runs here.
	runs(mezu.Position{Epoch: 1 << 40})
	for _, args := range [][]string{{"--auth", "users", "--public"}, {"--allow-cidr", "192.0.2.0/24"}} {
		p.do("tunnel", port, "--detach", "--public", "--name", "kept")
		p.becomes(address, 200)
		p.do(append([]string{"tunnel", port, "--detach", "--name", "kept"}, args...)...)
		if status, _ := p.get(address); status != 401 && status != 403 && status != 303 {
			t.Errorf("%q: it answers %d", args, status)
		}
	}
}
