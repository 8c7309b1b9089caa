package config

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// WatchProjects watches an organization's projects; a service account, its own.
func (s *Configuration) WatchProjects(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[mezu.Project, mezu.Project], err error) {
		sc, err := s.access.InOrganization(ctx, c, api.OpWatchProjects, p)
		if err != nil {
			return w, err
		}
		w = record.Collection[mezu.Project, mezu.Project]{Prefix: access.ProjectsOf(sc.Organization.Value.ID), Show: record.Plain[mezu.Project]}
		if c.Kind == access.ServiceAccount {
			own, err := record.ByID[mezu.Project](ctx, s.records, c.Project)
			if err != nil {
				return w, orUnknownKey(err)
			}
			w.Only = own.Key
		}
		return w, nil
	})
}

// WatchEnvironments watches a project's environments.
func (s *Configuration) WatchEnvironments(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[mezu.Environment, mezu.Environment], err error) {
		sc, err := s.access.InProject(ctx, c, api.OpWatchEnvironments, p)
		show := func(_ context.Context, f record.Record[mezu.Environment]) (mezu.Environment, error) {
			return s.fleet.ShownEnvironment(f.Value), nil
		}
		return record.Collection[mezu.Environment, mezu.Environment]{Prefix: access.EnvironmentsOf(sc.Project.Value.ID), Show: show}, err
	})
}

// WatchRoutes watches an environment's routes, which change as one.
func (s *Configuration) WatchRoutes(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[routesHead, api.RoutesState], err error) {
		sc, err := s.access.InEnvironment(ctx, c, api.OpWatchRoutes, p)
		env := sc.Environment.Value
		show := func(ctx context.Context, _ record.Record[routesHead]) (api.RoutesState, error) {
			head, routes, err := s.routes(ctx, env.ID)
			if err != nil {
				return api.RoutesState{}, err
			}
			return s.routesState(ctx, env, head.Revision, routes, mezu.Warnings(ctx, routes))
		}
		return record.Collection[routesHead, api.RoutesState]{Prefix: keyRoutes(env.ID), Show: show}, err
	})
}

// WatchServiceAccounts watches a project's service accounts.
func (s *Configuration) WatchServiceAccounts(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[access.Account, mezu.ServiceAccount], err error) {
		sc, err := s.access.InProject(ctx, c, api.OpWatchServiceAccounts, p)
		show := func(ctx context.Context, f record.Record[access.Account]) (mezu.ServiceAccount, error) {
			return s.shownAccount(ctx, f.Value)
		}
		return record.Collection[access.Account, mezu.ServiceAccount]{Prefix: access.AccountsOf(sc.Project.Value.ID), Show: show}, err
	})
}
