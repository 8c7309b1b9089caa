package policy_test

import (
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// answer is what the route of a request says, with its status and Location or body.
func answer(t *testing.T, table *policy.Table, r *policy.Request, query string) (int, string, error) {
	t.Helper()
	d := table.Decide(r)
	if d.Code != "" || !d.Route.Answers() {
		t.Fatalf("%s %s: %q by %s", r.Method, r.Path.Path, d.Code, name(d))
	}
	a, err := table.Answer(d.Route, r, "shop.example", query)
	if err != nil {
		return 0, "", err
	}
	for _, h := range a.Header {
		if h.Name == "Location" {
			return a.Status, h.Value, nil
		}
	}
	return a.Status, string(a.Body), nil
}

func TestAnswer(t *testing.T) {
	to := func(r mezu.Route, target string, status int) mezu.Route {
		r.Redirect = &mezu.Redirect{To: target, Status: status}
		return r
	}
	tab := table(t,
		to(mezu.Route{Exact: "/a"}, "/b?{query}", 0), to(mezu.Route{Prefix: "/old/", StripPrefix: "/old"}, "https://new.example{path}?{query}", 308),
		to(mezu.Route{Prefix: "/inner/", StripPrefix: "/inner/"}, "{path}", 301),
		mezu.Route{Exact: "/gone", Respond: &mezu.Respond{Status: 410, Body: "gone"}}, mezu.Route{Exact: "/empty", Respond: &mezu.Respond{}},
	)
	for _, c := range []struct {
		path, query string
		status      int
		says        string
	}{
		{"/a", "", 302, "/b"}, {"/a", "?x=1", 302, "/b?x=1"}, {"/old/x", "?x", 308, "https://new.example/x?x"}, {"/old/", "", 308, "https://new.example/"},
		{"/old//evil.example", "", 308, "https://new.example/evil.example"}, {"/inner/x/../evil.example", "", 301, "/evil.example"},
		{"/inner/evil.example", "", 301, "/evil.example"}, {"/gone", "", 410, "gone"}, {"/empty", "", 200, ""},
	} {
		if status, says, err := answer(t, tab, request(t, "GET", c.path), c.query); status != c.status || says != c.says || err != nil {
			t.Errorf("%s: %d %q %v, not %d %q", c.path, status, says, err, c.status, c.says)
		}
	}
}

// A redirect that leads back to its own route is not given, also if it does that by way of another
// route or by its own address. One that comes to an end is.
func TestAnswer_Loops(t *testing.T) {
	to := func(r mezu.Route, target string, status int) mezu.Route {
		r.Redirect = &mezu.Redirect{To: target, Status: status}
		return r
	}
	tab := table(t,
		to(mezu.Route{Exact: "/self"}, "/self?x=1", 0), to(mezu.Route{Exact: "/url"}, "https://SHOP.example:443/url", 0), to(mezu.Route{Exact: "/else"}, "https://shop.example:8443/else", 0),
		to(mezu.Route{Regexp: "/r/[a-z]+"}, "/r/x", 0), to(mezu.Route{Exact: "/one"}, "/two", 0), to(mezu.Route{Exact: "/two"}, "/one", 0), to(mezu.Route{Exact: "/to-one"}, "/one", 0),
		to(mezu.Route{Prefix: "/deep/"}, "/deep/er{path}", 0), to(mezu.Route{Prefix: "/cut/", StripPrefix: "/cut"}, "{path}", 0),
		to(mezu.Route{Exact: "/form", Methods: []string{"POST"}}, "/form", 303), to(mezu.Route{Exact: "/again", Methods: []string{"POST"}}, "/again", 307), mezu.Route{Exact: "/form"}, mezu.Route{Exact: "/again"},
		to(mezu.Route{Exact: "/tier", Headers: map[string]string{"X-Tier": "gold"}}, "/tier", 0), mezu.Route{Exact: "/tier"},
	)
	gold := func(lower, value string) bool { return lower == "x-tier" && value == "gold" }
	for _, c := range []struct {
		method, path string
		loops        bool
	}{
		{"GET", "/self", true}, {"GET", "/url", true}, {"GET", "/else", false}, {"GET", "/r/y", true}, {"GET", "/one", true}, {"GET", "/two", true}, {"GET", "/to-one", false},
		{"GET", "/deep/x", true}, {"GET", "/cut/cut/cut/x", false}, {"GET", "/cut/x", false}, {"POST", "/form", false}, {"POST", "/again", true}, {"GET", "/tier", true},
	} {
		r := request(t, c.method, c.path)
		r.Carries = gold
		_, location, err := answer(t, tab, r, "")
		if loops := mezu.CodeOf(err) == mezu.CodeRouteUnavailable; loops != c.loops || err != nil && !loops {
			t.Errorf("%s %s: to %q, %v", c.method, c.path, location, err)
		}
	}
}

// What a route with a login answers stays out of caches that others read.
func TestAnswer_Private(t *testing.T) {
	for auth, private := range map[mezu.AuthMode]bool{mezu.AuthNone: false, mezu.AuthOptional: true, mezu.AuthRequired: true} {
		tab := table(t, mezu.Route{Exact: "/a", Auth: auth, Redirect: &mezu.Redirect{To: "/x", Status: 301}}, mezu.Route{Exact: "/b", Auth: auth, Respond: &mezu.Respond{Body: "x"}})
		for _, path := range []string{"/a", "/b"} {
			r := request(t, "GET", path)
			r.Grant = grant()
			d := tab.Decide(r)
			a, err := tab.Answer(d.Route, r, "shop.example", "")
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, h := range a.Header {
				found = found || h == policy.Header{Name: "Cache-Control", Value: "private"}
			}
			if found != private {
				t.Errorf("%s with auth: %s: %v", path, auth, a.Header)
			}
		}
	}
}
