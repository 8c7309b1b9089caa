package config

import (
	"context"
	"errors"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// addBundle adds an environment's new bundle to a change.
func (s *Configuration) addBundle(ctx context.Context, ch *record.Change, org mezu.Organization, prj mezu.Project, env mezu.Environment, routes []mezu.Route) error {
	draining, err := record.Optional[[]string](ctx, s.records, fleet.KeyDraining(env.ID))
	if err != nil {
		return err
	}
	return s.addBundleDraining(ctx, ch, org, prj, env, routes, draining.Value)
}

// addBundleDraining is addBundle with these Warpgates draining. A bundle that edges would
// not take is refused, so that its author hears of it in the same answer.
func (s *Configuration) addBundleDraining(ctx context.Context, ch *record.Change, org mezu.Organization, prj mezu.Project, env mezu.Environment, routes []mezu.Route, draining []string) error {
	b := &mezu.Bundle{
		Organization: org.ID, Project: prj.ID, Environment: env.ID, ProjectName: prj.Name, EnvironmentName: env.Name,
		Endpoint: env.Endpoint, Enabled: env.IsEnabled(), Draining: draining, WAF: env.WAF, WAFSettings: env.WAFSettings,
		AllowIPs: env.AllowIPs, DenyIPs: env.DenyIPs, Maintenance: env.Maintenance, Routes: routes, Roles: prj.Roles, Issued: s.records.Stamp(),
	}
	if env.DirectoryID != "" {
		dir, err := s.directoryOf(ctx, ch, env)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		b.Directory, b.DirectoryMissing, b.MFARequired = env.DirectoryID, err != nil, dir.MFA == mezu.MFARequired
	}
	// Any position will do for judging it; the true one is given when the statement is
	// signed.
	b.Position = mezu.Position{Epoch: s.records.Epoch, Revision: 1}
	judge := b.Validate
	if ch.MarkedValid(env.ID) {
		judge = func(context.Context) error { return b.ValidateHead() }
	}
	if err := judge(ctx); err != nil {
		return err
	}
	was, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyBundle(env.ID))
	if err != nil {
		return err
	}
	st := bundleStatement(b)
	st.Before = was.Value.Followed()
	ch.AddStatement(st)
	return nil
}

// directoryOf is the directory that an environment names, as a change leaves it.
func (s *Configuration) directoryOf(ctx context.Context, ch *record.Change, env mezu.Environment) (mezu.Directory, error) {
	key, made, err := record.Planned[string](ch, record.KeyID(env.DirectoryID))
	if err == nil && !made {
		var known record.Record[string]
		known, err = record.Get[string](ctx, s.records, record.KeyID(env.DirectoryID))
		key = known.Value
	}
	if err != nil {
		return mezu.Directory{}, err
	}
	if dir, planned, err := record.Planned[mezu.Directory](ch, key); planned || err != nil {
		return dir, err
	}
	dir, err := record.Get[mezu.Directory](ctx, s.records, key)
	return dir.Value, err
}

// addTombstone adds the statement that an environment is gone.
func (s *Configuration) addTombstone(ch *record.Change, org mezu.Organization, prj mezu.Project, env mezu.Environment) {
	ch.AddStatement(s.tombstone(mezu.Bundle{
		Organization: org.ID, Project: prj.ID, Environment: env.ID, ProjectName: prj.Name, EnvironmentName: env.Name, Endpoint: env.Endpoint,
	}))
}

// TombstoneLife is how long a tombstone stays in the stream: twice as long as an edge can be
// away before its certificate ends. An edge that comes back later is sent everything, and
// forgets what is not in it.
const TombstoneLife = 2 * mezu.LeafLife

// tombstone is the statement that the environment of a bundle is gone.
func (s *Configuration) tombstone(of mezu.Bundle) record.Statement {
	st := bundleStatement(&mezu.Bundle{
		Organization: of.Organization, Project: of.Project, Environment: of.Environment, ProjectName: of.ProjectName, EnvironmentName: of.EnvironmentName,
		Endpoint: of.Endpoint, Removed: true, Issued: s.records.Stamp(),
	})
	st.Until = s.records.Stamp().Add(TombstoneLife)
	return st
}

// sweptTombstones is how many tombstones one transaction drops. Each takes an operation and a
// check, and the list of edges takes some too.
const sweptTombstones = store.MaxOps / 2

// sweepTombstones drops old tombstones from the stream, and notes up to which position: an
// edge that has not come so far must be sent everything.
func (s *Configuration) sweepTombstones(ctx context.Context) error {
	var over []record.Record[record.StreamRecord]
	err := record.Each(ctx, s.records, record.PrefixBundle, func(f record.Record[record.StreamRecord]) error {
		if !f.Value.Until.IsZero() && s.records.Now().After(f.Value.Until) {
			f.Value.Signed = record.Blob{} // all but its document is small
			over = append(over, f)
		}
		return nil
	})
	for batch := range slices.Chunk(over, sweptTombstones) {
		_, swept := s.records.Publish(ctx, record.Internal(), func(ch *record.Change) error { return s.dropTombstones(ctx, ch, batch) })
		err = errors.Join(err, swept)
	}
	return err
}

func (s *Configuration) dropTombstones(ctx context.Context, ch *record.Change, tombstones []record.Record[record.StreamRecord]) error {
	was, err := record.Optional[mezu.Position](ctx, s.records, fleet.KeyGone)
	if err != nil {
		return err
	}
	gone := was.Value
	for _, t := range tombstones {
		now, err := record.Optional[record.StreamRecord](ctx, s.records, t.Key)
		if err != nil {
			return err
		}
		if now.Revision != t.Revision {
			continue // said again meanwhile
		}
		ch.Remove(t.Key, t.Revision)
		if t.Value.Position.Compare(gone) > 0 {
			gone = t.Value.Position
		}
	}
	if ch.Empty() {
		return nil
	}
	ch.Update(was.Key, was.Revision, gone)
	return s.fleet.AddEdgeList(ctx, ch, nil, "")
}

func bundleStatement(b *mezu.Bundle) record.Statement {
	return record.Statement{
		Key: func(mezu.Position) string { return record.KeyBundle(b.Environment) }, Kind: api.StreamBundle, Purpose: mezu.PurposeBundle,
		Owner: ownerOf(b.Organization, b.Environment),
		Make: func(p mezu.Position) any {
			b.Position = p
			return b
		},
	}
}

// republishNaming is republish for all environments that name a directory.
func (s *Configuration) republishNaming(ctx context.Context, t record.Task) error {
	inProject := func(project string) error {
		return record.Each(ctx, s.records, access.EnvironmentsOf(project), func(f record.Record[mezu.Environment]) error {
			if f.Value.DirectoryID != t.ID {
				return nil
			}
			return s.republish(ctx, f.Value.ID)
		})
	}
	if t.Project != "" {
		return inProject(t.Project)
	}
	return record.Each(ctx, s.records, access.ProjectsOf(t.Organization), func(f record.Record[mezu.Project]) error { return inProject(f.Value.ID) })
}

// republish makes and signs an environment's bundle anew from what is stored.
func (s *Configuration) republish(ctx context.Context, environment string) error {
	_, err := s.records.Publish(ctx, record.Internal(), func(ch *record.Change) error {
		env, err := record.ByID[mezu.Environment](ctx, s.records, environment)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		org, prj, err := s.access.OwnersOf(ctx, env)
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
		ch.Require(env.Key, env.Revision)
		ch.Require(prj.Key, prj.Revision)
		return s.addBundle(ctx, ch, org.Value, prj.Value, env.Value, routes)
	})
	return err
}
