package record

import (
	"context"
	"sync"
	"time"
)

// Ender is a sink whose other end may take nothing for a long time.
type Ender interface {
	// End has the write that is under way and all later ones fail at once. It may be
	// called while another method runs.
	End()
}

// Guarded runs a stream for as long as its caller may have it. allowed is asked every
// watchRecheck, also while the other end takes nothing; its refusal ends the sink and
// the context of run, and is what is returned.
func Guarded(ctx context.Context, sink Ender, allowed, run func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(watchRecheck)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := allowed(ctx); err != nil && ctx.Err() == nil {
					cancel(err)
					sink.End()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	err := run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	looking.Wait()
	return err
}
