package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// fleetTasks are what the fleet does for changes of its own and of what lies above it.
func (s *Fleet) fleetTasks() taskHandlers {
	return taskHandlers{
		taskAccount:     s.cutAccount,
		taskEnvironment: func(ctx context.Context, t task) error { return s.cutWarpgates(ctx, t.ID, "") },
		taskMember:      s.cutMember,
		taskEdge:        func(ctx context.Context, t task) error { return s.forgetEdge(ctx, t.ID) },
	}
}

// cutAccount removes the Warpgates that an account let in.
func (s *Fleet) cutAccount(ctx context.Context, p task) error {
	return each(ctx, s.records, environmentsOf(p.Project), func(f found[mezu.Environment]) error {
		return s.cutWarpgates(ctx, f.Value.ID, p.ID)
	})
}

// cutWarpgates removes an environment's Warpgates: those that one account let in,
// or all for an empty account.
func (s *Fleet) cutWarpgates(ctx context.Context, environment, account string) error {
	return each(ctx, s.records, warpgatesOf(environment), func(f found[warpgate]) error {
		if account != "" && f.Value.RegisteredBy != account {
			return nil
		}
		return s.removeWarpgate(ctx, internal(), environment, f.Value.ID, 0)
	})
}

// forgetEdge drops the presence that an edge reported.
func (s *Fleet) forgetEdge(ctx context.Context, id string) error {
	if _, err := s.records.housekeep(ctx, store.Txn{Ops: []store.Op{{Key: keySilent(id), Delete: true}}}); err != nil {
		return err
	}
	return each(ctx, s.records, presenceOf(id), func(f found[string]) error {
		return s.forgetPresence(ctx, id, f.Value)
	})
}

// cutMember removes the Warpgates that somebody who is no member any more let into
// an organization.
func (s *Fleet) cutMember(ctx context.Context, p task) error {
	return each(ctx, s.records, projectsOf(p.Organization), func(f found[mezu.Project]) error {
		return s.cutAccount(ctx, task{ID: p.Person, Project: f.Value.ID})
	})
}

// fleetJobs remove what has ended of edges and Warpgates.
func (s *Fleet) fleetJobs() []job {
	return []job{
		{name: "sweeping revocations", every: SweepInterval, run: s.sweepRevocations},
		{name: "sweeping Warpgates", every: SweepInterval, run: s.sweepWarpgates},
	}
}
