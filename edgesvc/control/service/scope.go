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
	// grants are the verbs that the caller has here.
	grants []mezu.Permission
}

// Place names a record by the names or ids of its path.
type Place struct {
	Organization, Project, Environment string
	// Item is the last part: a route, service account, Warpgate or edge.
	Item string
}

func (s *Service) noOrganization() error { return notFound("organization", "") }
func noProject() error                   { return notFound("project", "list them with `mezu projects list`") }

// inOrganization admits the caller to an organization. To those who have nothing
// to do with it, it does not exist.
func (s *Service) inOrganization(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, r, err := s.enter(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	if !slices.Contains(sc.grants, r.permission) {
		return sc, forbidden(op, r, c)
	}
	return sc, nil
}

func (s *Service) enter(ctx context.Context, c Caller, op api.Operation, p Place) (scope, rule, error) {
	var sc scope
	r, err := admit(op, c)
	if err != nil {
		return sc, r, err
	}
	if sc.organization, err = child[mezu.Organization](ctx, s, prefixOrganization, p.Organization, "organization", ""); err != nil {
		return sc, r, err
	}
	id := sc.organization.Value.ID
	if c.Kind == ServiceAccount {
		if c.Organization != id {
			return sc, r, s.noOrganization()
		}
		sc.grants = c.Permissions
		return sc, r, nil
	}
	member, err := get[mezu.Member](ctx, s, keyMember(id, c.ID))
	if errors.Is(err, store.ErrNotFound) {
		return sc, r, s.noOrganization()
	}
	if err != nil {
		return sc, r, err
	}
	for _, p := range rolePermissions[member.Value.Role] {
		if c.holds(p) {
			sc.grants = append(sc.grants, p)
		}
	}
	return sc, r, nil
}

// inProject admits the caller to a project. A service account's own project is the
// only one that exists for it.
func (s *Service) inProject(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, r, err := s.enter(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	may := slices.Contains(sc.grants, r.permission)
	if c.Kind != ServiceAccount && !may {
		return sc, forbidden(op, r, c)
	}
	sc.project, err = child[mezu.Project](ctx, s, projectsOf(sc.organization.Value.ID), p.Project, "project", "list them with `mezu projects list`")
	if err != nil {
		return sc, err
	}
	if c.Kind == ServiceAccount && c.Project != sc.project.Value.ID {
		return sc, noProject()
	}
	if !may {
		return sc, forbidden(op, r, c)
	}
	return sc, nil
}

// inEnvironment admits the caller to an environment of a project.
func (s *Service) inEnvironment(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, err := s.inProject(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	sc.environment, err = child[mezu.Environment](ctx, s, environmentsOf(sc.project.Value.ID), p.Environment, "environment", "")
	return sc, err
}

// children counts what hangs below a record, so that it can't be deleted while
// something is being added.
type children struct {
	Projects     int `json:"projects,omitempty"`
	Environments int `json:"environments,omitempty"`
	Accounts     int `json:"accounts,omitempty"`
}

// count changes a parent's counters inside a change.
func (s *Service) count(ctx context.Context, ch *change, parent string, with func(*children)) error {
	n, err := optional[children](ctx, s, keyChildren(parent))
	if err != nil {
		return err
	}
	with(&n.Value)
	ch.update(keyChildren(parent), n.Revision, n.Value)
	return nil
}

// ownersOf finds the project and the organization of an environment.
func (s *Service) ownersOf(ctx context.Context, env found[mezu.Environment]) (org found[mezu.Organization], prj found[mezu.Project], err error) {
	if org, err = get[mezu.Organization](ctx, s, keyOrganization(env.Value.Organization)); err != nil {
		return org, prj, err
	}
	prj, err = get[mezu.Project](ctx, s, projectsOf(org.Value.ID)+env.Value.Project)
	return org, prj, err
}
