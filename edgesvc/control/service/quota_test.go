package service_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// A8: of each kind an owner has as many records as the quota says and no more, by
// whatever way they come; what is deleted makes room, and what another owner has is
// nobody else's matter.
func TestA8_Quotas(t *testing.T) {
	in := controltest.New(t)
	in.Quotas = control.Quotas{
		"projects": 2, "environments": 2, "routes": 2, "service_accounts": 2, "directories": 2, "users": 40, "members": 2, "invitations": 2, "tokens": 3,
	}
	in.Start()
	t.Cleanup(func() { in.Stop() })
	op := in.Operator()
	x := in.Tenant(op, "acme") // with one project and one environment
	full := func(c *api.Client, op api.Operation, body any, params ...string) {
		t.Helper()
		if e := controltest.Refused(t, mezu.CodeConflict, c, op, body, params...); e.Hint == "" {
			t.Errorf("%s: no next step: %v", op.ID, e)
		}
	}
	named := func(name string) map[string]any { return map[string]any{"name": name} }
	account := func(name string) map[string]any {
		return map[string]any{"name": name, "permissions": []string{"warpgate.register"}}
	}
	// have records there are already; one is made anew after another was deleted.
	for _, c := range []struct {
		create, remove api.Operation
		have           int
		body           func(string) map[string]any
		params         []string
	}{
		{api.OpCreateProject, api.OpDeleteProject, 1, named, []string{"acme"}},
		{api.OpCreateEnvironment, api.OpDeleteEnvironment, 1, named, []string{"acme", "shop"}},
		{api.OpCreateServiceAccount, api.OpDeleteServiceAccount, 0, account, []string{"acme", "shop"}},
		{api.OpCreateDirectory, api.OpDeleteDirectory, 0, named, []string{"acme", "shop"}},
		{api.OpCreateOrganizationDirectory, api.OpDeleteOrganizationDirectory, 0, named, []string{"acme"}},
		{api.OpCreateRoute, api.OpDeleteRoute, 0, func(name string) map[string]any { return map[string]any{"name": name, "exact": "/" + name} }, x.Path()},
	} {
		for i := range 2 - c.have {
			controltest.Call[any](t, op, c.create, c.body(fmt.Sprint("n", i)), c.params...)
		}
		full(op, c.create, c.body("more"), c.params...)
		controltest.Call[any](t, op, c.remove, nil, append(c.params, "n0")...)
		controltest.Call[any](t, op, c.create, c.body("n0"), c.params...)
		full(op, c.create, c.body("more"), c.params...)
	}
	full(op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"exact": "/a"}, map[string]any{"exact": "/b"}, map[string]any{"exact": "/c"}}}, x.Path()...)
	for _, m := range []mezu.Manifest{
		{Environments: map[string]mezu.ManifestEnvironment{"more": {}}},
		{Directories: map[string]mezu.ManifestDirectory{"more": {}}},
		{Environments: map[string]mezu.ManifestEnvironment{"production": {Routes: []mezu.Route{{Exact: "/a"}, {Exact: "/b"}, {Exact: "/c"}}}}},
	} {
		full(op, api.OpApplyProject, api.ApplyRequest{Manifest: m}, "acme", "shop")
	}
	users := []string{"acme", "shop", "n0"}
	user := func(i int) map[string]any {
		return map[string]any{"profile": map[string]any{"email": fmt.Sprintf("u%d@acme.example", i)}}
	}
	var last mezu.User
	for i := range 40 {
		last = controltest.Call[mezu.User](t, op, api.OpCreateUser, user(i), users...)
	}
	full(op, api.OpCreateUser, user(40), users...)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, append(users, last.ID)...)
	controltest.Call[any](t, op, api.OpCreateUser, user(40), users...)
	full(op, api.OpCreateUser, user(41), users...)

	_, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	late := in.Invite(op, "acme", "eve@acme.example", mezu.RoleViewer)
	in.Invite(op, "acme", "una@acme.example", mezu.RoleViewer)
	full(op, api.OpCreateInvitation, map[string]any{"email": "ida@acme.example", "role": "viewer"}, "acme")
	redeem := api.RedeemRequest{Code: late.Code, Email: "eve@acme.example"}
	full(in.Client("", nil), api.OpRedeemInvitation, redeem)
	controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	in.Secret(controltest.Call[api.RedeemResponse](t, in.Client("", nil), api.OpRedeemInvitation, redeem).Token)

	in.Token(op, map[string]any{})
	in.Token(op, map[string]any{}) // and the one it came with
	full(op, api.OpCreateToken, map[string]any{})

	y := in.Tenant(op, "other")
	controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, named("staging"), y.Org, y.Prj)
}

func TestQuotas_Settings(t *testing.T) {
	q, err := control.ParseQuotas([]string{"projects=5", "users=2000000"})
	if err != nil || len(q) != 2 || q["projects"] != 5 || q["users"] != 2_000_000 {
		t.Errorf("%v, %v", q, err)
	}
	for setting, want := range map[string]string{
		"projects": "NAME=NUMBER", "projects=many": "NAME=NUMBER", "orgs=1": `no quota "orgs"; there are projects, environments`,
		"projects=0": "between 1 and", "routes=10001": "between 1 and 10000", "tokens=501": "between 1 and 500",
	} {
		var e *mezu.Error
		if _, err := control.ParseQuotas([]string{setting}); !errors.As(err, &e) || e.Field != "quotas" || !strings.Contains(e.Detail, want) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	if _, err := control.ParseQuotas([]string{"users=1", "users=2"}); err == nil {
		t.Error("a quota given twice passes")
	}
}
