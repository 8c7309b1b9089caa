package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// DrainWarpgate has edges send a Warpgate nothing new. What is under way ends by
// itself, and a Warpgate that goes and comes back is still draining: the bundle of
// its environment says so, to every edge and in every edge's file.
func (s *Configuration) DrainWarpgate(ctx context.Context, c Caller, p Place) (mezu.Warpgate, error) {
	return s.setDraining(ctx, c, api.OpDrainWarpgate, p, true)
}

// UndrainWarpgate lets a Warpgate take requests again.
func (s *Configuration) UndrainWarpgate(ctx context.Context, c Caller, p Place) (mezu.Warpgate, error) {
	return s.setDraining(ctx, c, api.OpUndrainWarpgate, p, false)
}

func (s *Configuration) setDraining(ctx context.Context, c Caller, op api.Operation, p Place, on bool) (mezu.Warpgate, error) {
	var out warpgate
	_, err := s.records.publish(ctx, by(c, op.ID), func(ch *change) error {
		sc, err := s.access.inEnvironment(ctx, c, op, p)
		if err != nil {
			return err
		}
		env := sc.environment.Value
		f, err := child[warpgate](ctx, s.records, warpgatesOf(env.ID), p.Item, "Warpgate", "")
		if err != nil {
			return err
		}
		if out = f.Value; out.Draining == on {
			return nil
		}
		out.Draining = on
		out.Meta = s.records.touch(out.Meta, f.Revision)
		ch.update(f.Key, f.Revision, out)
		draining, err := s.fleet.noteDraining(ctx, ch, env.ID, out.ID, on)
		if err != nil {
			return err
		}
		_, routes, err := s.routes(ctx, env.ID)
		if err != nil {
			return err
		}
		ch.audit(sc.target(kindWarpgate, out.ID, ""), f.Value.Warpgate, out.Warpgate)
		return s.stateDraining(ctx, ch, sc.organization.Value, sc.project.Value, env, routes, draining)
	})
	if err != nil {
		return mezu.Warpgate{}, err
	}
	live, err := s.fleet.liveEdges(ctx)
	if err != nil {
		return mezu.Warpgate{}, err
	}
	return s.fleet.shownWarpgate(ctx, out.Warpgate, live)
}
