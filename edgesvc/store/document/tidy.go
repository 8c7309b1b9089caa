package document

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// Tidier deletes documents that nothing refers to, once it has seen each so for Grace by
// its own clock: no clock of another machine counts. Its methods are safe for concurrent
// use.
type Tidier struct {
	now func() time.Time

	mu     sync.Mutex
	owners map[Owner]int        // that may have some, and how often they were named
	seen   map[string]time.Time // heads of documents that nothing refers to, and since when
}

// NewTidier makes a Tidier that goes by a clock.
func NewTidier(now func() time.Time) *Tidier {
	return &Tidier{now: now, owners: map[Owner]int{}, seen: map[string]time.Time{}}
}

// Name says that an owner may have documents that nothing refers to, now or soon.
func (t *Tidier) Name(owner Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owners[owner]++
}

// Live calls keep with the Ref of every record that refers to a document of an owner.
type Live func(ctx context.Context, owner Owner, keep func(Ref)) error

// Tidy looks at the owners that were named. Whoever has nothing left that could go is
// looked at again when he is named again.
func (t *Tidier) Tidy(ctx context.Context, st store.Store, live Live) error {
	t.mu.Lock()
	owners := make(map[Owner]int, len(t.owners))
	for owner, named := range t.owners {
		owners[owner] = named
	}
	t.mu.Unlock()
	var all error
	for owner, named := range owners {
		left, err := t.tidy(ctx, st, owner, live)
		all = errors.Join(all, err)
		t.mu.Lock()
		if err == nil && left == 0 && t.owners[owner] == named {
			delete(t.owners, owner)
		}
		t.mu.Unlock()
	}
	return all
}

// NameAll names every owner of documents, as after another process ended.
func (t *Tidier) NameAll(ctx context.Context, st store.Reader) error {
	return heads(ctx, st, prefixHead, func(key string, _ store.Record) error {
		if owner, ok := ownerOf(key); ok {
			t.Name(owner)
		}
		return nil
	})
}

// ownerOf reads the key of a head.
func ownerOf(key string) (Owner, bool) {
	parts := strings.Split(strings.TrimPrefix(key, prefixHead), "/")
	switch len(parts) {
	case 2:
		return Owner{}, true
	case 3:
		return Owner{parts[0], parts[1]}, true
	}
	return Owner{}, false
}

func heads(ctx context.Context, st store.Reader, under string, visit func(string, store.Record) error) error {
	for token := ""; ; {
		page, err := st.List(ctx, under, token, store.DefaultPage)
		if err != nil {
			return fmt.Errorf("listing documents: %w", err)
		}
		for _, r := range page.Records {
			if err := visit(r.Key, r); err != nil {
				return err
			}
		}
		if token = page.Next; token == "" {
			return nil
		}
	}
}

// tidy looks at an owner's documents and counts those that nothing refers to and that
// are left for now.
func (t *Tidier) tidy(ctx context.Context, st store.Store, owner Owner, live Live) (left int, err error) {
	var all []store.Record
	err = heads(ctx, st, prefixHead+owner.String()+"/", func(_ string, r store.Record) error {
		all = append(all, r)
		return nil
	})
	if err != nil || len(all) == 0 {
		return 0, err
	}
	referred := map[string]bool{}
	err = live(ctx, owner, func(ref Ref) {
		if ref.ID != "" {
			referred[ref.Head()] = true
		}
	})
	if err != nil {
		return 0, fmt.Errorf("finding live documents: %w", err)
	}
	for _, r := range all {
		if referred[r.Key] {
			t.forget(r.Key)
			continue
		}
		if !t.overdue(r.Key) {
			left++
			continue
		}
		err := remove(ctx, st, owner, r)
		if errors.Is(err, store.ErrConflict) {
			left++
			continue
		}
		if err != nil {
			return left, fmt.Errorf("deleting a document: %w", err)
		}
		t.forget(r.Key)
	}
	return left, nil
}

// overdue notes a document that nothing refers to and reports whether its time is over.
func (t *Tidier) overdue(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, known := t.seen[key]
	if !known {
		t.seen[key] = t.now()
		return false
	}
	return t.now().Sub(since) >= Grace
}

func (t *Tidier) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, key)
}

// remove deletes a document, its head and all of its chunks at once.
func remove(ctx context.Context, st store.Store, owner Owner, r store.Record) error {
	var about head
	if err := json.Unmarshal(r.Value, &about); err != nil {
		return fmt.Errorf("reading %s: %w", r.Key, err)
	}
	id := r.Key[strings.LastIndexByte(r.Key, '/')+1:]
	txn := store.Txn{Checks: []store.Check{{Key: r.Key, Revision: r.Revision}}, Ops: []store.Op{{Key: r.Key, Delete: true}}}
	for n := range chunksOf(min(about.Size, MaxSize)) {
		txn.Ops = append(txn.Ops, store.Op{Key: keyChunk(owner.String(), id, n), Delete: true})
	}
	return change(ctx, st, owner.Tenant, -about.Size, 0, txn)
}
