package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Source is a store and what to leave out of its backup.
type Source struct {
	// Store is the driver: its values are taken as they lie there.
	Store   store.Store
	Wrapper seal.Wrapper
	// Leave reports whether a record stays out: what lives under a lease, which would
	// have no end after a restore.
	Leave func(key string) bool
	// Mark is the key of the marker, a record that Write commits: the backup is of that
	// moment.
	Mark   string
	Header Header
}

// mark is the marker's record.
type mark struct {
	At time.Time `json:"at"`
}

// Write writes a backup while others write to the store. The backup is the state right
// after the commit of the marker. It has each record as the listing gives it, and after
// that each change that was committed, up to the marker, to a record that the listing had
// passed already. Only one page is in memory.
func Write(ctx context.Context, to io.Writer, s Source) error {
	w, err := newWriter(ctx, to, s.Wrapper, s.Header)
	if err == nil {
		err = s.copy(ctx, w)
	}
	if err == nil {
		err = w.end()
	}
	if errors.Is(err, store.ErrCompacted) {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the backup fell behind what is written meanwhile", Hint: "write it to a faster place, or when less is written", Cause: err}
	}
	if err != nil {
		return fmt.Errorf("writing a backup: %w", err)
	}
	return nil
}

func (s Source) copy(ctx context.Context, w *writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := s.Store.List(ctx, "", "", 1)
	if err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	watcher, err := s.Store.Watch(ctx, "", first.Position)
	if err != nil {
		return err
	}
	defer func() {
		cancel()
		for range watcher.Events() {
		}
	}()
	c := &copying{source: s, w: w}
	for token := ""; ; {
		// Earlier events were written before this page is read, so that the page is never
		// older than they are.
		page, err := s.Store.List(ctx, "", token, store.MaxPage)
		if err != nil {
			return fmt.Errorf("listing: %w", err)
		}
		if err := c.page(page.Records); err != nil {
			return err
		}
		if token = page.Next; token == "" {
			break
		}
		if err := c.drain(watcher); err != nil {
			return err
		}
	}
	c.listed = true
	end, err := s.setMark(ctx)
	if err != nil {
		return err
	}
	return c.until(watcher, end)
}

func (s Source) setMark(ctx context.Context) (store.Position, error) {
	value, err := json.Marshal(mark{s.Header.MadeAt})
	if err != nil {
		return "", err
	}
	pos, err := s.Store.Commit(ctx, store.Txn{Ops: []store.Op{{Key: s.Mark, Value: value}}})
	if err != nil {
		return "", fmt.Errorf("marking the moment: %w", err)
	}
	return pos, nil
}

// copying is a backup under way.
type copying struct {
	source Source
	w      *writer
	cursor string // the last key that was listed
	listed bool   // all keys were
}

func (c *copying) page(records []store.Record) error {
	for _, r := range records {
		c.cursor = r.Key
		if c.source.Leave(r.Key) {
			continue
		}
		if err := c.w.put(entry{entryPut, r}); err != nil {
			return err
		}
	}
	return nil
}

// event writes the changes to records that were listed already. The others will be
// listed, changed as they are.
func (c *copying) event(e store.Event) error {
	for _, ch := range e.Changes {
		if c.source.Leave(ch.Key) || !c.listed && ch.Key > c.cursor {
			continue
		}
		kind := byte(entryPut)
		if ch.Deleted {
			kind = entryDelete
		}
		if err := c.w.put(entry{kind, ch.Record}); err != nil {
			return err
		}
	}
	return nil
}

// drain writes the events that have come.
func (c *copying) drain(w store.Watcher) error {
	for {
		select {
		case e, ok := <-w.Events():
			if !ok {
				return ended(w)
			}
			if err := c.event(e); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// until writes events up to the one at this position.
func (c *copying) until(w store.Watcher, end store.Position) error {
	for e := range w.Events() {
		if err := c.event(e); err != nil {
			return err
		}
		if e.Position == end {
			return nil
		}
	}
	return ended(w)
}

func ended(w store.Watcher) error {
	if err := w.Err(); err != nil {
		return err
	}
	return context.Canceled
}
