package config

import (
	"context"
	"reflect"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
)

// ListProjects lists an organization's; to a service account, its own alone.
func (s *Configuration) ListProjects(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.Project], error) {
	sc, err := s.access.InOrganization(ctx, c, api.OpListProjects, p)
	if err != nil {
		return api.List[mezu.Project]{}, err
	}
	if c.Kind == access.ServiceAccount {
		own, err := record.ByID[mezu.Project](ctx, s.records, c.Project)
		if err != nil {
			return api.List[mezu.Project]{}, orUnknownKey(err)
		}
		return api.List[mezu.Project]{Items: []mezu.Project{own.Value}}, nil
	}
	return record.List(ctx, s.records, access.ProjectsOf(sc.Organization.Value.ID), page, func(f record.Record[mezu.Project]) (mezu.Project, error) { return f.Value, nil })
}

// CreateProject makes a project.
func (s *Configuration) CreateProject(ctx context.Context, c access.Caller, p access.Path, in mezu.Project, o record.Idempotency) (mezu.Project, error) {
	var out mezu.Project
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateProject.ID), func(ch *record.Change) error {
		sc, err := s.access.InOrganization(ctx, c, api.OpCreateProject, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (mezu.Project, error) {
			return s.addProject(ctx, ch, sc, in)
		})
		return err
	})
	return out, err
}

func (s *Configuration) addProject(ctx context.Context, ch *record.Change, sc access.Scope, in mezu.Project) (mezu.Project, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	org := sc.Organization
	key := access.ProjectsOf(org.Value.ID) + in.Name
	if err := s.records.RefuseTaken(ctx, key, "project", in.Name); err != nil {
		return in, err
	}
	in.Meta, in.Organization = s.records.Meta(mezu.PrefixProject), org.Value.Name
	ch.Create(key, in)
	ch.Create(record.KeyID(in.ID), key)
	ch.Require(org.Key, org.Revision)
	sc.Project.Value = in
	ch.Audit(sc.Target(record.KindProject, in.ID, in.Name), nil, in)
	return in, s.records.CountUp(ctx, ch, org.Value.ID, quotaProjects, func(n *record.Children) *int { return &n.Projects })
}

// GetProject reads one.
func (s *Configuration) GetProject(ctx context.Context, c access.Caller, p access.Path) (mezu.Project, error) {
	sc, err := s.access.InProject(ctx, c, api.OpGetProject, p)
	return sc.Project.Value, err
}

// UpdateProject changes one. New roles reach the bundles of all its environments
// before the call returns; a role that a user has can't be removed.
func (s *Configuration) UpdateProject(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.Project) error) (mezu.Project, error) {
	var out mezu.Project
	var tasks []record.Task
	_, err := s.records.Commit(ctx, access.By(c, api.OpUpdateProject.ID), func(ch *record.Change) error {
		tasks = nil
		sc, err := s.access.InProject(ctx, c, api.OpUpdateProject, p)
		if err != nil {
			return err
		}
		prj := sc.Project
		if err := record.CheckRevision(ifMatch, prj.Revision); err != nil {
			return err
		}
		out = prj.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := record.FixedName(prj.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Organization = prj.Value.Organization
		out.Meta = s.records.Touch(prj.Value.Meta, prj.Revision)
		ch.Update(prj.Key, prj.Revision, out)
		ch.Audit(sc.Target(record.KindProject, out.ID, out.Name), prj.Value, out)
		if !reflect.DeepEqual(prj.Value.Roles, out.Roles) {
			if tasks, err = s.identity.DropRoles(ctx, ch, sc, identity.RemovedRoles(prj.Value.Roles, out.Roles)); err != nil {
				return err
			}
			bundles := record.Task{Kind: record.TaskBundles, ID: out.ID}
			ch.Enqueue(bundles)
			tasks = append(tasks, bundles)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	return out, s.records.FinishAll(ctx, tasks)
}

// DeleteProject removes a project without environments and directories, and its service
// accounts. The accounts are removed by a task, but find no project from the change on. A
// project is kept if a user of the organization has one of its roles.
func (s *Configuration) DeleteProject(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	var tasks []record.Task
	_, err := s.records.Commit(ctx, access.By(c, api.OpDeleteProject.ID), func(ch *record.Change) error {
		sc, err := s.access.InProject(ctx, c, api.OpDeleteProject, p)
		if err != nil {
			return err
		}
		prj := sc.Project
		if err := record.CheckRevision(ifMatch, prj.Revision); err != nil {
			return err
		}
		id := prj.Value.ID
		below, err := record.Optional[record.Children](ctx, s.records, record.KeyChildren(id))
		if err != nil {
			return err
		}
		if err := below.Value.Refuse("the project", "environments", below.Value.Environments); err != nil {
			return err
		}
		if tasks, err = s.identity.DropRoles(ctx, ch, sc, identity.RemovedRoles(prj.Value.Roles, nil)); err != nil {
			return err
		}
		accounts := record.Task{Kind: record.TaskProject, ID: id}
		tasks = append(tasks, accounts)
		ch.Remove(prj.Key, prj.Revision)
		ch.Drop(record.KeyID(id))
		ch.Remove(record.KeyChildren(id), below.Revision)
		ch.Drop(keyApplied(id))
		ch.Enqueue(accounts)
		ch.Audit(sc.Target(record.KindProject, id, prj.Value.Name), prj.Value, nil)
		return s.records.Count(ctx, ch, sc.Organization.Value.ID, func(n *record.Children) { n.Projects-- })
	})
	if err != nil {
		return err
	}
	return s.records.FinishAll(ctx, tasks)
}

// cutAccounts removes the service accounts of a project that was deleted.
func (s *Configuration) cutAccounts(ctx context.Context, project string) error {
	return record.Each(ctx, s.records, access.AccountsOf(project), func(a record.Record[access.Account]) error {
		// One whose key was rotated meanwhile is read again: it must not stay.
		_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
			acc, err := record.Optional[access.Account](ctx, s.records, a.Key)
			if err == nil && acc.Revision != 0 {
				dropAccount(ch, acc)
			}
			return err
		})
		return err
	})
}

// Tasks are what changes of projects enqueue.
func (s *Configuration) Tasks() record.TaskHandlers {
	return record.TaskHandlers{
		record.TaskProject:   func(ctx context.Context, t record.Task) error { return s.cutAccounts(ctx, t.ID) },
		record.TaskDirectory: s.republishNaming,
		record.TaskBundles: func(ctx context.Context, t record.Task) error {
			return record.Each(ctx, s.records, access.EnvironmentsOf(t.ID), func(f record.Record[mezu.Environment]) error { return s.republish(ctx, f.Value.ID) })
		},
	}
}
