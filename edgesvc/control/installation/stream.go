package installation

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// OpenStream brings the stream up to what the authority signs with now: its
// keyset, an edge list, and bundles signed by a key that was rotated out or in an epoch
// before a restore.
func (s *Installation) OpenStream(ctx context.Context) error {
	keyset := s.records.Authority.Keyset()
	_, err := s.records.Publish(ctx, record.Internal(), func(ch *record.Change) error {
		current, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyKeyset)
		if err != nil {
			return err
		}
		data, err := record.Encode(keyset)
		if err != nil {
			return err
		}
		stored, err := s.records.ReadDocument(ctx, current.Value.Signed)
		if err != nil {
			return err
		}
		if string(stored) != string(data) || current.Value.Position.Epoch != s.records.Epoch {
			ch.AddStatement(record.Statement{Key: func(mezu.Position) string { return record.KeyKeyset }, Kind: api.StreamKeyset, Signed: &keyset})
		}
		list, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyEdges)
		if err != nil {
			return err
		}
		if list.Revision == 0 || list.Value.Position.Epoch != s.records.Epoch || !s.fleet.SignsOn(mezu.PurposeEdges, list.Value.KeyID) {
			return s.fleet.AddEdgeList(ctx, ch, nil, "")
		}
		return nil
	})
	if err != nil {
		return err
	}
	var stale []record.Record[record.StreamRecord]
	err = record.Each(ctx, s.records, record.PrefixBundle, func(f record.Record[record.StreamRecord]) error {
		if f.Value.Position.Epoch != s.records.Epoch || !s.fleet.SignsOn(mezu.PurposeBundle, f.Value.KeyID) {
			f.Value.Signed = record.Blob{} // all but its document is small
			stale = append(stale, f)
		}
		return nil
	})
	for _, f := range stale {
		err = errors.Join(err, s.configuration.Resign(ctx, f))
	}
	return err
}
