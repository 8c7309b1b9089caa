package policy_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// preflight asks for a method and fields.
func preflight(t *testing.T, path, method string, names ...string) *policy.Request {
	r := request(t, "OPTIONS", path)
	r.Edge = true
	r.Preflight = &policy.Preflight{Method: method, Fields: slices.Values(names)}
	return r
}

// A preflight has the route that the request would have which it asks for, whoever it is from, and
// only if that route has CORS.
func TestPreflight_HasTheRouteOfItsRequest(t *testing.T) {
	a, b := &mezu.CORS{AllowOrigins: []string{"https://a.example"}}, &mezu.CORS{AllowOrigins: []string{"https://b.example"}}
	all := table(t,
		mezu.Route{Name: "read", Prefix: "/x/", Methods: []string{"GET"}, CORS: a},
		mezu.Route{Name: "write", Prefix: "/x/", Methods: []string{"PUT"}, Auth: mezu.AuthRequired, CORS: b},
		mezu.Route{Name: "plain", Prefix: "/x/", Methods: []string{"DELETE", "OPTIONS"}},
		mezu.Route{Name: "beta", Exact: "/h", Headers: map[string]string{"X-Beta": "1"}, CORS: a},
		mezu.Route{Name: "rest", Exact: "/h", CORS: a},
		mezu.Route{Name: "one", Exact: "/two", Headers: map[string]string{"X-Beta": "1"}, CORS: a},
		mezu.Route{Name: "other", Exact: "/two", CORS: b},
		mezu.Route{Name: "json", Exact: "/accept", Headers: map[string]string{"Accept": "application/json"}, CORS: a},
		mezu.Route{Name: "html", Exact: "/accept"},
		mezu.Route{Name: "denied", Exact: "/denied", DenyIPs: []string{"192.0.2.1"}, CORS: a},
		mezu.Route{Name: "closed", Exact: "/closed", AuthMethods: []string{"basic"}, CORS: a},
	)
	for _, c := range []struct {
		path, method, names string
		code                mezu.Code
		route               string
		preflight           bool
	}{
		{"/x/1", "GET", "", "", "read", true},
		{"/x/1", "PUT", "content-type", "", "write", true},
		{"/x/1", "DELETE", "", "", "plain", false},
		{"/x/1", "PATCH", "", "", "plain", false}, // the ordinary OPTIONS
		{"/h", "GET", "x-beta", "", "beta", true},
		{"/h", "GET", "", "", "rest", true},
		{"/two", "GET", "x-beta", mezu.CodeForbidden, "one", false},
		{"/two", "GET", "", "", "other", true},
		{"/accept", "GET", "", mezu.CodeForbidden, "json", false},
		{"/denied", "GET", "", mezu.CodeForbidden, "denied", false},
		{"/closed", "GET", "", mezu.CodeRouteUnavailable, "closed", false},
		{"/nowhere", "GET", "", mezu.CodeNoRoute, "", false},
	} {
		r := preflight(t, c.path, c.method, strings.Fields(c.names)...)
		r.Client = netip.MustParseAddr("192.0.2.1")
		d := all.Choose(r)
		got := ""
		if d.Route != nil {
			got = d.Route.Name
		}
		if d.Code != c.code || got != c.route || d.Preflight != c.preflight {
			t.Errorf("%+v: %q by %q, preflight %v (%s)", c, d.Code, got, d.Preflight, d.Detail)
		}
	}
}

func TestCORS_Origins(t *testing.T) {
	compiled := func(origins ...string) *policy.CORS {
		r := request(t, "GET", "/")
		return table(t, mezu.Route{Prefix: "/", CORS: &mezu.CORS{AllowOrigins: origins}}).Decide(r).Route.CORS
	}
	some := compiled("https://a.example", "https://*.example.com", "https://*.dev.test:8443", "http://localhost:5173")
	for origin, want := range map[string]bool{
		"https://a.example": true, "https://b.example.com": true, "https://a.b.example.com": true, "https://x.dev.test:8443": true, "http://localhost:5173": true,
		"https://example.com": false, "https://.example.com": false, "https://aexample.com": false, "http://b.example.com": false, "https://b.example.com:8443": false,
		"https://evil.test/.example.com": false, "https://evil.test#.example.com": false, "https://a..example.com": false, "https://a@b.example.com": false,
		"https://b.example.com\r\nX: y.example.com": false, "https://A.example": false, "https://x.dev.test": false, "null": false, "": false, "*": false,
		"https://" + strings.Repeat("a", 300) + ".example.com": false,
	} {
		if got := string(some.AppendOrigin(nil, []byte(origin))); (got != "") != want || want && got != origin {
			t.Errorf("%q: %q", origin, got)
		}
	}
	dst := make([]byte, 0, 256)
	for _, origin := range []string{"https://a.example", "https://b.example.com", "https://evil.test"} {
		o := []byte(origin)
		if n := testing.AllocsPerRun(100, func() { some.AppendOrigin(dst, o) }); n > 0 {
			t.Errorf("%s costs %v allocations", origin, n)
		}
	}
}

// An environment under maintenance is closed at edges, and not for whom it spares; a Warpgate does
// not know of it. Address rules of the environment come before those of the route.
func TestEnter(t *testing.T) {
	b := bundle(mezu.Route{Name: "root", Prefix: "/"}, mezu.Route{Name: "inner", Prefix: "/in/", AllowIPs: []string{"192.0.2.0/24"}})
	b.Maintenance = &mezu.Maintenance{Message: "back at noon", RetryAfter: mezu.Duration(60e9), AllowIPs: []string{"192.0.2.1"}}
	closed := compile(t, b)
	r := request(t, "GET", "/")
	r.Client = netip.MustParseAddr("203.0.113.9")
	expect(t, closed, r, "", "root")
	r.Edge = true
	if d := expect(t, closed, r, mezu.CodeMaintenance, ""); d.Detail != "back at noon" || d.Step != policy.StepForm || closed.RetryAfter() != "60" {
		t.Errorf("%+v, again in %s s", d, closed.RetryAfter())
	}
	r.Client = netip.MustParseAddr("192.0.2.1")
	expect(t, closed, r, "", "root")

	b = bundle(mezu.Route{Name: "root", Prefix: "/"}, mezu.Route{Name: "inner", Prefix: "/in/", AllowIPs: []string{"192.0.2.0/24", "198.51.100.0/24"}})
	b.AllowIPs, b.DenyIPs = []string{"192.0.2.0/24"}, []string{"192.0.2.9"}
	ruled := compile(t, b)
	for address, admitted := range map[string]bool{"192.0.2.1": true, "192.0.2.9": false, "198.51.100.7": false} {
		r := request(t, "GET", "/in/")
		r.Client = netip.MustParseAddr(address)
		want := mezu.Code("")
		if !admitted {
			want = mezu.CodeForbidden
		}
		if d := expect(t, ruled, r, want, "inner"); !admitted && d.Step != policy.StepAddress || ruled.Admits(r.Client) != admitted {
			t.Errorf("%s: %+v", address, d)
		}
	}
}

// The order is the table: each step has its place, a name of its own, and a side.
func TestOrder(t *testing.T) {
	names := map[string]bool{}
	for i, r := range policy.Order() {
		if int(r.Step) != i+1 || r.Step.String() != r.Name || r.Name == "" || names[r.Name] || r.Title == "" || r.Sides == 0 {
			t.Errorf("%d: %+v", i, r)
		}
		names[r.Name] = true
		for _, c := range r.Codes {
			if !c.Known() {
				t.Errorf("%s refuses with %s", r.Name, c)
			}
		}
	}
	if policy.Step(0).String() != "" || policy.Step(200).String() != "" {
		t.Error("no step has a name")
	}
}
