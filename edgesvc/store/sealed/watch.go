package sealed

import (
	"context"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Watch implements store.Store. A record that was only sealed again, under a new key, makes
// no event. A change that was sealed under a data key which has been dropped since counts as
// out of the history: the watch ends with store.ErrCompacted.
func (s *Store) Watch(ctx context.Context, prefix string, from store.Position) (store.Watcher, error) {
	ctx, cancel := context.WithCancel(ctx)
	inner, err := s.inner.Watch(ctx, prefix, from)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &watcher{store: s, inner: inner, events: make(chan store.Event), done: make(chan struct{})}
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		cancel()
		return nil, store.ErrClosed
	}
	s.watching.Go(func() { w.run(ctx, cancel) })
	return w, nil
}

// watcher opens the changes that another watcher delivers.
type watcher struct {
	store  *Store
	inner  store.Watcher
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

// run delivers until the inner watch ends: with the context, with the store, or by itself.
func (w *watcher) run(ctx context.Context, cancel context.CancelFunc) {
	defer close(w.events)
	defer close(w.done)
	defer func() {
		cancel()
		for range w.inner.Events() { // waits until it has ended too
		}
	}()
	for event := range w.inner.Events() {
		if w.err = w.pass(ctx, event); w.err != nil {
			return
		}
	}
	w.err = w.inner.Err()
}

// pass opens and delivers one event, without the records that were only sealed again.
func (w *watcher) pass(ctx context.Context, event store.Event) error {
	kept := event.Changes[:0]
	for _, ch := range event.Changes {
		if !ch.Deleted {
			again := !w.store.plain(ch.Key) && seal.IsAgain(ch.Value)
			plain, err := w.store.open(ctx, ch.Key, ch.Value)
			if errors.Is(err, seal.ErrOtherKey) {
				return fmt.Errorf("watching: %w: %w", store.ErrCompacted, err)
			}
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			if again {
				continue
			}
			ch.Value = plain
		}
		kept = append(kept, ch)
	}
	if len(kept) == 0 {
		return nil
	}
	event.Changes = kept
	select {
	case w.events <- event:
	case <-ctx.Done():
	case <-w.store.closing:
		return store.ErrClosed
	}
	return nil
}
