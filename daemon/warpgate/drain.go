package warpgate

import (
	"context"
	"sync"
	"time"
)

// ending is how a Warpgate ends.
type ending struct {
	// begun ends when Drain is called, passed when the time that it gave is over.
	begun, passed context.Context
	begin, pass   context.CancelFunc

	mu     sync.Mutex
	within time.Duration
	timer  *time.Timer // of Drain, nil before
	until  time.Time   // when that is over
}

// newEnding makes the one of a Warpgate.
func newEnding(within time.Duration) *ending {
	e := &ending{within: within}
	e.begun, e.begin = context.WithCancel(context.Background())
	e.passed, e.pass = context.WithCancel(context.Background())
	return e
}

// time is how long a drain that begins now may take.
func (e *ending) time() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.within
}

// stop ends the timer, when Run is over.
func (e *ending) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil {
		e.timer.Stop()
	}
}

// shorten has the drain end at a time, unless it ends before.
func (e *ending) shorten(within time.Duration, until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil && !until.Before(e.until) {
		return
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.within, e.until = within, until
	e.timer = time.AfterFunc(within, e.pass)
}

// Drain has Run drain and return, with so much time for requests in flight instead of
// Config.DrainTimeout. A drain that is under way is only made shorter. It does not wait.
func (g *Warpgate) Drain(within time.Duration) {
	g.ending.shorten(within, time.Now().Add(within))
	g.ending.begin()
}
