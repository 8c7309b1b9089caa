package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Resign signs a bundle anew, in the present epoch, because peers take nothing of an older
// one or of a key that was rotated out. A tombstone is signed anew too: an edge that was away
// keeps the environment until it gets the tombstone.
func (s *Configuration) Resign(ctx context.Context, f record.Record[record.StreamRecord]) error {
	environment := f.Key[len(record.PrefixBundle):]
	_, err := record.Get[string](ctx, s.records, record.KeyID(environment))
	if !errors.Is(err, store.ErrNotFound) {
		return errors.Join(err, s.republish(ctx, environment))
	}
	_, err = s.records.Publish(ctx, record.Internal(), func(ch *record.Change) error {
		rec, err := record.Optional[record.StreamRecord](ctx, s.records, f.Key)
		if err != nil || rec.Revision != f.Revision {
			return err // said meanwhile by another control plane
		}
		signed, err := s.records.Signed(ctx, rec.Value)
		if err != nil {
			return err
		}
		var was mezu.Bundle
		if err := json.Unmarshal(signed.Payload, &was); err != nil {
			return fmt.Errorf("decoding the bundle of %s: %w", environment, err)
		}
		ch.Require(rec.Key, rec.Revision)
		ch.AddStatement(s.tombstone(was))
		return nil
	})
	return err
}
