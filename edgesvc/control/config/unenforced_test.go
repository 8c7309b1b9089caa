package config_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/policy"
)

// What this version does not enforce yet is kept, its route is closed, and its author
// is told in the same answer, by field.
func TestUnenforcedFields(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	judged := func(path string) mezu.Code {
		t.Helper()
		_, out := in.Register(key, "")
		b := controltest.DecodeBundle(t, out.Bundle)
		table, err := policy.Compile(&b)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := mezu.CanonicalPath(path)
		if err != nil {
			t.Fatal(err)
		}
		return table.Decide(&policy.Request{Method: "GET", Path: canonical}).Code
	}
	fields := map[string]any{
		"auth_methods": []string{"basic"},
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		value := fields[field]
		exact := "/" + field
		plain := controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"exact": exact, "name": strings.ReplaceAll(field, "_", "-")}, x.Path()...)
		if len(plain.Warnings) != 0 || judged(exact) != "" {
			t.Errorf("%s: a plain route: %q, %q", field, plain.Warnings, judged(exact))
		}
		got := controltest.Call[api.RouteWritten](t, op, api.OpUpdateRoute, map[string]any{field: value}, x.Path(plain.ID)...)
		if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], ": "+field+" is not enforced") {
			t.Errorf("%s: warnings %q", field, got.Warnings)
		}
		if code := judged(exact); code != mezu.CodeRouteUnavailable {
			t.Errorf("%s: the route answers %q", field, code)
		}
		if shown := controltest.Call[mezu.Route](t, op, api.OpGetRoute, nil, x.Path(plain.ID)...); len(shown.Unenforced()) != 1 {
			t.Errorf("%s was not kept: %+v", field, shown)
		}
		controltest.Call[any](t, op, api.OpDeleteRoute, nil, x.Path(plain.ID)...)
		if made := controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"exact": exact, field: value}, x.Path()...); len(made.Warnings) != 1 {
			t.Errorf("%s: warnings at creation %q", field, made.Warnings)
		}
	}
	state := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if len(state.Warnings) != len(fields) {
		t.Errorf("listed warnings: %q", state.Warnings)
	}
}

// A directory that asks for a second factor closes the routes that ask for a login, in every
// environment that names it and before the call returns, and opens them again. Who writes it,
// or an environment that names it, is told.
func TestUnenforced_MFA(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	production := x.Environment
	controltest.Call[any](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	controltest.Call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "own"}, "acme", "shop")
	controltest.Call[any](t, op, api.OpCreateOrganizationDirectory, map[string]any{"name": "wide"}, "acme")
	environment := func(project, name, directory string) mezu.Environment {
		return controltest.Call[api.EnvironmentWritten](t, op, api.OpCreateEnvironment, map[string]any{"name": name, "directory": directory}, "acme", project).Environment
	}
	staging, blog, other := environment("shop", "staging", "own"), environment("blog", "production", "wide"), environment("blog", "other", "")
	controltest.Call[any](t, op, api.OpUpdateEnvironment, map[string]any{"directory": "wide"}, x.Path()...)
	routes := map[string]any{"routes": []any{map[string]any{"prefix": "/"}, map[string]any{"prefix": "/in/", "auth": "required"}, map[string]any{"prefix": "/both/", "auth": "optional"}}}
	controltest.Call[any](t, op, api.OpReplaceRoutes, routes, x.Path()...)
	warned := func(what string, warnings []string, want bool) {
		t.Helper()
		if want && (len(warnings) != 1 || !strings.HasPrefix(warnings[0], "mfa: required is not enforced")) || !want && len(warnings) != 0 {
			t.Errorf("%s: %q", what, warnings)
		}
	}
	set := func(mode string, op api.Operation, params ...string) {
		t.Helper()
		got := controltest.Call[api.DirectoryWritten](t, x.Owner, op, map[string]any{"mfa": mode}, params...)
		warned(op.ID, got.Warnings, mode == "required")
	}
	closed := func(what string, want ...mezu.Environment) {
		t.Helper()
		for _, e := range []mezu.Environment{production, staging, blog, other} {
			b, text := published(t, in, e.ID)
			is := slices.ContainsFunc(want, func(w mezu.Environment) bool { return w.ID == e.ID })
			if b.MFARequired != is || strings.Contains(text, "mfa_required") != is {
				t.Errorf("%s: %s of %s is closed: %v", what, e.Name, e.Project, b.MFARequired)
			}
		}
	}
	closed("at first")
	set("required", api.OpUpdateOrganizationDirectory, "acme", "wide")
	closed("the organization's", production, blog)
	b, _ := published(t, in, production.ID)
	table, err := policy.Compile(&b)
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]mezu.Code{"/": "", "/in/": mezu.CodeRouteUnavailable, "/both/": mezu.CodeRouteUnavailable} {
		path, err := mezu.CanonicalPath(raw)
		if err != nil {
			t.Fatal(err)
		}
		d := table.Decide(&policy.Request{Method: "GET", Path: path, Grant: &mezu.Grant{User: "usr_1", Directory: b.Directory, Environment: production.ID}})
		if d.Code != want || want != "" && d.Route.Closed != "mfa" {
			t.Errorf("%s: %q, want %q", raw, d.Code, want)
		}
	}
	set("required", api.OpUpdateDirectory, "acme", "shop", "own")
	closed("both", production, blog, staging)
	// A change that says nothing of it makes no bundle.
	before := in.Records("stream/bundle/")
	set("required", api.OpUpdateDirectory, "acme", "shop", "own")
	if !maps.Equal(before, in.Records("stream/bundle/")) {
		t.Error("bundles were published for nothing")
	}
	set("off", api.OpUpdateOrganizationDirectory, "acme", "wide")
	closed("the project's", staging)
	warned("another directory", controltest.Call[api.EnvironmentWritten](t, op, api.OpUpdateEnvironment, map[string]any{"directory": "own"}, x.Path()...).Warnings, true)
	closed("one that names it", staging, production)
	warned("no directory", controltest.Call[api.EnvironmentWritten](t, op, api.OpUpdateEnvironment, map[string]any{"directory": nil}, x.Path()...).Warnings, false)
	closed("one that does not any more", staging)
	warned("a new directory", controltest.Call[api.DirectoryWritten](t, op, api.OpCreateDirectory, map[string]any{"name": "new", "mfa": "required"}, "acme", "blog").Warnings, true)
	if left := in.Records("pending/"); len(left) != 0 {
		t.Errorf("tasks are left: %v", left)
	}
}

// A process that ends between the change of a directory and the bundles leaves them to the next
// one.
func TestUnenforced_MFAAfterAKill(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	dir := controltest.Call[mezu.Directory](t, op, api.OpCreateOrganizationDirectory, map[string]any{"name": "wide"}, "acme")
	controltest.Call[any](t, op, api.OpUpdateEnvironment, map[string]any{"directory": "wide"}, x.Path()...)
	org := controltest.Call[mezu.Organization](t, op, api.OpGetOrganization, nil, "acme")
	dir.MFA = mezu.MFARequired
	task := record.Task{Kind: record.TaskDirectory, ID: dir.ID, Organization: org.ID}
	var txn store.Txn
	for key, v := range map[string]any{"dir/" + org.ID + "/wide": dir, record.KeyTask(task.Kind, task.ID): task} {
		value, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		txn.Ops = append(txn.Ops, store.Op{Key: key, Value: value})
	}
	if _, err := in.Store.Commit(t.Context(), txn); err != nil {
		t.Fatal(err)
	}
	if b, _ := published(t, in, x.Environment.ID); b.MFARequired {
		t.Fatal("it is closed already")
	}
	in.Restart()
	controltest.Eventually(t, "the bundle to say it", func() bool {
		b, _ := published(t, in, x.Environment.ID)
		return b.MFARequired && len(in.Records("pending/")) == 0
	})
}

// An apply that has a directory ask for a second factor closes the environments of its
// manifest with the change, and the others of the project soon after.
func TestUnenforced_MFAByApply(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	of := func(mode mezu.MFAMode, names ...string) mezu.Manifest {
		m := mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{"own": {MFA: mode}}, Environments: map[string]mezu.ManifestEnvironment{}}
		for _, name := range names {
			m.Environments[name] = mezu.ManifestEnvironment{Directory: "own"}
		}
		return m
	}
	closed := func(answer api.ApplyResponse, want bool) {
		t.Helper()
		about := slices.ContainsFunc(answer.Warnings, func(w string) bool { return strings.Contains(w, "mfa: required is not enforced") })
		if about != want || len(answer.Warnings) > 1 {
			t.Errorf("warnings %q", answer.Warnings)
		}
		for _, e := range controltest.Call[api.List[mezu.Environment]](t, op, api.OpListEnvironments, nil, "acme", "shop").Items {
			if b, _ := published(t, in, e.ID); b.MFARequired != want || b.Directory == "" {
				t.Errorf("%s is closed: %v", e.Name, b.MFARequired)
			}
		}
	}
	closed(apply(x, of("", "production", "staging")), false)
	closed(apply(x, of(mezu.MFARequired, "production")), true) // staging is not named
	again := apply(x, of(mezu.MFARequired, "production"))
	if again.Applied {
		t.Errorf("%+v", again.Changes)
	}
	closed(again, true)
	closed(apply(x, mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"production": {Directory: "own"}}}), true) // the directory is not named
	closed(apply(x, of(mezu.MFAOff, "production", "staging"), prune), false)
	// A new directory and what names it, at once.
	x = &controltest.Tenant{In: in, Owner: op, Org: "acme", Prj: "new"}
	apply(x, of(mezu.MFARequired, "production"))
	for _, e := range controltest.Call[api.List[mezu.Environment]](t, op, api.OpListEnvironments, nil, "acme", "new").Items {
		if b, _ := published(t, in, e.ID); !b.MFARequired {
			t.Errorf("%+v", b)
		}
	}
}

// published is the bundle of an environment in the stream, and its text.
func published(t *testing.T, in *controltest.Installation, environment string) (b mezu.Bundle, text string) {
	t.Helper()
	var kept record.StreamRecord
	var signed mezu.Signed
	key := record.KeyBundle(environment)
	err := json.Unmarshal([]byte(in.Records(key)[key]), &kept)
	if err == nil {
		err = json.Unmarshal(kept.Signed.Inline, &signed)
	}
	if err == nil {
		err = json.Unmarshal(signed.Payload, &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b, string(signed.Payload)
}
