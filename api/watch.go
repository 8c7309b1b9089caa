package api

import (
	"context"
	"encoding/json"
	"fmt"
)

// WatchKind names an event of the watch of a collection.
type WatchKind string

// Kinds of events. A watch begins with a put for each record, in the order of their names,
// and then WatchSynced. After that come changes. A watch that is resumed after the id of an
// event goes on with changes. If that event is too old, the watch says WatchReset and begins
// from the start: a record that doesn't come again is gone.
const (
	WatchPut    WatchKind = "put"    // a record as it is now
	WatchDelete WatchKind = "delete" // a WatchDeleted
	WatchSynced WatchKind = "synced"
	WatchReset  WatchKind = "reset"
)

// WatchDeleted says which record was deleted: its name, or its id if it has no name, and the
// last revision.
type WatchDeleted struct {
	Key      string `json:"key"`
	Revision uint64 `json:"revision"`
}

// WatchEvent is one event of the watch of a collection of T.
type WatchEvent[T any] struct {
	Kind WatchKind
	// ID is the id to resume the watch after; empty if it can't be resumed here.
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

// Next waits for one event. Its errors are final, like those of Stream.Next: open the watch
// again after the last ID that was not empty.
func (w *CollectionWatch[T]) Next() (WatchEvent[T], error) {
	var e WatchEvent[T]
	raw, err := w.next()
	if err != nil {
		return e, err
	}
	e.Kind, e.ID = WatchKind(raw.Kind), raw.ID
	switch e.Kind {
	case WatchPut:
		err = json.Unmarshal(raw.Data, &e.Record)
	case WatchDelete:
		err = json.Unmarshal(raw.Data, &e.Deleted)
	}
	if err != nil {
		return e, w.broken(fmt.Errorf("decoding a %s event: %w", e.Kind, err))
	}
	return e, nil
}
