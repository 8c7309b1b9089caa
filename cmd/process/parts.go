package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Part is one of several services that make up a process.
type Part struct {
	Name string
	// Run works until ctx ends; then it returns when the work in progress is done.
	Run func(ctx context.Context) error
	// Close ends the work in progress at once; Run then returns soon. It may be nil.
	Close func()
}

// RunParts runs all parts until drain ends or one of them returns. Then it stops them in
// the order given. Each is stopped when the one before has returned, so that a part can
// rely on those after it until its end. When cut ends, all are closed at once. RunParts
// returns when every part has, with their errors, or with cut's.
func RunParts(drain, cut context.Context, parts ...Part) error {
	all := make([]*running, len(parts))
	first := make(chan struct{})
	var once sync.Once
	for i, p := range parts {
		all[i] = start(context.WithoutCancel(drain), p, func() { once.Do(func() { close(first) }) })
	}
	defer context.AfterFunc(cut, func() {
		for _, p := range parts {
			if p.Close != nil {
				p.Close()
			}
		}
	})()
	select {
	case <-drain.Done():
	case <-first:
	}
	var errs error
	for _, r := range all {
		errs = errors.Join(errs, r.stop())
	}
	if cut.Err() != nil {
		return cut.Err() // their errors come of being cut
	}
	return errs
}

// running is a part at work.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // after done
}

// start runs a part in a goroutine of its own and calls ended when it returns.
func start(ctx context.Context, p Part, ended func()) *running {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{cancel: cancel, done: make(chan struct{})}
	go r.work(ctx, p, ended)
	return r
}

func (r *running) work(ctx context.Context, p Part, ended func()) {
	defer ended()
	defer close(r.done)
	if err := p.Run(ctx); err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		r.err = fmt.Errorf("%s: %w", p.Name, err)
	}
}

// stop ends the part and waits for it.
func (r *running) stop() error {
	r.cancel()
	<-r.done
	return r.err
}
