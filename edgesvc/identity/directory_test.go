package identity_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/policy"
)

// Directories of a project and of its organization live beside each other under the
// same names and rules.
func TestDirectories(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	for _, scope := range []struct {
		list, create, get, update, remove api.Operation
		params                            []string
		project                           string
	}{
		{api.OpListDirectories, api.OpCreateDirectory, api.OpGetDirectory, api.OpUpdateDirectory, api.OpDeleteDirectory, []string{x.Org, x.Prj}, x.Prj},
		{api.OpListOrganizationDirectories, api.OpCreateOrganizationDirectory, api.OpGetOrganizationDirectory, api.OpUpdateOrganizationDirectory,
			api.OpDeleteOrganizationDirectory, []string{x.Org}, ""},
	} {
		made := controltest.Call[mezu.Directory](t, op, scope.create, map[string]any{"name": "customers", "signup": "open"}, scope.params...)
		if made.Organization != x.Org || made.Project != scope.project || mezu.ValidateID("", mezu.PrefixDirectory, made.ID) != nil || made.Revision != 1 {
			t.Fatalf("%s: %+v", scope.create.ID, made)
		}
		one := append(scope.params[:len(scope.params):len(scope.params)], "customers")
		controltest.Refused(t, mezu.CodeConflict, op, scope.create, map[string]any{"name": "customers"}, scope.params...)
		if got := controltest.Call[mezu.Directory](t, op, scope.get, nil, append(one[:len(one)-1:len(one)-1], made.ID)...); !reflect.DeepEqual(got, made) {
			t.Errorf("%s by id: %+v", scope.get.ID, got)
		}
		changed := controltest.Call[mezu.Directory](t, op, scope.update, map[string]any{"mfa": "required", "password": map[string]any{"min_length": 8}}, one...)
		if changed.Signup != mezu.SignupOpen || changed.MFA != mezu.MFARequired || changed.Revision != 2 || changed.Project != scope.project {
			t.Errorf("%s: %+v", scope.update.ID, changed)
		}
		if e := controltest.Refused(t, mezu.CodeInvalid, op, scope.update, map[string]any{"mfa": "off"}, one...); e.Field != "password.min_length" {
			t.Errorf("%s: %v", scope.update.ID, e)
		}
		if e := controltest.Refused(t, mezu.CodeInvalid, op, scope.update, map[string]any{"name": "others"}, one...); e.Field != "name" {
			t.Errorf("%s: %v", scope.update.ID, e)
		}
		if err := op.Do(t.Context(), api.Call{Operation: scope.remove, Params: one, IfMatch: 1}, nil); mezu.CodeOf(err) != mezu.CodePreconditionFailed {
			t.Errorf("%s in an old revision: %v", scope.remove.ID, err)
		}
		if all := controltest.Call[api.List[mezu.Directory]](t, op, scope.list, nil, scope.params...); len(all.Items) != 1 || !reflect.DeepEqual(all.Items[0], changed) {
			t.Errorf("%s: %+v", scope.list.ID, all)
		}
	}
	// An owner goes when nothing of it is left.
	controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, x.Path()...)
	if e := controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteProject, nil, x.Org, x.Prj); !strings.Contains(e.Detail, "directories") {
		t.Error(e)
	}
	controltest.Call[any](t, op, api.OpDeleteDirectory, nil, x.Org, x.Prj, "customers")
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetDirectory, nil, x.Org, x.Prj, "customers")
	controltest.Call[any](t, op, api.OpDeleteProject, nil, x.Org, x.Prj)
	if e := controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteOrganization, nil, x.Org); !strings.Contains(e.Detail, "directories") {
		t.Error(e)
	}
	controltest.Call[any](t, op, api.OpDeleteOrganizationDirectory, nil, x.Org, "customers")
	controltest.Call[any](t, op, api.OpDeleteOrganization, nil, x.Org)
}

// The settings of a directory are kept as they were written, and a patch changes what it
// names. What is unknown, has another type or is over its limit is refused by its field.
func TestDirectory_Settings(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	all := map[string]any{
		"name": "customers", "domains": []string{"acme.example"}, "require": []string{"name"}, "terms": map[string]any{"url": "https://acme.example/terms", "version": "1"},
		"session": map[string]any{"idle": "12h", "absolute": "7d"}, "brand": map[string]any{"name": "Acme", "color": "#0b5fff"},
	}
	const hour = mezu.Duration(time.Hour)
	want := mezu.Directory{
		Name: "customers", Organization: x.Org, Project: x.Prj, Domains: []string{"acme.example"}, Require: []mezu.ProfileField{mezu.RequireName},
		Terms: mezu.Terms{URL: "https://acme.example/terms", Version: "1"}, Session: mezu.SessionPolicy{Idle: 12 * hour, Absolute: 168 * hour},
		Brand: mezu.Brand{Name: "Acme", Color: "#0b5fff"},
	}
	same := func(got mezu.Directory) {
		t.Helper()
		want.Meta = got.Meta
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nnot %+v", got, want)
		}
	}
	same(controltest.Call[mezu.Directory](t, op, api.OpCreateDirectory, all, x.Org, x.Prj))
	for _, c := range []struct {
		field string
		patch map[string]any
	}{
		{"domains", map[string]any{"domains": []string{"ACME.example"}}},
		{"domains", map[string]any{"domains": "acme.example"}},
		{"domains", map[string]any{"domains": make([]string, mezu.MaxDirectoryDomains+1)}},
		{"require[0]", map[string]any{"require": []any{1}}},
		{"require", map[string]any{"require": []string{"name", "display_name", "email"}}},
		{"terms.version", map[string]any{"terms": map[string]any{"version": nil}}},
		{"terms.since", map[string]any{"terms": map[string]any{"since": "2026"}}},
		{"session.idle", map[string]any{"session": map[string]any{"idle": "8d"}}},
		{"session.idle", map[string]any{"session": map[string]any{"idle": 5}}},
		{"session.absolute", map[string]any{"session": map[string]any{"absolute": "31d"}}},
		{"brand.color", map[string]any{"brand": map[string]any{"color": "red"}}},
		{"brand.logo", map[string]any{"brand": map[string]any{"logo": "x"}}},
		{"brand.logo", map[string]any{"brand": map[string]any{"logo": nil}}},
		{"logo", map[string]any{"logo": "x"}},
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateDirectory, c.patch, x.Org, x.Prj, "customers"); e.Field != c.field {
			t.Errorf("%v: %v", c.patch, e)
		}
		c.patch["name"] = "others"
		controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateDirectory, c.patch, x.Org, x.Prj)
	}
	want.Session.Idle, want.Domains, want.Terms = 0, nil, mezu.Terms{}
	want.Brand.Color = ""
	same(controltest.Call[mezu.Directory](t, op, api.OpUpdateDirectory, map[string]any{"session": map[string]any{"idle": nil}, "domains": nil, "terms": nil, "brand": map[string]any{"color": nil}}, x.Org, x.Prj, "customers"))
}

// An environment names a directory of its project before one of the organization,
// and keeps the one that it got; a directory that is named stays.
func TestEnvironment_Directory(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateEnvironment, map[string]any{"directory": "customers"}, x.Path()...); e.Field != "directory" {
		t.Error(e)
	}
	if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateEnvironment, map[string]any{"name": "e", "directory": "customers"}, x.Org, x.Prj); e.Field != "directory" {
		t.Error(e)
	}
	wide := controltest.Call[mezu.Directory](t, op, api.OpCreateOrganizationDirectory, map[string]any{"name": "customers"}, x.Org)
	env := controltest.Call[mezu.Environment](t, op, api.OpUpdateEnvironment, map[string]any{"directory": "customers"}, x.Path()...)
	if env.DirectoryID != wide.ID {
		t.Fatalf("environment %+v", env)
	}
	own := controltest.Call[mezu.Directory](t, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	env = controltest.Call[mezu.Environment](t, op, api.OpUpdateEnvironment, map[string]any{"enabled": false, "directory": "customers"}, x.Path()...)
	if env.DirectoryID != wide.ID {
		t.Errorf("another directory of the name took over: %+v", env)
	}
	staging := controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging", "directory": "customers"}, x.Org, x.Prj)
	if staging.DirectoryID != own.ID {
		t.Errorf("the project's own does not come first: %+v", staging)
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteOrganizationDirectory, nil, x.Org, "customers")
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteDirectory, nil, x.Org, x.Prj, "customers")
	env = controltest.Call[mezu.Environment](t, op, api.OpUpdateEnvironment, map[string]any{"directory": nil}, x.Path()...)
	if env.Directory != "" || env.DirectoryID != "" {
		t.Errorf("environment %+v", env)
	}
	controltest.Call[any](t, op, api.OpDeleteOrganizationDirectory, nil, x.Org, "customers")
	controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, x.Org, x.Prj, "staging")
	controltest.Call[any](t, op, api.OpDeleteDirectory, nil, x.Org, x.Prj, "customers")
}

// Environments that name a directory while it is deleted: one of the two fails, and
// no environment is left with a directory that does not exist.
func TestEnvironment_DirectoryDeletedMeanwhile(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	for range 8 {
		dir := controltest.Call[mezu.Directory](t, op, api.OpCreateDirectory, map[string]any{"name": "d"}, x.Org, x.Prj)
		won, lost := controltest.Race(2, func(i int) error {
			if i == 0 {
				_, err := api.Invoke[any](t.Context(), op, api.OpDeleteDirectory, nil, x.Org, x.Prj, "d")
				return err
			}
			_, err := api.Invoke[any](t.Context(), op, api.OpUpdateEnvironment, map[string]any{"directory": "d"}, x.Path()...)
			return err
		})
		env := controltest.Call[mezu.Environment](t, op, api.OpGetEnvironment, nil, x.Path()...)
		_, err := api.Invoke[mezu.Directory](t.Context(), op, api.OpGetDirectory, nil, x.Org, x.Prj, "d")
		if won != 1 || (env.DirectoryID == dir.ID) != (err == nil) {
			t.Fatalf("%d won, lost %v; environment names %q, directory: %v", won, lost, env.DirectoryID, err)
		}
		if err == nil {
			controltest.Call[any](t, op, api.OpUpdateEnvironment, map[string]any{"directory": nil}, x.Path()...)
			controltest.Call[any](t, op, api.OpDeleteDirectory, nil, x.Org, x.Prj, "d")
		}
	}
}

// A directory that is missing, though nothing here lets it go, closes the routes that
// ask for a login and no others.
func TestEnvironment_MissingDirectoryClosesRoutes(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	e, enrolled := in.Enrol(op, "edge-1")
	dir := controltest.Call[mezu.Directory](t, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	controltest.Call[any](t, op, api.OpUpdateEnvironment, map[string]any{"directory": "customers"}, x.Path()...)
	routes := []any{map[string]any{"prefix": "/"}, map[string]any{"prefix": "/in/", "auth": "required"}, map[string]any{"prefix": "/both/", "auth": "optional"}}
	controltest.Call[any](t, op, api.OpReplaceRoutes, map[string]any{"routes": routes}, x.Path()...)
	f := controltest.NewFollower(t, enrolled)
	s := controltest.OpenStream(t, in.Client("", e.Cert), mezu.Position{})
	f.Until(s, "the snapshot", func() bool { return f.Synced })
	if b := f.Bundles[x.Environment.ID]; b.Directory != dir.ID || b.DirectoryMissing {
		t.Fatalf("bundle %+v", b)
	}
	key, err := in.Store.Get(t.Context(), "id/"+dir.ID)
	if err != nil {
		t.Fatal(err)
	}
	var record string
	if err := json.Unmarshal(key.Value, &record); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: record, Delete: true}}}); err != nil {
		t.Fatal(err)
	}
	controltest.Call[any](t, op, api.OpUpdateEnvironment, map[string]any{"waf": "off"}, x.Path()...)
	f.Until(s, "the bundle without its directory", func() bool { return f.Bundles[x.Environment.ID].DirectoryMissing })
	table, err := policy.Compile(f.Bundles[x.Environment.ID])
	if err != nil {
		t.Fatal(err)
	}
	grant := &mezu.Grant{User: "usr_1", Directory: dir.ID, Environment: x.Environment.ID, NotAfter: time.Now().Add(time.Hour)}
	for raw, want := range map[string]mezu.Code{"/": "", "/in/": mezu.CodeRouteUnavailable, "/both/": mezu.CodeRouteUnavailable} {
		path, err := mezu.CanonicalPath(raw)
		if err != nil {
			t.Fatal(err)
		}
		if d := table.Decide(&policy.Request{Method: "GET", Path: path, Grant: grant}); d.Code != want {
			t.Errorf("%s: %q, want %q", raw, d.Code, want)
		}
	}
}
