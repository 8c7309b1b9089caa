package config

import (
	"context"
	"errors"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/edgepart"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// What edges alone get of an environment is a statement of its own beside the bundle, encrypted to
// each edge. It is made with each change of the environment's webhooks, and anew when an edge joins
// or leaves, when the keys that sign are replaced, and in a new epoch.

// addEdgePart adds the webhooks of an environment to a change, and the statement for the edges. An
// installation without a key for such statements makes it when it has one.
func (s *Configuration) addEdgePart(ctx context.Context, ch *record.Change, organization, environment string, rec record.Record[webhooks], next []mezu.WebhookSecrets) error {
	keys, err := s.fleet.SealingKeys(ctx)
	if err != nil {
		return err
	}
	ch.Require(keys.Key, keys.Revision)
	ch.Update(rec.Key, rec.Revision, webhooks{Webhooks: next, SealedFor: keys.Revision})
	if !s.records.Authority.Signs(mezu.PurposeEdgePart) {
		return nil
	}
	part := mezu.EdgePart{Environment: environment}
	content := &mezu.EdgeContent{}
	for _, w := range next {
		if len(w.Secrets) > 0 {
			w.Meta = mezu.Meta{}
			content.Webhooks = append(content.Webhooks, w)
		}
	}
	if len(content.Webhooks) > 0 && !ch.Dry {
		if err := edgepart.Seal(&part, content, keys.Value); err != nil {
			return err
		}
	}
	ch.AddStatement(record.Statement{
		Key: func(mezu.Position) string { return record.KeyEdgePart(environment) }, Kind: api.StreamEdgePart, Purpose: mezu.PurposeEdgePart,
		Owner: ownerOf(organization, environment),
		Make: func(p mezu.Position) any {
			part.Position = p
			return part
		},
	})
	return nil
}

// dropEdgePart removes the webhooks of an environment that goes, and what edges would be sent of
// them. Edges forget them by the tombstone.
func (s *Configuration) dropEdgePart(ctx context.Context, ch *record.Change, environment string) error {
	rec, err := s.webhooksOf(ctx, environment)
	if err != nil || rec.Revision == 0 {
		return err
	}
	ch.Remove(rec.Key, rec.Revision)
	ch.Drop(record.KeyEdgePart(environment))
	return nil
}

// FollowEdgeKeys encrypts anew whenever the keys of edges change, until ctx ends or the watch
// does. Several control planes may do so: what the first one made, the others find done.
func (s *Configuration) FollowEdgeKeys(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	page, err := s.records.Store.List(ctx, fleet.KeySealing, "", 1)
	if err != nil {
		cancel()
		return err
	}
	changes, err := s.records.Store.Watch(ctx, fleet.KeySealing, page.Position)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		for range changes.Events() {
		}
	}()
	for {
		if err := s.sealEdgeParts(ctx); err != nil {
			return err
		}
		if _, ok := <-changes.Events(); !ok {
			return changes.Err()
		}
	}
}

// sealEdgeParts makes those statements anew that are not as they are to be, and drops those of
// environments that are gone.
func (s *Configuration) sealEdgeParts(ctx context.Context) error {
	var environments []string
	err := record.Each(ctx, s.records, prefixWebhooks, func(f record.Record[webhooks]) error {
		environment := strings.TrimPrefix(f.Key, prefixWebhooks)
		stale, err := s.staleEdgePart(ctx, environment, f.Value.SealedFor)
		if stale {
			environments = append(environments, environment)
		}
		return err
	})
	for _, environment := range environments {
		err = errors.Join(err, s.sealEdgePart(ctx, environment))
	}
	return err
}

// staleEdgePart reports whether a statement that was made for this revision of the edges' keys is to
// be made anew.
func (s *Configuration) staleEdgePart(ctx context.Context, environment string, sealedFor uint64) (bool, error) {
	if !s.records.Authority.Signs(mezu.PurposeEdgePart) {
		return false, nil
	}
	keys, err := s.fleet.SealingKeys(ctx)
	if err != nil {
		return false, err
	}
	is, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyEdgePart(environment))
	return sealedFor != keys.Revision || is.Revision == 0 || is.Value.Position.Epoch != s.records.Epoch || !s.fleet.SignsOn(mezu.PurposeEdgePart, is.Value.KeyID), err
}

// sealEdgePart makes the statement of one environment anew, if it still has to be.
func (s *Configuration) sealEdgePart(ctx context.Context, environment string) error {
	_, err := s.records.Publish(ctx, record.Internal(), func(ch *record.Change) error {
		rec, err := s.webhooksOf(ctx, environment)
		if err != nil || rec.Revision == 0 {
			return err
		}
		stale, err := s.staleEdgePart(ctx, environment, rec.Value.SealedFor)
		if err != nil || !stale {
			return err
		}
		env, err := record.ByID[mezu.Environment](ctx, s.records, environment)
		if errors.Is(err, store.ErrNotFound) {
			return s.dropEdgePart(ctx, ch, environment)
		}
		if err != nil {
			return err
		}
		org, _, err := s.access.OwnersOf(ctx, env)
		if errors.Is(err, store.ErrNotFound) {
			return nil // they go after it: it was deleted since it was read
		}
		if err != nil {
			return err
		}
		ch.Require(env.Key, env.Revision)
		return s.addEdgePart(ctx, ch, org.Value.ID, environment, rec, rec.Value.Webhooks)
	})
	return err
}
