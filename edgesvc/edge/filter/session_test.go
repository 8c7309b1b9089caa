package filter

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/grant/granttest"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/trust"
)

const (
	shop  = "env_00000000000000000000000001"
	users = "dir_00000000000000000000000001"
)

// fields makes fields of names and values.
func fields(text ...string) (out []relay.Field) {
	for i := 0; i < len(text); i += 2 {
		out = append(out, relay.Field{Name: []byte(text[i]), Value: []byte(text[i+1])})
	}
	return out
}

// T10: a page of another site neither opens a WebSocket with a user's session nor sends
// what changes something. Programs and the host's own pages do.
func TestT10_RequestsOfOtherSites(t *testing.T) {
	authority := granttest.New(t, time.Now)
	sessions := session.New(session.Config{
		Trust: func() *trust.Anchor { return authority.Anchor }, Client: func() *api.Client { return nil }, Epoch: func() uint64 { return 1 },
		Left: func(string) bool { return false }, Limits: gcra.NewTable(nil), Now: time.Now,
	})
	chain := All(Config{Sessions: sessions, Limits: gcra.NewTable(nil), Domain: func() string { return "edge.example" }})
	cookie := mezu.SessionCookie + "=" + authority.Cookie(authority.Hold(shop, users))
	for name, c := range map[string]struct {
		fields []string
		passes bool
	}{
		"a program":                    {nil, true},
		"its own page":                 {[]string{"Origin", "https://shop.edge.example"}, true},
		"its own page, which says so":  {[]string{"Origin", "https://shop.edge.example", "Sec-Fetch-Site", "same-origin"}, true},
		"its own page, which hides it": {[]string{"Origin", "null", "Sec-Fetch-Site", "same-origin"}, true},
		"a bookmark":                   {[]string{"Sec-Fetch-Site", "none"}, true},
		"another site":                 {[]string{"Origin", "https://evil.example"}, false},
		"a sibling":                    {[]string{"Origin", "https://evil.edge.example", "Sec-Fetch-Site", "same-site"}, false},
		"without TLS":                  {[]string{"Origin", "http://shop.edge.example"}, false},
		"another port":                 {[]string{"Origin", "https://shop.edge.example:8443"}, false},
		"nobody":                       {[]string{"Origin", "null"}, false},
		"a site without an origin":     {[]string{"Sec-Fetch-Site", "cross-site"}, false},
		"two origins":                  {[]string{"Origin", "https://shop.edge.example", "Origin", "https://evil.example"}, false},
		"two sites":                    {[]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, false},
		"one that says two things":     {[]string{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"}, false},
	} {
		for _, kind := range []struct {
			method, upgrade string
			asks            bool // who the visitor is
			guarded         bool
		}{
			{"GET", "websocket", true, true}, {"POST", "", true, true}, {"DELETE", "", true, true},
			{"GET", "", true, false}, {"GET", "websocket", false, false}, {"POST", "", false, false},
		} {
			x := &Exchange{Route: &policy.Route{Route: &mezu.Route{}, WebSocket: true}}
			if kind.asks {
				x.Route.Auth = mezu.AuthRequired
			}
			x.Request = relay.Request{Method: kind.method, Upgrade: kind.upgrade, Authority: "shop.edge.example", Fields: fields(append([]string{"Cookie", cookie}, c.fields...)...)}
			x.Request.Fields = x.Visitor.Take(x.Request.Fields)
			if kind.asks {
				if g, err := sessions.Open(&x.Visitor, netip.Addr{}, shop, users); g == nil || err != nil {
					t.Fatal(g, err)
				}
			}
			want := mezu.Code("")
			if kind.guarded && !c.passes {
				want = mezu.CodeForbidden
			}
			if _, err := chain.request(x); mezu.CodeOf(err) != want {
				t.Errorf("%s with %+v: %v", name, kind, err)
			}
		}
	}
}

// H10: a workload sets no cookie of ours and none for the domain that all share.
func TestH10_CookiesOfWorkloads(t *testing.T) {
	show := func(in []relay.Field) string {
		var lines []string
		for _, f := range in {
			lines = append(lines, string(f.Name)+": "+string(f.Value))
		}
		return strings.Join(lines, "\n")
	}
	tunnels := string(cookie.SetTunnel(strings.Repeat("A", cookie.TunnelLength))) // its Warpgate's to set
	h := &relay.ResponseHead{}
	h.Fields = fields("Content-Type", "text/html", "Set-Cookie", "a=b; Path=/", "Set-Cookie", mezu.SessionCookie+"=x", "set-cookie", "a=b; Domain=.edge.example",
		"Set-Cookie", "c=d; Domain=shop.edge.example", "Set-Cookie", tunnels, "Set-Cookie", tunnels+"; Domain=edge.example", "Clear-Site-Data", `"cache", "cookies"`)
	all().Response(&Exchange{Route: &policy.Route{}}, h, FromWorkload)
	if got := show(h.Fields); got != "Content-Type: text/html\nSet-Cookie: a=b; Path=/\nSet-Cookie: c=d; Domain=shop.edge.example\nSet-Cookie: "+tunnels+"\nClear-Site-Data: \"cache\"" {
		t.Errorf("passes\n%s", got)
	}
}
