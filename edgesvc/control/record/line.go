package record

import (
	"context"
	"sync"
)

// line is the queue of calls that publish. One publishes at a time. Of each caller only one
// call waits in the queue with those of others, however many calls the caller makes. A call
// that is hung up leaves the queue.
type line struct {
	turn chan struct{} // holds one while somebody has the turn

	mu      sync.Mutex
	callers map[string]*ownLine
}

// ownLine is the line of one caller's calls.
type ownLine struct {
	turn chan struct{}
	in   int // who waits in it or has its turn
}

func newLine() *line {
	return &line{turn: make(chan struct{}, 1), callers: map[string]*ownLine{}}
}

// own waits for the turn of one caller's calls. leave is called at the end.
func (l *line) own(ctx context.Context, caller string) (leave func(), err error) {
	l.mu.Lock()
	own := l.callers[caller]
	if own == nil {
		own = &ownLine{turn: make(chan struct{}, 1)}
		l.callers[caller] = own
	}
	own.in++
	l.mu.Unlock()
	out := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if own.in--; own.in == 0 {
			delete(l.callers, caller)
		}
	}
	if err := take(ctx, own.turn); err != nil {
		out()
		return nil, err
	}
	return func() { <-own.turn; out() }, nil
}

// publish waits for the turn to publish, as one of a caller's calls; of the control
// plane's own for an empty caller.
func (l *line) publish(ctx context.Context, caller string) (leave func(), err error) {
	first := func() {}
	if caller != "" {
		if first, err = l.own(ctx, caller); err != nil {
			return nil, err
		}
	}
	if err := take(ctx, l.turn); err != nil {
		first()
		return nil, err
	}
	return func() { <-l.turn; first() }, nil
}

func take(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
