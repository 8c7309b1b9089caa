package access

import (
	"context"

	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Watch watches what a caller may see. enter decides that. It is called again during the
// watch, with the caller identified again, so that the watch ends when the permission does.
func Watch[T, Out any](ctx context.Context, s *Access, c Caller, last string, sink record.WatchSink, enter func(context.Context, Caller) (record.Collection[T, Out], error)) error {
	w, err := enter(ctx, c)
	if err != nil {
		return err
	}
	return record.Watch(ctx, s.records, last, sink, w, func(ctx context.Context) (record.Collection[T, Out], error) {
		now, err := s.identify(ctx, c.presented)
		if err != nil {
			return record.Collection[T, Out]{}, err
		}
		return enter(ctx, now)
	})
}
