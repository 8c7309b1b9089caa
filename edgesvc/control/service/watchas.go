package service

import "context"

// watchAs watches what a caller may see. enter decides that, and is asked again with the
// caller identified anew: a watch ends with the right to it.
func watchAs[T, Out any](ctx context.Context, s *Access, c Caller, last string, sink WatchSink, enter func(context.Context, Caller) (collection[T, Out], error)) error {
	w, err := enter(ctx, c)
	if err != nil {
		return err
	}
	return watch(ctx, s.records, last, sink, w, func(ctx context.Context) (collection[T, Out], error) {
		now, err := s.identify(ctx, c.presented)
		if err != nil {
			return collection[T, Out]{}, err
		}
		return enter(ctx, now)
	})
}
