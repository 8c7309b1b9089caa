package fleet

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Tasks are what the fleet does for changes of its own and of what lies above it.
func (s *Fleet) Tasks() record.TaskHandlers {
	return record.TaskHandlers{
		record.TaskAccount:     s.cutAccount,
		record.TaskEnvironment: func(ctx context.Context, t record.Task) error { return s.cutWarpgates(ctx, t.ID, "") },
		record.TaskMember:      s.cutMember,
		record.TaskEdge:        func(ctx context.Context, t record.Task) error { return s.forgetEdge(ctx, t.ID) },
	}
}

// cutAccount removes the Warpgates that an account let in.
func (s *Fleet) cutAccount(ctx context.Context, p record.Task) error {
	return record.Each(ctx, s.records, access.EnvironmentsOf(p.Project), func(f record.Record[mezu.Environment]) error {
		return s.cutWarpgates(ctx, f.Value.ID, p.ID)
	})
}

// cutWarpgates removes an environment's Warpgates: those that one account let in,
// or all for an empty account.
func (s *Fleet) cutWarpgates(ctx context.Context, environment, account string) error {
	return record.Each(ctx, s.records, WarpgatesOf(environment), func(f record.Record[Warpgate]) error {
		if account != "" && f.Value.RegisteredBy != account {
			return nil
		}
		return s.removeWarpgate(ctx, record.Internal(), environment, f.Value.ID, 0)
	})
}

// forgetEdge drops the presence that an edge reported.
func (s *Fleet) forgetEdge(ctx context.Context, id string) error {
	if _, err := s.records.Housekeep(ctx, store.Txn{Ops: []store.Op{{Key: keySilent(id), Delete: true}}}); err != nil {
		return err
	}
	return record.Each(ctx, s.records, presenceOf(id), func(f record.Record[string]) error {
		return s.forgetPresence(ctx, id, f.Value)
	})
}

// cutMember removes the Warpgates that somebody who is no member any more let into
// an organization.
func (s *Fleet) cutMember(ctx context.Context, p record.Task) error {
	return record.Each(ctx, s.records, access.ProjectsOf(p.Organization), func(f record.Record[mezu.Project]) error {
		return s.cutAccount(ctx, record.Task{ID: p.Person, Project: f.Value.ID})
	})
}

// Jobs remove what has ended of edges and Warpgates.
func (s *Fleet) Jobs() []record.Job {
	return []record.Job{
		{Name: "sweeping revocations", Every: record.SweepInterval, Run: s.sweepRevocations},
		{Name: "sweeping Warpgates", Every: record.SweepInterval, Run: s.sweepWarpgates},
		{Name: "sweeping keys of Warpgates", Every: record.SweepInterval, Run: s.sweepAssertionKeys},
	}
}
