package document

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// Documents without an ID were written before owners were told apart: their chunks have
// their SHA-256 as keys, were shared by all, and say when they were put last. None is
// written any more; they are read, and go when nothing refers to them.

// prefixShared is where these chunks lie.
const prefixShared = "chunk/"

// minSweepAge is how old such a chunk is at least when it goes: a program of before, which
// may share the store while an installation is brought up to date, commits within an hour
// what it put, and renews what is an hour old.
const minSweepAge = 2 * time.Hour

// putTime is when the chunk was put last; the beginning of time if its record is
// malformed.
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
	// A record that refers to one of these from now on comes from a Put that renewed
	// it, and so changed the revision that the deletion checks.
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

// oldChunks lists the chunks put before an instant, with their revisions.
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
