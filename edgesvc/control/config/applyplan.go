package config

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
)

// projectState is a project as it is stored, and as a manifest.
type projectState struct {
	manifest     mezu.Manifest
	directories  map[string]record.Record[mezu.Directory]
	environments map[string]record.Record[mezu.Environment]
	heads        map[string]record.Record[routesHead]
	routes       map[string][]mezu.Route // the manifest's, with their meta
	webhooks     map[string]record.Record[webhooks]
}

// readProject reads a project. Of environments that are not wanted it reads no more
// than that they are there.
func (s *Configuration) readProject(ctx context.Context, prj record.Record[mezu.Project], wanted func(name string) bool) (projectState, error) {
	p := prj.Value
	st := projectState{
		manifest: mezu.Manifest{Organization: p.Organization, Project: p.Name, Roles: p.Roles,
			Directories: map[string]mezu.ManifestDirectory{}, Environments: map[string]mezu.ManifestEnvironment{}},
		directories: map[string]record.Record[mezu.Directory]{}, environments: map[string]record.Record[mezu.Environment]{},
		heads: map[string]record.Record[routesHead]{}, routes: map[string][]mezu.Route{}, webhooks: map[string]record.Record[webhooks]{},
	}
	st.manifest.Complete()
	err := record.Each(ctx, s.records, access.DirectoriesOf(p.ID), func(d record.Record[mezu.Directory]) error {
		st.directories[d.Value.Name] = d
		st.manifest.Directories[d.Value.Name] = d.Value.Manifest()
		return nil
	})
	if err != nil {
		return st, err
	}
	err = record.Each(ctx, s.records, access.EnvironmentsOf(p.ID), func(e record.Record[mezu.Environment]) error {
		st.environments[e.Value.Name] = e
		st.manifest.Environments[e.Value.Name] = mezu.ManifestEnvironment{}
		return nil
	})
	if err != nil {
		return st, err
	}
	for name, e := range st.environments {
		if !wanted(name) {
			continue
		}
		m := e.Value.Manifest()
		if st.heads[name], st.routes[name], err = s.routes(ctx, e.Value.ID); err != nil {
			return st, err
		}
		m.Routes = st.routes[name]
		if st.webhooks[name], err = s.webhooksOf(ctx, e.Value.ID); err != nil {
			return st, err
		}
		m.Webhooks = manifestWebhooks(st.webhooks[name].Value.Webhooks)
		st.manifest.Environments[name] = m
	}
	return st, nil
}

// readable asks for the verb that reading webhooks takes if the project has any.
func (st *projectState) readable(sc access.Scope, op api.Operation, c access.Caller) error {
	for _, w := range st.webhooks {
		if len(w.Value.Webhooks) > 0 && !slices.Contains(sc.Grants, mezu.PermWebhooksRead) {
			return access.Lacks(op, mezu.PermWebhooksRead, c)
		}
	}
	return nil
}

// Export gives a project as a manifest, which applied to it changes nothing.
func (s *Configuration) Export(ctx context.Context, c access.Caller, p access.Path) (mezu.Manifest, error) {
	sc, err := s.access.InProject(ctx, c, api.OpExportProject, p)
	if err == nil {
		err = readsAll(sc, api.OpExportProject, c)
	}
	if err != nil {
		return mezu.Manifest{}, err
	}
	st, err := s.readProject(ctx, sc.Project, func(string) bool { return true })
	if err == nil {
		err = st.readable(sc, api.OpExportProject, c)
	}
	if err != nil {
		return mezu.Manifest{}, err
	}
	for _, routes := range st.routes {
		for i := range routes {
			routes[i].Meta = mezu.Meta{}
		}
	}
	data, err := record.Encode(st.manifest)
	if err == nil && len(data) > api.MaxApplyBody {
		err = mezu.Invalid("", "the project takes %d bytes as a manifest, at most %d; list the routes of each environment instead", len(data), api.MaxApplyBody)
	}
	return st.manifest, err
}

// applyInline is how much of a transaction the documents of an apply may take
// together: half, so that all else of 64 records has the other.
const applyInline = 256 << 10

// plan plans all changes as one.
func (a *applying) plan(ctx context.Context, p access.Path, guard record.Record[applied]) error {
	// Each environment has two documents, its routes and its bundle, and one with webhooks what
	// edges alone get.
	documents := 2*len(a.in.Manifest.Environments) + len(a.logos)
	for _, t := range a.touched {
		if t.webhooks {
			documents++
		}
	}
	a.ch.Inline = min(record.InlineLimit, applyInline/max(1, documents))
	if err := a.project(ctx, p); err != nil {
		return err
	}
	a.scope.Owner = a.scope.Project.Value.ID
	for _, name := range slices.Sorted(maps.Keys(a.in.Manifest.Directories)) {
		if err := a.directory(ctx, name, a.in.Manifest.Directories[name]); err != nil {
			return mezu.Below("manifest.directories."+name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.in.Manifest.Environments)) {
		err := a.costing(name, func() error { return a.environment(ctx, name, a.in.Manifest.Environments[name]) })
		if err != nil {
			return mezu.Below("manifest.environments."+name, err)
		}
	}
	if a.in.Prune {
		if err := a.prune(ctx); err != nil {
			return err
		}
	}
	var digest string
	if !a.ch.Dry {
		var err error
		if digest, err = digestOf(&a.in.Manifest); err != nil {
			return err
		}
		if err := a.tell(digest); err != nil {
			return err
		}
	}
	a.ch.Update(keyApplied(a.scope.Project.Value.ID), guard.Revision, applied{SHA256: digest})
	return a.fits()
}

// project makes the project or changes its roles.
func (a *applying) project(ctx context.Context, p access.Path) error {
	m, prj := &a.in.Manifest, &a.scope.Project
	if prj.Key == "" {
		made, err := a.addProject(ctx, a.ch, a.scope, mezu.Project{Name: p.Project, Roles: m.Roles})
		prj.Key, prj.Value = access.ProjectsOf(a.scope.Organization.Value.ID)+made.Name, made
		return mezu.Below("manifest", err)
	}
	a.ch.Require(prj.Key, prj.Revision)
	if !a.roles {
		return nil
	}
	out := prj.Value
	out.Roles = map[string]mezu.ProjectRole{}
	if !a.in.Prune {
		maps.Copy(out.Roles, prj.Value.Roles)
	}
	maps.Copy(out.Roles, m.Roles)
	if err := mezu.ValidateRoles("manifest.roles", out.Roles); err != nil {
		return err
	}
	tasks, err := a.identity.DropRoles(ctx, a.ch, a.scope, identity.RemovedRoles(prj.Value.Roles, out.Roles))
	if err != nil {
		return mezu.Below("manifest", err)
	}
	a.tasks = append(a.tasks, tasks...)
	out.Meta = a.records.Touch(out.Meta, prj.Revision)
	a.ch.Update(prj.Key, prj.Revision, out)
	prj.Value = out
	// Named environments get their bundles with the change, the others soon after.
	for name := range a.now.environments {
		if _, named := m.Environments[name]; !named && !a.in.Prune {
			a.enqueue(record.Task{Kind: record.TaskBundles, ID: out.ID})
			return nil
		}
	}
	return nil
}

func (a *applying) enqueue(p record.Task) {
	a.ch.Enqueue(p)
	a.tasks = append(a.tasks, p)
}

// directory makes or changes a directory of the project.
func (a *applying) directory(ctx context.Context, name string, wanted mezu.ManifestDirectory) error {
	have, ok := a.now.directories[name]
	out := wanted.Directory(name)
	image := a.logos[out.Brand.Logo]
	if digest := out.Brand.Logo; digest != have.Value.Brand.Logo && digest != "" && image == nil {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "brand.logo", Detail: "the directory does not have this logo", Hint: "name the file of the image"}
	}
	if !ok {
		made, err := a.identity.AddDirectory(ctx, a.ch, a.scope, out)
		if err != nil || made.Brand.Logo == "" {
			return err
		}
		return a.identity.KeepLogo(ctx, a.ch, a.scope, made, image)
	}
	same := mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{name: wanted}}
	now := mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{name: a.now.manifest.Directories[name]}}
	if len(same.Changes(&now, false)) == 0 {
		return nil
	}
	out.Organization, out.Project = have.Value.Organization, have.Value.Project
	out.Meta = a.records.Touch(have.Value.Meta, have.Revision)
	a.ch.Update(have.Key, have.Revision, out)
	if identity.TellsBundles(have.Value, out) {
		a.tellNaming(out.ID)
	}
	if out.Brand.Logo == have.Value.Brand.Logo {
		return nil
	}
	return a.identity.KeepLogo(ctx, a.ch, a.scope, out, image)
}

// tellNaming has the environments that name a directory get new bundles: those that the
// manifest names with the change, others soon after.
func (a *applying) tellNaming(directory string) {
	a.tells[directory] = true
	for name, e := range a.now.environments {
		if _, named := a.in.Manifest.Environments[name]; e.Value.DirectoryID == directory && !named && !a.in.Prune {
			a.enqueue(identity.BundlesOf(a.scope, directory))
			return
		}
	}
}

// costing plans something of an environment and notes what it takes, if anything.
func (a *applying) costing(name string, plan func() error) error {
	before := a.ch.Size()
	if a.ch.Statements() == 0 {
		// The counter of positions is no environment's own.
		before.Ops, before.Checks = before.Ops+1, before.Checks+1
	}
	statements := a.ch.Statements()
	if err := plan(); err != nil {
		return err
	}
	if after := a.ch.Size(); a.ch.Statements() > statements {
		a.costs = append(a.costs, cost{name, record.Size{Ops: after.Ops - before.Ops, Checks: after.Checks - before.Checks}})
	}
	return nil
}

// environment makes or changes an environment and its routes.
func (a *applying) environment(ctx context.Context, name string, wanted mezu.ManifestEnvironment) error {
	have, exists := a.now.environments[name]
	if !exists {
		return a.newEnvironment(ctx, name, wanted)
	}
	env, head, routes := have.Value, a.now.heads[name], a.now.routes[name]
	touched := a.touched[name]
	if touched != nil && touched.settings {
		if wanted.Enabled != nil {
			env.Enabled = wanted.Enabled
		}
		is := wanted.Environment(env.Name)
		env.Directory, env.WAF, env.WAFSettings, env.AllowIPs, env.DenyIPs, env.Maintenance = is.Directory, is.WAF, is.WAFSettings, is.AllowIPs, is.DenyIPs, is.Maintenance
		if err := a.identity.NameDirectory(ctx, a.ch, a.scope, have.Value, &env); err != nil {
			return err
		}
		env.Meta = a.records.Touch(env.Meta, have.Revision)
		a.ch.Update(have.Key, have.Revision, env)
	}
	a.shown = append(a.shown, env)
	if touched != nil && touched.routes {
		routes = a.adopt(routes, wanted.Routes, a.ch.Dry)
		a.ch.MarkValid(env.ID)
		document, err := a.document(ctx, env.ID, routes)
		if err != nil {
			return err
		}
		a.ch.Update(head.Key, head.Revision, routesHead{Document: document})
	}
	if touched != nil && touched.webhooks {
		if err := a.environmentWebhooks(ctx, env.ID, a.now.webhooks[name], wanted.Webhooks); err != nil {
			return err
		}
	}
	if (touched == nil || !touched.settings && !touched.routes) && !a.roles && !a.tells[env.DirectoryID] {
		return nil
	}
	return a.addBundle(ctx, a.ch, a.scope.Organization.Value, a.scope.Project.Value, env, routes)
}

func (a *applying) newEnvironment(ctx context.Context, name string, wanted mezu.ManifestEnvironment) error {
	env, err := a.placeEnvironment(ctx, a.ch, a.scope, wanted.Environment(name))
	if err != nil {
		return err
	}
	a.shown = append(a.shown, env)
	routes := a.adopt(nil, wanted.Routes, a.ch.Dry)
	a.ch.MarkValid(env.ID)
	document, err := a.document(ctx, env.ID, routes)
	if err != nil {
		return err
	}
	a.ch.Create(keyRoutes(env.ID), routesHead{Document: document})
	if len(wanted.Webhooks) > 0 {
		if err := a.environmentWebhooks(ctx, env.ID, record.Record[webhooks]{Key: keyWebhooks(env.ID)}, wanted.Webhooks); err != nil {
			return err
		}
	}
	return a.addBundle(ctx, a.ch, a.scope.Organization.Value, a.scope.Project.Value, env, routes)
}

// environmentWebhooks makes the webhooks of an environment what the manifest says. Those that stay
// keep their secrets, but with another provider; those that it does not name go if it prunes.
func (a *applying) environmentWebhooks(ctx context.Context, environment string, have record.Record[webhooks], wanted map[string]mezu.ManifestWebhook) error {
	next := slices.Clone(have.Value.Webhooks)
	if a.in.Prune {
		next = slices.DeleteFunc(next, func(w mezu.WebhookSecrets) bool { _, named := wanted[w.Name]; return !named })
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		want := wanted[name].Webhook(name)
		i, err := findWebhook(next, name)
		if err != nil {
			if next, err = a.addWebhook(next, want); err != nil {
				return mezu.Below("webhooks."+name, err)
			}
			continue
		}
		w := &next[i]
		if reflect.DeepEqual(w.Manifest(), wanted[name]) {
			continue
		}
		if w.Provider != want.Provider {
			w.Secrets = nil
		}
		w.Provider, w.Tolerance, w.HMAC, w.Meta = want.Provider, want.Tolerance, want.HMAC, a.records.Touch(w.Meta, w.Revision)
	}
	return a.addEdgePart(ctx, a.ch, a.scope.Organization.Value.ID, environment, have, next)
}

// manifestWebhooks are an environment's webhooks as a manifest says them.
func manifestWebhooks(of []mezu.WebhookSecrets) map[string]mezu.ManifestWebhook {
	if len(of) == 0 {
		return nil
	}
	out := map[string]mezu.ManifestWebhook{}
	for i := range of {
		out[of[i].Name] = of[i].Manifest()
	}
	return out
}

// document keeps the routes of an environment as a document.
func (a *applying) document(ctx context.Context, environment string, routes []mezu.Route) (record.Blob, error) {
	if err := a.records.Within(quotaRoutes, len(routes)); err != nil {
		return record.Blob{}, err
	}
	data, err := a.encodeRoutes(routes, a.ch.Dry)
	if err != nil {
		return record.Blob{}, err
	}
	return a.records.KeepDocument(ctx, a.ch, ownerOf(a.scope.Organization.Value.ID, environment), data)
}

// prune removes what the manifest does not name: environments first, which name
// directories.
func (a *applying) prune(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(a.now.environments)) {
		if _, named := a.in.Manifest.Environments[name]; named {
			continue
		}
		err := a.costing(name, func() error {
			task, err := a.dropEnvironment(ctx, a.ch, a.scope, a.now.environments[name])
			a.tasks = append(a.tasks, task)
			return err
		})
		if err != nil {
			return mezu.Below("manifest.environments."+name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.now.directories)) {
		if _, named := a.in.Manifest.Directories[name]; named {
			continue
		}
		if err := a.identity.DropDirectory(ctx, a.ch, a.scope, a.now.directories[name]); err != nil {
			return mezu.Below("manifest.directories."+name, err)
		}
	}
	return nil
}
