package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/tunnel"
)

// noTunnels has no Warpgate.
type noTunnels struct{}

func (noTunnels) PickBut(string, []string, ...*tunnel.Session) *tunnel.Session { return nil }

// noGuard lets everything happen.
type noGuard struct{}

func (noGuard) Request(netip.Addr, time.Time) (time.Duration, bool) { return 0, true }
func (noGuard) NoRequest(netip.Addr) bool                           { return false }
func (noGuard) Refused(netip.Addr, time.Time) bool                  { return false }

// serve runs a server behind TLS, and gives a client of it for each version of HTTP.
func serve(t *testing.T, hosts Hosts, host string) map[string]*http.Client {
	t.Helper()
	nobody := session.New(session.Config{Trust: func() *trust.Anchor { return nil }, Limits: gcra.NewTable(nil), Now: time.Now})
	return serveTo(t, hosts, host, nobody)
}

// serveGuarded is serve with a guard.
func serveGuarded(t *testing.T, hosts Hosts, host string, g Guard) map[string]*http.Client {
	t.Helper()
	nobody := session.New(session.Config{Trust: func() *trust.Anchor { return nil }, Limits: gcra.NewTable(nil), Now: time.Now})
	return serveAll(t, hosts, host, nobody, g)
}

// serveTo is serve with sessions of its own.
func serveTo(t *testing.T, hosts Hosts, host string, sessions *session.Sessions) map[string]*http.Client {
	t.Helper()
	return serveAll(t, hosts, host, sessions, noGuard{})
}

func serveAll(t *testing.T, hosts Hosts, host string, sessions *session.Sessions, g Guard) map[string]*http.Client {
	t.Helper()
	return serveFrom(t, hosts, host, sessions, g, func(c net.Conn) net.Conn { return c })
}

// serveFrom is serveAll with connections that are made over before their handshake.
func serveFrom(t *testing.T, hosts Hosts, host string, sessions *session.Sessions, g Guard, over func(net.Conn) net.Conn) map[string]*http.Client {
	t.Helper()
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS() // lends its certificate
	t.Cleanup(certificates.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	table := admission.New(admission.Config{Name: "public", Places: 100})
	s := New(Config{
		Hosts: hosts, Tunnels: noTunnels{}, Sessions: sessions, Limits: gcra.NewTable(nil), Domain: func() string { return "example.com" }, Pages: hosted.New(hosted.Config{Client: func() *api.Client { return nil }}), Meter: &counts{}, Guard: g, Addr: l.Addr(), Draining: func() bool { return false },
		Cut: t.Context(), Log: slog.New(slog.DiscardHandler),
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := admission.Listener{Listener: l, Table: table}.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				conn := tls.Server(over(c), &tls.Config{Certificates: certificates.TLS.Certificates, NextProtos: Protocols()})
				if conn.Handshake() == nil {
					s.ServeConn(conn, c.(*admission.Conn))
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.Close()
		table.Close()
		wg.Wait()
	})
	clients := map[string]*http.Client{}
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		transport := &http.Transport{
			ForceAttemptHTTP2: http2,
			TLSClientConfig:   &tls.Config{ServerName: host, InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
			},
		}
		t.Cleanup(transport.CloseIdleConnections)
		clients[name] = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	}
	return clients
}

// Both versions of HTTP are judged alike, also when the connection was there before what
// is in force changed.
func TestServer_BothVersionsAreJudgedAlike(t *testing.T) {
	const host = "shop.example.com"
	hosts := &sites{site: &policy.Site{}}
	table, err := policy.Compile(&mezu.Bundle{
		Environment: "env_00000000000000000000000001", Endpoint: "shop", Issued: time.Unix(0, 0), Position: mezu.Position{Epoch: 1, Revision: 1}, Enabled: true,
		Routes: []mezu.Route{{Prefix: "/shop/"}, {Prefix: "/office/", DenyIPs: []string{"127.0.0.0/8"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for version, client := range serve(t, hosts, host) {
		ask := func(url string, want mezu.Code) {
			t.Helper()
			resp, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			var p problem
			if want != "" {
				err = json.Unmarshal(body, &p)
			}
			if resp.Proto != version || err != nil || p.Code != want || want != "" && resp.StatusCode != want.Status() || want == "" && resp.StatusCode != 204 {
				t.Errorf("%s over %s: %s %s", url, resp.Proto, resp.Status, body)
			}
		}
		hosts.site.Set(nil)
		ask("https://"+host+"/shop/", mezu.CodeUnknownHost)
		hosts.site.Set(table)
		ask("https://"+host+"/shop/", mezu.CodeNoWarpgate)
		ask("https://"+host+"/office/", mezu.CodeForbidden)
		ask("https://"+host+"/", mezu.CodeNoRoute)
		ask("https://other.example.com/shop/", mezu.CodeWrongHost)
		ask("https://"+host+"/.mezu/probe?hop=edge", "")
		ask("https://"+host+"/.mezu/probe", mezu.CodeNoWarpgate)
		ask("https://"+host+"/.mezu/", mezu.CodeNoRoute)
	}
}
