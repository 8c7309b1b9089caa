package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// Watch delivers the commits after from that touch the prefix.
func (db *DB) Watch(ctx context.Context, prefix string, from store.Position) (store.Watcher, error) {
	if err := db.enter(ctx); err != nil {
		return nil, err
	}
	defer db.leave()
	id, err := db.find(from)
	if err != nil {
		return nil, fmt.Errorf("watching %q: %w", prefix, err)
	}
	w := &watcher{db: db, prefix: prefix, cursor: id.seq, events: make(chan store.Event), done: make(chan struct{})}
	db.wg.Go(func() { w.run(ctx) })
	return w, nil
}

// find gives the commit of a position, if it is in this store's history.
func (db *DB) find(pos store.Position) (commitID, error) {
	id, ok := parsePosition(pos)
	if !ok || !db.history.holds(id) {
		return commitID{}, store.ErrCompacted
	}
	v := db.acquire()
	defer db.unview(v)
	item, err := v.txn.Get(changeKey(id.seq))
	if errors.Is(err, engine.ErrKeyNotFound) {
		return commitID{}, store.ErrCompacted
	}
	if err != nil {
		return commitID{}, fmt.Errorf("reading history: %w", err)
	}
	err = item.Value(func(b []byte) error {
		c, _, err := decodeHead(changeKey(id.seq), b)
		if err == nil && c.run != id.run {
			return store.ErrCompacted
		}
		return err
	})
	return id, err
}

// watcher is one watch; its goroutine reads the history at its own pace.
type watcher struct {
	db     *DB
	prefix string
	cursor uint64 // the last commit that was looked at
	events chan store.Event
	done   chan struct{} // closed just before events
	err    error         // set before done is closed
}

// Events implements store.Watcher.
func (w *watcher) Events() <-chan store.Event { return w.events }

// Err implements store.Watcher.
func (w *watcher) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// run delivers until the watch ends.
func (w *watcher) run(ctx context.Context) {
	defer close(w.events)
	defer close(w.done)
	for {
		commits, wake, err := w.next()
		switch {
		case err != nil:
			w.err = err
			return
		case wake != nil:
			select {
			case <-wake:
			case <-ctx.Done():
				return
			case <-w.db.ctx.Done():
				w.err = store.ErrClosed
				return
			}
		}
		for _, c := range commits {
			if ctx.Err() != nil {
				return
			}
			event := c.event(w.prefix)
			if len(event.Changes) > 0 {
				select {
				case w.events <- event:
				case <-ctx.Done():
					return
				case <-w.db.ctx.Done():
					w.err = store.ErrClosed
					return
				}
			}
			w.cursor = c.seq
		}
	}
}

// next gives commits after the cursor. If there are none yet, it gives the channel that is
// closed when there are.
func (w *watcher) next() ([]*commit, <-chan struct{}, error) {
	commits, fromDisk, wake, err := w.db.history.after(w.cursor)
	if fromDisk {
		commits, err = w.db.replay(w.cursor)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("watching %q: %w", w.prefix, err)
	}
	return commits, wake, nil
}

// event is the commit as a watcher of the prefix sees it. Its bytes are copies, which the
// watcher may keep.
func (c *commit) event(prefix string) store.Event {
	e := store.Event{Position: c.position()}
	for _, ch := range c.changes {
		if strings.HasPrefix(ch.Key, prefix) {
			ch.Value = bytes.Clone(ch.Value)
			e.Changes = append(e.Changes, ch)
		}
	}
	return e
}
