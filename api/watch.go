package api

import (
	"context"
	"encoding/json"
	"fmt"
)

// WatchKind names an event of the watch of a collection.
type WatchKind string

// Kinds of events. A watch begins with a put for each record, in the order of their
// names, and WatchSynced; then come changes. Taken up again after the id of an event it
// goes on with changes; if that lies too far back, it says WatchReset and begins anew:
// what is not named then is gone.
const (
	WatchPut    WatchKind = "put"    // a record as it is now
	WatchDelete WatchKind = "delete" // a WatchDeleted
	WatchSynced WatchKind = "synced"
	WatchReset  WatchKind = "reset"
)

// WatchDeleted says which record is gone: its name, or its id if it has none, and the
// revision that it had.
type WatchDeleted struct {
	Key      string `json:"key"`
	Revision uint64 `json:"revision"`
}

// WatchEvent is one event of the watch of a collection of T.
type WatchEvent[T any] struct {
	Kind WatchKind
	// ID is from where to take the watch up again; empty where it can't be.
	ID string
	// Record is set by WatchPut, Deleted by WatchDelete.
	Record  T
	Deleted WatchDeleted
}

// CollectionWatch is an open watch. Next is for one goroutine at a time; Close may come
// from any.
type CollectionWatch[T any] struct{ *events }

// Watch opens the watch of a collection, from the event with the id last on, or from
// the beginning if that is empty. The caller closes it.
func Watch[T any](ctx context.Context, c *Client, op Operation, last string, params ...string) (*CollectionWatch[T], error) {
	s, err := c.events(ctx, Call{Operation: op, Params: params}, last)
	if err != nil {
		return nil, err
	}
	return &CollectionWatch[T]{s}, nil
}

// Next waits for one event. Its errors are final, as those of Stream.Next: open the
// watch anew after the last ID that was not empty.
func (w *CollectionWatch[T]) Next() (WatchEvent[T], error) {
	var e WatchEvent[T]
	raw, err := w.next()
	if err != nil {
		return e, err
	}
	e.Kind, e.ID = WatchKind(raw.kind), raw.id
	switch e.Kind {
	case WatchPut:
		err = json.Unmarshal(raw.data, &e.Record)
	case WatchDelete:
		err = json.Unmarshal(raw.data, &e.Deleted)
	}
	if err != nil {
		return e, w.broken(fmt.Errorf("decoding a %s event: %w", e.Kind, err))
	}
	return e, nil
}
