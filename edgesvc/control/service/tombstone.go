package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// restate signs a bundle anew, in the present epoch: peers take nothing older, and no key
// that was rotated out. The last word on an environment that is gone is said again: an
// edge that was away has the environment until it hears it.
func (s *Configuration) restate(ctx context.Context, f found[streamRecord]) error {
	environment := f.Key[len(prefixBundle):]
	_, err := get[string](ctx, s.records, keyID(environment))
	if !errors.Is(err, store.ErrNotFound) {
		return errors.Join(err, s.republish(ctx, environment))
	}
	_, err = s.records.publish(ctx, internal(), func(ch *change) error {
		rec, err := optional[streamRecord](ctx, s.records, f.Key)
		if err != nil || rec.Revision != f.Revision {
			return err // said meanwhile by another control plane
		}
		signed, err := s.records.signed(ctx, rec.Value)
		if err != nil {
			return err
		}
		var was mezu.Bundle
		if err := json.Unmarshal(signed.Payload, &was); err != nil {
			return fmt.Errorf("decoding the bundle of %s: %w", environment, err)
		}
		ch.require(rec.Key, rec.Revision)
		ch.state(s.lastWord(was))
		return nil
	})
	return err
}
