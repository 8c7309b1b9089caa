package policy_test

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	environment = "env_00000000000000000000000001"
	foreign     = "env_00000000000000000000000002"
)

var client = netip.MustParseAddr("203.0.113.7")

func bundle(routes ...mezu.Route) *mezu.Bundle {
	return &mezu.Bundle{
		Position: mezu.Position{Epoch: 1, Revision: 7}, Environment: environment, Endpoint: "shop-acme",
		Enabled: true, Issued: time.Unix(0, 0), Routes: routes,
		Roles: map[string]mezu.ProjectRole{
			"staff":   {Permissions: []string{"orders.read", "orders.write"}},
			"auditor": {Permissions: []string{"orders.read", "books.read"}},
			"guest":   {},
		},
	}
}

func compile(t testing.TB, b *mezu.Bundle) *policy.Table {
	t.Helper()
	table, err := policy.Compile(b)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func table(t testing.TB, routes ...mezu.Route) *policy.Table {
	t.Helper()
	return compile(t, bundle(routes...))
}

// request makes a request as a listener would: the raw path is made canonical.
func request(t testing.TB, method, raw string) *policy.Request {
	t.Helper()
	path, err := mezu.CanonicalPath(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Request{Method: method, Path: path, Client: client}
}

func grant(roles ...string) *mezu.Grant {
	return &mezu.Grant{User: "usr_1", Environment: environment, Roles: roles}
}

// name is the label of the chosen route, "" for none.
func name(d policy.Decision) string {
	if d.Route == nil {
		return ""
	}
	return d.Route.Label()
}

// expect judges and checks code and route.
func expect(t testing.TB, table *policy.Table, r *policy.Request, code mezu.Code, route string) policy.Decision {
	t.Helper()
	d := table.Decide(r)
	if d.Code != code || name(d) != route {
		t.Errorf("%s %s: code %q by route %q, want %q by %q", r.Method, r.Path.Path, d.Code, name(d), code, route)
	}
	return d
}
