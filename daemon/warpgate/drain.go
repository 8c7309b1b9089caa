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

// Waits says which requests are under way, until ctx ends: at once, and again when that has
// changed. It says nothing while none is.
func (g *Warpgate) Waits(ctx context.Context, say func(what, them string)) {
	g.underway.Follow(ctx, say)
}

// EndStreams cuts all requests that have no end of their own, such as upgrades and streams of
// events, and those that come later.
func (g *Warpgate) EndStreams() { g.underway.CutStreams() }

// drain retires all links at once, and logs what it waits for.
func (g *Warpgate) drain(links []*link) {
	ctx, end := context.WithCancel(g.hard)
	var saying sync.WaitGroup
	defer saying.Wait()
	defer end()
	saying.Go(func() {
		g.Waits(ctx, func(what, them string) {
			g.log.Info("stopping", "waiting_for", what, "hint", "another signal cuts "+them)
		})
	})
	drain(links)
}
