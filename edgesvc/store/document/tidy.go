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

// Tidier deletes documents that no record refers to. It does so once it has known for Grace
// that nothing refers to the document. It measures Grace by its own clock, because clocks of
// other machines may differ. Its methods are safe for concurrent use.
type Tidier struct {
	now func() time.Time

	mu     sync.Mutex
	owners map[Owner]int        // that may have such documents: how often each was named
	seen   map[string]time.Time // when a document was first seen unreferenced, by its head
}

// NewTidier makes a Tidier that goes by a clock.
func NewTidier(now func() time.Time) *Tidier {
	return &Tidier{now: now, owners: map[Owner]int{}, seen: map[string]time.Time{}}
}

// Name tells the Tidier that an owner may have documents that nothing refers to, now or
// soon.
func (t *Tidier) Name(owner Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owners[owner]++
}

// Live calls keep with the Ref of every record that refers to a document of an owner.
type Live func(ctx context.Context, owner Owner, keep func(Ref)) error

// Tidy looks at the owners that were named. An owner that has nothing left to delete is
// forgotten until it is named again.
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

// NameAll names every owner of documents. It finds what a process that ended left behind.
func (t *Tidier) NameAll(ctx context.Context, st store.Reader) error {
	return heads(ctx, st, prefixHead, func(key string, _ store.Record) error {
		if owner, ok := ownerOf(key); ok {
			t.Name(owner)
		}
		return nil
	})
}

// ownerOf gives the owner in the key of a head.
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

// tidy looks at the documents of one owner. left is how many of them nothing refers to but
// can't be deleted yet.
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

// overdue reports whether a document that nothing refers to has been so for Grace. The first
// call notes the time.
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

// remove deletes a document: its head and all of its chunks, in one transaction.
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
