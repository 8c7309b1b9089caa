package policy_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

func TestCompile_RejectsAnInvalidBundle(t *testing.T) {
	b := bundle(mezu.Route{Exact: "/a"}, mezu.Route{Prefix: "no-slash"})
	if _, err := policy.Compile(b); mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), "routes[1].prefix") {
		t.Errorf("got %v", err)
	}
	b = bundle()
	b.WAF = "blokk"
	if _, err := policy.Compile(b); err == nil {
		t.Error("an unknown WAF mode compiled")
	}
}

func TestCompile_AppliesDefaults(t *testing.T) {
	no, three := false, 3
	table := table(t,
		mezu.Route{Name: "plain", Exact: "/plain"},
		mezu.Route{Name: "set", Exact: "/set", Upstream: "h2c://LOCALHOST:9", Timeout: mezu.Duration(time.Second), IdleTimeout: mezu.Duration(time.Minute), MaxBody: 5, Retries: &three, WebSocket: &no},
	)
	plain := expect(t, table, request(t, "GET", "/plain"), "", "plain").Route
	if plain.HasUpstream || plain.Timeout != 5*time.Minute || plain.IdleTimeout != 5*time.Minute || plain.MaxBody != 0 || plain.Retries != mezu.DefaultRetries || !plain.WebSocket {
		t.Errorf("defaults: %+v", plain)
	}
	set := expect(t, table, request(t, "GET", "/set"), "", "set").Route
	if !set.HasUpstream || set.Upstream != (mezu.Upstream{Scheme: mezu.UpstreamH2C, Address: "localhost:9"}) || set.Timeout != time.Second ||
		set.IdleTimeout != time.Minute || set.MaxBody != 5 || set.Retries != 3 || set.WebSocket {
		t.Errorf("settings: %+v", set)
	}
	if p := table.Position(); p != (mezu.Position{Epoch: 1, Revision: 7}) || table.Bundle().Environment != environment {
		t.Errorf("position %v", p)
	}
}

func TestDecide_ModesInOrder(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "root", Prefix: "/"},
		mezu.Route{Name: "api", Prefix: "/api/"},
		mezu.Route{Name: "api-v1", Prefix: "/api/v1/"},
		mezu.Route{Name: "low", Regexp: "/api/v1/users/[0-9]+", Priority: 1},
		mezu.Route{Name: "high", Regexp: "/api/v1/users/7.*", Priority: 2},
		mezu.Route{Name: "tie-b", Regexp: "/tie/b?[xy]"},
		mezu.Route{Name: "tie-a", Regexp: "/tie/[xy]"},
		mezu.Route{Name: "exact", Exact: "/api/v1/users/77"},
	)
	for raw, want := range map[string]string{
		"/": "root", "/x": "root", "/api": "root", "/api/": "api", "/api/v1": "api", "/api/v1/": "api-v1", "/api/v1/users": "api-v1",
		"/api/v1/users/5": "low", "/api/v1/users/7": "high", "/api/v1/users/5/x": "api-v1", "/api/v1/users/77": "exact",
		"/api/v1/users/77/": "high", "/x/api/v1/users/5": "root", "/tie/x": "tie-a", "/tie/by": "tie-b",
	} {
		expect(t, table, request(t, "GET", raw), "", want)
	}
}

func TestDecide_NothingMatches(t *testing.T) {
	expect(t, table(t), request(t, "GET", "/"), mezu.CodeNoRoute, "")
	some := table(t, mezu.Route{Exact: "/a"}, mezu.Route{Prefix: "/b/"}, mezu.Route{Regexp: "/c+"})
	for _, raw := range []string{"/", "/a/", "/aa", "/b", "/cd", "/dc", "/zz"} {
		expect(t, some, request(t, "GET", raw), mezu.CodeNoRoute, "")
	}
}

func TestDecide_ReservedPathIsNeverForwarded(t *testing.T) {
	all := table(t, mezu.Route{Name: "root", Prefix: "/"}, mezu.Route{Name: "any", Regexp: "/[.]mezu.*"})
	expect(t, all, request(t, "GET", "/.mezu/session"), mezu.CodeNoRoute, "")
	expect(t, all, request(t, "GET", "/x/..//.mezu/session"), mezu.CodeNoRoute, "")
	expect(t, all, request(t, "GET", "/.mezu"), "", "any")
	expect(t, all, request(t, "GET", "/.mezux/"), "", "any")
}

func TestDecide_EnvironmentOff(t *testing.T) {
	b := bundle(mezu.Route{Name: "root", Prefix: "/"})
	b.Enabled = false
	expect(t, compile(t, b), request(t, "GET", "/"), mezu.CodeEnvironmentDisabled, "")
	b = bundle(mezu.Route{Name: "root", Prefix: "/"})
	b.Removed = true
	expect(t, compile(t, b), request(t, "GET", "/"), mezu.CodeUnknownHost, "")
}

func TestDecide_MethodsAndHeaders(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "root", Prefix: "/"},
		mezu.Route{Name: "any", Prefix: "/a/"},
		mezu.Route{Name: "any-beta", Prefix: "/a/", Headers: map[string]string{"X-Beta": "1", "X-Ring": "2"}},
		mezu.Route{Name: "get", Prefix: "/a/", Methods: []string{"GET"}},
		mezu.Route{Name: "get-beta", Prefix: "/a/", Methods: []string{"GET", "POST"}, Headers: map[string]string{"x-beta": "1"}},
		mezu.Route{Name: "put", Exact: "/b", Methods: []string{"PUT"}},
		mezu.Route{Name: "delete", Exact: "/b", Methods: []string{"DELETE", "PATCH"}, Headers: map[string]string{"X-Sure": "yes"}},
	)
	with := func(method, path string, headers ...string) *policy.Request {
		r := request(t, method, path)
		r.Carries = func(name, value string) bool {
			for i := 0; i < len(headers); i += 2 {
				if strings.EqualFold(headers[i], name) {
					return headers[i+1] == value
				}
			}
			return false
		}
		return r
	}
	expect(t, table, with("GET", "/a/"), "", "get")
	expect(t, table, with("GET", "/a/", "X-Beta", "1"), "", "get-beta")
	expect(t, table, with("GET", "/a/", "X-Beta", "1", "x-ring", "2"), "", "get-beta") // naming the method comes first
	expect(t, table, with("POST", "/a/", "X-BETA", "1"), "", "get-beta")
	expect(t, table, with("POST", "/a/"), "", "any")
	expect(t, table, with("PUT", "/a/", "X-Beta", "1", "X-Ring", "2"), "", "any-beta")
	expect(t, table, with("PUT", "/a/", "X-Beta", "1", "X-Ring", "3"), "", "any")
	expect(t, table, with("PUT", "/b"), "", "put")
	expect(t, table, with("DELETE", "/b", "X-Sure", "yes"), "", "delete")
	expect(t, table, with("DELETE", "/b", "X-Sure", "YES"), mezu.CodeNoRoute, "") // never the less specific root
	expect(t, table, request(t, "DELETE", "/b"), mezu.CodeNoRoute, "")
	d := expect(t, table, with("GET", "/b"), mezu.CodeMethodNotAllowed, "")
	if want := []string{"DELETE", "PATCH", "PUT"}; !reflect.DeepEqual(d.Allow, want) {
		t.Errorf("Allow %v, want %v", d.Allow, want)
	}
}

func TestDecide_OnePatternIsOneGroup(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "get", Regexp: "/x.*", Methods: []string{"GET"}, Priority: 9},
		mezu.Route{Name: "post", Regexp: "/x.*", Methods: []string{"POST"}},
		mezu.Route{Name: "between", Regexp: "/xy", Priority: 5},
	)
	expect(t, table, request(t, "POST", "/xy"), "", "post")
	expect(t, table, request(t, "PUT", "/xy"), mezu.CodeMethodNotAllowed, "")
}

func TestDecide_ClientAddress(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "office", Exact: "/office", AllowIPs: []string{"192.0.2.0/24", "2001:db8::/32"}, DenyIPs: []string{"192.0.2.66"}},
		mezu.Route{Name: "mapped", Exact: "/mapped", DenyIPs: []string{"::ffff:203.0.113.0/120", "fe80::/10"}},
		mezu.Route{Name: "open", Exact: "/open"},
	)
	for _, c := range []struct {
		path, address string
		code          mezu.Code
	}{
		{"/office", "192.0.2.1", ""}, {"/office", "::ffff:192.0.2.1", ""}, {"/office", "2001:db8::1", ""},
		{"/office", "192.0.2.66", mezu.CodeForbidden}, {"/office", "::ffff:192.0.2.66", mezu.CodeForbidden},
		{"/office", "198.51.100.1", mezu.CodeForbidden}, {"/office", "", mezu.CodeForbidden},
		{"/mapped", "203.0.113.7", mezu.CodeForbidden}, {"/mapped", "::ffff:203.0.113.7", mezu.CodeForbidden},
		{"/mapped", "fe80::1%eth0", mezu.CodeForbidden}, {"/mapped", "", mezu.CodeForbidden}, {"/mapped", "198.51.100.1", ""},
		{"/open", "", ""}, {"/open", "198.51.100.1", ""},
	} {
		r := request(t, "GET", c.path)
		r.Client = netip.Addr{}
		if c.address != "" {
			r.Client = netip.MustParseAddr(c.address)
		}
		if d := table.Decide(r); d.Code != c.code {
			t.Errorf("%s from %q: %q, want %q", c.path, c.address, d.Code, c.code)
		}
	}
}

func TestDecide_Auth(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "none", Exact: "/none"},
		mezu.Route{Name: "optional", Exact: "/optional", Auth: mezu.AuthOptional},
		mezu.Route{Name: "required", Exact: "/required", Auth: mezu.AuthRequired},
		mezu.Route{Name: "roles", Exact: "/roles", Auth: mezu.AuthRequired, Roles: []string{"staff", "guest"}},
		mezu.Route{Name: "all", Exact: "/all", Auth: mezu.AuthRequired, Permissions: []string{"orders.write", "books.read"}},
		mezu.Route{Name: "any", Exact: "/any", Auth: mezu.AuthRequired, AnyPermissions: []string{"orders.write", "books.read"}},
		mezu.Route{Name: "both", Exact: "/both", Auth: mezu.AuthRequired, Roles: []string{"staff"}, Permissions: []string{"books.read"}},
		mezu.Route{Name: "nobody", Exact: "/nobody", Auth: mezu.AuthRequired, AnyPermissions: []string{"unheard.of"}},
	)
	elsewhere := grant("staff", "auditor", "guest")
	elsewhere.Environment = foreign
	nowhere := grant("staff")
	nowhere.Environment = ""
	stranger := grant("staff")
	stranger.Directory = "dir_2"
	for _, c := range []struct {
		route string
		grant *mezu.Grant
		code  mezu.Code
	}{
		{"none", nil, ""}, {"none", elsewhere, ""}, {"optional", nil, ""}, {"optional", grant(), ""}, {"optional", elsewhere, ""},
		{"required", nil, mezu.CodeUnauthenticated}, {"required", elsewhere, mezu.CodeUnauthenticated},
		{"required", stranger, mezu.CodeUnauthenticated}, {"optional", stranger, ""},
		{"required", nowhere, mezu.CodeUnauthenticated}, {"required", grant(), ""},
		{"roles", nil, mezu.CodeUnauthenticated}, {"roles", elsewhere, mezu.CodeUnauthenticated}, {"roles", grant(), mezu.CodeForbidden},
		{"roles", grant("auditor"), mezu.CodeForbidden}, {"roles", grant("auditor", "guest"), ""}, {"roles", grant("STAFF"), mezu.CodeForbidden},
		{"all", grant("staff"), mezu.CodeForbidden}, {"all", grant("auditor"), mezu.CodeForbidden}, {"all", grant("auditor", "staff"), ""},
		{"any", grant("guest"), mezu.CodeForbidden}, {"any", grant("staff"), ""}, {"any", grant("auditor"), ""}, {"any", grant("gone"), mezu.CodeForbidden},
		{"both", grant("staff"), mezu.CodeForbidden}, {"both", grant("auditor"), mezu.CodeForbidden}, {"both", grant("staff", "auditor"), ""},
		{"nobody", grant("staff", "auditor", "guest"), mezu.CodeForbidden},
	} {
		r := request(t, "GET", "/"+c.route)
		r.Grant = c.grant
		expect(t, table, r, c.code, c.route)
	}
}

// A refusal names what is missing, and a decision who the client is.
func TestDecide_NamesWhatIsMissing(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "none", Exact: "/none"},
		mezu.Route{Name: "optional", Exact: "/optional", Auth: mezu.AuthOptional},
		mezu.Route{Name: "roles", Exact: "/roles", Auth: mezu.AuthRequired, Roles: []string{"staff", "guest"}},
		mezu.Route{Name: "mixed", Exact: "/mixed", Auth: mezu.AuthRequired, Roles: []string{"staff"}, Permissions: []string{"orders.read", "books.read"}, AnyPermissions: []string{"orders.write"}},
	)
	elsewhere := grant("staff")
	elsewhere.Environment = foreign
	for _, c := range []struct {
		path    string
		grant   *mezu.Grant
		missing string
		known   bool
	}{
		{"/none", grant("staff"), "", false},
		{"/optional", nil, "", false}, {"/optional", elsewhere, "", false}, {"/optional", grant(), "", true},
		{"/roles", nil, "", false}, {"/roles", elsewhere, "", false}, {"/roles", grant("staff"), "", true},
		{"/roles", grant("auditor"), "one of the roles staff, guest", true},
		{"/mixed", grant("staff"), "the permission books.read", true},
		{"/mixed", grant("auditor"), "the role staff; the permission orders.write", true},
		{"/mixed", grant(), "the role staff; the permissions orders.read, books.read; the permission orders.write", true},
		{"/mixed", grant("staff", "auditor"), "", true},
	} {
		r := request(t, "GET", c.path)
		r.Grant = c.grant
		d, steps := table.Explain(r)
		if got := d.Missing.String(); got != c.missing || (d.Code == mezu.CodeForbidden) != (c.missing != "") {
			t.Errorf("%s with %v: %s, missing is %q, not %q", c.path, c.grant, d.Code, got, c.missing)
		}
		if last := steps[len(steps)-1].Result; !strings.HasSuffix(last, c.missing) {
			t.Errorf("%s is explained by %q", c.path, last)
		}
		if got := d.Grant; (got != nil) != c.known || got != nil && got != c.grant {
			t.Errorf("%s with %v: decided about %v", c.path, c.grant, got)
		}
	}
}

// Who the client is, is looked up by the table that judges, once, and only where a route
// that lets the client so far asks for it.
func TestDecide_LooksForTheSessionLate(t *testing.T) {
	judging := table(t,
		mezu.Route{Name: "none", Exact: "/none", Auth: mezu.AuthNone},
		mezu.Route{Name: "optional", Exact: "/optional", Auth: mezu.AuthOptional},
		mezu.Route{Name: "required", Exact: "/required", Auth: mezu.AuthRequired},
		mezu.Route{Name: "denied", Exact: "/denied", Auth: mezu.AuthRequired, DenyIPs: []string{"203.0.113.7"}},
	)
	for _, c := range []struct {
		path  string
		grant *mezu.Grant
		looks int
		code  mezu.Code
	}{
		{"/none", grant(), 0, ""}, {"/optional", grant(), 1, ""}, {"/optional", nil, 1, ""}, {"/required", grant(), 1, ""},
		{"/required", nil, 1, mezu.CodeUnauthenticated}, {"/denied", grant(), 0, mezu.CodeForbidden}, {"/nowhere", grant(), 0, mezu.CodeNoRoute},
	} {
		looks := 0
		r := request(t, "GET", c.path)
		r.Session = func(by *policy.Table) *mezu.Grant {
			if by != judging {
				t.Errorf("%s: another table asks", c.path)
			}
			looks++
			return c.grant
		}
		if d := judging.Decide(r); d.Code != c.code || looks != c.looks {
			t.Errorf("%s with %v: %q after %d looks", c.path, c.grant, d.Code, looks)
		}
	}
}

func TestDecide_OrderOfJudging(t *testing.T) {
	strict := mezu.Route{Name: "strict", Prefix: "/", Auth: mezu.AuthRequired, Roles: []string{"staff"}, DenyIPs: []string{"203.0.113.7"}}
	closed := strict
	closed.AuthMethods = []string{"basic"}
	r := request(t, "GET", "/a%2Fb")
	expect(t, table(t, closed), r, mezu.CodeRouteUnavailable, "strict")
	expect(t, table(t, strict), r, mezu.CodeNotCanonical, "strict")
	strict.EncodedSlashes = true
	expect(t, table(t, strict), r, mezu.CodeForbidden, "strict")
	strict.DenyIPs = nil
	expect(t, table(t, strict), r, mezu.CodeUnauthenticated, "strict")
	r.Grant = grant()
	expect(t, table(t, strict), r, mezu.CodeForbidden, "strict")
	r.Grant = grant("staff")
	expect(t, table(t, strict), r, "", "strict")
}

func TestR1_DotSegmentsAndSlashesReachTheProtectedRoute(t *testing.T) {
	table := adminTable(t)
	for _, raw := range []string{"//admin", "///admin", "/./admin", "/public/../admin", "/public/%2e%2e/admin", "/.//admin", "/%61dmin"} {
		expect(t, table, request(t, "GET", raw), mezu.CodeUnauthenticated, "admin")
	}
}

func TestR2_EncodedSlashesOnlyWhereTheRouteOptsIn(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "public", Prefix: "/public"},
		mezu.Route{Name: "repo", Prefix: "/repo/", EncodedSlashes: true},
		mezu.Route{Name: "admin", Prefix: "/public/admin", Auth: mezu.AuthRequired},
	)
	expect(t, table, request(t, "GET", "/public/a%2fb"), mezu.CodeNotCanonical, "public")
	expect(t, table, request(t, "GET", "/public/a%5Cb"), mezu.CodeNotCanonical, "public")
	expect(t, table, request(t, "GET", "/public%2fadmin"), mezu.CodeNotCanonical, "public") // matched undecoded
	expect(t, table, request(t, "GET", "/repo/a%2Fb"), "", "repo")
	expect(t, table, request(t, "GET", "/repo/a%5cb"), "", "repo")
}

func TestR4_SemicolonsArePathData(t *testing.T) {
	table := adminTable(t)
	for _, raw := range []string{"/admin;x=1", "/admin;.css", "/admin;/../admin", "/public;/../admin"} {
		expect(t, table, request(t, "GET", raw), mezu.CodeUnauthenticated, "admin")
	}
	expect(t, table, request(t, "GET", "/public;/x"), "", "public")
}

// adminTable is the setting of the R cases: an open and a protected prefix, and
// nothing else.
func adminTable(t *testing.T) *policy.Table {
	return table(t,
		mezu.Route{Name: "public", Prefix: "/public"},
		mezu.Route{Name: "admin", Prefix: "/admin", Auth: mezu.AuthRequired, Roles: []string{"staff"}},
	)
}

func TestR7_NearMissesAreNotOpen(t *testing.T) {
	table := adminTable(t)
	for raw, code := range map[string]mezu.Code{
		"/ADMIN": mezu.CodeNoRoute, "/Admin/": mezu.CodeNoRoute, "/admi": mezu.CodeNoRoute, "/%61DMIN": mezu.CodeNoRoute,
		"/admin.": mezu.CodeUnauthenticated, "/admin%20": mezu.CodeUnauthenticated, "/admin/": mezu.CodeUnauthenticated,
	} {
		if d := table.Decide(request(t, "GET", raw)); d.Code != code {
			t.Errorf("%s: %q, want %q", raw, d.Code, code)
		}
	}
}

func TestR8_PrefixesAreLiteralAndTheLongestWins(t *testing.T) {
	routes := []mezu.Route{
		{Name: "public", Prefix: "/"},
		{Name: "admin", Prefix: "/admin", Auth: mezu.AuthRequired},
		{Name: "assets", Prefix: "/admin/assets/"},
		{Name: "secret", Prefix: "/admin/assets/secret", Auth: mezu.AuthRequired},
		{Name: "zero", Exact: "/routes/0"},
	}
	permute(routes, func(order []mezu.Route) {
		table := table(t, order...)
		expect(t, table, request(t, "GET", "/administrator"), mezu.CodeUnauthenticated, "admin")
		expect(t, table, request(t, "GET", "/admin/assets/app.css"), "", "assets")
		expect(t, table, request(t, "GET", "/admin/assets/secrets"), mezu.CodeUnauthenticated, "secret")
		expect(t, table, request(t, "GET", "/routes/01"), "", "public")
		expect(t, table, request(t, "GET", "/routes/0"), "", "zero")
	})
}

// permute calls f with every order of routes.
func permute(routes []mezu.Route, f func([]mezu.Route)) {
	var rest func(done int)
	rest = func(done int) {
		if done == len(routes) {
			f(append([]mezu.Route(nil), routes...))
			return
		}
		for i := done; i < len(routes); i++ {
			routes[done], routes[i] = routes[i], routes[done]
			rest(done + 1)
			routes[done], routes[i] = routes[i], routes[done]
		}
	}
	rest(0)
}

func TestR12_WhatCannotBeKeptIsClosed(t *testing.T) {
	base := func() mezu.Route { return mezu.Route{Name: "r", Prefix: "/"} }
	for field, change := range map[string]func(*mezu.Route){
		// Values that only an earlier build took.
		"cors.allow_origins[0]": func(r *mezu.Route) { r.CORS = &mezu.CORS{AllowOrigins: []string{"null"}} },
		"rate_limit.requests": func(r *mezu.Route) {
			r.RateLimit = &mezu.RateLimit{Requests: mezu.MaxRateRequests + 1, Per: mezu.Duration(time.Second), By: "ip"}
		},
		"strip_prefix":           func(r *mezu.Route) { r.StripPrefix = "/api//x" },
		"redirect.to":            func(r *mezu.Route) { r.Redirect = &mezu.Redirect{To: "/{user}"} },
		"request_headers.remove": func(r *mezu.Route) { r.RequestHeaders = &mezu.HeaderEdits{Remove: []string{"Host"}} },
		"response_headers.set": func(r *mezu.Route) {
			r.ResponseHeaders = &mezu.HeaderEdits{Set: map[string]string{"Set-Cookie": "a=b"}}
		},
		"auth_methods": func(r *mezu.Route) { r.Auth, r.AuthMethods = mezu.AuthRequired, []string{"bearer"} },
		"roles":        func(r *mezu.Route) { r.Auth, r.Roles = mezu.AuthRequired, []string{"staff", "unknown"} },
	} {
		route := base()
		change(&route)
		r := request(t, "GET", "/")
		r.Grant = grant("staff", "unknown")
		d := expect(t, table(t, route), r, mezu.CodeRouteUnavailable, "r")
		if d.Route.Closed != field || d.Detail == "" {
			t.Errorf("closed because of %q (%s), want %q", d.Route.Closed, d.Detail, field)
		}
	}
	route := base()
	route.Auth, route.AuthMethods = mezu.AuthRequired, []string{"session", "service_account", "bearer"}
	r := request(t, "GET", "/")
	r.Grant = grant()
	expect(t, table(t, route), r, "", "r")
}

// TestR12_WhatIsUnknownIsClosed: a field that this build has never heard of closes
// what it may be about, on both sides, and nothing else.
func TestR12_WhatIsUnknownIsClosed(t *testing.T) {
	const bundle = `{"position": {"epoch": 1, "revision": 2}, "environment": "env_00000000000000000000000001", "endpoint": "shop-acme", "enabled": true,
		"routes": [{"name": "known", "prefix": "/"}, {"name": "strict", "prefix": "/strict/" FIELD}], "roles": {"staff": {"permissions": ["a.b"]}} BUNDLE}`
	for name, c := range map[string]struct {
		field, bundle string
		known, strict mezu.Code
	}{
		"nothing unknown":             {"", "", "", ""},
		"a known field":               {`, "retries": 1`, "", "", ""},
		"a route's field":             {`, "quota": {"bytes": 1}`, "", "", mezu.CodeRouteUnavailable},
		"one that says no":            {`, "quota": null`, "", "", mezu.CodeRouteUnavailable},
		"a field inside a route's":    {`, "request_headers": {"set": {}, "rename": {}}`, "", "", mezu.CodeRouteUnavailable},
		"the environment's field":     {"", `, "allow_countries": ["CH"]`, mezu.CodeRouteUnavailable, mezu.CodeRouteUnavailable},
		"a role's field":              {"", `, "roles": {"staff": {"permissions": [], "until": 1}}`, mezu.CodeRouteUnavailable, mezu.CodeRouteUnavailable},
		"routes by two names":         {`, "quota": 1`, `, "Routes": [{"prefix": "/"}, {"prefix": "/strict/"}]`, mezu.CodeRouteUnavailable, mezu.CodeRouteUnavailable},
		"a known one in another case": {`, "Retries": 1`, "", "", ""},
	} {
		var b mezu.Bundle
		if err := json.Unmarshal([]byte(strings.NewReplacer("FIELD", c.field, "BUNDLE", c.bundle).Replace(bundle)), &b); err != nil {
			t.Fatal(name, err)
		}
		compiled, err := policy.Compile(&b)
		if err != nil {
			t.Fatal(name, err)
		}
		for path, want := range map[string]mezu.Code{"/x": c.known, "/strict/x": c.strict} {
			d := compiled.Decide(request(t, "GET", path))
			if d.Code != want || d.Allowed() && want != "" {
				t.Errorf("%s: %s is %q, want %q", name, path, d.Code, want)
			}
		}
	}
}

func TestR12_EmptyRoleListIsRefused(t *testing.T) {
	for _, r := range []mezu.Route{
		{Prefix: "/", Auth: mezu.AuthRequired, Roles: []string{}},
		{Prefix: "/", Auth: mezu.AuthRequired, Permissions: []string{}},
		{Prefix: "/", Auth: mezu.AuthRequired, AnyPermissions: []string{}},
		{Prefix: "/", Auth: mezu.AuthRequired, AuthMethods: []string{}},
		{Prefix: "/", AllowIPs: []string{}},
	} {
		if _, err := policy.Compile(bundle(r)); err == nil {
			t.Errorf("%+v compiled", r)
		}
	}
}

// The firewall is the edge's: it closes no route. A route's mode and settings each come before its
// environment's.
func TestCompile_Firewall(t *testing.T) {
	own, wide := &mezu.WAFSettings{Paranoia: 2}, &mezu.WAFSettings{Paranoia: 3}
	for _, c := range []struct {
		route, environment mezu.WAFMode
		own, wide, want    *mezu.WAFSettings
		on, detect         bool
	}{
		{"", "", own, wide, nil, false, false},
		{mezu.WAFOff, mezu.WAFBlock, own, wide, nil, false, false},
		{"", mezu.WAFOff, own, wide, nil, false, false},
		{"", mezu.WAFBlock, nil, nil, nil, true, false},
		{"", mezu.WAFDetect, nil, wide, wide, true, true},
		{mezu.WAFBlock, mezu.WAFDetect, own, wide, own, true, false},
		{mezu.WAFDetect, "", own, nil, own, true, true},
	} {
		b := bundle(mezu.Route{Name: "r", Exact: "/", WAF: c.route, WAFSettings: c.own})
		b.WAF, b.WAFSettings = c.environment, c.wide
		table := compile(t, b)
		expect(t, table, request(t, "GET", "/"), "", "r")
		d := table.Decide(request(t, "GET", "/"))
		if f := d.Route.Firewall; (f != nil) != c.on || f != nil && (f.Detect != c.detect || f.Settings != c.want) {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

// What a directory asks of its users, and nothing proves, closes the routes that users use: to
// those who are logged in, and to strangers where the route is for both.
func TestR12_ASecondFactorClosesRoutesOfUsers(t *testing.T) {
	b := bundle(mezu.Route{Name: "open", Exact: "/open"}, mezu.Route{Name: "none", Exact: "/none", Auth: mezu.AuthNone},
		mezu.Route{Name: "in", Exact: "/in", Auth: mezu.AuthRequired}, mezu.Route{Name: "both", Exact: "/both", Auth: mezu.AuthOptional})
	for _, required := range []bool{true, false} {
		b.MFARequired = required
		table := compile(t, b)
		for _, g := range []*mezu.Grant{nil, grant("staff")} {
			for _, route := range []string{"open", "none", "in", "both"} {
				r := request(t, "GET", "/"+route)
				r.Grant = g
				var want mezu.Code
				switch {
				case required && (route == "in" || route == "both"):
					want = mezu.CodeRouteUnavailable
				case route == "in" && g == nil:
					want = mezu.CodeUnauthenticated
				}
				if d := expect(t, table, r, want, route); want == mezu.CodeRouteUnavailable && d.Route.Closed != "mfa" {
					t.Errorf("%s is closed because of %q", route, d.Route.Closed)
				}
			}
		}
	}
}

func TestExplain(t *testing.T) {
	table := table(t,
		mezu.Route{Name: "root", Prefix: "/"},
		mezu.Route{Name: "a", Prefix: "/a"},
		mezu.Route{Name: "numbers", Regexp: "/[0-9]+"},
		mezu.Route{Name: "ab-get", Prefix: "/ab", Methods: []string{"GET"}},
		mezu.Route{Name: "ab-beta", Prefix: "/ab", Methods: []string{"POST"}, Headers: map[string]string{"X-Beta": "1"}},
		mezu.Route{Name: "ab", Prefix: "/ab", Auth: mezu.AuthRequired},
	)
	d, steps := table.Explain(request(t, "POST", "/abc"))
	want := []policy.Candidate{
		{"numbers", "the pattern does not match"}, {"a", "a longer prefix matches"}, {"root", "a longer prefix matches"},
		{"ab-beta", "the header X-Beta is missing or has another value"}, {"ab-get", "does not allow the method"},
		{"ab", "unauthenticated: a login is required"},
	}
	if d.Code != mezu.CodeUnauthenticated || !reflect.DeepEqual(steps, want) {
		t.Errorf("code %q, steps\n%q\nwant\n%q", d.Code, steps, want)
	}
	if _, steps := table.Explain(request(t, "GET", "/x")); steps[len(steps)-1] != (policy.Candidate{Route: "root", Result: "allowed"}) {
		t.Errorf("steps %q", steps)
	}
}

func TestExplain_IsBounded(t *testing.T) {
	var routes []mezu.Route
	for i := range 1000 {
		routes = append(routes, mezu.Route{Regexp: fmt.Sprintf("/%d/.+", i)})
	}
	_, steps := table(t, routes...).Explain(request(t, "GET", "/x"))
	if n := len(steps); n != 202 || steps[200].Result != "800 more candidates were passed over" || steps[201].Result != "no_route: no route matches the path" {
		t.Errorf("%d steps, the last %q", n, steps[n-2:])
	}
}

func TestDecide_AllocatesNothing(t *testing.T) {
	table := compile(t, large())
	carries := func(_, value string) bool { return value == "1" }
	for _, raw := range []string{"/exact/77", "/prefix/77/x", "/guarded/x"} {
		r := request(t, "GET", raw)
		r.Grant, r.Carries = grant("guest", "auditor"), carries
		if n := testing.AllocsPerRun(100, func() {
			if d := table.Decide(r); !d.Allowed() {
				t.Fatalf("%s: %s", raw, d.Detail)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", raw, n)
		}
	}
}

// large has as many routes as an environment may.
func large() *mezu.Bundle {
	routes := []mezu.Route{{Prefix: "/guarded/", Methods: []string{"GET", "POST"}, Headers: map[string]string{"X-Ring": "1"}, Auth: mezu.AuthRequired,
		Permissions: []string{"orders.read"}, AllowIPs: []string{"203.0.113.0/24"}}}
	for i := range (mezu.MaxRoutes - len(routes)) / 2 {
		routes = append(routes, mezu.Route{Exact: fmt.Sprintf("/exact/%d", i)}, mezu.Route{Prefix: fmt.Sprintf("/prefix/%d/", i)})
	}
	return bundle(routes...)
}

func BenchmarkDecide(b *testing.B) {
	big := compile(b, large())
	var patterns []mezu.Route
	for i := range 1000 {
		patterns = append(patterns, mezu.Route{Regexp: fmt.Sprintf("/tenant%d/[a-z]+/[0-9]+", i)})
	}
	regexps := table(b, patterns...)
	for _, c := range []struct {
		name  string
		table *policy.Table
		path  string
	}{{"exact", big, "/exact/4321"}, {"prefix", big, "/prefix/4321/some/thing"}, {"regexp", regexps, "/tenant777/users/42"}} {
		b.Run(c.name, func(b *testing.B) {
			r := request(b, "GET", c.path)
			b.ReportAllocs()
			for b.Loop() {
				if d := c.table.Decide(r); !d.Allowed() {
					b.Fatal(d)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	source := large()
	for b.Loop() {
		compile(b, source)
	}
}

// Patterns whose literal beginnings are prefixes of one another are tried by priority, however many
// of them a path begins with.
func TestNestedLiterals(t *testing.T) {
	for _, depth := range []int{1, 3, 8, 9, 40} {
		var routes []mezu.Route
		for i := range depth {
			// Of those that match, the one with the highest priority lies in the middle.
			routes = append(routes, mezu.Route{Name: fmt.Sprint("n", i), Regexp: "/" + strings.Repeat("a", i) + "[ab]*x?", Priority: (i * 7) % depth})
		}
		table := table(t, append(routes, mezu.Route{Name: "other", Regexp: "/b[0-9]", Priority: 1000}, mezu.Route{Name: "open", Prefix: "/"})...)
		for length := range depth + 2 {
			r := request(t, "GET", "/"+strings.Repeat("a", length)+"bx")
			want, _ := table.Explain(r) // looks at all of them in turn
			if got := table.Decide(r); got.Route.Name != want.Route.Name {
				t.Errorf("%d patterns, %d times a: %s, want %s", depth, length, got.Route.Name, want.Route.Name)
			}
		}
		expect(t, table, request(t, "GET", "/c"), "", "open")
		expect(t, table, request(t, "GET", "/b7"), "", "other")
	}
}

// TestRow4_StoredPatternsClose: a pattern that costs more than is allowed, stored by a
// build that knew no such limit, closes what it may be about and nothing else.
func TestRow4_StoredPatternsClose(t *testing.T) {
	var routes []mezu.Route
	for i := range 16 {
		routes = append(routes, mezu.Route{Regexp: fmt.Sprintf("/deep/.*.{1000}.{1000}.{1000}.{900}x%d", i)})
	}
	table := table(t, append(routes, mezu.Route{Name: "first", Regexp: "/deep/first", Priority: 1}, mezu.Route{Name: "exact", Exact: "/deep/exact"}, mezu.Route{Name: "open", Prefix: "/"})...)
	for path, want := range map[string]string{"/deep/first": "first", "/deep/exact": "exact", "/deep": "open", "/other": "open"} {
		expect(t, table, request(t, "GET", path), "", want)
	}
	for _, path := range []string{"/deep/", "/deep/x", "/deep/" + strings.Repeat("a", 15<<10)} {
		d := table.Decide(request(t, "GET", path))
		if d.Code != mezu.CodeRouteUnavailable || d.Route == nil {
			t.Errorf("%.20s: %q", path, d.Code)
		}
	}
}

// TestRow4_LongPaths: a pattern that would have to read a path to its end reads no more
// than was counted for, and what it may forbid is not passed by.
func TestRow4_LongPaths(t *testing.T) {
	table := table(t, mezu.Route{Name: "search", Regexp: "/s/[a-z]*x", Auth: mezu.AuthRequired}, mezu.Route{Name: "start", Regexp: "/a/[0-9]+/.*"}, mezu.Route{Name: "short", Regexp: "/b/.*"}, mezu.Route{Name: "open", Prefix: "/"})
	long := strings.Repeat("a", mezu.MaxRegexpPath)
	if d := table.Decide(request(t, "GET", "/s/"+long)); d.Code != mezu.CodeURITooLong {
		t.Errorf("code %q", d.Code)
	}
	expect(t, table, request(t, "GET", "/s/"+long[:mezu.MaxRegexpPath-3]), "", "open")
	expect(t, table, request(t, "GET", "/b/"+long), "", "short")
	expect(t, table, request(t, "GET", "/c/"+long), "", "open")
}

// TestRow8_StoredSpansAreClamped: a span or size that may not be written any more counts
// as the most that may.
func TestRow8_StoredSpansAreClamped(t *testing.T) {
	table := table(t, mezu.Route{Prefix: "/", Timeout: mezu.Duration(2540400 * time.Hour), IdleTimeout: 1<<63 - 1, MaxBody: 1<<63 - 1})
	d := table.Decide(request(t, "GET", "/"))
	if d.Route.Timeout != time.Duration(mezu.MaxTimeout) || d.Route.IdleTimeout != time.Duration(mezu.MaxIdleTimeout) || d.Route.MaxBody != int64(mezu.MaxBodyLimit) {
		t.Errorf("%s, %s, %d", d.Route.Timeout, d.Route.IdleTimeout, d.Route.MaxBody)
	}
}

// The control plane judges a bundle without compiling it, and so must not take one that
// its readers can't compile.
func TestCompile_TakesWhatIsValid(t *testing.T) {
	var greedy []mezu.Route
	for i := range 200 {
		greedy = append(greedy, mezu.Route{Regexp: fmt.Sprintf("/%d.{3000}", i)})
	}
	for name, routes := range map[string][]mezu.Route{
		"programs beyond the limit": greedy,
		"a bad pattern":             {{Regexp: "/("}},
		"a bad upstream":            {{Prefix: "/", Upstream: "ftp://x"}},
		"a bad range":               {{Prefix: "/", AllowIPs: []string{"x"}}},
		"two of one name":           {{Prefix: "/", Name: "a"}, {Exact: "/b", Name: "a"}},
		"two of one match":          {{Prefix: "/"}, {Prefix: "/", Name: "a"}},
		"patterns that cost much":   {{Regexp: "/.*.{1000}.{1000}x"}},
		"any":                       {{Prefix: "/", Upstream: "localhost:1"}, {Regexp: "/.*"}},
	} {
		b := bundle(routes...)
		valid := b.Validate(t.Context())
		if _, err := policy.Compile(b); (err == nil) != (valid == nil) {
			t.Errorf("%s: valid is %v, and compiling gives %v", name, valid, err)
		}
	}
}
