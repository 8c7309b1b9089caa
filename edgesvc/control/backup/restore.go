package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Target is where a backup is put.
type Target struct {
	Store   store.Store
	Wrapper seal.Wrapper
	// Format is the newest that this program knows.
	Format int
	// Marker is the key of a record that is there until the restore is complete.
	Marker string
	// Finish completes the store before the marker is deleted. It is called again when
	// the restore is repeated. What it returns is committed with the deletion of the
	// marker.
	Finish func(ctx context.Context, h Header) ([]store.Op, error)
}

// Check reads a whole backup and says whether it can be restored.
func Check(ctx context.Context, from io.Reader, w seal.Wrapper, format int) (Header, error) {
	r, err := open(ctx, from, w, format)
	if err != nil {
		return Header{}, err
	}
	for {
		e, err := r.next()
		if err != nil {
			return r.Header, failed(err)
		}
		if e.kind == entryEnd {
			return r.Header, nil
		}
	}
}

func open(ctx context.Context, from io.Reader, w seal.Wrapper, format int) (*reader, error) {
	r, err := newReader(ctx, from, w)
	if err != nil {
		return nil, failed(err)
	}
	if r.Format > format {
		return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the backup has format %d, made by mezusphere %s; this program knows formats up to %d", r.Format, r.Program, format),
			Hint: "restore it with that version or a newer one"}
	}
	return r, nil
}

// failed explains an error of a damaged file; others it leaves as they are.
func failed(err error) error {
	if errors.Is(err, ErrDamaged) {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: err.Error() + ": it was cut or changed; nothing was restored", Hint: "use another copy of it", Cause: err}
	}
	return err
}

// Restore checks a backup and puts it into an empty store. A store in which a restore was
// interrupted has the marker, and is emptied first.
func Restore(ctx context.Context, from io.ReadSeeker, t Target) (Header, error) {
	h, err := Check(ctx, from, t.Wrapper, t.Format)
	if err != nil {
		return h, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return h, fmt.Errorf("reading the backup again: %w", err)
	}
	if err := t.prepare(ctx); err != nil {
		return h, err
	}
	r, err := open(ctx, from, t.Wrapper, t.Format)
	if err != nil {
		return h, err
	}
	if err := t.apply(ctx, r); err != nil {
		return h, fmt.Errorf("restoring: %w", err)
	}
	ops, err := t.Finish(ctx, h)
	if err != nil {
		return h, err
	}
	if _, err := t.Store.Commit(ctx, store.Txn{Ops: append(ops, store.Op{Key: t.Marker, Delete: true})}); err != nil {
		return h, fmt.Errorf("finishing the restore: %w", err)
	}
	return h, nil
}

// prepare refuses a store that is in use and sets the marker.
func (t Target) prepare(ctx context.Context) error {
	page, err := t.Store.List(ctx, "", "", 1)
	if err != nil {
		return fmt.Errorf("looking into the store: %w", err)
	}
	_, err = t.Store.Get(ctx, t.Marker)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if len(page.Records) > 0 {
			return &mezu.Error{Code: mezu.CodeConflict, Detail: "the store is not empty, and a restore overwrites nothing", Hint: "restore into a new state directory or a new prefix, and start the control plane on that"}
		}
	case err != nil:
		return fmt.Errorf("looking into the store: %w", err)
	}
	if _, err := t.Store.Commit(ctx, store.Txn{Ops: []store.Op{{Key: t.Marker, Value: fmt.Appendf(nil, "%q", time.Now().UTC().Format(time.RFC3339))}}}); err != nil {
		return fmt.Errorf("marking the store: %w", err)
	}
	return t.empty(ctx)
}

// empty deletes what an interrupted restore left.
func (t Target) empty(ctx context.Context) error {
	b := batch{store: t.Store}
	for token := ""; ; {
		page, err := t.Store.List(ctx, "", token, store.MaxPage)
		if err != nil {
			return fmt.Errorf("emptying the store: %w", err)
		}
		for _, r := range page.Records {
			if r.Key == t.Marker {
				continue
			}
			if err := b.add(ctx, store.Op{Key: r.Key, Delete: true}); err != nil {
				return fmt.Errorf("emptying the store: %w", err)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if err := b.flush(ctx); err != nil {
		return fmt.Errorf("emptying the store: %w", err)
	}
	return nil
}

// apply writes the entries in their order.
func (t Target) apply(ctx context.Context, r *reader) error {
	b := batch{store: t.Store}
	for {
		e, err := r.next()
		if err != nil {
			return failed(err)
		}
		switch e.kind {
		case entryEnd:
			return b.flush(ctx)
		case entryDelete:
			err = b.add(ctx, store.Op{Key: e.Key, Delete: true})
		default:
			err = b.add(ctx, store.Op{Key: e.Key, Value: e.Value, Revision: e.Revision})
		}
		if err != nil {
			return err
		}
	}
}

// batch collects operations into transactions, as large as the store takes.
type batch struct {
	store store.Store
	ops   []store.Op
	keys  map[string]bool
	size  int
}

func (b *batch) add(ctx context.Context, op store.Op) error {
	size := len(op.Key) + len(op.Value)
	if len(b.ops) == store.MaxOps || b.size+size > store.MaxTxnBytes || b.keys[op.Key] {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	if b.keys == nil {
		b.keys = map[string]bool{}
	}
	b.ops, b.size, b.keys[op.Key] = append(b.ops, op), b.size+size, true
	return nil
}

func (b *batch) flush(ctx context.Context) error {
	if len(b.ops) == 0 {
		return nil
	}
	_, err := b.store.Commit(ctx, store.Txn{Ops: b.ops})
	b.ops, b.size = nil, 0
	clear(b.keys)
	return err
}
