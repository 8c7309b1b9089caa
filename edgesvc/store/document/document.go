// Package document keeps documents that are larger than one record: as
// content-addressed chunks, which a record of the caller refers to.
//
// What lives here: cutting, putting together and sweeping of chunks. What may not:
// what the documents say, and the records that refer to them. Only edgesvc packages
// import it.
//
// A document is written in two steps: Put writes the chunks that are missing, in
// several transactions, and then the caller commits the Ref in a record of its own. Chunks
// that no record refers to, left by a caller that never came to the second step or by a
// newer version, are deleted by Sweep.
package document

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	// MaxChunk is the size of all chunks of a document but the last, which may be
	// shorter: half of the largest transaction.
	MaxChunk = 256 << 10
	// MaxSize is the largest document in bytes: the signed bundle of the largest
	// environment (mezu.MaxSignedPayload, a third more in base64, and its
	// envelope).
	MaxSize = 13 << 20
	// PutToCommit is how long after Put its Ref may be committed: as long the chunks
	// are safe from Sweep, whoever else drops them.
	PutToCommit = time.Hour

	// refreshAfter is the age at which Put renews a chunk that is there already. Sweep
	// spares what is younger than refreshAfter + PutToCommit.
	refreshAfter = time.Hour
	minSweepAge  = refreshAfter + PutToCommit

	prefix   = "chunk/"
	timeSize = 8 // a chunk's record is the second of its last Put, and its bytes
)

var (
	// ErrTooLarge: the document is over MaxSize.
	ErrTooLarge = errors.New("document too large")
	// ErrDamaged: a chunk is missing or isn't what its name says, or the Ref is
	// malformed.
	ErrDamaged = errors.New("document damaged")
)

// Ref names a document by its content. It is a part of the record that refers to the
// document. The zero Ref is the empty document.
type Ref struct {
	Size   int      `json:"size"`             // bytes
	Chunks []string `json:"chunks,omitempty"` // SHA-256 of each, lower-case hex, in order
}

// validate checks what a Ref says of itself.
func (r Ref) validate() error {
	if r.Size < 0 || r.Size > MaxSize || len(r.Chunks) != (r.Size+MaxChunk-1)/MaxChunk {
		return fmt.Errorf("%d chunks for %d bytes: %w", len(r.Chunks), r.Size, ErrDamaged)
	}
	return nil
}

// Put writes the chunks of data that the store doesn't have and gives back the
// document's name, which the caller commits within PutToCommit.
func Put(ctx context.Context, st store.Store, data []byte) (Ref, error) {
	return put(ctx, st, data, time.Now())
}

func put(ctx context.Context, st store.Store, data []byte, now time.Time) (Ref, error) {
	if len(data) > MaxSize {
		return Ref{}, fmt.Errorf("%d bytes: %w", len(data), ErrTooLarge)
	}
	ref := Ref{Size: len(data)}
	for len(data) > 0 {
		chunk := data[:min(len(data), MaxChunk)]
		data = data[len(chunk):]
		sum := sha256.Sum256(chunk)
		name := hex.EncodeToString(sum[:])
		if err := putChunk(ctx, st, prefix+name, chunk, now); err != nil {
			return Ref{}, fmt.Errorf("writing chunk %s: %w", name, err)
		}
		ref.Chunks = append(ref.Chunks, name)
	}
	return ref, nil
}

// putChunk makes sure that the chunk is there and young.
func putChunk(ctx context.Context, st store.Store, key string, chunk []byte, now time.Time) error {
	for {
		r, err := st.Get(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil && now.Sub(putTime(r.Value)) < refreshAfter && bytes.Equal(content(r.Value), chunk) {
			return nil
		}
		value := make([]byte, timeSize, timeSize+len(chunk))
		binary.BigEndian.PutUint64(value, uint64(now.Unix()))
		_, err = st.Commit(ctx, store.Txn{
			Checks: []store.Check{{Key: key, Revision: r.Revision}},
			Ops:    []store.Op{{Key: key, Value: append(value, chunk...)}},
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// putTime is when the chunk was put last; the beginning of time if its record is
// malformed.
func putTime(value []byte) time.Time {
	if len(value) < timeSize {
		return time.Unix(0, 0)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}

func content(value []byte) []byte { return value[min(len(value), timeSize):] }

// Get reads a document and verifies every byte of it.
func Get(ctx context.Context, st store.Reader, ref Ref) ([]byte, error) {
	if err := ref.validate(); err != nil {
		return nil, err
	}
	data := make([]byte, 0, ref.Size)
	for _, name := range ref.Chunks {
		r, err := st.Get(ctx, prefix+name)
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("chunk %s is missing: %w", name, ErrDamaged)
		}
		if err != nil {
			return nil, fmt.Errorf("reading chunk %s: %w", name, err)
		}
		chunk := content(r.Value)
		if sum := sha256.Sum256(chunk); hex.EncodeToString(sum[:]) != name {
			return nil, fmt.Errorf("chunk %s has another content: %w", name, ErrDamaged)
		}
		data = append(data, chunk...)
	}
	if len(data) != ref.Size {
		return nil, fmt.Errorf("%d bytes instead of %d: %w", len(data), ref.Size, ErrDamaged)
	}
	return data, nil
}

// Sweep deletes the chunks that were put longer than minAge ago (two hours at least,
// whatever minAge says) and that nothing refers to, and counts them. It calls live once,
// which calls keep with the Ref of every record that refers to a document; if live
// returns an error, nothing is deleted.
func Sweep(ctx context.Context, st store.Store, live func(ctx context.Context, keep func(Ref)) error, minAge time.Duration) (int, error) {
	return sweep(ctx, st, live, minAge, time.Now())
}

func sweep(ctx context.Context, st store.Store, live func(context.Context, func(Ref)) error, minAge time.Duration, now time.Time) (int, error) {
	old, err := oldChunks(ctx, st, now.Add(-max(minAge, minSweepAge)))
	if err != nil {
		return 0, fmt.Errorf("listing chunks: %w", err)
	}
	// A record that refers to one of these from now on comes from a Put that renewed
	// it, and so changed the revision that the deletion checks.
	if len(old) == 0 {
		return 0, nil
	}
	err = live(ctx, func(ref Ref) {
		for _, name := range ref.Chunks {
			delete(old, prefix+name)
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
		page, err := st.List(ctx, prefix, token, store.DefaultPage)
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
