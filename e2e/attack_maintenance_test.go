package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// setEnvironment changes the environment's settings, and waits until its edge goes by them.
func (a *target) setEnvironment(t *testing.T, patch map[string]any, there func(*rawAnswer) bool) {
	t.Helper()
	invoke[mezu.Environment](a.world, a.client, api.OpUpdateEnvironment, patch, "acme", "shop", "production")
	client := a.http(a.edge)
	eventually(t, fmt.Sprint(patch), func() error {
		if got := a.fetch(t, client, "GET", "/p/probing", "X-Request-Id", "probing"); !there(got) {
			return fmt.Errorf("it answers %d %s", got.status, got.code)
		}
		return nil
	})
}

// TestMaintenance: an environment that is closed for maintenance says so to people and programs
// alike, on every path but those by which programs learn how it goes. Who is let in all the same
// notices nothing.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	a := newTarget(t, mezu.Route{Name: "p", Prefix: "/p/"}, mezu.Route{Name: "page", Exact: "/page", CORS: &mezu.CORS{AllowOrigins: []string{"https://app.example"}}}, mezu.Route{Name: "old", Exact: "/old", Redirect: &mezu.Redirect{To: "/page"}})
	a.expect("probing", delivery{method: "GET", target: "/p/probing", route: "p", any: true})
	closed := func(got *rawAnswer) bool { return got.code == string(mezu.CodeMaintenance) }
	open := func(got *rawAnswer) bool { return got.status == 200 }
	a.setEnvironment(t, map[string]any{"maintenance": map[string]any{"message": "Back at <noon>.", "retry_after": "90s"}}, closed)
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		for _, path := range []string{"/p/x", "/page", "/old", "/none", "/.mezu/login", "/.mezu/account"} {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				got := ask(method, path, "Origin", "https://app.example", "Access-Control-Request-Method", "GET")
				if got.status != 503 || method != "HEAD" && got.code != "maintenance" || got.header.Get("Retry-After") != "90" || got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Request-Id") == "" {
					t.Errorf("%s %s: %d %s %v", method, path, got.status, got.code, got.header)
				}
				if method == "GET" && !strings.Contains(got.body, "noon") {
					t.Errorf("%s %s says nothing of the message: %s", method, path, got.body)
				}
			}
		}
		got := ask("GET", "/page", "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
		if got.status != 503 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") || !strings.Contains(got.body, `>Back at &lt;noon&gt;.</p>`) || !strings.Contains(got.body, "<h1>Under maintenance</h1>") {
			t.Errorf("the page: %d %v\n%s", got.status, got.header, got.body)
		}
		for path, status := range map[string]int{"/.mezu/probe": 204, "/.mezu/session": 401, "/.mezu/jwks.json": 200} {
			if got := ask("GET", path); got.status == 503 {
				t.Errorf("%s: %d, not %d", path, got.status, status)
			}
		}
	})
	a.setEnvironment(t, map[string]any{"maintenance": map[string]any{"message": nil, "allow_ips": []string{"127.0.0.0/8"}}}, open)
	a.alive(t)
	a.setEnvironment(t, map[string]any{"maintenance": map[string]any{"allow_ips": []string{"192.0.2.0/24"}}}, closed)
	if got := a.fetch(t, a.http(a.edge), "GET", "/p/x"); !strings.Contains(got.body, "under maintenance") {
		t.Errorf("without a message of its own it says %s", got.body)
	}
	a.setEnvironment(t, map[string]any{"maintenance": nil}, open)
	a.alive(t)
	a.settle(t)
}

// TestEnvironmentAddresses: address rules of an environment count before its routes' and for its own
// pages, at the edge and at the Warpgate.
func TestEnvironmentAddresses(t *testing.T) {
	t.Parallel()
	a := newTarget(t, mezu.Route{Name: "p", Prefix: "/p/"}, mezu.Route{Name: "mine", Prefix: "/mine/", AllowIPs: []string{"127.0.0.1"}}, mezu.Route{Name: "gone", Exact: "/gone", Respond: &mezu.Respond{Status: 410}})
	a.expect("probing", delivery{method: "GET", target: "/p/probing", route: "p", any: true})
	kept := func(got *rawAnswer) bool { return got.code == string(mezu.CodeForbidden) }
	open := func(got *rawAnswer) bool { return got.status == 200 }
	for _, rules := range []map[string]any{{"allow_ips": []string{"10.0.0.0/8"}}, {"allow_ips": []string{"127.0.0.0/8"}, "deny_ips": []string{"127.0.0.1"}}} {
		a.setEnvironment(t, rules, kept)
		a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
			for _, path := range []string{"/p/x", "/mine/x", "/gone", "/.mezu/login", "/.mezu/session", "/.mezu/jwks.json", "/.mezu/probe"} {
				if got := ask("GET", path, "X-Forwarded-For", "10.0.0.1"); got.status != 403 || got.code != "forbidden" {
					t.Errorf("%s: %d %s", path, got.status, got.code)
				}
			}
			if got := ask("GET", "/none"); got.code != "no_route" && got.code != "forbidden" {
				t.Errorf("/none: %d %s", got.status, got.code)
			}
		})
	}
	a.setEnvironment(t, map[string]any{"allow_ips": []string{"127.0.0.1"}, "deny_ips": nil}, open)
	a.alive(t)
	a.settle(t)
}
