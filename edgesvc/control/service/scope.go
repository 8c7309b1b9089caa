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
			return sc, r, hidden(s.noOrganization())
		}
		sc.grants = c.Permissions
		return sc, r, nil
	}
	sc.member, err = get[membership](ctx, s, keyMember(id, c.ID))
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
		return sc, hidden(noProject())
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

// Reach decides whether a caller may call an operation where the call goes, before a byte
// of its body is read; the operation decides again, at the data. It gives the id of the
// organization of that place, empty if it lies in none.
func (s *Service) Reach(ctx context.Context, op api.Operation, c Caller, p Place) (organization string, err error) {
	var sc scope
	switch {
	case op.ID == api.OpApplyProject.ID:
		sc, err = s.inApply(ctx, c, p)
	case op.ID == api.OpCreateOrganization.ID:
		err = s.mayFound(c)
	case p.Environment != "":
		sc, err = s.inEnvironment(ctx, c, op, p)
	case p.Directory != "":
		sc, err = s.inDirectory(ctx, c, op, p)
	case p.Project != "":
		sc, err = s.inProject(ctx, c, op, p)
	case p.Organization != "":
		sc, err = s.inOrganization(ctx, c, op, p)
	default:
		_, err = admit(op, c)
	}
	return sc.organization.Value.ID, err
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
func (s *Service) inOwner(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
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
func (s *Service) inDirectory(ctx context.Context, c Caller, op api.Operation, p Place) (scope, error) {
	sc, err := s.inOwner(ctx, c, op, p)
	if err != nil {
		return sc, err
	}
	sc.directory, err = child[mezu.Directory](ctx, s, directoriesOf(sc.owner), p.Directory, "directory", "")
	return sc, err
}

// children counts what hangs below a record, so that it can't be deleted while
// something is being added.
type children struct {
	Projects     int `json:"projects,omitempty"`
	Environments int `json:"environments,omitempty"`
	Accounts     int `json:"accounts,omitempty"`
	Directories  int `json:"directories,omitempty"`
	// HadUsers: a directory has counted users (countUsers), if only earlier.
	HadUsers bool `json:"had_users,omitempty"`
	// Operators are the installation's, Tokens a person's.
	Operators int `json:"operators,omitempty"`
	Tokens    int `json:"tokens,omitempty"`
	// Owners, Members and Invitations are an organization's.
	Owners      int `json:"owners,omitempty"`
	Members     int `json:"members,omitempty"`
	Invitations int `json:"invitations,omitempty"`
}

// refuse is the answer to the deletion of an owner that still has n of something,
// or directories.
func (n children) refuse(owner, what string, of int) error {
	if of == 0 {
		what, of = "directories", n.Directories
	}
	if of == 0 {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeConflict, Detail: owner + " still has " + what, Hint: "delete them first"}
}

// counted is a parent's counters as a change leaves them; gone says that they are
// deleted with their parent.
type counted struct {
	found[children]
	gone bool
}

// counters are those of a parent as the change leaves them so far. The pointer is
// good until the next call.
func (s *Service) counters(ctx context.Context, ch *change, parent string) (*counted, error) {
	key := keyChildren(parent)
	if i := slices.IndexFunc(ch.counts, func(n counted) bool { return n.Key == key }); i >= 0 {
		return &ch.counts[i], nil
	}
	n, err := optional[children](ctx, s, key)
	if err != nil {
		return nil, err
	}
	ch.counts = append(ch.counts, counted{found: n})
	return &ch.counts[len(ch.counts)-1], nil
}

// count changes a parent's counters inside a change.
func (s *Service) count(ctx context.Context, ch *change, parent string, with func(*children)) error {
	n, err := s.counters(ctx, ch, parent)
	if err != nil {
		return err
	}
	with(&n.Value)
	return nil
}

// writeCounts writes each parent's counters once, however often they changed.
func (c *change) writeCounts() {
	for _, n := range c.counts {
		if n.gone {
			c.remove(n.Key, n.Revision)
		} else {
			c.update(n.Key, n.Revision, n.Value)
		}
	}
	c.counts = nil
}

// ownersOf finds the project and the organization of an environment.
func (s *Service) ownersOf(ctx context.Context, env found[mezu.Environment]) (org found[mezu.Organization], prj found[mezu.Project], err error) {
	if org, err = get[mezu.Organization](ctx, s, keyOrganization(env.Value.Organization)); err != nil {
		return org, prj, err
	}
	prj, err = get[mezu.Project](ctx, s, projectsOf(org.Value.ID)+env.Value.Project)
	return org, prj, err
}
