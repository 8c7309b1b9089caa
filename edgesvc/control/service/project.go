package service

import (
	"context"
	"errors"
	"reflect"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// ListProjects lists an organization's; to a service account, its own alone.
func (s *Service) ListProjects(ctx context.Context, c Caller, p Place, page Paging) (api.List[mezu.Project], error) {
	sc, err := s.inOrganization(ctx, c, api.OpListProjects, p)
	if err != nil {
		return api.List[mezu.Project]{}, err
	}
	if c.Kind == ServiceAccount {
		own, err := byID[mezu.Project](ctx, s, c.Project)
		return api.List[mezu.Project]{Items: []mezu.Project{own.Value}}, err
	}
	return list(ctx, s, projectsOf(sc.organization.Value.ID), page, func(f found[mezu.Project]) (mezu.Project, error) { return f.Value, nil })
}

// CreateProject makes a project.
func (s *Service) CreateProject(ctx context.Context, c Caller, p Place, in mezu.Project, o Once) (mezu.Project, error) {
	var out mezu.Project
	_, err := s.commit(ctx, func(ch *change) error {
		sc, err := s.inOrganization(ctx, c, api.OpCreateProject, p)
		if err != nil {
			return err
		}
		out, err = once(ctx, s, ch, c, api.OpCreateProject, o, false, func() (mezu.Project, error) {
			return s.addProject(ctx, ch, sc, in)
		})
		return err
	})
	return out, err
}

func (s *Service) addProject(ctx context.Context, ch *change, sc scope, in mezu.Project) (mezu.Project, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	org := sc.organization
	key := projectsOf(org.Value.ID) + in.Name
	if err := s.free(ctx, key, "project", in.Name); err != nil {
		return in, err
	}
	in.Meta, in.Organization = s.meta(mezu.PrefixProject), org.Value.Name
	ch.create(key, in)
	ch.create(keyID(in.ID), key)
	ch.require(org.Key, org.Revision)
	return in, s.count(ctx, ch, org.Value.ID, func(n *children) { n.Projects++ })
}

// GetProject reads one.
func (s *Service) GetProject(ctx context.Context, c Caller, p Place) (mezu.Project, error) {
	sc, err := s.inProject(ctx, c, api.OpGetProject, p)
	return sc.project.Value, err
}

// UpdateProject changes one. New roles reach the bundles of all its environments
// before the call returns.
func (s *Service) UpdateProject(ctx context.Context, c Caller, p Place, ifMatch uint64, with func(*mezu.Project) error) (mezu.Project, error) {
	var out mezu.Project
	var owed *pending
	_, err := s.commit(ctx, func(ch *change) error {
		owed = nil
		sc, err := s.inProject(ctx, c, api.OpUpdateProject, p)
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
		out.Meta = s.touch(prj.Value.Meta, prj.Revision)
		ch.update(prj.Key, prj.Revision, out)
		if !reflect.DeepEqual(prj.Value.Roles, out.Roles) {
			owed = &pending{Kind: pendingBundles, ID: out.ID}
			ch.owe(*owed)
		}
		return nil
	})
	if err == nil && owed != nil {
		err = s.settle(ctx, *owed)
	}
	return out, err
}

// DeleteProject removes a project without environments, and its service accounts.
func (s *Service) DeleteProject(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	sc, err := s.inProject(ctx, c, api.OpDeleteProject, p)
	if err != nil {
		return err
	}
	if err := matches(ifMatch, sc.project.Revision); err != nil {
		return err
	}
	id := sc.project.Value.ID
	if err := s.withoutEnvironments(ctx, id); err != nil {
		return err
	}
	err = each(ctx, s, accountsOf(id), func(a found[account]) error { return s.removeAccount(ctx, a.Key, 0) })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	_, err = s.commit(ctx, func(ch *change) error {
		sc, err := s.inProject(ctx, c, api.OpDeleteProject, p)
		if err != nil {
			return err
		}
		if err := s.withoutEnvironments(ctx, id); err != nil {
			return err
		}
		below, err := optional[children](ctx, s, keyChildren(id))
		if err != nil {
			return err
		}
		if below.Value.Accounts > 0 {
			return &mezu.Error{Code: mezu.CodeConflict, Detail: "a service account was created meanwhile", Hint: "try again"}
		}
		ch.remove(sc.project.Key, sc.project.Revision)
		ch.drop(keyID(id))
		ch.remove(keyChildren(id), below.Revision)
		return s.count(ctx, ch, sc.organization.Value.ID, func(n *children) { n.Projects-- })
	})
	return err
}

func (s *Service) withoutEnvironments(ctx context.Context, project string) error {
	below, err := optional[children](ctx, s, keyChildren(project))
	if err == nil && below.Value.Environments > 0 {
		err = &mezu.Error{Code: mezu.CodeConflict, Detail: "the project still has environments", Hint: "delete them first"}
	}
	return err
}
