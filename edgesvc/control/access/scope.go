package access

import (
	"context"
	"errors"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Scope is where in the tree an operation works. Whoever has a Scope has been admitted there.
type Scope struct {
	Organization record.Record[mezu.Organization]
	Project      record.Record[mezu.Project]
	Environment  record.Record[mezu.Environment]
	Directory    record.Record[mezu.Directory]
	// Owner is the id of the project or organization whose directories are meant.
	Owner string
	// Member is the caller's own membership, if the caller is a person.
	Member record.Record[Membership]
	// Grants are the verbs that the caller has here.
	Grants []mezu.Permission
}

// Path names a record by the names or ids of its path.
type Path struct {
	Organization, Project, Environment, Directory string
	// Item is the last part: a route, service account, user, Warpgate or edge.
	Item string
	// Session is one of a user.
	Session string
}

func (s *Access) noOrganization() error { return record.NotFound("organization", "") }
func noProject() error                  { return record.NotFound("project", "list them with `mezu projects list`") }

// InOrganization admits the caller to an organization. To those who have nothing
// to do with it, it does not exist.
func (s *Access) InOrganization(ctx context.Context, c Caller, op api.Operation, p Path) (Scope, error) {
	sc, r, err := s.Enter(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	if !slices.Contains(sc.Grants, r.Permission) {
		return sc, Forbidden(op, r, c)
	}
	return sc, nil
}

// Enter finds the organization of a path, and what the caller may do in it. Whether that is
// enough is not judged yet: the rule says what the operation needs.
func (s *Access) Enter(ctx context.Context, c Caller, op api.Operation, p Path) (Scope, rule, error) {
	var sc Scope
	r, err := Admit(op, c)
	if err != nil {
		return sc, r, err
	}
	if sc.Organization, err = record.Child[mezu.Organization](ctx, s.records, PrefixOrganization, p.Organization, "organization", ""); err != nil {
		return sc, r, err
	}
	id := sc.Organization.Value.ID
	if c.Kind == ServiceAccount {
		if c.Organization != id {
			return sc, r, hidden(s.noOrganization())
		}
		sc.Grants = c.Permissions
		return sc, r, nil
	}
	sc.Member, err = record.Get[Membership](ctx, s.records, KeyMember(id, c.ID))
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
	for _, p := range table[sc.Member.Value.Role] {
		if c.Holds(p) {
			sc.Grants = append(sc.Grants, p)
		}
	}
	return sc, r, nil
}

// InProject admits the caller to a project. A service account's own project is the
// only one that exists for it.
func (s *Access) InProject(ctx context.Context, c Caller, op api.Operation, p Path) (Scope, error) {
	sc, r, err := s.Enter(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	may := slices.Contains(sc.Grants, r.Permission)
	if c.Kind != ServiceAccount && !may {
		return sc, Forbidden(op, r, c)
	}
	sc.Project, err = record.Child[mezu.Project](ctx, s.records, ProjectsOf(sc.Organization.Value.ID), p.Project, "project", "list them with `mezu projects list`")
	if err != nil {
		return sc, err
	}
	if c.Kind == ServiceAccount && c.Project != sc.Project.Value.ID {
		return sc, hidden(noProject())
	}
	if !may {
		return sc, Forbidden(op, r, c)
	}
	return sc, nil
}

// InEnvironment admits the caller to an environment of a project.
func (s *Access) InEnvironment(ctx context.Context, c Caller, op api.Operation, p Path) (Scope, error) {
	sc, err := s.InProject(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	sc.Environment, err = record.Child[mezu.Environment](ctx, s.records, EnvironmentsOf(sc.Project.Value.ID), p.Environment, "environment", "")
	return sc, err
}

// Either gives the operation on a project if the path names a project, and else the one on
// the organization.
func (p Path) Either(project, organization api.Operation) api.Operation {
	if p.Project == "" {
		return organization
	}
	return project
}

// InOwner admits the caller to an owner of directories: to the project if the path names one,
// else to the organization.
func (s *Access) InOwner(ctx context.Context, c Caller, op api.Operation, p Path) (Scope, error) {
	if p.Project == "" {
		sc, err := s.InOrganization(ctx, c, op, p)
		sc.Owner = sc.Organization.Value.ID
		return sc, err
	}
	sc, err := s.InProject(ctx, c, op, p)
	sc.Owner = sc.Project.Value.ID
	return sc, err
}

// InDirectory admits the caller to a directory of a project or organization.
func (s *Access) InDirectory(ctx context.Context, c Caller, op api.Operation, p Path) (Scope, error) {
	sc, err := s.InOwner(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	sc.Directory, err = record.Child[mezu.Directory](ctx, s.records, DirectoriesOf(sc.Owner), p.Directory, "directory", "")
	return sc, err
}

// ToDirectory is the scope of a directory for the control plane itself, or store.ErrNotFound.
// It admits nobody: whoever uses it has judged already.
func (s *Access) ToDirectory(ctx context.Context, id string) (sc Scope, err error) {
	if sc.Directory, err = record.ByID[mezu.Directory](ctx, s.records, id); err != nil {
		return sc, err
	}
	if sc.Organization, err = record.Get[mezu.Organization](ctx, s.records, KeyOrganization(sc.Directory.Value.Organization)); err != nil {
		return sc, err
	}
	sc.Owner = sc.Organization.Value.ID
	if name := sc.Directory.Value.Project; name != "" {
		sc.Project, err = record.Get[mezu.Project](ctx, s.records, ProjectsOf(sc.Owner)+name)
		sc.Owner = sc.Project.Value.ID
	}
	return sc, err
}

// OwnersOf finds the project and the organization of an environment.
func (s *Access) OwnersOf(ctx context.Context, env record.Record[mezu.Environment]) (org record.Record[mezu.Organization], prj record.Record[mezu.Project], err error) {
	if org, err = record.Get[mezu.Organization](ctx, s.records, KeyOrganization(env.Value.Organization)); err != nil {
		return org, prj, err
	}
	prj, err = record.Get[mezu.Project](ctx, s.records, ProjectsOf(org.Value.ID)+env.Value.Project)
	return org, prj, err
}

// Target names something in this scope for an audit record.
func (sc Scope) Target(kind, id, name string) record.Target {
	t := record.About(kind, id, name)
	t.Organization, t.Project = sc.Organization.Value.ID, sc.Project.Value.ID
	return t
}

// MayGive refuses a role that lets its holder do what the caller may not. The caller can
// neither give nor take such a role.
func (sc Scope) MayGive(role mezu.Role) error {
	for _, p := range rolePermissions[role] {
		if !slices.Contains(sc.Grants, p) {
			return &mezu.Error{Code: mezu.CodeForbidden, Field: "role", Detail: "you can't give or take the role " + string(role) + ": it may do what you may not (" + string(p) + ")", Hint: "ask an owner of the organization"}
		}
	}
	return nil
}

// RequireAuthority makes a change depend on the records from which the caller's permissions
// follow: the organization and the caller's own membership, as they were read.
func (sc Scope) RequireAuthority(ch *record.Change) {
	ch.Require(sc.Organization.Key, sc.Organization.Revision)
	if sc.Member.Revision != 0 {
		ch.Require(sc.Member.Key, sc.Member.Revision)
	}
}

// MayGrant refuses verbs that the caller lacks.
func (sc Scope) MayGrant(permissions []mezu.Permission) error {
	for _, p := range permissions {
		if !slices.Contains(sc.Grants, p) {
			return &mezu.Error{Code: mezu.CodeForbidden, Field: "permissions", Detail: "you can't grant " + string(p) + ", which you lack", Hint: "ask an owner of the organization"}
		}
	}
	return nil
}
