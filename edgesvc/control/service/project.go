package service

import (
	"context"
	"reflect"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// ListProjects lists an organization's; to a service account, its own alone.
func (s *Configuration) ListProjects(ctx context.Context, c Caller, p Place, page Paging) (api.List[mezu.Project], error) {
	sc, err := s.access.inOrganization(ctx, c, api.OpListProjects, p)
	if err != nil {
		return api.List[mezu.Project]{}, err
	}
	if c.Kind == ServiceAccount {
		own, err := byID[mezu.Project](ctx, s.records, c.Project)
		if err != nil {
			return api.List[mezu.Project]{}, orUnknownKey(err)
		}
		return api.List[mezu.Project]{Items: []mezu.Project{own.Value}}, nil
	}
	return list(ctx, s.records, projectsOf(sc.organization.Value.ID), page, func(f found[mezu.Project]) (mezu.Project, error) { return f.Value, nil })
}

// CreateProject makes a project.
func (s *Configuration) CreateProject(ctx context.Context, c Caller, p Place, in mezu.Project, o Once) (mezu.Project, error) {
	var out mezu.Project
	_, err := s.records.commit(ctx, by(c, api.OpCreateProject.ID), func(ch *change) error {
		sc, err := s.access.inOrganization(ctx, c, api.OpCreateProject, p)
		if err != nil {
			return err
		}
		out, err = once(ctx, s.records, ch, by(c, api.OpCreateProject.ID), o, false, func() (mezu.Project, error) {
			return s.addProject(ctx, ch, sc, in)
		})
		return err
	})
	return out, err
}

func (s *Configuration) addProject(ctx context.Context, ch *change, sc scope, in mezu.Project) (mezu.Project, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	org := sc.organization
	key := projectsOf(org.Value.ID) + in.Name
	if err := s.records.free(ctx, key, "project", in.Name); err != nil {
		return in, err
	}
	in.Meta, in.Organization = s.records.meta(mezu.PrefixProject), org.Value.Name
	ch.create(key, in)
	ch.create(keyID(in.ID), key)
	ch.require(org.Key, org.Revision)
	sc.project.Value = in
	ch.audit(sc.target(kindProject, in.ID, in.Name), nil, in)
	return in, s.records.add(ctx, ch, org.Value.ID, quotaProjects, func(n *children) *int { return &n.Projects })
}

// GetProject reads one.
func (s *Configuration) GetProject(ctx context.Context, c Caller, p Place) (mezu.Project, error) {
	sc, err := s.access.inProject(ctx, c, api.OpGetProject, p)
	return sc.project.Value, err
}

// UpdateProject changes one. New roles reach the bundles of all its environments
// before the call returns; a role that a user has can't be removed.
func (s *Configuration) UpdateProject(ctx context.Context, c Caller, p Place, ifMatch uint64, with func(*mezu.Project) error) (mezu.Project, error) {
	var out mezu.Project
	var owed []task
	_, err := s.records.commit(ctx, by(c, api.OpUpdateProject.ID), func(ch *change) error {
		owed = nil
		sc, err := s.access.inProject(ctx, c, api.OpUpdateProject, p)
		if err != nil {
			return err
		}
		prj := sc.project
		if err := matches(ifMatch, prj.Revision); err != nil {
			return err
		}
		out = prj.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := fixedName(prj.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Organization = prj.Value.Organization
		out.Meta = s.records.touch(prj.Value.Meta, prj.Revision)
		ch.update(prj.Key, prj.Revision, out)
		ch.audit(sc.target(kindProject, out.ID, out.Name), prj.Value, out)
		if !reflect.DeepEqual(prj.Value.Roles, out.Roles) {
			if owed, err = s.identity.dropRoles(ctx, ch, sc, removedRoles(prj.Value.Roles, out.Roles)); err != nil {
				return err
			}
			bundles := task{Kind: taskBundles, ID: out.ID}
			ch.enqueue(bundles)
			owed = append(owed, bundles)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	return out, s.records.settleAll(ctx, owed)
}

// DeleteProject removes a project without environments and directories, and its
// service accounts: they are owed by the change, and find nothing any more as soon as
// it is made. A project of whose roles a user of the organization has one stays.
func (s *Configuration) DeleteProject(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	var owed []task
	_, err := s.records.commit(ctx, by(c, api.OpDeleteProject.ID), func(ch *change) error {
		sc, err := s.access.inProject(ctx, c, api.OpDeleteProject, p)
		if err != nil {
			return err
		}
		prj := sc.project
		if err := matches(ifMatch, prj.Revision); err != nil {
			return err
		}
		id := prj.Value.ID
		below, err := optional[children](ctx, s.records, keyChildren(id))
		if err != nil {
			return err
		}
		if err := below.Value.refuse("the project", "environments", below.Value.Environments); err != nil {
			return err
		}
		if owed, err = s.identity.dropRoles(ctx, ch, sc, removedRoles(prj.Value.Roles, nil)); err != nil {
			return err
		}
		accounts := task{Kind: taskProject, ID: id}
		owed = append(owed, accounts)
		ch.remove(prj.Key, prj.Revision)
		ch.drop(keyID(id))
		ch.remove(keyChildren(id), below.Revision)
		ch.drop(keyApplied(id))
		ch.enqueue(accounts)
		ch.audit(sc.target(kindProject, id, prj.Value.Name), prj.Value, nil)
		return s.records.count(ctx, ch, sc.organization.Value.ID, func(n *children) { n.Projects-- })
	})
	if err != nil {
		return err
	}
	return s.records.settleAll(ctx, owed)
}

// cutAccounts removes the service accounts of a project that was deleted.
func (s *Configuration) cutAccounts(ctx context.Context, project string) error {
	return each(ctx, s.records, accountsOf(project), func(a found[account]) error {
		// One whose key was rotated meanwhile is read again: it must not stay.
		_, err := s.records.commit(ctx, internal(), func(ch *change) error {
			acc, err := optional[account](ctx, s.records, a.Key)
			if err == nil && acc.Revision != 0 {
				dropAccount(ch, acc)
			}
			return err
		})
		return err
	})
}

// configurationTasks are what changes of projects enqueue.
func (s *Configuration) configurationTasks() taskHandlers {
	return taskHandlers{
		taskProject: func(ctx context.Context, t task) error { return s.cutAccounts(ctx, t.ID) },
		taskBundles: func(ctx context.Context, t task) error {
			return each(ctx, s.records, environmentsOf(t.ID), func(f found[mezu.Environment]) error { return s.republish(ctx, f.Value.ID) })
		},
	}
}
