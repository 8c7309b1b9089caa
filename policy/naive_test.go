package policy_test

import (
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// naive is the stated order written down as plainly as possible: no index, no
// compiled form, everything looked at for every request.
func naive(b *mezu.Bundle, r *policy.Request) (code mezu.Code, route string, allow []string) {
	candidates := naiveCandidates(b.Routes, r.Path.Path)
	if len(candidates) == 0 {
		return mezu.CodeNoRoute, "", nil
	}
	var takers []mezu.Route
	for _, c := range candidates {
		if len(c.Methods) == 0 || slices.Contains(c.Methods, r.Method) {
			takers = append(takers, c)
		}
	}
	if len(takers) == 0 {
		set := map[string]bool{}
		for _, c := range candidates {
			for _, m := range c.Methods {
				set[m] = true
			}
		}
		for m := range set {
			allow = append(allow, m)
		}
		sort.Strings(allow)
		return mezu.CodeMethodNotAllowed, "", allow
	}
	var best *mezu.Route
	for i := range takers {
		c := &takers[i]
		if naiveHeaders(c, r) && (best == nil || naiveBefore(c, best)) {
			best = c
		}
	}
	if best == nil {
		return mezu.CodeNoRoute, "", nil
	}
	return naiveVerdict(b, best, r), best.Name, nil
}

// naiveCandidates are the routes with the mode and value that the path chooses.
func naiveCandidates(routes []mezu.Route, path string) []mezu.Route {
	var chosen *mezu.Route
	for i := range routes {
		if r := &routes[i]; r.Exact != "" && r.Exact == path {
			chosen = r
		}
	}
	for i := range routes {
		r := &routes[i]
		if chosen != nil && chosen.Exact != "" || r.Regexp == "" || !regexp.MustCompile(`\A(?:`+r.Regexp+`)\z`).MatchString(path) {
			continue
		}
		if chosen == nil || r.Priority > chosen.Priority || r.Priority == chosen.Priority && r.Regexp < chosen.Regexp {
			chosen = r
		}
	}
	for i := range routes {
		r := &routes[i]
		if chosen != nil && chosen.Prefix == "" || r.Prefix == "" || !strings.HasPrefix(path, r.Prefix) {
			continue
		}
		if chosen == nil || len(r.Prefix) > len(chosen.Prefix) {
			chosen = r
		}
	}
	var out []mezu.Route
	for _, r := range routes {
		if chosen != nil && r.Exact == chosen.Exact && r.Regexp == chosen.Regexp && r.Prefix == chosen.Prefix {
			out = append(out, r)
		}
	}
	return out
}

func naiveHeaders(c *mezu.Route, r *policy.Request) bool {
	for name, want := range c.Headers {
		if !r.Carries(strings.ToLower(name), want) {
			return false
		}
	}
	return true
}

// naiveBefore reports whether a is preferred over b. Both take the method.
func naiveBefore(a, b *mezu.Route) bool {
	if (len(a.Methods) > 0) != (len(b.Methods) > 0) {
		return len(a.Methods) > 0
	}
	if len(a.Headers) != len(b.Headers) {
		return len(a.Headers) > len(b.Headers)
	}
	return a.Name < b.Name
}

func naiveVerdict(b *mezu.Bundle, c *mezu.Route, r *policy.Request) mezu.Code {
	if c.CORS != nil || c.AuthMethods != nil {
		return mezu.CodeRouteUnavailable
	}
	for _, role := range c.Roles {
		if _, ok := b.Roles[role]; !ok {
			return mezu.CodeRouteUnavailable
		}
	}
	if r.Path.EncodedSlash && !c.EncodedSlashes {
		return mezu.CodeNotCanonical
	}
	for _, a := range c.DenyIPs {
		if netip.MustParseAddr(a) == r.Client {
			return mezu.CodeForbidden
		}
	}
	if len(c.AllowIPs) > 0 && !slices.Contains(c.AllowIPs, r.Client.String()) {
		return mezu.CodeForbidden
	}
	if c.Auth != mezu.AuthRequired {
		return ""
	}
	if r.Grant == nil || r.Grant.Environment != b.Environment {
		return mezu.CodeUnauthenticated
	}
	if len(c.Roles) > 0 && !slices.ContainsFunc(c.Roles, func(n string) bool { return slices.Contains(r.Grant.Roles, n) }) {
		return mezu.CodeForbidden
	}
	has := b.PermissionsOf(r.Grant.Roles)
	for _, p := range c.Permissions {
		if !slices.Contains(has, p) {
			return mezu.CodeForbidden
		}
	}
	if len(c.AnyPermissions) > 0 && !slices.ContainsFunc(c.AnyPermissions, func(p string) bool { return slices.Contains(has, p) }) {
		return mezu.CodeForbidden
	}
	return ""
}

// Few values from which many rules collide.
var (
	someSegments = []string{"a", "b", "ab", "a.b", "A", ".x", "a;b", "a%2Fb", "%20", "admin"}
	somePatterns = []string{"/a.*", "/a/[a-z]+", "/.*", "/(a|b)", "/a|/b", "/[ab]/.*", "(?i)/a", "/admin.*", "/a/b/?", "^/ab$"}
	someMethods  = []string{"GET", "POST", "PUT"}
	someAddrs    = []string{"203.0.113.7", "203.0.113.8", "2001:db8::1"}
	someRoles    = []string{"staff", "auditor", "guest", "unknown"}
	somePerms    = []string{"orders.read", "orders.write", "books.read", "none.has"}
)

// subset draws some of the values, nil if none, so that no list is empty.
func subset(t *rapid.T, values []string, label string) []string {
	bits := rapid.IntRange(0, 1<<len(values)-1).Draw(t, label)
	var out []string
	for i, v := range values {
		if bits&(1<<i) != 0 {
			out = append(out, v)
		}
	}
	return out
}

func drawPath(t *rapid.T) string {
	path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(someSegments), 0, 3).Draw(t, "segments"), "/")
	if path != "/" && rapid.Bool().Draw(t, "slash") {
		path += "/"
	}
	return path
}

func drawRoute(t *rapid.T, name string) mezu.Route {
	r := mezu.Route{Name: name, EncodedSlashes: true}
	switch rapid.IntRange(0, 3).Draw(t, "mode") {
	case 0:
		r.Exact = drawPath(t)
	case 1:
		r.Regexp = rapid.SampledFrom(somePatterns).Draw(t, "pattern")
		r.Priority = rapid.IntRange(-1, 1).Draw(t, "priority")
	default:
		r.Prefix = drawPath(t)
		// Prefixes end anywhere, not only behind a segment.
		if cut := rapid.IntRange(1, len(r.Prefix)).Draw(t, "cut"); !strings.ContainsAny(r.Prefix, "%.") {
			r.Prefix = r.Prefix[:cut]
		}
	}
	if rapid.Bool().Draw(t, "limited") {
		r.Methods = subset(t, someMethods, "methods")
		for _, h := range subset(t, []string{"X-One", "x-two"}, "headers") {
			if r.Headers == nil {
				r.Headers = map[string]string{}
			}
			r.Headers[h] = rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value")
		}
	}
	switch rapid.IntRange(0, 5).Draw(t, "policy") {
	case 0:
		r.Auth = mezu.AuthRequired
		r.Roles, r.Permissions, r.AnyPermissions = subset(t, someRoles, "roles"), subset(t, somePerms, "all"), subset(t, somePerms, "any")
	case 1:
		r.Auth = rapid.SampledFrom([]mezu.AuthMode{mezu.AuthRequired, mezu.AuthOptional, mezu.AuthNone}).Draw(t, "auth")
	case 2:
		r.AllowIPs, r.DenyIPs = subset(t, someAddrs, "allow"), subset(t, someAddrs, "deny")
	case 3:
		r.AuthMethods = rapid.SampledFrom([][]string{nil, {"basic"}}).Draw(t, "methods of auth") // closed
	}
	if !strings.Contains(r.Value(), "%2F") {
		r.EncodedSlashes = rapid.Bool().Draw(t, "slashes")
	}
	return r
}

// drawBundle draws a valid bundle: routes that would be refused beside the
// earlier ones are left out.
func drawBundle(t *rapid.T) *mezu.Bundle {
	var routes []mezu.Route
	for i := range rapid.IntRange(0, 14).Draw(t, "routes") {
		r := drawRoute(t, string(rune('a'+i)))
		if mezu.ValidateRoutes(t.Context(), "routes", append(slices.Clone(routes), r)) == nil {
			routes = append(routes, r)
		}
	}
	b := bundle(routes...)
	b.WAF = rapid.SampledFrom([]mezu.WAFMode{"", "", mezu.WAFOff, mezu.WAFBlock}).Draw(t, "default waf")
	return b
}

func drawRequest(t *rapid.T) *policy.Request {
	raw := drawPath(t)
	path, err := mezu.CanonicalPath(raw)
	if err != nil {
		t.Fatal(err)
	}
	headers := map[string][]string{}
	for _, h := range subset(t, []string{"x-one", "x-two"}, "sent") {
		headers[h] = rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2"}), 1, 2).Draw(t, "sent values")
	}
	r := &policy.Request{
		Method: rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE"}).Draw(t, "method"), Path: path,
		Carries: func(name, value string) bool {
			return headers[name] != nil && !slices.ContainsFunc(headers[name], func(v string) bool { return v != value })
		},
		Client: netip.MustParseAddr(rapid.SampledFrom(someAddrs).Draw(t, "client")),
	}
	if rapid.Bool().Draw(t, "logged in") {
		r.Grant = grant(subset(t, someRoles, "granted")...)
		r.Grant.Environment = rapid.SampledFrom([]string{environment, environment, foreign}).Draw(t, "granted for")
	}
	return r
}

// TestR11_EqualsTheNaiveMatcher compares 10,000 random rule sets (rapid draws
// 100 times 100 of them) with the naive matcher, in the order in which they were
// drawn and in another one.
func TestR11_EqualsTheNaiveMatcher(t *testing.T) {
	const setsPerDraw, requestsPerSet = 100, 4
	codes := map[mezu.Code]int{}
	rapid.Check(t, func(t *rapid.T) {
		for range setsPerDraw {
			b := drawBundle(t)
			shuffled := *b
			shuffled.Routes = rapid.Permutation(b.Routes).Draw(t, "order")
			first, second := mustCompile(t, b), mustCompile(t, &shuffled)
			for range requestsPerSet {
				r := drawRequest(t)
				code, route, allow := naive(b, r)
				codes[code]++
				for _, table := range []*policy.Table{first, second} {
					d := table.Decide(r)
					if d.Code != code || name(d) != route || !slices.Equal(d.Allow, allow) {
						t.Fatalf("%s %s: decided %q by %q allow %v, naive says %q by %q allow %v", r.Method, r.Path.Path, d.Code, name(d), d.Allow, code, route, allow)
					}
					explained, steps := table.Explain(r)
					if !reflect.DeepEqual(explained, d) || len(steps) == 0 {
						t.Fatalf("%s %s: decided %+v, explained %+v", r.Method, r.Path.Path, d, explained)
					}
				}
			}
		}
	})
	// A generator that never reaches a verdict proves nothing about it.
	for _, code := range []mezu.Code{"", mezu.CodeNoRoute, mezu.CodeMethodNotAllowed, mezu.CodeRouteUnavailable, mezu.CodeNotCanonical, mezu.CodeForbidden, mezu.CodeUnauthenticated} {
		if codes[code] < 100 {
			t.Errorf("only %d requests with verdict %q", codes[code], code)
		}
	}
}

func mustCompile(t *rapid.T, b *mezu.Bundle) *policy.Table {
	table, err := policy.Compile(b)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestR11_UnnamedRoutesDoNotDependOnTheOrder: the name says nothing about which of
// two unnamed routes comes first, yet it has to be the same one everywhere.
func TestR11_UnnamedRoutesDoNotDependOnTheOrder(t *testing.T) {
	routes := []mezu.Route{
		{Prefix: "/", Headers: map[string]string{"X-A": "1"}, Upstream: "localhost:1"},
		{Prefix: "/", Headers: map[string]string{"X-B": "1"}, Upstream: "localhost:2"},
		{Prefix: "/", Methods: []string{"GET", "POST"}, Upstream: "localhost:3"},
		{Prefix: "/", Methods: []string{"POST", "PUT"}, Upstream: "localhost:4"},
	}
	permute(routes, func(order []mezu.Route) {
		table := table(t, order...)
		r := request(t, "POST", "/")
		if d := table.Decide(r); d.Route == nil || d.Route.Upstream.Address != "localhost:3" {
			t.Fatalf("POST chose %+v", d.Route)
		}
		r.Method, r.Carries = "DELETE", func(_, value string) bool { return value == "1" }
		if d := table.Decide(r); d.Route == nil || d.Route.Upstream.Address != "localhost:1" {
			t.Fatalf("DELETE chose %+v", d.Route)
		}
	})
}

// TestLongestPrefix_DeepAndWide has the prefixes that a search by halves could
// get wrong: nested, and neighbours that differ in the last byte.
func TestLongestPrefix_DeepAndWide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfNDistinct(rapid.StringMatching(`/[ab/]{0,8}`), 1, 40, rapid.ID).Draw(t, "values")
		var routes []mezu.Route
		for _, v := range values {
			if p, err := mezu.CanonicalPath(v); err == nil && p.Path == v {
				routes = append(routes, mezu.Route{Prefix: v})
			}
		}
		b := bundle(routes...)
		table := mustCompile(t, b)
		for range 20 {
			path := rapid.StringMatching(`/[abc/]{0,12}`).Draw(t, "path")
			canonical, err := mezu.CanonicalPath(path)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			for _, r := range routes {
				if strings.HasPrefix(canonical.Path, r.Prefix) && len(r.Prefix) > len(want) {
					want = r.Prefix
				}
			}
			d := table.Decide(&policy.Request{Method: "GET", Path: canonical})
			if got := d.Route; got == nil && want != "" || got != nil && got.Prefix != want {
				t.Fatalf("%s: %q, want %q", canonical.Path, name(d), want)
			}
		}
	})
}

func FuzzDecide(f *testing.F) {
	for _, raw := range []string{"/", "/a", "/a/b", "/admin", "/%61dmin", "/a%2Fb", "//admin", "/public/../admin", "/.mezu/x", "/\x00", "", "a", "/ab\xff", "/admin;x", "/(a|b)"} {
		f.Add("GET", raw)
		f.Add("PUT", raw)
	}
	b := bundle(
		mezu.Route{Name: "exact", Exact: "/a"}, mezu.Route{Name: "slash", Prefix: "/a%2F", EncodedSlashes: true},
		mezu.Route{Name: "prefix", Prefix: "/a", Methods: []string{"GET", "POST"}}, mezu.Route{Name: "deep", Prefix: "/a/b/", Methods: []string{"PUT"}},
		mezu.Route{Name: "pattern", Regexp: "/[a-c]/[0-9]+", Priority: 3}, mezu.Route{Name: "late", Regexp: "/.*x"},
		mezu.Route{Name: "admin", Prefix: "/admin", Auth: mezu.AuthRequired}, mezu.Route{Name: "root", Prefix: "/", Methods: []string{"GET"}},
	)
	table := compile(f, b)
	f.Fuzz(func(t *testing.T, method, raw string) {
		path, err := mezu.CanonicalPath(raw)
		if err != nil {
			// Decide is never asked about such a path and must not fall over it.
			table.Decide(&policy.Request{Method: method, Path: mezu.Path{Path: raw}})
			return
		}
		r := &policy.Request{Method: method, Path: path, Client: client}
		d := table.Decide(r)
		if strings.HasPrefix(path.Path, mezu.ReservedPath) {
			if d.Code != mezu.CodeNoRoute {
				t.Fatalf("%q: %q", raw, d.Code)
			}
			return
		}
		code, route, allow := naive(b, r)
		if d.Code != code || name(d) != route || !slices.Equal(d.Allow, allow) {
			t.Fatalf("%q %q: decided %q by %q, naive says %q by %q", method, raw, d.Code, name(d), code, route)
		}
		if strings.HasPrefix(path.Path, "/admin") && d.Code == "" && name(d) != "late" {
			t.Fatalf("%q is open by %q", raw, name(d))
		}
	})
}
