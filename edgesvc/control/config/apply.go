package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Apply brings a project to what a manifest says: in one transaction, after the
// chunks of large documents, or not at all. A project that does not exist is made for
// who may. An apply that finds all as it should be writes nothing.
func (s *Configuration) Apply(ctx context.Context, c access.Caller, p access.Path, in api.ApplyRequest) (api.ApplyResponse, error) {
	// Who may not, or asks for nonsense, keeps nobody waiting at the lock.
	sc, err := s.inApply(ctx, c, p)
	if err != nil {
		return api.ApplyResponse{}, err
	}
	warnings, err := in.Manifest.Judge(ctx)
	if err != nil {
		return api.ApplyResponse{}, mezu.Below("manifest", err)
	}
	logos, err := s.takeLogos(ctx, sc.Project, &in.Manifest)
	if err != nil {
		return api.ApplyResponse{}, mezu.Below("manifest", err)
	}
	var a *applying
	plan := func(ch *record.Change) (err error) {
		a, err = s.planApply(ctx, ch, c, p, in, logos)
		return err
	}
	var position mezu.Position
	if in.DryRun {
		// In the same line, so that one table is compiled at a time.
		err = s.records.Rehearse(ctx, access.By(c, api.OpApplyProject.ID), plan)
	} else {
		position, err = s.records.Publish(ctx, access.By(c, api.OpApplyProject.ID), plan)
	}
	if err != nil {
		return api.ApplyResponse{}, err
	}
	for _, task := range a.tasks {
		if err := s.records.Finish(ctx, task); err != nil {
			return api.ApplyResponse{}, err
		}
	}
	about, err := a.warningsOfOthers(ctx)
	if err != nil {
		return api.ApplyResponse{}, err
	}
	return a.response(position, append(warnings, about...))
}

// warningsOfOthers are the warnings about directories that the manifest's environments name
// and the manifest says nothing of.
func (a *applying) warningsOfOthers(ctx context.Context) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, e := range a.shown {
		_, told := a.in.Manifest.Directories[e.Directory]
		if own := a.now.directories[e.Directory].Value.ID; seen[e.DirectoryID] || told && (own == "" || own == e.DirectoryID) {
			continue
		}
		seen[e.DirectoryID] = true
		more, err := a.warningsOfDirectory(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// takeLogos takes the images out of a manifest and leaves their digests, which is what is
// compared and told of. It gives the logos that it made of the images by their digests. What
// the mezu command sends of a logo that the project has is that logo, and costs little.
func (s *Configuration) takeLogos(ctx context.Context, prj record.Record[mezu.Project], m *mezu.Manifest) (map[string][]byte, error) {
	directories, out := maps.Clone(m.Directories), map[string][]byte{}
	known := map[string]bool{}
	if prj.Key != "" && len(directories) > 0 {
		err := record.Each(ctx, s.records, access.DirectoriesOf(prj.Value.ID), func(f record.Record[mezu.Directory]) error {
			known[f.Value.Brand.Logo] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(directories)) {
		d, field := directories[name], "directories."+name+".brand.logo"
		if _, isFile := d.Brand.LogoFile(); isFile {
			return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: field, Detail: "the control plane reads no files", Hint: "send the image, as data:image/png;base64,…"}
		}
		file, ok, err := d.Brand.LogoImage()
		if err == nil && !ok {
			continue
		}
		var image []byte
		var digest string
		if err == nil {
			image, digest, err = s.identity.EncodeLogo(ctx, file, known)
		}
		if err != nil {
			return nil, mezu.Below(field, err)
		}
		out[digest] = image
		d.Brand.SetLogoDigest(digest)
		directories[name] = d
	}
	m.Directories = directories
	return out, nil
}

// inApply admits the caller to a project that exists, or that the caller may create. A
// project that doesn't exist has no key yet.
func (s *Configuration) inApply(ctx context.Context, c access.Caller, p access.Path) (access.Scope, error) {
	sc, err := s.access.InProject(ctx, c, api.OpApplyProject, p)
	absent := mezu.CodeOf(err) == mezu.CodeNotFound && c.Kind == access.Member && slices.Contains(sc.Grants, mezu.PermProjectsWrite)
	if absent && mezu.ValidateName("", p.Project) == nil {
		sc.Project, err = record.Record[mezu.Project]{}, nil
	}
	if err == nil {
		err = readsAll(sc, api.OpApplyProject, c)
	}
	return sc, err
}

// readsAll asks for the verbs that reading a project as a whole takes.
func readsAll(sc access.Scope, op api.Operation, c access.Caller) error {
	for _, verb := range []mezu.Permission{mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead} {
		if !slices.Contains(sc.Grants, verb) {
			return access.Lacks(op, verb, c)
		}
	}
	return nil
}

// applying is an apply while it is planned.
type applying struct {
	*Configuration
	ch    *record.Change
	scope access.Scope
	in    *api.ApplyRequest
	now   projectState
	// changes are what is to be done, and touched what of it concerns which
	// environment.
	changes []mezu.Change
	touched map[string]*touched
	roles   bool // the roles change
	// tells are the ids of directories that change so that bundles say it.
	tells map[string]bool
	logos map[string][]byte
	tasks []record.Task
	costs []cost
	shown []mezu.Environment
}

// touched is what changes of one environment.
type touched struct{ settings, routes, webhooks bool }

// applied is the record that every apply of a project writes, so that two can't come
// between each other's reads and writes.
type applied struct {
	// SHA256 is the digest of the manifest that was applied last.
	SHA256 string `json:"sha256"`
}

// planApply plans an apply. If it found nothing to do, it makes sure that no other
// apply came between its reads; and that something is in the way it believes when it
// is there again with the same changes to be made: what another made meanwhile is
// nothing that this apply has to make.
func (s *Configuration) planApply(ctx context.Context, ch *record.Change, c access.Caller, p access.Path, in api.ApplyRequest, logos map[string][]byte) (*applying, error) {
	for refused := (*applying)(nil); ; {
		a := &applying{Configuration: s, ch: ch, in: &in, touched: map[string]*touched{}, tells: map[string]bool{}, logos: logos}
		var err error
		if a.scope, err = s.inApply(ctx, c, p); err != nil {
			return nil, err
		}
		if err := a.sameNames(); err != nil {
			return nil, err
		}
		guard, err := a.read(ctx)
		if err == nil {
			err = a.now.readable(a.scope, api.OpApplyProject, c)
		}
		if err != nil {
			return nil, err
		}
		if a.idle() {
			a.showNamed()
			again, err := record.Optional[applied](ctx, s.records, guard.Key)
			if err != nil || again.Revision == guard.Revision {
				return a, err
			}
			continue
		}
		if !in.DryRun { // who reads may compare: nothing is written
			if err := a.authorise(c); err != nil {
				return nil, err
			}
		}
		err = a.plan(ctx, p, guard)
		if mezu.CodeOf(err) != mezu.CodeConflict || refused != nil && reflect.DeepEqual(refused.changes, a.changes) {
			return a, err
		}
		refused = a
		ch.Reset()
	}
}

// sameNames refuses a manifest that was written for another project.
func (a *applying) sameNames() error {
	m, org, prj := &a.in.Manifest, a.scope.Organization.Value.Name, a.scope.Project.Value.Name
	if m.Organization != "" && m.Organization != org {
		return mezu.Invalid("manifest.organization", "is %q, and this is the organization %q", m.Organization, org)
	}
	if m.Project != "" && prj != "" && m.Project != prj {
		return mezu.Invalid("manifest.project", "is %q, and this is the project %q", m.Project, prj)
	}
	return nil
}

// read finds what is now and what is to be changed.
func (a *applying) read(ctx context.Context) (guard record.Record[applied], err error) {
	guard.Key = keyApplied(a.scope.Project.Value.ID)
	var now *mezu.Manifest
	if a.scope.Project.Key != "" {
		if guard, err = record.Optional[applied](ctx, a.Configuration.records, guard.Key); err != nil {
			return guard, err
		}
		if a.now, err = a.readProject(ctx, a.scope.Project, func(name string) bool { _, named := a.in.Manifest.Environments[name]; return named }); err != nil {
			return guard, err
		}
		now = &a.now.manifest
	}
	if err := context.Cause(ctx); err != nil {
		return guard, err
	}
	a.changes = a.in.Manifest.Changes(now, a.in.Prune)
	for _, c := range a.changes {
		if c.Action == mezu.ChangeKeep {
			continue
		}
		switch of, name := part(c.Path); of {
		case ofRoles:
			a.roles = true
		case ofRoutes:
			a.touch(name).routes = true
		case ofWebhooks:
			a.touch(name).webhooks = true
		case ofEnvironment:
			a.touch(name).settings = true
		}
	}
	return guard, nil
}

// touch is what of an environment changes.
func (a *applying) touch(name string) *touched {
	if a.touched[name] == nil {
		a.touched[name] = &touched{}
	}
	return a.touched[name]
}

// Parts of a project that changes are of.
const (
	ofProject = iota
	ofRoles
	ofDirectory
	ofEnvironment // its settings, or all of it
	ofRoutes
	ofWebhooks
)

// part is what the path of a change is of, and the name of the environment if it is of one. A name may
// be that of a field.
func part(path string) (of int, environment string) {
	kind, rest, _ := strings.Cut(path, ".")
	name, field, _ := strings.Cut(rest, ".")
	switch {
	case kind == "roles":
		return ofRoles, ""
	case kind == "directories":
		return ofDirectory, ""
	case kind != "environments":
		return ofProject, ""
	case strings.HasPrefix(field, "routes["):
		return ofRoutes, name
	case strings.HasPrefix(field, "webhooks."):
		return ofWebhooks, name
	}
	return ofEnvironment, name
}

// idle reports whether nothing is to be done.
func (a *applying) idle() bool {
	return !slices.ContainsFunc(a.changes, func(c mezu.Change) bool { return c.Action != mezu.ChangeKeep })
}

// showNamed shows the environments that the manifest names as they are.
func (a *applying) showNamed() {
	for _, name := range slices.Sorted(maps.Keys(a.in.Manifest.Environments)) {
		a.shown = append(a.shown, a.now.environments[name].Value)
	}
}

// authorise asks for the verbs that the changes take.
func (a *applying) authorise(c access.Caller) error {
	for _, change := range a.changes {
		if change.Action == mezu.ChangeKeep {
			continue
		}
		verb := mezu.PermProjectsWrite
		switch of, _ := part(change.Path); of {
		case ofDirectory:
			verb = mezu.PermDirectoriesWrite
		case ofRoutes:
			verb = mezu.PermRoutesWrite
		case ofWebhooks:
			verb = mezu.PermWebhooksWrite
		case ofEnvironment:
			verb = mezu.PermEnvironmentsWrite
		}
		if !slices.Contains(a.scope.Grants, verb) {
			return access.Lacks(api.OpApplyProject, verb, c)
		}
	}
	return nil
}

// response is what the caller is told.
func (a *applying) response(position mezu.Position, warnings []string) (api.ApplyResponse, error) {
	out := api.ApplyResponse{Changes: []mezu.Change{}, Applied: !a.in.DryRun && !a.idle(), Position: position, Warnings: warnings, Environments: []mezu.Environment{}}
	size := 0
	for i, c := range a.changes {
		data, err := record.Encode(c)
		if err != nil {
			return out, fmt.Errorf("encoding a change: %w", err)
		}
		if size += len(data); i == mezu.MaxChanges || size > api.MaxChangesBytes {
			out.Omitted = len(a.changes) - i
			break
		}
		out.Changes = append(out.Changes, c)
	}
	for _, e := range a.shown {
		if e.Endpoint != "" {
			e = a.Configuration.fleet.ShownEnvironment(e)
		}
		out.Environments = append(out.Environments, e)
	}
	return out, nil
}

// cost is what one environment takes of a transaction.
type cost struct {
	name string
	record.Size
}

// fits refuses a change that is over the limits of one transaction, and says how many
// of its environments, in the order of their names, are within them.
func (a *applying) fits() error {
	total := a.ch.Size()
	most := record.Limits()
	within := func(n record.Size) bool { return n.Ops <= most.Ops && n.Checks <= most.Checks }
	if within(total) {
		return nil
	}
	sum := total
	for _, c := range a.costs {
		sum.Ops, sum.Checks = sum.Ops-c.Ops, sum.Checks-c.Checks
	}
	room := 0
	for within(sum) && room < len(a.costs) {
		c := a.costs[room]
		if sum.Ops, sum.Checks = sum.Ops+c.Ops, sum.Checks+c.Checks; within(sum) {
			room++
		}
	}
	takes := fmt.Sprintf("changing all of this takes %d operations and %d checks at once, and %d and %d are possible", total.Ops, total.Checks, most.Ops, most.Checks)
	e := mezu.Invalid("manifest.directories", "%s", takes)
	if len(a.costs) > 0 {
		e = mezu.Invalid("manifest.environments", "%s: %d of the %d environments that it changes fit", takes, room, len(a.costs))
	}
	e.Hint = "apply a manifest with fewer directories and roles first"
	if room > 0 {
		e.Hint = "apply it in parts, the first with the environments up to " + a.costs[room-1].name + " by name"
	}
	return e
}

// auditedManifest is one side of an apply: the digest of the project as a manifest,
// and on the side of what became of it, what changed.
type auditedManifest struct {
	SHA256  string        `json:"sha256"`
	Changed []mezu.Change `json:"changed,omitempty"`
	// Omitted counts changes that there is no room for.
	Omitted int `json:"omitted,omitempty"`
}

// digestOf is the digest of a manifest: of what it says in JSON, environment by
// environment, and route by route without what the server sets.
func digestOf(m *mezu.Manifest) (string, error) {
	sum := sha256.New()
	out := json.NewEncoder(sum)
	head := *m
	head.Environments = nil
	err := out.Encode(head)
	var r mezu.Route
	for _, name := range slices.Sorted(maps.Keys(m.Environments)) {
		env := m.Environments[name]
		routes := env.Routes
		env.Routes = nil
		err = errors.Join(err, out.Encode(name), out.Encode(env))
		for i := range routes {
			r = routes[i].Settings()
			err = errors.Join(err, out.Encode(&r))
		}
	}
	if err != nil {
		return "", fmt.Errorf("encoding a manifest: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// tell makes the one audit record of the apply. What its parts would have told of
// themselves is in it.
func (a *applying) tell(wanted string) error {
	prj := a.scope.Project.Value
	is := auditedManifest{SHA256: wanted}
	room := audit.MaxSide - 1<<10 // for what is around them
	for _, c := range a.changes {
		if c.Action == mezu.ChangeKeep {
			continue
		}
		if room < 0 {
			is.Omitted++
			continue
		}
		data, err := record.Encode(c)
		if err != nil {
			return fmt.Errorf("encoding a change: %w", err)
		}
		if room -= len(data) + 1; room < 0 {
			is.Omitted++
			continue
		}
		is.Changed = append(is.Changed, c)
	}
	var before any
	if a.now.manifest.Project != "" {
		digest, err := digestOf(&a.now.manifest)
		if err != nil {
			return err
		}
		before = auditedManifest{SHA256: digest}
	}
	a.ch.AuditAlone(a.scope.Target(record.KindProject, prj.ID, prj.Name), before, is)
	return nil
}

// Reachers decide about operations of configuration whose path may name what is not there
// yet.
func (s *Configuration) Reachers() map[string]access.Reacher {
	return map[string]access.Reacher{api.OpApplyProject.ID: s.inApply}
}
