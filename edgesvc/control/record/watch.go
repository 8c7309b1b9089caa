package record

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// watchRecheck is how often the right to a stream is looked at; with the time of a
// check that leaves five seconds between its end and the stream's.
const watchRecheck = 2 * time.Second

// WatchSink takes the events of one watch of a collection. Its methods return an error
// when the other end is gone, and bound their own time.
type WatchSink interface {
	// Event sends one; an empty id is none.
	Event(kind api.WatchKind, id string, data any) error
	KeepAlive() error
	Ender
}

// Collection is what a caller may watch: the records under a prefix.
type Collection[T, Out any] struct {
	Prefix string
	// Only is the one key that exists for this caller; if empty, all do.
	Only string
	Show func(context.Context, Record[T]) (Out, error)
	// Same, if set, reports whether what was sent of a record need not be sent again.
	Same func(was, is Out) bool
	// Beside, if set, is what Show reads besides the record.
	Beside Beside
}

// Beside follows what a collection shows besides its records. It is for one goroutine.
type Beside interface {
	// Watchers are those of what it follows.
	Watchers() [2]store.Watcher
	// Note takes in an event of the i-th of them.
	Note(i int, e store.Event)
	// Missed says that nothing was followed until now.
	Missed()
	// Due receives when Changed has something to tell.
	Due() <-chan time.Time
	// Changed gives what of the collection may be shown otherwise now, by the rest of
	// its key, or says that all may be.
	Changed() (items []string, all bool)
}

// nothingBeside is for collections that show their records alone.
type nothingBeside struct{}

func (nothingBeside) Watchers() [2]store.Watcher { return [2]store.Watcher{} }
func (nothingBeside) Note(int, store.Event)      {}
func (nothingBeside) Missed()                    {}
func (nothingBeside) Due() <-chan time.Time      { return nil }
func (nothingBeside) Changed() ([]string, bool)  { return nil, false }

// events are those of a watcher, none of nil.
func events(w store.Watcher) <-chan store.Event {
	if w == nil {
		return nil
	}
	return w.Events()
}

func (w Collection[T, Out]) has(key string) bool { return w.Only == "" || w.Only == key }

// Watch sends a collection as it is and then as it changes, until ctx ends, the sink
// fails, or again refuses or gives another collection: it is asked every watchRecheck and
// before what changed is sent. With the id of an event it goes on after that event,
// without a gap, if the store still knows what came since; else it says so and begins
// anew.
func Watch[T, Out any](ctx context.Context, s *Records, last string, sink WatchSink, w Collection[T, Out], again func(context.Context) (Collection[T, Out], error)) error {
	f := &follower[T, Out]{s: s, sink: sink, of: w, again: again, sent: map[string]Out{}, beside: w.Beside}
	if f.beside == nil {
		f.beside = nothingBeside{}
	}
	return Guarded(ctx, sink, f.allowed, func(ctx context.Context) error { return f.run(ctx, last) })
}

// follower is one running watch.
type follower[T, Out any] struct {
	s      *Records
	sink   WatchSink
	of     Collection[T, Out]
	again  func(context.Context) (Collection[T, Out], error)
	sent   map[string]Out // by key, if of.Same is set
	beside Beside
}

// run sends what came since the event last, or all, and then changes.
func (f *follower[T, Out]) run(ctx context.Context, last string) error {
	s, prefix := f.s, f.of.Prefix
	var watcher store.Watcher
	if last != "" {
		from, err := s.openWatchID(prefix, last)
		if err != nil {
			return err
		}
		watcher, err = s.store.Watch(ctx, prefix, from)
		switch {
		case errors.Is(err, store.ErrCompacted):
			if err := f.sink.Event(api.WatchReset, "", struct{}{}); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
	if watcher == nil {
		from, err := f.snapshot(ctx)
		if err != nil {
			return err
		}
		if watcher, err = s.store.Watch(ctx, prefix, from); err != nil {
			return err
		}
		if err := f.sink.Event(api.WatchSynced, s.sealWatchID(prefix, from), struct{}{}); err != nil {
			return err
		}
	} else {
		if err := f.sink.KeepAlive(); err != nil { // the head of the answer
			return err
		}
		// It has no history: what changed of it meanwhile is what is sent now.
		f.beside.Missed()
	}
	return f.follow(ctx, watcher)
}

// snapshot sends all records and gives the position from which to watch.
func (f *follower[T, Out]) snapshot(ctx context.Context) (store.Position, error) {
	var from store.Position
	for token := ""; ; {
		page, err := f.s.store.List(ctx, f.of.Prefix, token, store.MaxPage)
		if err != nil {
			return "", err
		}
		if from == "" {
			from = page.Position
		}
		for _, r := range page.Records {
			if err := f.put(ctx, r, ""); err != nil {
				return "", err
			}
		}
		if token = page.Next; token == "" {
			return from, nil
		}
		if err := f.allowed(ctx); err != nil {
			return "", err
		}
	}
}

func (f *follower[T, Out]) put(ctx context.Context, r store.Record, id string) error {
	if !f.of.has(r.Key) {
		return nil
	}
	rec, err := Decode[T](r)
	if err != nil {
		return err
	}
	out, err := f.of.Show(ctx, rec)
	if err != nil {
		return err
	}
	if f.of.Same != nil {
		if was, ok := f.sent[r.Key]; ok && f.of.Same(was, out) {
			return nil
		}
		f.sent[r.Key] = out
	}
	return f.sink.Event(api.WatchPut, id, out)
}

// sendChanged sends of the records that Beside concerns what is shown otherwise now.
func (f *follower[T, Out]) sendChanged(ctx context.Context) error {
	items, all := f.beside.Changed()
	// What is not known is another collection's, or its record comes yet.
	items = slices.DeleteFunc(items, func(item string) bool { _, known := f.sent[f.of.Prefix+item]; return !known })
	if len(items) == 0 && !all {
		return nil
	}
	if err := f.allowed(ctx); err != nil {
		return err
	}
	if all {
		_, err := f.snapshot(ctx)
		return err
	}
	for _, item := range items {
		r, err := f.s.store.Get(ctx, f.of.Prefix+item)
		if errors.Is(err, store.ErrNotFound) {
			continue // the event of its deletion comes
		}
		if err == nil {
			err = f.put(ctx, r, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow sends changes as they are committed.
func (f *follower[T, Out]) follow(ctx context.Context, watcher store.Watcher) error {
	beside := f.beside.Watchers()
	alive := time.NewTicker(api.StreamKeepAlive)
	defer alive.Stop()
	for {
		select {
		case event, ok := <-watcher.Events():
			if !ok {
				return store.Ended(ctx, watcher)
			}
			if err := f.pass(ctx, event); err != nil {
				return err
			}
		case event, ok := <-events(beside[0]):
			if !ok {
				return store.Ended(ctx, beside[0])
			}
			f.beside.Note(0, event)
		case event, ok := <-events(beside[1]):
			if !ok {
				return store.Ended(ctx, beside[1])
			}
			f.beside.Note(1, event)
		case <-f.beside.Due():
			if err := f.sendChanged(ctx); err != nil {
				return err
			}
		case <-alive.C:
			if err := f.sink.KeepAlive(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass sends one commit. Only its last change moves the id, so that who resumes gets
// the commit whole.
func (f *follower[T, Out]) pass(ctx context.Context, event store.Event) error {
	if err := f.allowed(ctx); err != nil {
		return err
	}
	for i, ch := range event.Changes {
		id := ""
		if i == len(event.Changes)-1 {
			id = f.s.sealWatchID(f.of.Prefix, event.Position)
		}
		if !ch.Deleted {
			if err := f.put(ctx, ch.Record, id); err != nil {
				return err
			}
			continue
		}
		if !f.of.has(ch.Key) {
			continue
		}
		delete(f.sent, ch.Key)
		if err := f.sink.Event(api.WatchDelete, id, api.WatchDeleted{Key: ch.Key[len(f.of.Prefix):], Revision: ch.Revision}); err != nil {
			return err
		}
	}
	return nil
}

// allowed reports whether the collection is still what the caller may watch.
func (f *follower[T, Out]) allowed(ctx context.Context) error {
	now, err := f.again(ctx)
	if err != nil {
		return err
	}
	if now.Prefix != f.of.Prefix || now.Only != f.of.Only {
		return mezu.Errorf(mezu.CodeNotFound, "what was watched is another record now")
	}
	return nil
}

// The id of an event is the store's position, sealed: it means nothing to a client,
// can't be made up, and belongs to one collection.

func (s *Records) watchCipher() cipher.AEAD {
	block, err := aes.NewCipher(s.store.Derive("watch ids"))
	if err != nil {
		panic(err) // a derived key has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the block size of GCM
	}
	return aead
}

func (s *Records) sealWatchID(prefix string, at store.Position) string {
	return base64.RawURLEncoding.EncodeToString(s.watchCipher().Seal(nil, nil, []byte(at), []byte(prefix)))
}

// maxWatchID bounds an id: positions have some dozens of characters.
const maxWatchID = 512

func (s *Records) openWatchID(prefix, id string) (store.Position, error) {
	if len(id) <= maxWatchID {
		if sealed, err := base64.RawURLEncoding.DecodeString(id); err == nil {
			if at, err := s.watchCipher().Open(nil, nil, sealed, []byte(prefix)); err == nil {
				return store.Position(at), nil
			}
		}
	}
	return "", mezu.Invalid("Last-Event-ID", "is the id of an event of this watch")
}

// Plain shows a record as it is kept.
func Plain[T any](_ context.Context, f Record[T]) (T, error) { return f.Value, nil }
