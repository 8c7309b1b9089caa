package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// apply applies a manifest, which must succeed.
func (x *tenant) apply(m mezu.Manifest, with ...func(*api.ApplyRequest)) api.ApplyResponse {
	x.in.t.Helper()
	req := api.ApplyRequest{Manifest: m}
	for _, w := range with {
		w(&req)
	}
	return call[api.ApplyResponse](x.in.t, x.owner, api.OpApplyProject, req, x.org, x.prj)
}

func prune(r *api.ApplyRequest)  { r.Prune = true }
func dryRun(r *api.ApplyRequest) { r.DryRun = true }

func (x *tenant) export() mezu.Manifest {
	x.in.t.Helper()
	return call[mezu.Manifest](x.in.t, x.owner, api.OpExportProject, nil, x.org, x.prj)
}

// records are the store's, by key; those that rise by being read are left out.
func (in *installation) records(prefix string) map[string]string {
	in.t.Helper()
	out := map[string]string{}
	for token := ""; ; {
		page, err := in.store.List(in.t.Context(), prefix, token, 0)
		if err != nil {
			in.t.Fatal(err)
		}
		for _, r := range page.Records {
			if !strings.HasPrefix(r.Key, "used/") {
				out[r.Key] = string(r.Value)
			}
		}
		if token = page.Next; token == "" {
			return out
		}
	}
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
		Directories: map[string]mezu.ManifestDirectory{"customers": {Signup: mezu.SignupOpen, Password: mezu.PasswordPolicy{MinLength: 20}}},
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
	in := withStore(t)
	op := in.operator()
	call[mezu.Organization](t, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	edge, enrolled := in.enrol(op, "edge-1")
	x := &tenant{in: in, owner: op, org: "acme", prj: "shop"}

	planned := x.apply(shopManifest(), dryRun)
	if planned.Applied || len(planned.Changes) == 0 {
		t.Fatalf("%+v", planned)
	}
	refused(t, mezu.CodeNotFound, op, api.OpGetProject, nil, "acme", "shop")
	done := x.apply(shopManifest())
	if !done.Applied || len(done.Changes) != len(planned.Changes) || done.Changes[0].Path != "project" || len(done.Environments) != 3 || done.Environments[1].URL != "https://shop-acme.localhost:8443" {
		t.Fatalf("%+v", done)
	}
	if w := strings.Join(done.Warnings, "\n"); !strings.Contains(w, "environment") && w != "" {
		t.Error(w)
	}
	// The edges got all of it.
	f := newFollower(t, enrolled)
	stream, err := in.client("", edge.cert).Stream(t.Context(), mezu.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for !f.synced {
		e, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		f.take(e)
	}
	production := f.bundles[done.Environments[1].ID]
	if len(f.bundles) != 3 || production == nil || len(production.Routes) != 2 || production.Directory == "" || production.DirectoryMissing || production.Roles["staff"].Permissions[0] != "orders.read" {
		t.Errorf("%+v", production)
	}
	if b := f.bundles[done.Environments[2].ID]; b == nil || b.Enabled {
		t.Errorf("%+v", b)
	}
	// An apply of an export changes nothing: no record is written, no bundle made.
	before := in.records("")
	exported := x.export()
	again := x.apply(exported)
	if again.Applied || len(again.Changes) != 0 || len(again.Environments) != 3 || again.Environments[1].URL != done.Environments[1].URL {
		t.Errorf("%+v", again)
	}
	if after := in.records(""); !maps.Equal(before, after) {
		t.Error("an apply of an export wrote to the store")
	}
	// And one of the file does neither.
	if again := x.apply(shopManifest(), prune); again.Applied {
		t.Errorf("%+v", again)
	}
	// A9: one record for all of it.
	var audited []mezu.AuditRecord
	for _, value := range in.records("audit/" + mustOrganization(t, op).ID) {
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
	return call[mezu.Organization](t, op, api.OpGetOrganization, nil, "acme")
}

func TestApply_ChangesWhatDiffers(t *testing.T) {
	in := install(t)
	x := in.tenant(in.operator(), "acme")
	m := shopManifest()
	x.apply(m)
	list := func(env string) api.RoutesState {
		return call[api.RoutesState](t, x.owner, api.OpListRoutes, nil, x.org, x.prj, env)
	}
	before := list("production")
	staging := list("staging")
	// Routes keep their ids, unchanged ones their revisions; another environment
	// keeps its bundle.
	e := m.Environments["production"]
	e.Routes = []mezu.Route{{Name: "api", Prefix: "/v2/"}, {Exact: "/health"}, {Exact: "/new"}}
	m.Environments["production"] = e
	got := x.apply(m)
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
	if got := x.apply(m); got.Applied {
		t.Errorf("%+v", got.Changes)
	}
	// What somebody switched off stays off unless the manifest says otherwise.
	call[mezu.Environment](t, x.owner, api.OpUpdateEnvironment, map[string]any{"enabled": false}, x.path()...)
	e.Enabled = nil
	m.Environments["production"] = e
	if got := x.apply(m); got.Applied {
		t.Errorf("%+v", got.Changes)
	}
	// Roles reach every environment's bundle, named or not.
	call[mezu.Environment](t, x.owner, api.OpCreateEnvironment, map[string]any{"name": "other"}, x.org, x.prj)
	other := list("other")
	m.Roles["staff"] = mezu.ProjectRole{Permissions: []string{"orders.write"}}
	x.apply(m)
	if now := list("staging"); now.Position == staging.Position {
		t.Error("a named environment has no bundle with the new role")
	}
	if now := list("other"); now.Position == other.Position {
		t.Error("an environment that is not named has no bundle with the new role")
	}
	// Settings that are left out are their defaults.
	m.Environments["production"] = mezu.ManifestEnvironment{}
	x.apply(m)
	if env := call[mezu.Environment](t, x.owner, api.OpGetEnvironment, nil, x.path()...); env.WAF != "" || env.Directory != "" || *env.Enabled {
		t.Errorf("%+v", env)
	}
	if now := list("production"); len(now.Routes) != 0 {
		t.Errorf("%+v", now.Routes)
	}
}

func TestApply_Prune(t *testing.T) {
	in := withStore(t)
	x := in.tenant(in.operator(), "acme")
	m := shopManifest()
	x.apply(m)
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "staging")
	delete(m.Environments, "staging")
	delete(m.Directories, "customers")
	delete(m.Roles, "staff")
	p := m.Environments["production"]
	p.Directory = ""
	m.Environments["production"] = p
	kept := x.apply(m)
	if names := slices.Sorted(maps.Keys(x.export().Environments)); len(names) != 3 || x.export().Roles["staff"].Permissions == nil {
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
	if got := x.apply(m, prune); !got.Applied || len(got.Changes) != 3 {
		t.Errorf("%+v", got.Changes)
	}
	got := x.export()
	if len(got.Environments) != 2 || len(got.Directories) != 0 || len(got.Roles) != 0 {
		t.Errorf("%+v", got)
	}
	refused(t, mezu.CodeUnauthenticated, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	if left := in.records("pending/"); len(left) != 0 {
		t.Errorf("left to do: %v", left)
	}
	// A directory that stays named stays.
	call[mezu.Directory](t, x.owner, api.OpCreateDirectory, map[string]any{"name": "used"}, x.org, x.prj)
	p.Directory = "used"
	m.Environments["production"] = p
	if e := refused(t, mezu.CodeConflict, x.owner, api.OpApplyProject, api.ApplyRequest{Manifest: m, Prune: true}, x.org, x.prj); e.Field != "manifest.directories.used" {
		t.Errorf("%+v", e)
	}
}

// An apply takes effect at once or not at all: whatever is wrong with its last part
// undoes the first.
func TestApply_NothingOfWhatIsRefused(t *testing.T) {
	in := withStore(t)
	x := in.tenant(in.operator(), "acme")
	x.apply(shopManifest())
	before := in.records("")
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
		if e := refused(t, mezu.CodeInvalid, x.owner, api.OpApplyProject, api.ApplyRequest{Manifest: m}, x.org, x.prj); e.Field != field {
			t.Errorf("%+v, want one about %s", e, field)
		}
	}
	for body, field := range map[string]string{
		`{"manifest":{"projekt":"x"}}`: "manifest.projekt",
		`{"manifest":{"environments":{"a":{"routes":[{"prefix":"/","id":"rte_x"}]}}}}`: "manifest.environments.a.routes[0].id",
		`{"manifest":{"environments":{"a":{},"a":{}}}}`:                                "manifest.environments.a",
		`{"manifest":{"environments":{"a":{"endpoint":"x"}}}}`:                         "manifest.environments.a.endpoint",
	} {
		if e := refused(t, mezu.CodeInvalid, x.owner, api.OpApplyProject, json.RawMessage(body), x.org, x.prj); e.Field != field {
			t.Errorf("%s: %+v", body, e)
		}
	}
	if after := in.records(""); !maps.Equal(before, after) {
		t.Error("something was written")
	}
}

// A manifest that needs more than one transaction holds is refused with the number of
// environments that fit, which is exact, and nothing is changed.
func TestApply_TooManyEnvironments(t *testing.T) {
	in := withStore(t)
	x := in.tenant(in.operator(), "acme")
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
		_, err := api.Invoke[api.ApplyResponse](t.Context(), x.owner, api.OpApplyProject, api.ApplyRequest{Manifest: m, DryRun: true}, x.org, prj)
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
		before := in.records("")
		if e := refused(t, mezu.CodeInvalid, x.owner, api.OpApplyProject, api.ApplyRequest{Manifest: many(most+1, c.more)}, x.org, c.project); e.Field != "manifest.environments" || e.Hint == "" {
			t.Errorf("%s: %+v", name, e)
		}
		if after := in.records(""); !maps.Equal(before, after) {
			t.Errorf("%s: something was written", name)
		}
		// What is said to fit does, for good.
		call[api.ApplyResponse](t, x.owner, api.OpApplyProject, api.ApplyRequest{Manifest: many(most, c.more)}, x.org, c.project)
		if c.project == "shop" {
			for name := range x.export().Environments {
				call[any](t, x.owner, api.OpDeleteEnvironment, nil, x.org, x.prj, name)
			}
			x.apply(mezu.Manifest{}, prune)
		}
	}
}

// A manifest that is within the operations of a transaction and over its checks is
// told so, and the numbers are those of the store.
func TestApply_TooManyChecks(t *testing.T) {
	in := withStore(t)
	x := in.tenant(in.operator(), "acme")
	m := mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{}}
	var err error
	for n := 0; err == nil; n++ {
		m.Directories[fmt.Sprintf("d%02d", n)] = mezu.ManifestDirectory{}
		_, err = api.Invoke[api.ApplyResponse](t.Context(), x.owner, api.OpApplyProject, api.ApplyRequest{Manifest: m, DryRun: true}, x.org, x.prj)
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
	x.apply(m)
}

// A10: applies at once come one after the other, in any order, also at two control
// planes on one store; none leaves a mix.
func TestA10_TwoAppliesAreNeverMixed(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	x := in.tenant(in.client(token, nil), "acme")
	other := &installation{t: t, dir: t.TempDir(), clock: in.clock, log: in.log, notice: in.notice, driver: in.driver}
	other.copyKey(in)
	other.start()
	t.Cleanup(func() { other.stop() })
	clients := []*api.Client{x.owner, other.client(token, nil)}
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
				_, err := api.Invoke[api.ApplyResponse](t.Context(), clients[i%2], api.OpApplyProject, api.ApplyRequest{Manifest: manifest(i)}, x.org, x.prj)
				if err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		got := x.export()
		one := got.Roles["r"].Permissions[0]
		for name, e := range got.Environments {
			if e.Routes[0].Prefix != "/"+one+"/" {
				t.Errorf("role %s, environment %s has %s", one, name, e.Routes[0].Prefix)
			}
		}
	}
}

// between is a store that lets something happen before a record is first read by its
// key.
type between struct {
	store.Store
	key  string
	once sync.Once
	do   func()
}

func (b *between) Get(ctx context.Context, key string) (store.Record, error) {
	if key == b.key {
		b.once.Do(b.do)
	}
	return b.Store.Get(ctx, key)
}

// A10: what another apply or a creation makes between an apply's look at the project and
// its plan is nothing that is in its way.
func TestA10_ApplyAfterAnotherCreation(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	x := in.tenant(in.client(token, nil), "acme")
	prj := call[mezu.Project](t, x.owner, api.OpGetProject, nil, x.org, x.prj).ID
	for name, do := range map[string]func(m mezu.Manifest){
		"an apply": func(m mezu.Manifest) { x.apply(m) },
		"a creation": func(mezu.Manifest) {
			call[any](t, x.owner, api.OpCreateEnvironment, map[string]any{"name": "a-creation"}, x.org, x.prj)
		},
	} {
		made := strings.ReplaceAll(name, " ", "-")
		one := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{made: {Routes: routes("/one/")}}}
		two := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{made: {Routes: routes("/two/")}}}
		ran := false
		other := &installation{t: t, dir: t.TempDir(), clock: in.clock, log: in.log, notice: in.notice,
			driver: &between{Store: in.driver, key: "env/" + prj + "/" + made, do: func() { ran = true; do(one) }}}
		other.copyKey(in)
		other.start()
		call[api.ApplyResponse](t, other.client(token, nil), api.OpApplyProject, api.ApplyRequest{Manifest: two}, x.org, x.prj)
		if got := x.export().Environments[made].Routes; !ran || got[0].Prefix != "/two/" {
			t.Errorf("after %s (%v): %+v", name, ran, got)
		}
		other.stop()
	}
}

// An apply needs the verbs of what it writes, and what is not the caller's is not
// there.
func TestApply_Authority(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
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
		_, err := api.Invoke[api.ApplyResponse](t.Context(), c, api.OpApplyProject, req, x.org, prj)
		return err
	}
	for verb, m := range changes {
		for other := range changes {
			_, key := x.account("a", append(slices.Clone(read), other)...)
			err := attempt(in.client(key, nil), m, x.prj)
			switch {
			case other == verb && err != nil:
				t.Errorf("%s with the verb: %v", verb, err)
			case other != verb && (mezu.CodeOf(err) != mezu.CodeForbidden || !strings.Contains(err.Error(), string(verb))):
				t.Errorf("%s with %s: %v", verb, other, err)
			}
			call[any](t, op, api.OpDeleteServiceAccount, nil, x.org, x.prj, "a")
			x.apply(mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"production": {}}}, prune)
		}
	}
	// No account changes roles, makes a project or reads less than all of it.
	_, key := x.account("all", append(slices.Clone(read), mezu.PermRoutesWrite, mezu.PermEnvironmentsWrite, mezu.PermDirectoriesWrite)...)
	account := in.client(key, nil)
	if err := attempt(account, mezu.Manifest{Roles: map[string]mezu.ProjectRole{"r": {Permissions: []string{"x"}}}}, x.prj); mezu.CodeOf(err) != mezu.CodeForbidden {
		t.Errorf("roles by an account: %v", err)
	}
	if err := attempt(account, mezu.Manifest{}, "blog"); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("a new project by an account: %v", err)
	}
	for i := range read {
		_, key := x.account("few", slices.Delete(slices.Clone(read), i, i+1)...)
		few := in.client(key, nil)
		if err := attempt(few, mezu.Manifest{}, x.prj); mezu.CodeOf(err) != mezu.CodeForbidden {
			t.Errorf("apply without %s: %v", read[i], err)
		}
		refused(t, mezu.CodeForbidden, few, api.OpExportProject, nil, x.org, x.prj)
		call[any](t, op, api.OpDeleteServiceAccount, nil, x.org, x.prj, "few")
	}
	// Who reads may compare.
	viewer, _ := in.join(op, "acme", "viewer@acme.example", mezu.RoleViewer)
	if err := attempt(viewer, mezu.Manifest{}, x.prj, dryRun); err != nil {
		t.Error(err)
	}
	for _, m := range changes {
		if err := attempt(viewer, m, x.prj); mezu.CodeOf(err) != mezu.CodeForbidden {
			t.Errorf("a viewer's apply: %v", err)
		}
	}
	if err := attempt(viewer, mezu.Manifest{}, "blog"); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("a viewer's new project: %v", err)
	}
	// Another tenant finds nothing, neither by name nor by id.
	stranger := in.client(devToken(t, in), nil)
	prj := call[mezu.Project](t, op, api.OpGetProject, nil, x.org, x.prj)
	for _, ref := range []string{x.prj, prj.ID, "blog"} {
		if err := attempt(stranger, mezu.Manifest{}, ref); mezu.CodeOf(err) != mezu.CodeNotFound {
			t.Errorf("%s by a stranger: %v", ref, err)
		}
		refused(t, mezu.CodeNotFound, stranger, api.OpExportProject, nil, x.org, ref)
	}
}

// Documents that don't fit a transaction go first, as chunks.
func TestApply_LargeDocuments(t *testing.T) {
	in := withStore(t)
	x := in.tenant(in.operator(), "acme")
	m := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{}}
	for i := range 8 {
		var list []string
		for j := range 600 {
			list = append(list, fmt.Sprintf("/%d/%0100d/", i, j))
		}
		m.Environments[fmt.Sprintf("e%d", i)] = mezu.ManifestEnvironment{Routes: routes(list...)}
	}
	got := x.apply(m)
	if !got.Applied || len(got.Changes) != mezu.MaxChanges || got.Omitted != 8*601+1-mezu.MaxChanges {
		t.Errorf("%d changes and %d more", len(got.Changes), got.Omitted)
	}
	if chunks := in.records("piece/"); len(chunks) < 16 {
		t.Errorf("%d chunks", len(chunks))
	}
	if again := x.apply(x.export()); again.Applied {
		t.Errorf("%+v", again.Changes[:1])
	}
}
