package config

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// DrainWarpgate has edges send a Warpgate nothing new. What is under way ends by
// itself, and a Warpgate that goes and comes back is still draining: the bundle of
// its environment says so, to every edge and in every edge's file.
func (s *Configuration) DrainWarpgate(ctx context.Context, c access.Caller, p access.Path) (mezu.Warpgate, error) {
	return s.setDraining(ctx, c, api.OpDrainWarpgate, p, true)
}

// UndrainWarpgate lets a Warpgate take requests again.
func (s *Configuration) UndrainWarpgate(ctx context.Context, c access.Caller, p access.Path) (mezu.Warpgate, error) {
	return s.setDraining(ctx, c, api.OpUndrainWarpgate, p, false)
}

func (s *Configuration) setDraining(ctx context.Context, c access.Caller, op api.Operation, p access.Path, on bool) (mezu.Warpgate, error) {
	var out fleet.Warpgate
	_, err := s.records.Publish(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, op, p)
		if err != nil {
			return err
		}
		env := sc.Environment.Value
		f, err := record.Child[fleet.Warpgate](ctx, s.records, fleet.WarpgatesOf(env.ID), p.Item, "Warpgate", "")
		if err != nil {
			return err
		}
		if out = f.Value; out.Draining == on {
			return nil
		}
		out.Draining = on
		out.Meta = s.records.Touch(out.Meta, f.Revision)
		ch.Update(f.Key, f.Revision, out)
		draining, err := s.fleet.NoteDraining(ctx, ch, env.ID, out.ID, on)
		if err != nil {
			return err
		}
		_, routes, err := s.routes(ctx, env.ID)
		if err != nil {
			return err
		}
		ch.Audit(sc.Target(record.KindWarpgate, out.ID, ""), f.Value.Warpgate, out.Warpgate)
		return s.addBundleDraining(ctx, ch, sc.Organization.Value, sc.Project.Value, env, routes, draining)
	})
	if err != nil {
		return mezu.Warpgate{}, err
	}
	live, err := s.fleet.LiveEdges(ctx)
	if err != nil {
		return mezu.Warpgate{}, err
	}
	return s.fleet.ShownWarpgate(ctx, out, live)
}
