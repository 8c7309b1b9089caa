package fleet

import (
	"bytes"
	"context"
	"maps"

	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/edgepart"
)

// SealingKeys are the public keys of edges to which what they alone may know is encrypted, by the
// ids of the edges. They are one record: whoever encrypts to them depends on its revision, so that
// no edge that joins meanwhile is left out, and none that was removed is not.
func (s *Fleet) SealingKeys(ctx context.Context) (record.Record[map[string][]byte], error) {
	return record.Optional[map[string][]byte](ctx, s.records, KeySealing)
}

// noteSealing notes the key of an edge; nil takes it off.
func (s *Fleet) noteSealing(ctx context.Context, ch *record.Change, edge string, key []byte) error {
	if key != nil {
		if err := edgepart.CheckPublic(key); err != nil {
			return err
		}
	}
	keys, err := s.SealingKeys(ctx)
	if err != nil {
		return err
	}
	if bytes.Equal(keys.Value[edge], key) {
		return nil
	}
	next := maps.Clone(keys.Value)
	if next == nil {
		next = map[string][]byte{}
	}
	if next[edge] = key; key == nil {
		delete(next, edge)
	}
	ch.Update(keys.Key, keys.Revision, next)
	return nil
}
