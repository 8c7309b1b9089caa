package service

import (
	"context"
	"slices"
	"strconv"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// DrainWarpgate has edges send a Warpgate nothing new. What is under way ends by
// itself, and a Warpgate that goes and comes back is still draining: the bundle of
// its environment says so, to every edge and in every edge's file.
func (s *Service) DrainWarpgate(ctx context.Context, c Caller, p Place) (mezu.Warpgate, error) {
	return s.setDraining(ctx, c, api.OpDrainWarpgate, p, true)
}

// UndrainWarpgate lets a Warpgate take requests again.
func (s *Service) UndrainWarpgate(ctx context.Context, c Caller, p Place) (mezu.Warpgate, error) {
	return s.setDraining(ctx, c, api.OpUndrainWarpgate, p, false)
}

func (s *Service) setDraining(ctx context.Context, c Caller, op api.Operation, p Place, on bool) (mezu.Warpgate, error) {
	var out warpgate
	_, err := s.publish(ctx, by(c, op.ID), func(ch *change) error {
		sc, err := s.inEnvironment(ctx, c, op, p)
		if err != nil {
			return err
		}
		env := sc.environment.Value
		f, err := child[warpgate](ctx, s, warpgatesOf(env.ID), p.Item, "Warpgate", "")
		if err != nil {
			return err
		}
		if out = f.Value; out.Draining == on {
			return nil
		}
		out.Draining = on
		out.Meta = s.touch(out.Meta, f.Revision)
		ch.update(f.Key, f.Revision, out)
		draining, err := s.noteDraining(ctx, ch, env.ID, out.ID, on)
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
	live, err := s.liveEdges(ctx)
	if err != nil {
		return mezu.Warpgate{}, err
	}
	return s.shownWarpgate(ctx, out.Warpgate, live)
}

// noteDraining puts a Warpgate on the list of its environment, or takes it off.
func (s *Service) noteDraining(ctx context.Context, ch *change, environment, id string, on bool) ([]string, error) {
	list, err := optional[[]string](ctx, s, keyDraining(environment))
	if err != nil {
		return nil, err
	}
	now := slices.DeleteFunc(slices.Clone(list.Value), func(other string) bool { return other == id })
	if on {
		now = append(now, id)
	}
	if len(now) > mezu.MaxDraining {
		return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: strconv.Itoa(mezu.MaxDraining) + " Warpgates of this environment are draining already", Hint: "remove those that are gone, or disable the environment"}
	}
	slices.Sort(now)
	switch {
	case len(now) > 0:
		ch.update(list.Key, list.Revision, now)
	case list.Revision != 0:
		ch.remove(list.Key, list.Revision)
	}
	return now, nil
}
