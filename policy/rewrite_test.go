package policy_test

import (
	"net/netip"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// A Warpgate knows which workload a route leads to that names none, and by which names one is called.
func TestR9_TheWarpgateKnowsTheWorkload(t *testing.T) {
	routes := []mezu.Route{{Name: "api", Prefix: "/api", StripPrefix: "/api", Upstream: "localhost:8080"}, {Name: "by-number", Prefix: "/n", StripPrefix: "/n", Upstream: "127.0.0.1:8080"},
		{Name: "other", Prefix: "/other", StripPrefix: "/other", Upstream: "localhost:8081"}, {Name: "admin", Prefix: "/admin", Auth: mezu.AuthRequired}, {Name: "h2", Prefix: "/h2", Upstream: "h2c://127.0.0.1:8080", Auth: mezu.AuthRequired}}
	tab := table(t, routes...)
	upstream, err := mezu.ParseUpstream("localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]mezu.Code{"/api/admin": mezu.CodeUnauthenticated, "/n/admin": mezu.CodeUnauthenticated, "/n/h2/x": mezu.CodeUnauthenticated, "/other/admin": "", "/api/x": ""} {
		r := request(t, "GET", path)
		if d := tab.Decide(r); d.Code != "" {
			t.Errorf("%s at the edge: %q", path, d.Code)
		}
		r.Targets = policy.NewTargets(upstream, nil)
		if d := tab.Decide(r); d.Code != want {
			t.Errorf("%s: %q, want %q", path, d.Code, want)
		}
	}
}

// A path without its prefix is judged by the route that has it, too, if that leads to the same
// workload: no prefix is a way around a login, a role, an address rule or a closed field.
func TestR9_TheRouteOfTheStrippedPathHasToAdmit(t *testing.T) {
	routes := []mezu.Route{
		{Name: "api", Prefix: "/api", StripPrefix: "/api", EncodedSlashes: true},
		{Name: "other", Prefix: "/other/", StripPrefix: "/other", Upstream: "localhost:1"},
		{Name: "hook", Prefix: "/hook/", StripPrefix: "/hook", Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:stripe"}},
		{Name: "signed", Prefix: "/signed", Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:github"}},
		{Name: "stripe", Prefix: "/stripe", Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:stripe"}},
		{Name: "root", Prefix: "/", Upstream: "localhost:1"},
		{Name: "admin", Prefix: "/admin", Auth: mezu.AuthRequired, Roles: []string{"staff"}},
		{Name: "mine", Prefix: "/mine", AllowIPs: []string{"10.0.0.0/8"}},
		{Name: "closed", Prefix: "/closed", MaxBody: 1, Redirect: &mezu.Redirect{To: "/{user}"}},
		{Name: "blocked", Prefix: "/blocked", Respond: &mezu.Respond{Status: 403}},
		{Name: "get", Exact: "/get", Methods: []string{"GET"}},
		{Name: "gold", Exact: "/gold", Headers: map[string]string{"X-Tier": "gold"}},
		{Name: "slashes", Prefix: "/plain/"},
		{Name: "number", Regexp: "/n/[0-9]+", Auth: mezu.AuthRequired},
	}
	tab := table(t, routes...)
	for _, c := range []struct {
		method, path string
		roles        []string // nil: nobody
		code         mezu.Code
		behind       string
	}{
		{"GET", "/api/x", nil, "", ""}, {"GET", "/api", nil, "", ""}, // root has another upstream
		{"GET", "/api/admin", nil, mezu.CodeUnauthenticated, "admin"}, {"GET", "/api/admin/x", []string{"guest"}, mezu.CodeForbidden, "admin"}, {"GET", "/api/admin", []string{"staff"}, "", "admin"},
		{"GET", "/api//admin", nil, mezu.CodeUnauthenticated, "admin"}, {"GET", "/api/./%61dmin", nil, mezu.CodeUnauthenticated, "admin"}, {"GET", "/x/../api/admin", nil, mezu.CodeUnauthenticated, "admin"},
		{"GET", "/api%2e/admin", nil, "", ""}, {"GET", "/api%2Fadmin", nil, "", ""}, {"GET", "/apiadmin", nil, "", ""}, // nothing is cut off
		{"GET", "/api/api/admin", nil, "", ""}, // its path is /api/admin, which is this route's own
		{"GET", "/api/mine", nil, mezu.CodeForbidden, ""}, {"GET", "/api/closed", nil, mezu.CodeRouteUnavailable, ""}, {"GET", "/api/blocked/x", nil, mezu.CodeNoRoute, ""},
		{"POST", "/api/signed", nil, mezu.CodeNoRoute, ""}, {"POST", "/hook/stripe", nil, "", "stripe"}, {"POST", "/hook/signed", nil, mezu.CodeNoRoute, ""}, {"POST", "/hook/admin", nil, mezu.CodeUnauthenticated, "admin"},
		{"GET", "/api/get", nil, "", "get"}, {"POST", "/api/get", nil, mezu.CodeMethodNotAllowed, ""}, {"GET", "/api/gold", nil, mezu.CodeNoRoute, ""},
		{"GET", "/api/plain/x", nil, "", "slashes"}, {"GET", "/api/plain/x%2Fy", nil, mezu.CodeNotCanonical, ""}, {"GET", "/api/n/7", nil, mezu.CodeUnauthenticated, "number"}, {"GET", "/api/n/x", nil, "", ""},
		{"GET", "/api/.mezu/session", nil, mezu.CodeNoRoute, ""}, {"GET", "/api/.mezu", nil, mezu.CodeNoRoute, ""}, {"GET", "/api/.mezux", nil, "", ""},
		{"GET", "/other/admin", nil, "", ""}, {"GET", "/other/x", nil, "", "root"},
	} {
		r := request(t, c.method, c.path)
		if c.roles != nil {
			r.Grant = grant(c.roles...)
		}
		d := tab.Decide(r)
		behind := ""
		if d.Behind != nil {
			behind = d.Behind.Label()
		}
		if d.Code != c.code || behind != c.behind || d.Code != "" && (d.Detail == "" || d.Step == 0) {
			t.Errorf("%s %s as %v: %q (%s) with %q behind it, not %q with %q", c.method, c.path, c.roles, d.Code, d.Detail, behind, c.code, c.behind)
		}
		if c.code == "" && c.roles != nil && d.Grant == nil {
			t.Errorf("%s: nobody is told who the user is", c.path)
		}
	}
	// A page of another site opens no WebSocket to a path that a login protects.
	d := tab.Choose(request(t, "GET", "/api/admin"))
	if d.Route.AsksWho() || !d.AsksWho() || d.AdmitsUpgrade(false, false) {
		t.Error("the route behind it does not count for WebSockets")
	}
	in := request(t, "GET", "/api/mine")
	in.Client = netip.MustParseAddr("10.1.2.3")
	expect(t, tab, in, "", "api")
}

func TestEdits(t *testing.T) {
	tab := table(t, mezu.Route{Prefix: "/", RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-B": "2", "X-A": "1"}, Remove: []string{"x-c", "X-A"}}, ResponseHeaders: &mezu.HeaderEdits{Remove: []string{"X-C"}}},
		mezu.Route{Exact: "/none", RequestHeaders: &mezu.HeaderEdits{}})
	r := tab.Decide(request(t, "GET", "/")).Route
	for name, want := range map[string][2]bool{
		"X-A": {true, false}, "x-b": {true, false}, "X-C": {true, true}, "x-C": {true, true}, "X_C": {true, false}, "x.a": {true, false}, "X-D": {}, "X-AB": {}, "X": {}, "": {},
	} {
		if got := [2]bool{r.RequestEdits.Takes([]byte(name)), r.ResponseEdits.Takes([]byte(name))}; got != want {
			t.Errorf("%s is taken %v, not %v", name, got, want)
		}
	}
	got := ""
	r.RequestEdits.Each(func(name, value []byte) { got += string(name) + "=" + string(value) + " " })
	if got != "X-A=1 X-B=2 " || r.ResponseEdits.Set != nil {
		t.Errorf("set %q, %v", got, r.ResponseEdits.Set)
	}
	if none := tab.Decide(request(t, "GET", "/none")).Route; none.RequestEdits != nil || none.ResponseEdits != nil {
		t.Error("edits of nothing are there")
	}
}

func TestStrip_AllocatesNothing(t *testing.T) {
	tab := table(t, mezu.Route{Prefix: "/api/", StripPrefix: "/api"}, mezu.Route{Prefix: "/admin/"})
	r := request(t, "GET", "/api/admin/x")
	var d policy.Decision
	if n := testing.AllocsPerRun(100, func() { d = tab.Decide(r) }); n > 0 || d.Behind == nil {
		t.Errorf("%v allocations, %+v", n, d)
	}
}
