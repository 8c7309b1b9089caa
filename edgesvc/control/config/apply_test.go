package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/logo"
)

// apply applies a manifest, which must succeed.
func apply(x *controltest.Tenant, m mezu.Manifest, with ...func(*api.ApplyRequest)) api.ApplyResponse {
	x.In.T.Helper()
	req := api.ApplyRequest{Manifest: m}
	for _, w := range with {
		w(&req)
	}
	return controltest.Call[api.ApplyResponse](x.In.T, x.Owner, api.OpApplyProject, req, x.Org, x.Prj)
}

func prune(r *api.ApplyRequest)  { r.Prune = true }
func dryRun(r *api.ApplyRequest) { r.DryRun = true }

func export(x *controltest.Tenant) mezu.Manifest {
	x.In.T.Helper()
	return controltest.Call[mezu.Manifest](x.In.T, x.Owner, api.OpExportProject, nil, x.Org, x.Prj)
}

func routes(values ...string) []mezu.Route {
	out := make([]mezu.Route, len(values))
	for i, v := range values {
		out[i] = mezu.Route{Prefix: v}
	}
	return out
}

// shopManifest uses every part of a manifest.
func shopManifest() mezu.Manifest {
	on, off := true, false
	return mezu.Manifest{
		Organization: "acme", Project: "shop",
		Directories: map[string]mezu.ManifestDirectory{"customers": {
			Signup: mezu.SignupOpen, Domains: []string{"acme.example", "a.example"}, Password: mezu.PasswordPolicy{MinLength: 20}, Require: []mezu.ProfileField{mezu.RequireName},
			Terms: mezu.Terms{URL: "https://acme.example/", Version: "1"}, Session: mezu.SessionPolicy{Idle: mezu.MinSession}, Brand: mezu.ManifestBrand{Name: "Acme", Color: "#0b5fff"},
		}},
		Environments: map[string]mezu.ManifestEnvironment{
			"production": {Enabled: &on, Directory: "customers", WAF: mezu.WAFBlock, Routes: []mezu.Route{
				{Exact: "/health"}, {Name: "api", Prefix: "/api/", Upstream: "localhost:8080", Auth: mezu.AuthRequired, Roles: []string{"staff"}, Headers: map[string]string{"X-A": "b"}},
			}},
			"staging": {Enabled: &off, Directory: "customers", Routes: routes("/")},
			"empty":   {},
		},
		Roles: map[string]mezu.ProjectRole{"staff": {Permissions: []string{"orders.read"}}},
	}
}

func TestApply_WholeManifest(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	controltest.Call[mezu.Organization](t, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	edge, enrolled := in.Enrol(op, "edge-1")
	x := &controltest.Tenant{In: in, Owner: op, Org: "acme", Prj: "shop"}

	planned := apply(x, shopManifest(), dryRun)
	if planned.Applied || len(planned.Changes) == 0 {
		t.Fatalf("%+v", planned)
	}
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetProject, nil, "acme", "shop")
	done := apply(x, shopManifest())
	if !done.Applied || len(done.Changes) != len(planned.Changes) || done.Changes[0].Path != "project" || len(done.Environments) != 3 || done.Environments[1].URL != "https://shop-acme.localhost:8443" {
		t.Fatalf("%+v", done)
	}
	if w := strings.Join(done.Warnings, "\n"); !strings.Contains(w, "environment") && w != "" {
		t.Error(w)
	}
	// The edges got all of it.
	f := controltest.NewFollower(t, enrolled)
	stream, err := in.Client("", edge.Cert).Stream(t.Context(), mezu.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for !f.Synced {
		e, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		f.Take(e)
	}
	production := f.Bundles[done.Environments[1].ID]
	if len(f.Bundles) != 3 || production == nil || len(production.Routes) != 2 || production.Directory == "" || production.DirectoryMissing || production.Roles["staff"].Permissions[0] != "orders.read" {
		t.Errorf("%+v", production)
	}
	if b := f.Bundles[done.Environments[2].ID]; b == nil || b.Enabled {
		t.Errorf("%+v", b)
	}
	// An apply of an export changes nothing: no record is written, no bundle made.
	before := in.Records("")
	exported := export(x)
	again := apply(x, exported)
	if again.Applied || len(again.Changes) != 0 || len(again.Environments) != 3 || again.Environments[1].URL != done.Environments[1].URL {
		t.Errorf("%+v", again)
	}
	if after := in.Records(""); !maps.Equal(before, after) {
		t.Error("an apply of an export wrote to the store")
	}
	// And one of the file does neither.
	if again := apply(x, shopManifest(), prune); again.Applied {
		t.Errorf("%+v", again)
	}
	// A9: one record for all of it.
	var audited []mezu.AuditRecord
	for _, value := range in.Records("audit/" + mustOrganization(t, op).ID) {
		var r mezu.AuditRecord
		if err := json.Unmarshal([]byte(value), &r); err != nil {
			t.Fatal(err)
		}
		if r.Operation == api.OpApplyProject.ID {
			audited = append(audited, r)
		}
	}
	if len(audited) != 1 || audited[0].Before != nil || !strings.Contains(string(audited[0].After), `"sha256":"`) || !strings.Contains(string(audited[0].After), "environments.production.routes[api]") {
		t.Errorf("%+v", audited)
	}
}

func mustOrganization(t *testing.T, op *api.Client) mezu.Organization {
	t.Helper()
	return controltest.Call[mezu.Organization](t, op, api.OpGetOrganization, nil, "acme")
}

func TestApply_ChangesWhatDiffers(t *testing.T) {
	in := controltest.Install(t)
	x := in.Tenant(in.Operator(), "acme")
	m := shopManifest()
	apply(x, m)
	list := func(env string) api.RoutesState {
		return controltest.Call[api.RoutesState](t, x.Owner, api.OpListRoutes, nil, x.Org, x.Prj, env)
	}
	before := list("production")
	staging := list("staging")
	// Routes keep their ids, unchanged ones their revisions; another environment
	// keeps its bundle.
	e := m.Environments["production"]
	e.Routes = []mezu.Route{{Name: "api", Prefix: "/v2/"}, {Exact: "/health"}, {Exact: "/new"}}
	m.Environments["production"] = e
	got := apply(x, m)
	if !got.Applied || len(got.Changes) != 6 { // five fields of a route, and a route
		t.Errorf("%+v", got.Changes)
	}
	after := list("production")
	if a, b := before.Routes, after.Routes; len(b) != 3 || b[0].ID != a[1].ID || b[0].Revision != 2 || b[1].ID != a[0].ID || b[1].Revision != 1 || after.Revision != before.Revision+1 {
		t.Errorf("%+v", b)
	}
	if now := list("staging"); now.Position != staging.Position || now.Revision != staging.Revision {
		t.Error("an environment that did not change has a new bundle")
	}
	// The order of routes means nothing.
	slices.Reverse(e.Routes)
	if got := apply(x, m); got.Applied {
		t.Errorf("%+v", got.Changes)
	}
	// What somebody switched off stays off unless the manifest says otherwise.
	controltest.Call[mezu.Environment](t, x.Owner, api.OpUpdateEnvironment, map[string]any{"enabled": false}, x.Path()...)
	e.Enabled = nil
	m.Environments["production"] = e
	if got := apply(x, m); got.Applied {
		t.Errorf("%+v", got.Changes)
	}
	// Roles reach every environment's bundle, named or not.
	controltest.Call[mezu.Environment](t, x.Owner, api.OpCreateEnvironment, map[string]any{"name": "other"}, x.Org, x.Prj)
	other := list("other")
	m.Roles["staff"] = mezu.ProjectRole{Permissions: []string{"orders.write"}}
	apply(x, m)
	if now := list("staging"); now.Position == staging.Position {
		t.Error("a named environment has no bundle with the new role")
	}
	if now := list("other"); now.Position == other.Position {
		t.Error("an environment that is not named has no bundle with the new role")
	}
	// Settings that are left out are their defaults.
	m.Environments["production"] = mezu.ManifestEnvironment{}
	apply(x, m)
	if env := controltest.Call[mezu.Environment](t, x.Owner, api.OpGetEnvironment, nil, x.Path()...); env.WAF != "" || env.Directory != "" || *env.Enabled {
		t.Errorf("%+v", env)
	}
	if now := list("production"); len(now.Routes) != 0 {
		t.Errorf("%+v", now.Routes)
	}
}

func TestApply_Prune(t *testing.T) {
	in := controltest.InstallWithStore(t)
	x := in.Tenant(in.Operator(), "acme")
	m := shopManifest()
	apply(x, m)
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "staging")
	delete(m.Environments, "staging")
	delete(m.Directories, "customers")
	delete(m.Roles, "staff")
	p := m.Environments["production"]
	p.Directory = ""
	m.Environments["production"] = p
	kept := apply(x, m)
	if names := slices.Sorted(maps.Keys(export(x).Environments)); len(names) != 3 || export(x).Roles["staff"].Permissions == nil {
		t.Errorf("without prune %q went", names)
	}
	keeps := 0
	for _, c := range kept.Changes {
		if c.Action == mezu.ChangeKeep {
			keeps++
		}
	}
	if keeps != 3 {
		t.Errorf("%+v", kept.Changes)
	}
	// The directory is still named by the environment that goes with it.
	if got := apply(x, m, prune); !got.Applied || len(got.Changes) != 3 {
		t.Errorf("%+v", got.Changes)
	}
	got := export(x)
	if len(got.Environments) != 2 || len(got.Directories) != 0 || len(got.Roles) != 0 {
		t.Errorf("%+v", got)
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	if left := in.Records("pending/"); len(left) != 0 {
		t.Errorf("left to do: %v", left)
	}
	// A directory that stays named stays.
	controltest.Call[mezu.Directory](t, x.Owner, api.OpCreateDirectory, map[string]any{"name": "used"}, x.Org, x.Prj)
	p.Directory = "used"
	m.Environments["production"] = p
	if e := controltest.Refused(t, mezu.CodeConflict, x.Owner, api.OpApplyProject, api.ApplyRequest{Manifest: m, Prune: true}, x.Org, x.Prj); e.Field != "manifest.directories.used" {
		t.Errorf("%+v", e)
	}
}

// An apply takes effect at once or not at all: whatever is wrong with its last part
// undoes the first.
func TestApply_NothingOfWhatIsRefused(t *testing.T) {
	in := controltest.InstallWithStore(t)
	x := in.Tenant(in.Operator(), "acme")
	apply(x, shopManifest())
	controltest.Eventually(t, "the first sweep", func() bool { return len(in.Keys("meta/done/sweep")) == 1 && len(in.Keys("meta/lead/")) == 0 })
	before := in.Records("")
	with := func(name string, e mezu.ManifestEnvironment) mezu.Manifest {
		m := shopManifest()
		m.Environments["empty"] = mezu.ManifestEnvironment{Routes: routes("/changed/")}
		m.Environments[name] = e
		m.Roles["new"] = mezu.ProjectRole{Permissions: []string{}}
		return m
	}
	renamed := shopManifest()
	renamed.Project = "blog"
	moved := shopManifest()
	moved.Organization = "other"
	for field, m := range map[string]mezu.Manifest{
		"manifest.environments.zoo.directory":        with("zoo", mezu.ManifestEnvironment{Directory: "nowhere"}),
		"manifest.environments.zoo.routes[1].prefix": with("zoo", mezu.ManifestEnvironment{Routes: routes("/", "x")}),
		"manifest.environments.Zoo":                  with("Zoo", mezu.ManifestEnvironment{}),
		"manifest.project":                           renamed,
		"manifest.organization":                      moved,
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, x.Owner, api.OpApplyProject, api.ApplyRequest{Manifest: m}, x.Org, x.Prj); e.Field != field {
			t.Errorf("%+v, want one about %s", e, field)
		}
	}
	for body, field := range map[string]string{
		`{"manifest":{"projekt":"x"}}`: "manifest.projekt",
		`{"manifest":{"environments":{"a":{"routes":[{"prefix":"/","id":"rte_x"}]}}}}`: "manifest.environments.a.routes[0].id",
		`{"manifest":{"environments":{"a":{},"a":{}}}}`:                                "manifest.environments.a",
		`{"manifest":{"environments":{"a":{"endpoint":"x"}}}}`:                         "manifest.environments.a.endpoint",
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, x.Owner, api.OpApplyProject, json.RawMessage(body), x.Org, x.Prj); e.Field != field {
			t.Errorf("%s: %+v", body, e)
		}
	}
	if after := in.Records(""); !maps.Equal(before, after) {
		t.Error("something was written")
	}
}

// A manifest that needs more than one transaction holds is refused with the number of
// environments that fit, which is exact, and nothing is changed.
func TestApply_TooManyEnvironments(t *testing.T) {
	in := controltest.InstallWithStore(t)
	x := in.Tenant(in.Operator(), "acme")
	many := func(n int, more func(*mezu.Manifest)) mezu.Manifest {
		m := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{}}
		for i := range n {
			m.Environments[fmt.Sprintf("e%02d", i)] = mezu.ManifestEnvironment{Routes: routes("/")}
		}
		if more != nil {
			more(&m)
		}
		return m
	}
	fits := func(prj string, m mezu.Manifest) error {
		_, err := api.Invoke[api.ApplyResponse](t.Context(), x.Owner, api.OpApplyProject, api.ApplyRequest{Manifest: m, DryRun: true}, x.Org, prj)
		return err
	}
	for name, c := range map[string]struct {
		project string
		more    func(*mezu.Manifest)
	}{
		"an old project": {"shop", nil},
		"a new project":  {"blog", nil},
		"with a role":    {"shop", func(m *mezu.Manifest) { m.Roles = map[string]mezu.ProjectRole{"a": {Permissions: []string{"x"}}} }},
		"with directories": {"shop", func(m *mezu.Manifest) {
			m.Directories = map[string]mezu.ManifestDirectory{"a": {}, "b": {}}
			for name, e := range m.Environments {
				e.Directory = "a"
				m.Environments[name] = e
			}
		}},
	} {
		most := 0
		for fits(c.project, many(most+1, c.more)) == nil {
			most++
		}
		err := fits(c.project, many(20, c.more))
		if mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), fmt.Sprintf(": %d of the 20 environments that it changes fit", most)) || most < 8 {
			t.Errorf("%s: %d fit: %v", name, most, err)
		}
		before := in.Records("")
		if e := controltest.Refused(t, mezu.CodeInvalid, x.Owner, api.OpApplyProject, api.ApplyRequest{Manifest: many(most+1, c.more)}, x.Org, c.project); e.Field != "manifest.environments" || e.Hint == "" {
			t.Errorf("%s: %+v", name, e)
		}
		if after := in.Records(""); !maps.Equal(before, after) {
			t.Errorf("%s: something was written", name)
		}
		// What is said to fit does, for good.
		controltest.Call[api.ApplyResponse](t, x.Owner, api.OpApplyProject, api.ApplyRequest{Manifest: many(most, c.more)}, x.Org, c.project)
		if c.project == "shop" {
			for name := range export(x).Environments {
				controltest.Call[any](t, x.Owner, api.OpDeleteEnvironment, nil, x.Org, x.Prj, name)
			}
			apply(x, mezu.Manifest{}, prune)
		}
	}
}

// A manifest that is within the operations of a transaction and over its checks is
// told so, and the numbers are those of the store.
func TestApply_TooManyChecks(t *testing.T) {
	in := controltest.InstallWithStore(t)
	x := in.Tenant(in.Operator(), "acme")
	m := mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{}}
	var err error
	for n := 0; err == nil; n++ {
		m.Directories[fmt.Sprintf("d%02d", n)] = mezu.ManifestDirectory{}
		_, err = api.Invoke[api.ApplyResponse](t.Context(), x.Owner, api.OpApplyProject, api.ApplyRequest{Manifest: m, DryRun: true}, x.Org, x.Prj)
	}
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != mezu.CodeInvalid || e.Field != "manifest.directories" {
		t.Fatal(err)
	}
	var ops, checks, mostOps, mostChecks int
	if _, err := fmt.Sscanf(e.Detail, "changing all of this takes %d operations and %d checks at once, and %d and %d are possible", &ops, &checks, &mostOps, &mostChecks); err != nil {
		t.Fatalf("%v: %s", err, e.Detail)
	}
	if mostOps != store.MaxOps || mostChecks != sealed.MaxChecks || ops > mostOps || checks <= mostChecks {
		t.Errorf("%s", e.Detail)
	}
	delete(m.Directories, "d00")
	apply(x, m)
}

// A10: applies at once come one after the other, in any order, also at two control
// planes on one store; none leaves a mix.
func TestA10_TwoAppliesAreNeverMixed(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	x := in.Tenant(in.Client(token, nil), "acme")
	other := in.Beside(t.TempDir())
	other.CopyKey(in)
	other.Start()
	t.Cleanup(func() { other.Stop() })
	clients := []*api.Client{x.Owner, other.Client(token, nil)}
	manifest := func(i int) mezu.Manifest {
		m := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{}, Roles: map[string]mezu.ProjectRole{"r": {Permissions: []string{fmt.Sprint(i)}}}}
		for _, name := range []string{"production", "a", "b", "c"} {
			m.Environments[name] = mezu.ManifestEnvironment{Routes: routes(fmt.Sprintf("/%d/", i))}
		}
		return m
	}
	for range 3 {
		var running sync.WaitGroup
		for i := range 6 {
			running.Go(func() {
				_, err := api.Invoke[api.ApplyResponse](t.Context(), clients[i%2], api.OpApplyProject, api.ApplyRequest{Manifest: manifest(i)}, x.Org, x.Prj)
				if err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		got := export(x)
		one := got.Roles["r"].Permissions[0]
		for name, e := range got.Environments {
			if e.Routes[0].Prefix != "/"+one+"/" {
				t.Errorf("role %s, environment %s has %s", one, name, e.Routes[0].Prefix)
			}
		}
	}
}

// A10: what another apply or a creation makes between an apply's look at the project and
// its plan is nothing that is in its way.
func TestA10_ApplyAfterAnotherCreation(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	x := in.Tenant(in.Client(token, nil), "acme")
	prj := controltest.Call[mezu.Project](t, x.Owner, api.OpGetProject, nil, x.Org, x.Prj).ID
	for name, do := range map[string]func(m mezu.Manifest){
		"an apply": func(m mezu.Manifest) { apply(x, m) },
		"a creation": func(mezu.Manifest) {
			controltest.Call[any](t, x.Owner, api.OpCreateEnvironment, map[string]any{"name": "a-creation"}, x.Org, x.Prj)
		},
	} {
		made := strings.ReplaceAll(name, " ", "-")
		one := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{made: {Routes: routes("/one/")}}}
		two := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{made: {Routes: routes("/two/")}}}
		ran := false
		other := in.Beside(t.TempDir())
		other.Driver = &controltest.Between{Store: in.Driver, Key: "env/" + prj + "/" + made, Do: func() { ran = true; do(one) }}
		other.CopyKey(in)
		other.Start()
		controltest.Call[api.ApplyResponse](t, other.Client(token, nil), api.OpApplyProject, api.ApplyRequest{Manifest: two}, x.Org, x.Prj)
		if got := export(x).Environments[made].Routes; !ran || got[0].Prefix != "/two/" {
			t.Errorf("after %s (%v): %+v", name, ran, got)
		}
		other.Stop()
	}
}

// An apply needs the verbs of what it writes, and what is not the caller's is not
// there.
func TestApply_Authority(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	read := []mezu.Permission{mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead}
	changes := map[mezu.Permission]mezu.Manifest{
		mezu.PermRoutesWrite:       {Environments: map[string]mezu.ManifestEnvironment{"production": {Routes: routes("/")}}},
		mezu.PermEnvironmentsWrite: {Environments: map[string]mezu.ManifestEnvironment{"production": {WAF: mezu.WAFBlock}, "new": {}}},
		mezu.PermDirectoriesWrite:  {Directories: map[string]mezu.ManifestDirectory{"d": {}}},
	}
	attempt := func(c *api.Client, m mezu.Manifest, prj string, with ...func(*api.ApplyRequest)) error {
		req := api.ApplyRequest{Manifest: m}
		for _, w := range with {
			w(&req)
		}
		_, err := api.Invoke[api.ApplyResponse](t.Context(), c, api.OpApplyProject, req, x.Org, prj)
		return err
	}
	for verb, m := range changes {
		for other := range changes {
			_, key := x.Account("a", append(slices.Clone(read), other)...)
			err := attempt(in.Client(key, nil), m, x.Prj)
			switch {
			case other == verb && err != nil:
				t.Errorf("%s with the verb: %v", verb, err)
			case other != verb && (mezu.CodeOf(err) != mezu.CodeForbidden || !strings.Contains(err.Error(), string(verb))):
				t.Errorf("%s with %s: %v", verb, other, err)
			}
			controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, x.Org, x.Prj, "a")
			apply(x, mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"production": {}}}, prune)
		}
	}
	// No account changes roles, makes a project or reads less than all of it.
	_, key := x.Account("all", append(slices.Clone(read), mezu.PermRoutesWrite, mezu.PermEnvironmentsWrite, mezu.PermDirectoriesWrite)...)
	account := in.Client(key, nil)
	if err := attempt(account, mezu.Manifest{Roles: map[string]mezu.ProjectRole{"r": {Permissions: []string{"x"}}}}, x.Prj); mezu.CodeOf(err) != mezu.CodeForbidden {
		t.Errorf("roles by an account: %v", err)
	}
	if err := attempt(account, mezu.Manifest{}, "blog"); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("a new project by an account: %v", err)
	}
	for i := range read {
		_, key := x.Account("few", slices.Delete(slices.Clone(read), i, i+1)...)
		few := in.Client(key, nil)
		if err := attempt(few, mezu.Manifest{}, x.Prj); mezu.CodeOf(err) != mezu.CodeForbidden {
			t.Errorf("apply without %s: %v", read[i], err)
		}
		controltest.Refused(t, mezu.CodeForbidden, few, api.OpExportProject, nil, x.Org, x.Prj)
		controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, x.Org, x.Prj, "few")
	}
	// Who reads may compare.
	viewer, _ := in.Join(op, "acme", "viewer@acme.example", mezu.RoleViewer)
	if err := attempt(viewer, mezu.Manifest{}, x.Prj, dryRun); err != nil {
		t.Error(err)
	}
	for _, m := range changes {
		if err := attempt(viewer, m, x.Prj, dryRun); err != nil {
			t.Errorf("a viewer's diff: %v", err)
		}
		if err := attempt(viewer, m, x.Prj); mezu.CodeOf(err) != mezu.CodeForbidden {
			t.Errorf("a viewer's apply: %v", err)
		}
	}
	if err := attempt(viewer, mezu.Manifest{}, "blog"); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("a viewer's new project: %v", err)
	}
	// Another tenant finds nothing, neither by name nor by id.
	stranger := in.Client(in.OtherOperator(x.Owner), nil)
	prj := controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, x.Org, x.Prj)
	for _, ref := range []string{x.Prj, prj.ID, "blog"} {
		if err := attempt(stranger, mezu.Manifest{}, ref); mezu.CodeOf(err) != mezu.CodeNotFound {
			t.Errorf("%s by a stranger: %v", ref, err)
		}
		controltest.Refused(t, mezu.CodeNotFound, stranger, api.OpExportProject, nil, x.Org, ref)
	}
}

// The logo of a manifest is sent as its image, comes into force with everything else or not at
// all, and is compared, exported and told of by its digest.
func TestApply_Logo(t *testing.T) {
	in := controltest.InstallWithStore(t)
	x := in.Tenant(in.Operator(), "acme")
	of := func(logos ...string) mezu.Manifest {
		m := mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{}}
		for i, text := range logos {
			m.Directories[fmt.Sprint("d", i)] = mezu.ManifestDirectory{Brand: mezu.ManifestBrand{Name: "Acme", Logo: text}}
		}
		return m
	}
	sent := func(side int) (data, known string, made []byte) {
		pixels := image.NewNRGBA(image.Rect(0, 0, side, side))
		for i := range pixels.Pix {
			pixels.Pix[i] = byte(rand.Uint32())
		}
		var file bytes.Buffer
		if err := png.Encode(&file, pixels); err != nil {
			t.Fatal(err)
		}
		made, err := logo.Encode(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		var brand mezu.ManifestBrand
		brand.SetLogo(file.Bytes())
		return brand.Logo, "sha256:" + logo.Digest(made), made
	}
	small, knownSmall, smallImage := sent(10)
	large, knownLarge, largeImage := sent(240)
	has := func(directory string, want []byte) {
		t.Helper()
		got, err := api.Invoke[api.Image](t.Context(), x.Owner, api.OpGetLogo, nil, x.Org, x.Prj, directory)
		if want == nil && mezu.CodeOf(err) != mezu.CodeNotFound || want != nil && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%s has a logo of %d bytes, %v", directory, len(got), err)
		}
	}
	if planned := apply(x, of(small, large), dryRun); len(planned.Changes) == 0 || len(in.Records("logo/")) != 0 {
		t.Errorf("%+v", planned)
	}
	done := apply(x, of(small, large))
	if !slices.ContainsFunc(done.Changes, func(c mezu.Change) bool { return c.Path == "directories.d0.brand.logo" && c.After == knownSmall }) {
		t.Errorf("%+v", done.Changes)
	}
	has("d0", smallImage)
	has("d1", largeImage)
	// What is there is not written again: by the image, by its digest, by an export.
	before := in.Records("")
	exported := export(x)
	if exported.Directories["d1"].Brand.Logo != knownLarge {
		t.Errorf("%+v", exported.Directories)
	}
	for _, m := range []mezu.Manifest{of(small, large), of(knownSmall, large), exported} {
		if again := apply(x, m); again.Applied {
			t.Errorf("%+v", again)
		}
	}
	if after := in.Records(""); !maps.Equal(before, after) {
		t.Error("an apply of what is there wrote to the store")
	}
	// One and the other.
	apply(x, of(large, small))
	has("d0", largeImage)
	has("d1", smallImage)
	// What is wrong with a logo leaves everything as it is.
	for text, detail := range map[string]string{
		"logo.png":                           "reads no files",
		"data:image/svg+xml;base64,PHN2Zz":   "base64",
		"data:image/svg+xml;base64,PHN2Zy8+": "SVG",
		"data:image/png;base64,iVBORw0KGgo=": "damaged",
		"sha256:" + strings.Repeat("0a", 32): "does not have this logo",
		knownSmall:                           "does not have this logo", // another one has it
	} {
		for _, with := range [][]func(*api.ApplyRequest){{dryRun}, nil} {
			req := api.ApplyRequest{Manifest: of(text, "")}
			for _, w := range with {
				w(&req)
			}
			_, err := api.Invoke[api.ApplyResponse](t.Context(), x.Owner, api.OpApplyProject, req, x.Org, x.Prj)
			var e *mezu.Error
			if !errors.As(err, &e) || e.Code != mezu.CodeInvalid || e.Field != "manifest.directories.d0.brand.logo" || !strings.Contains(e.Detail, detail) {
				t.Errorf("%.60s: %v", text, err)
			}
		}
	}
	has("d1", smallImage)
	// Left out, there is none; the directory goes with its logo.
	apply(x, of("", small))
	has("d0", nil)
	apply(x, of(""), prune)
	if left := in.Records("logo/"); len(left) != 0 {
		t.Errorf("%d logos are left", len(left))
	}
	// One apply takes as many as a manifest may have, whatever they weigh.
	many := make([]string, 12)
	for i := range many {
		many[i], _, _ = sent(60) // 14 KiB, which would be inside its record
	}
	if got := apply(x, of(many...)); !got.Applied || len(in.Records("logo/")) != len(many) {
		t.Errorf("%+v", got)
	}
}

// Documents that don't fit a transaction go first, as chunks.
func TestApply_LargeDocuments(t *testing.T) {
	in := controltest.InstallWithStore(t)
	x := in.Tenant(in.Operator(), "acme")
	m := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{}}
	for i := range 8 {
		var list []string
		for j := range 600 {
			list = append(list, fmt.Sprintf("/%d/%0100d/", i, j))
		}
		m.Environments[fmt.Sprintf("e%d", i)] = mezu.ManifestEnvironment{Routes: routes(list...)}
	}
	got := apply(x, m)
	if !got.Applied || len(got.Changes) != mezu.MaxChanges || got.Omitted != 8*601+1-mezu.MaxChanges {
		t.Errorf("%d changes and %d more", len(got.Changes), got.Omitted)
	}
	if chunks := in.Records("piece/"); len(chunks) < 16 {
		t.Errorf("%d chunks", len(chunks))
	}
	if again := apply(x, export(x)); again.Applied {
		t.Errorf("%+v", again.Changes[:1])
	}
}
