package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// verdict is what becomes of a path: the code of a refusal, or the path and the
// route that serve it.
type verdict struct {
	path  string
	code  mezu.Code
	sent  string
	route string
}

func (a *target) judge(t *testing.T, verdicts []verdict) {
	t.Helper()
	for _, v := range verdicts {
		if v.code != "" {
			a.refused(t, head("GET", v.path)+"\r\n", v.code)
			continue
		}
		a.accepted(t, head("GET", v.path)+"\r\n", v.route, "GET", v.sent, "")
	}
}

const closed = mezu.CodeUnauthenticated

func attackR1(t *testing.T, a *target) {
	a.judge(t, []verdict{
		{path: "//admin", code: closed}, {path: "///admin", code: closed}, {path: "/./admin", code: closed}, {path: "/public/../admin", code: closed},
		{path: "/public/%2e%2e/admin", code: closed}, {path: "/.//admin", code: closed}, {path: "/public/%2E./admin", code: closed}, {path: "/public/.%2e/admin/x", code: closed},
		{path: "/%61dmin", code: closed}, {path: "/%61%64%6d%69%6E", code: closed}, {path: "/../../admin", code: closed}, {path: "/public/./../admin?x", code: closed},
		{path: "/admin/../public/x", sent: "/public/x", route: "public"}, {path: "//public//x", sent: "/public/x", route: "public"}, {path: "/public/%7Ea%2D", sent: "/public/~a-", route: "public"},
		{path: "/public/a/..", sent: "/public/", route: "public"}, {path: "/public/.", sent: "/public/", route: "public"}, {path: "/public/%3a%2b", sent: "/public/%3A%2B", route: "public"},
		{path: "/public/x?a=//../%2e%2f", sent: "/public/x?a=//../%2e%2f", route: "public"},
	})
}

func attackR2(t *testing.T, a *target) {
	a.judge(t, []verdict{
		{path: "/public%2f..%2fadmin", code: bad}, {path: "/a%5cadmin", code: mezu.CodeNoRoute}, {path: `/a\admin`, code: bad}, {path: "/public%2fadmin", code: bad},
		{path: "/public/a%5cb", code: bad}, {path: "/public/a%2fb", code: bad}, {path: "/s/a%2fb", sent: "/s/a%2Fb", route: "slashes"}, {path: "/s/a%5Cb", sent: "/s/a%5Cb", route: "slashes"},
		{path: "/s/a%2f..%2fb", code: bad}, {path: "/s/..%5cadmin", code: bad}, {path: "/s/%2e%2e%2fadmin", code: bad}, {path: "/s/a%2f../admin", code: bad}, {path: "/s/%252e%252e%252fadmin", sent: "/s/%252e%252e%252fadmin", route: "slashes"},
	})
}

func attackR4(t *testing.T, a *target) {
	a.judge(t, []verdict{
		{path: "/public;/../admin", code: closed}, {path: "/admin;x=1", code: closed}, {path: "/admin;.css", code: closed}, {path: "/public/;/admin", sent: "/public/;/admin", route: "public"},
		{path: "/public/..;/admin", sent: "/public/..;/admin", route: "public"}, {path: "/;/admin", code: mezu.CodeNoRoute},
	})
}

func attackR5(t *testing.T, a *target) {
	for _, escape := range []string{"%00", "%0a", "%0d", "%ff", "%c0%ae", "%c0%ae%c0%ae/admin", "%u002e", "%", "%2", "%zz", "%e0%80%af", "%7f", "%1f", "%ed%a0%80", "\xff", "\xc0\xae"} {
		a.refused(t, head("GET", "/public/"+escape)+"\r\n", bad)
	}
	a.judge(t, []verdict{{path: "/public/%c3%a9", sent: "/public/%C3%A9", route: "public"}, {path: "/public/\xc3\xa9", sent: "/public/%C3%A9", route: "public"}})
}

func attackR7(t *testing.T, a *target) {
	a.judge(t, []verdict{
		{path: "/ADMIN", code: mezu.CodeNoRoute}, {path: "/Admin/", code: mezu.CodeNoRoute}, {path: "/admin.", code: closed}, {path: "/admin%20", code: closed}, {path: "/admin/", code: closed},
		{path: "/admi", code: mezu.CodeNoRoute}, {path: "/Public", code: mezu.CodeNoRoute}, {path: "/", code: mezu.CodeNoRoute}, {path: "/.mezu", code: mezu.CodeNoRoute}, {path: "/.mezu/x", code: mezu.CodeNoRoute},
		{path: "/public/../.mezu/login", code: mezu.CodeNoRoute}, {path: "/%2emezu/login", code: mezu.CodeNoRoute}, {path: "/.MEZU/login", code: mezu.CodeNoRoute},
	})
}

func attackR8(t *testing.T, a *target) {
	check := func() {
		t.Helper()
		a.judge(t, []verdict{
			{path: "/administrator", code: closed}, {path: "/exact/0", sent: "/exact/0", route: "zero"}, {path: "/exact/01", code: mezu.CodeNoRoute}, {path: "/exact/0/", code: mezu.CodeNoRoute},
			{path: "/public/secret", code: closed}, {path: "/public/secrets/of/state", code: closed}, {path: "/public/secre", sent: "/public/secre", route: "public"},
		})
	}
	check()
	routes := attackRoutes()
	slices.Reverse(routes)
	state := a.setRoutes(routes...)
	if !slices.ContainsFunc(state.Warnings, func(s string) bool { return strings.Contains(s, "/admin") }) {
		t.Errorf("no warning says what /admin covers, too: %q", state.Warnings)
	}
	a.applied(t, state.Position)
	check()
}

// applied waits until the edge and the Warpgate run the configuration at this
// position.
func (a *target) applied(t *testing.T, p mezu.Position) {
	t.Helper()
	eventually(t, "the configuration "+p.String(), func() error { return a.running(p) })
}

func attackR10(t *testing.T, a *target) {
	for _, host := range []string{strings.ToUpper(a.host), a.host + ".", a.host + ":443", a.host + ".:443", a.host + ":8443", a.host + "\t", "\t" + a.host + "  "} {
		a.accepted(t, "GET /public/10 HTTP/1.1\r\nHost: "+host+"\r\nX-Request-Id: {id}\r\n\r\n", "public", "GET", "/public/10", "")
		a.refused(t, "GET /admin/10 HTTP/1.1\r\nHost: "+host+"\r\nX-Request-Id: {id}\r\n\r\n", closed)
	}
	other := strings.TrimSuffix(a.host, "localhost")
	for _, host := range []string{"xn--" + a.host, "localhost", other + "example.com", "other.localhost", a.host + ".localhost", "127.0.0.1", "[::1]:443", "sub." + a.host} {
		a.refused(t, "GET /public/10 HTTP/1.1\r\nHost: "+host+"\r\nX-Request-Id: {id}\r\n\r\n", mezu.CodeWrongHost)
	}
}

func attackR12(t *testing.T, a *target) {
	got := a.refused(t, head("GET", "/unenforced/x")+"\r\n", mezu.CodeRouteUnavailable)
	if got.header.Get("Retry-After") == "" {
		t.Errorf("there is no Retry-After: %v", got.header)
	}
}

func attackR15(t *testing.T, a *target) {
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Original-Method", "x-original-uri", "X-Forwarded-Uri", "X-Forwarded-Method"} {
		for _, value := range []string{"/admin", "DELETE", "/public/x"} {
			m := a.accepted(t, head("GET", "/public/15")+name+": "+value+"\r\n\r\n", "public", "GET", "/public/15", "")
			if m.count(name) > 0 {
				t.Errorf("the workload received %v", m)
			}
			a.refused(t, head("GET", "/admin/15")+name+": "+value+"\r\n\r\n", closed)
			a.refused(t, head("POST", "/get")+name+": GET\r\nContent-Length: 0\r\n\r\n", mezu.CodeMethodNotAllowed)
		}
	}
}
