package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// WatchProjects watches an organization's projects; a service account, its own.
func (s *Configuration) WatchProjects(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watchAs(ctx, s.access, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Project, mezu.Project], err error) {
		sc, err := s.access.inOrganization(ctx, c, api.OpWatchProjects, p)
		if err != nil {
			return w, err
		}
		w = collection[mezu.Project, mezu.Project]{prefix: projectsOf(sc.organization.Value.ID), show: plain[mezu.Project]}
		if c.Kind == ServiceAccount {
			own, err := byID[mezu.Project](ctx, s.records, c.Project)
			if err != nil {
				return w, orUnknownKey(err)
			}
			w.only = own.Key
		}
		return w, nil
	})
}

// WatchEnvironments watches a project's environments.
func (s *Configuration) WatchEnvironments(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watchAs(ctx, s.access, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Environment, mezu.Environment], err error) {
		sc, err := s.access.inProject(ctx, c, api.OpWatchEnvironments, p)
		show := func(_ context.Context, f found[mezu.Environment]) (mezu.Environment, error) {
			return s.fleet.shown(f.Value), nil
		}
		return collection[mezu.Environment, mezu.Environment]{prefix: environmentsOf(sc.project.Value.ID), show: show}, err
	})
}

// WatchRoutes watches an environment's routes, which change as one.
func (s *Configuration) WatchRoutes(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watchAs(ctx, s.access, c, last, sink, func(ctx context.Context, c Caller) (w collection[routesHead, api.RoutesState], err error) {
		sc, err := s.access.inEnvironment(ctx, c, api.OpWatchRoutes, p)
		env := sc.environment.Value
		show := func(ctx context.Context, _ found[routesHead]) (api.RoutesState, error) {
			head, routes, err := s.routes(ctx, env.ID)
			if err != nil {
				return api.RoutesState{}, err
			}
			return s.routesState(ctx, env, head.Revision, routes, mezu.Warnings(ctx, routes))
		}
		return collection[routesHead, api.RoutesState]{prefix: keyRoutes(env.ID), show: show}, err
	})
}

// WatchServiceAccounts watches a project's service accounts.
func (s *Configuration) WatchServiceAccounts(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watchAs(ctx, s.access, c, last, sink, func(ctx context.Context, c Caller) (w collection[account, mezu.ServiceAccount], err error) {
		sc, err := s.access.inProject(ctx, c, api.OpWatchServiceAccounts, p)
		show := func(ctx context.Context, f found[account]) (mezu.ServiceAccount, error) {
			return s.shownAccount(ctx, f.Value)
		}
		return collection[account, mezu.ServiceAccount]{prefix: accountsOf(sc.project.Value.ID), show: show}, err
	})
}
