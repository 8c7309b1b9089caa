package record

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// staleRecords reads what may be old and does everything else as the store does.
type staleRecords struct {
	sealedStore
	reader store.Reader
}

// Get implements store.Reader.
func (r staleRecords) Get(ctx context.Context, key string) (store.Record, error) {
	return r.reader.Get(ctx, key)
}

// List implements store.Reader.
func (r staleRecords) List(ctx context.Context, prefix, token string, limit int) (store.Page, error) {
	return r.reader.List(ctx, prefix, token, limit)
}

// Tolerate calls do with the service as it is; when the store can't say what is current,
// once more with one that reads what may be old. It is for the few reads that the data
// plane goes on by while the store has no majority: who an edge or a Warpgate is, and an
// edge's stream. What is read so may be out of date by the length of the outage: a
// certificate that was revoked in it counts until the store is back, and nothing can be
// revoked meanwhile.
func (s *Records) Tolerate(ctx context.Context, do func(*Records) error) error {
	err := do(s)
	if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	return do(s.with(staleRecords{s.store, s.store.Stale()}))
}
