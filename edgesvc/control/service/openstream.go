package service

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// openStream brings the stream up to what the authority signs with now: its
// keyset, an edge list, and bundles signed by a key that was rotated out or in an epoch
// before a restore.
func (s *Service) openStream(ctx context.Context) error {
	keyset := s.records.authority.Keyset()
	_, err := s.records.publish(ctx, internal(), func(ch *change) error {
		current, err := optional[streamRecord](ctx, s.records, keyKeyset)
		if err != nil {
			return err
		}
		data, err := encode(keyset)
		if err != nil {
			return err
		}
		stored, err := s.records.read(ctx, current.Value.Signed)
		if err != nil {
			return err
		}
		if string(stored) != string(data) || current.Value.Position.Epoch != s.records.epoch {
			ch.state(statement{key: func(mezu.Position) string { return keyKeyset }, kind: api.StreamKeyset, signed: &keyset})
		}
		list, err := optional[streamRecord](ctx, s.records, keyEdges)
		if err != nil {
			return err
		}
		if list.Revision == 0 || list.Value.Position.Epoch != s.records.epoch || !s.records.current(mezu.PurposeEdges, list.Value.KeyID) {
			return s.stateEdges(ctx, ch, nil, "")
		}
		return nil
	})
	if err != nil {
		return err
	}
	var stale []found[streamRecord]
	err = each(ctx, s.records, prefixBundle, func(f found[streamRecord]) error {
		if f.Value.Position.Epoch != s.records.epoch || !s.records.current(mezu.PurposeBundle, f.Value.KeyID) {
			f.Value.Signed = blob{} // all but its document is small
			stale = append(stale, f)
		}
		return nil
	})
	for _, f := range stale {
		err = errors.Join(err, s.restate(ctx, f))
	}
	return err
}
