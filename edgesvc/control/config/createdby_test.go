package config_test

import (
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// An environment tells who made it, by whatever way, and whoever changes it later is not that.
func TestEnvironment_CreatedBy(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	owner := controltest.Call[api.Self](t, x.Owner, api.OpSelf, nil)
	_, key := x.Account("ci", mezu.PermEnvironmentsWrite, mezu.PermEnvironmentsRead)
	account := in.Client(key, nil)
	ci := controltest.Call[api.Self](t, account, api.OpSelf, nil)
	if ci.Name != "ci" || ci.OrganizationName != x.Org || ci.ProjectName != x.Prj {
		t.Errorf("an account does not know its names: %+v", ci)
	}

	made := func(c *api.Client, name string) mezu.Environment {
		return controltest.Call[mezu.Environment](t, c, api.OpCreateEnvironment, map[string]any{"name": name}, x.Org, x.Prj)
	}
	if got := made(x.Owner, "dev-ada").CreatedBy; got == "" || got != owner.ID {
		t.Errorf("created by %q, not %q", got, owner.ID)
	}
	if got := made(account, "ci-ci").CreatedBy; got == "" || got != ci.ID {
		t.Errorf("created by %q, not %q", got, ci.ID)
	}
	apply(x, mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"ci-ci": {}, "applied": {}}})
	for name, want := range map[string]string{"applied": owner.ID, "ci-ci": ci.ID} {
		if got := controltest.Call[mezu.Environment](t, x.Owner, api.OpGetEnvironment, nil, x.Org, x.Prj, name).CreatedBy; got != want {
			t.Errorf("%s: created by %q, not %q", name, got, want)
		}
	}
	if got := controltest.Call[mezu.Environment](t, x.Owner, api.OpUpdateEnvironment, map[string]any{"waf": "detect"}, x.Org, x.Prj, "ci-ci").CreatedBy; got != ci.ID {
		t.Errorf("after a change: created by %q", got)
	}
	for _, body := range []map[string]any{{"created_by": owner.ID}, {"created_by": nil}} {
		controltest.Refused(t, mezu.CodeInvalid, account, api.OpUpdateEnvironment, body, x.Org, x.Prj, "dev-ada")
	}
	controltest.Refused(t, mezu.CodeInvalid, account, api.OpCreateEnvironment, map[string]any{"name": "mine", "created_by": owner.ID}, x.Org, x.Prj)
}
