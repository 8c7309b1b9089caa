package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Life is how long records stay in the store: seven days at least and eight at most. They
// are archived by days (UTC), so that a quiet organization has one segment a day, and not
// one for each sweep.
const Life = 7 * 24 * time.Hour

const day = 24 * time.Hour

// removeBatch is how many records one transaction removes from the store.
const removeBatch = store.MaxOps

// Archive moves what is older than Life from the store into segments. It may be
// interrupted at any point, and run in several processes at once: a segment is on the
// disk before the store's head names it, and only records that the head's segment has are
// removed. An error in one scope does not stop the others.
func (l *Log) Archive(ctx context.Context) error {
	if l.cfg.Archive == nil {
		return nil
	}
	if err := l.cfg.Archive.Keep(l.cfg.Keyset()); err != nil {
		return err
	}
	cutoff := mezu.AuditIDAt(l.cfg.Now().Add(-Life).UTC().Truncate(day))
	var all error
	for token := ""; ; {
		// The first record of the next scope.
		page, err := l.cfg.Store.List(ctx, prefixRecord, token, 1)
		if err != nil {
			return errors.Join(all, err)
		}
		if len(page.Records) == 0 {
			return all
		}
		scope, id, _ := strings.Cut(strings.TrimPrefix(page.Records[0].Key, prefixRecord), "/")
		err = l.archiveScope(ctx, scope, id < cutoff, cutoff)
		if err != nil && !errors.Is(err, store.ErrConflict) { // a conflict is another process at the same work
			all = errors.Join(all, fmt.Errorf("archiving the audit records of %s: %w", scope, err))
			if ctx.Err() != nil {
				return all
			}
		}
		token = store.PageToken(Prefix(scope) + "\xff")
	}
}

// archiveScope finishes what an earlier pass left of a scope and, if something is due,
// moves all that is older than the cutoff.
func (l *Log) archiveScope(ctx context.Context, scope string, due bool, cutoff string) error {
	h, err := l.head(ctx, scope)
	if err != nil {
		return err
	}
	if h.Value.Removing {
		if h, err = l.remove(ctx, scope, h); err != nil {
			return err
		}
	}
	for due {
		old, err := l.oldest(ctx, scope, cutoff)
		if err != nil || len(old) == 0 {
			return err
		}
		next, err := l.cfg.Archive.Append(scope, archive.Head{Sequence: h.Value.Sequence, Hash: h.Value.Hash}, old, l.cfg.Now(), l.cfg.Sign)
		if errors.Is(err, fs.ErrExist) {
			// A process was killed after it wrote this segment, or another one has just
			// written it. Its records are the ones that are archived now.
			next, _, err = l.cfg.Archive.Next(scope, archive.Head{Sequence: h.Value.Sequence, Hash: h.Value.Hash})
		}
		if err != nil {
			return err
		}
		if h, err = l.setHead(ctx, scope, h, head{Sequence: next.Sequence, Hash: next.Hash, Removing: true}); err != nil {
			return err
		}
		if h, err = l.remove(ctx, scope, h); err != nil {
			return err
		}
	}
	return nil
}

// oldest gives the oldest records of a scope up to the cutoff, as many as a segment has.
func (l *Log) oldest(ctx context.Context, scope, cutoff string) ([]archive.Line, error) {
	var out []archive.Line
	size := 0
	for token := ""; ; {
		page, err := l.cfg.Store.List(ctx, Prefix(scope), token, store.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			id := strings.TrimPrefix(r.Key, Prefix(scope))
			size += len(r.Value) + 1
			if id >= cutoff || len(out) == archive.MaxRecords || size > archive.MaxBytes {
				return out, nil
			}
			out = append(out, archive.Line{ID: id, JSON: r.Value})
		}
		if token = page.Next; token == "" {
			return out, nil
		}
	}
}

// remove removes from the store what the head's segment has.
func (l *Log) remove(ctx context.Context, scope string, h storedHead) (storedHead, error) {
	records, err := l.cfg.Archive.Read(scope, h.Value.Sequence)
	if err != nil {
		return h, err
	}
	for batch := range slices.Chunk(records, removeBatch) {
		var txn store.Txn
		for _, r := range batch {
			txn.Ops = append(txn.Ops, store.Op{Key: Prefix(scope) + r.ID, Delete: true})
		}
		if _, err := l.cfg.Store.Commit(ctx, txn); err != nil {
			return h, fmt.Errorf("removing archived records from the store: %w", err)
		}
	}
	done := h.Value
	done.Removing = false
	return l.setHead(ctx, scope, h, done)
}

// setHead replaces the head, if it is still the one that was read.
func (l *Log) setHead(ctx context.Context, scope string, was storedHead, is head) (storedHead, error) {
	value, err := json.Marshal(is)
	if err != nil {
		return was, err
	}
	key := prefixHead + scope
	_, err = l.cfg.Store.Commit(ctx, store.Txn{Checks: []store.Check{{Key: key, Revision: was.Revision}}, Ops: []store.Op{{Key: key, Value: value}}})
	if err != nil {
		return was, fmt.Errorf("writing the archive's head: %w", err)
	}
	return storedHead{Value: is, Revision: was.Revision + 1}, nil
}

func compareIDs(a, b mezu.AuditRecord) int { return strings.Compare(a.ID, b.ID) }
