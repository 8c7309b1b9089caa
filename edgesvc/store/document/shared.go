package document

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// Documents without an ID were written by an earlier version, in which documents had no
// owner. The key of a chunk is its SHA-256, documents with the same bytes share chunks, and
// a chunk begins with the time at which it was last put. Such documents are not written any
// more. They are read, and deleted when nothing refers to them.

// prefixShared begins the keys of these chunks.
const prefixShared = "chunk/"

// minSweepAge is how old such a chunk must be to be deleted. A process of the earlier version
// may use the same store during an update. It commits what it put within an hour, and puts a
// chunk again when it is an hour old.
const minSweepAge = 2 * time.Hour

// putTime is when the chunk was last put; if its record is malformed, long ago.
func putTime(value []byte) time.Time {
	if len(value) < timeSize {
		return time.Unix(0, 0)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}

// SweepShared deletes the chunks of documents without an ID that are old enough and that
// nothing refers to, and counts them. It calls live once, which calls keep with the Ref
// of every record that refers to a document; if live returns an error, nothing is
// deleted.
func SweepShared(ctx context.Context, st store.Store, live func(ctx context.Context, keep func(Ref)) error) (int, error) {
	return sweepShared(ctx, st, live, time.Now())
}

func sweepShared(ctx context.Context, st store.Store, live func(context.Context, func(Ref)) error, now time.Time) (int, error) {
	old, err := oldChunks(ctx, st, now.Add(-minSweepAge))
	if err != nil {
		return 0, fmt.Errorf("listing chunks: %w", err)
	}
	// If a new record refers to one of these from now on, its writer has put the chunk
	// again. That changed the chunk's revision, which the deletion checks.
	if len(old) == 0 {
		return 0, nil
	}
	err = live(ctx, func(ref Ref) {
		for n := range ref.Chunks {
			delete(old, ref.key(n))
		}
	})
	if err != nil {
		return 0, fmt.Errorf("finding live documents: %w", err)
	}
	deleted := 0
	for key, revision := range old {
		_, err := st.Commit(ctx, store.Txn{
			Checks: []store.Check{{Key: key, Revision: revision}},
			Ops:    []store.Op{{Key: key, Delete: true}},
		})
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return deleted, fmt.Errorf("deleting %s: %w", key, err)
		}
		deleted++
	}
	return deleted, nil
}

// oldChunks lists the chunks that were last put before an instant, with their revisions.
func oldChunks(ctx context.Context, st store.Store, before time.Time) (map[string]uint64, error) {
	old := make(map[string]uint64)
	for token := ""; ; {
		page, err := st.List(ctx, prefixShared, token, store.DefaultPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if putTime(r.Value).Before(before) {
				old[r.Key] = r.Revision
			}
		}
		if token = page.Next; token == "" {
			return old, nil
		}
	}
}
