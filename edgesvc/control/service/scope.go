package service

import (
	"context"
	"errors"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// scope is where in the tree an operation works, after its caller was found to
// have business there.
type scope struct {
	organization found[mezu.Organization]
	project      found[mezu.Project]
	environment  found[mezu.Environment]
	directory    found[mezu.Directory]
	// owner is the id of the project or organization whose directories are meant.
	owner string
	// member is the caller's own membership, if the caller is a person.
	member found[membership]
	// grants are the verbs that the caller has here.
	grants []mezu.Permission
}

// Place names a record by the names or ids of its path.
type Place struct {
	Organization, Project, Environment, Directory string
	// Item is the last part: a route, service account, user, Warpgate or edge.
	Item string
}

func (s *Access) noOrganization() error { return notFound("organization", "") }
func noProject() error                  { return notFound("project", "list them with `mezu projects list`") }

// inOrganization admits the caller to an organization. To those who have nothing
// to do with it, it does not exist.
func (s *Access) inOrganization(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, r, err := s.enter(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	if !slices.Contains(sc.grants, r.permission) {
		return sc, forbidden(op, r, c)
	}
	return sc, nil
}

func (s *Access) enter(ctx context.Context, c Caller, op api.Operation, p Place) (scope, rule, error) {
	var sc scope
	r, err := admit(op, c)
	if err != nil {
		return sc, r, err
	}
	if sc.organization, err = child[mezu.Organization](ctx, s.records, prefixOrganization, p.Organization, "organization", ""); err != nil {
		return sc, r, err
	}
	id := sc.organization.Value.ID
	if c.Kind == ServiceAccount {
		if c.Organization != id {
			return sc, r, hidden(s.noOrganization())
		}
		sc.grants = c.Permissions
		return sc, r, nil
	}
	sc.member, err = get[membership](ctx, s.records, keyMember(id, c.ID))
	if errors.Is(err, store.ErrNotFound) {
		return sc, r, hidden(s.noOrganization())
	}
	if err != nil {
		return sc, r, err
	}
	table := rolePermissions
	if r.audience == organizational {
		table = organizationalPermissions
	}
	for _, p := range table[sc.member.Value.Role] {
		if c.holds(p) {
			sc.grants = append(sc.grants, p)
		}
	}
	return sc, r, nil
}

// inProject admits the caller to a project. A service account's own project is the
// only one that exists for it.
func (s *Access) inProject(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, r, err := s.enter(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	may := slices.Contains(sc.grants, r.permission)
	if c.Kind != ServiceAccount && !may {
		return sc, forbidden(op, r, c)
	}
	sc.project, err = child[mezu.Project](ctx, s.records, projectsOf(sc.organization.Value.ID), p.Project, "project", "list them with `mezu projects list`")
	if err != nil {
		return sc, err
	}
	if c.Kind == ServiceAccount && c.Project != sc.project.Value.ID {
		return sc, hidden(noProject())
	}
	if !may {
		return sc, forbidden(op, r, c)
	}
	return sc, nil
}

// inEnvironment admits the caller to an environment of a project.
func (s *Access) inEnvironment(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, err := s.inProject(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	sc.environment, err = child[mezu.Environment](ctx, s.records, environmentsOf(sc.project.Value.ID), p.Environment, "environment", "")
	return sc, err
}

// either is the operation that means the project where the path names one, and
// otherwise the one that means the organization.
func (p Place) either(project, organization api.Operation) api.Operation {
	if p.Project == "" {
		return organization
	}
	return project
}

// inOwner admits the caller to what can own directories: a project where the path
// names one, else an organization.
func (s *Access) inOwner(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	if p.Project == "" {
		sc, err := s.inOrganization(ctx, c, op, p)
		sc.owner = sc.organization.Value.ID
		return sc, err
	}
	sc, err := s.inProject(ctx, c, op, p)
	sc.owner = sc.project.Value.ID
	return sc, err
}

// inDirectory admits the caller to a directory of a project or organization.
func (s *Access) inDirectory(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, err := s.inOwner(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	sc.directory, err = child[mezu.Directory](ctx, s.records, directoriesOf(sc.owner), p.Directory, "directory", "")
	return sc, err
}

// ownersOf finds the project and the organization of an environment.
func (s *Access) ownersOf(ctx context.Context, env found[mezu.Environment]) (org found[mezu.Organization], prj found[mezu.Project], err error) {
	if org, err = get[mezu.Organization](ctx, s.records, keyOrganization(env.Value.Organization)); err != nil {
		return org, prj, err
	}
	prj, err = get[mezu.Project](ctx, s.records, projectsOf(org.Value.ID)+env.Value.Project)
	return org, prj, err
}

// target names something in the place of the scope.
func (sc scope) target(kind, id, name string) target {
	t := about(kind, id, name)
	t.organization, t.project = sc.organization.Value.ID, sc.project.Value.ID
	return t
}

// mayGive refuses a role that lets its holder do what the caller may not: such a
// role he neither gives nor takes.
func (sc scope) mayGive(role mezu.Role) error {
	for _, p := range rolePermissions[role] {
		if !slices.Contains(sc.grants, p) {
			return &mezu.Error{Code: mezu.CodeForbidden, Field: "role", Detail: "you can't give or take the role " + string(role) + ": it may do what you may not (" + string(p) + ")", Hint: "ask an owner of the organization"}
		}
	}
	return nil
}

// stand makes a change depend on what the caller's authority was found in: the
// organization and his own membership as they were read.
func (sc scope) stand(ch *change) {
	ch.require(sc.organization.Key, sc.organization.Revision)
	if sc.member.Revision != 0 {
		ch.require(sc.member.Key, sc.member.Revision)
	}
}

// mayGrant refuses verbs that the caller lacks.
func (sc scope) mayGrant(permissions []mezu.Permission) error {
	for _, p := range permissions {
		if !slices.Contains(sc.grants, p) {
			return &mezu.Error{Code: mezu.CodeForbidden, Field: "permissions", Detail: "you can't grant " + string(p) + ", which you lack", Hint: "ask an owner of the organization"}
		}
	}
	return nil
}
