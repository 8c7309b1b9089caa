package service

import (
	"context"
	"errors"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// stateBundle adds an environment's new bundle to a change.
func (s *Configuration) stateBundle(ctx context.Context, ch *change, org mezu.Organization, prj mezu.Project, env mezu.Environment, routes []mezu.Route) error {
	draining, err := optional[[]string](ctx, s.records, keyDraining(env.ID))
	if err != nil {
		return err
	}
	return s.stateDraining(ctx, ch, org, prj, env, routes, draining.Value)
}

// stateDraining is stateBundle with these Warpgates draining. A bundle that edges would
// not take is refused, so that its author hears of it in the same answer.
func (s *Configuration) stateDraining(ctx context.Context, ch *change, org mezu.Organization, prj mezu.Project, env mezu.Environment, routes []mezu.Route, draining []string) error {
	b := &mezu.Bundle{
		Organization: org.ID, Project: prj.ID, Environment: env.ID, ProjectName: prj.Name, EnvironmentName: env.Name,
		Endpoint: env.Endpoint, Enabled: env.IsEnabled(), Draining: draining, WAF: env.WAF, Routes: routes, Roles: prj.Roles, Issued: s.records.stamp(),
	}
	if env.DirectoryID != "" {
		_, made, err := planned[string](ch, keyID(env.DirectoryID))
		if err == nil && !made {
			_, err = byID[mezu.Directory](ctx, s.records, env.DirectoryID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		b.Directory, b.DirectoryMissing = env.DirectoryID, err != nil
	}
	// Any position will do for judging it; the true one is given when the statement is
	// signed.
	b.Position = mezu.Position{Epoch: s.records.epoch, Revision: 1}
	judge := b.Validate
	if ch.isJudged(env.ID) {
		judge = func(context.Context) error { return b.ValidateHead() }
	}
	if err := judge(ctx); err != nil {
		return err
	}
	ch.state(bundleStatement(b))
	return nil
}

// stateRemoved adds the last word on an environment.
func (s *Configuration) stateRemoved(ch *change, org mezu.Organization, prj mezu.Project, env mezu.Environment) {
	ch.state(s.lastWord(mezu.Bundle{
		Organization: org.ID, Project: prj.ID, Environment: env.ID, ProjectName: prj.Name, EnvironmentName: env.Name, Endpoint: env.Endpoint,
	}))
}

// lastWordLife is how long the last word on an environment stays in the stream: twice
// what an edge can be away and go on where it was, before its certificate ends. One that
// comes later is sent everything, and told to forget what that says nothing of.
const lastWordLife = 2 * mezu.LeafLife

// lastWord is the statement that the environment of a bundle is gone.
func (s *Configuration) lastWord(of mezu.Bundle) statement {
	st := bundleStatement(&mezu.Bundle{
		Organization: of.Organization, Project: of.Project, Environment: of.Environment, ProjectName: of.ProjectName, EnvironmentName: of.EnvironmentName,
		Endpoint: of.Endpoint, Removed: true, Issued: s.records.stamp(),
	})
	st.until = s.records.stamp().Add(lastWordLife)
	return st
}

// sweptWords is how many last words one transaction drops: each takes an operation and
// a check, and there are those of the edge list beside them.
const sweptWords = store.MaxOps / 2

// sweepLastWords drops last words from the stream and says up to where: an edge that has
// not come so far must be sent everything.
func (s *Configuration) sweepLastWords(ctx context.Context) error {
	var over []found[streamRecord]
	err := each(ctx, s.records, prefixBundle, func(f found[streamRecord]) error {
		if !f.Value.Until.IsZero() && s.records.now().After(f.Value.Until) {
			f.Value.Signed = blob{} // all but its document is small
			over = append(over, f)
		}
		return nil
	})
	for batch := range slices.Chunk(over, sweptWords) {
		_, swept := s.records.publish(ctx, internal(), func(ch *change) error { return s.dropLastWords(ctx, ch, batch) })
		err = errors.Join(err, swept)
	}
	return err
}

func (s *Configuration) dropLastWords(ctx context.Context, ch *change, words []found[streamRecord]) error {
	was, err := optional[mezu.Position](ctx, s.records, keyGone)
	if err != nil {
		return err
	}
	gone := was.Value
	for _, w := range words {
		now, err := optional[streamRecord](ctx, s.records, w.Key)
		if err != nil {
			return err
		}
		if now.Revision != w.Revision {
			continue // said again meanwhile
		}
		ch.remove(w.Key, w.Revision)
		if w.Value.Position.Compare(gone) > 0 {
			gone = w.Value.Position
		}
	}
	if ch.empty() {
		return nil
	}
	ch.update(was.Key, was.Revision, gone)
	return s.fleet.stateEdges(ctx, ch, nil, "")
}

func bundleStatement(b *mezu.Bundle) statement {
	return statement{
		key: func(mezu.Position) string { return keyBundle(b.Environment) }, kind: api.StreamBundle, purpose: mezu.PurposeBundle,
		owner: ownerOf(b.Organization, b.Environment),
		make: func(p mezu.Position) any {
			b.Position = p
			return b
		},
	}
}

// republish makes and signs an environment's bundle anew from what is stored.
func (s *Configuration) republish(ctx context.Context, environment string) error {
	_, err := s.records.publish(ctx, internal(), func(ch *change) error {
		env, err := byID[mezu.Environment](ctx, s.records, environment)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		org, prj, err := s.access.ownersOf(ctx, env)
		if errors.Is(err, store.ErrNotFound) {
			return nil // they go after it: it was deleted since it was read
		}
		if err != nil {
			return err
		}
		_, routes, err := s.routes(ctx, environment)
		if err != nil {
			return err
		}
		ch.require(env.Key, env.Revision)
		ch.require(prj.Key, prj.Revision)
		return s.stateBundle(ctx, ch, org.Value, prj.Value, env.Value, routes)
	})
	return err
}
