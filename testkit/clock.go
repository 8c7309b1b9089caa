package testkit

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that a test sets forward or back. The zero value runs with the real
// time. It is safe for concurrent use.
type Clock struct {
	still time.Time // the time at which it stopped; zero if it runs
	ahead atomic.Int64
}

// StillClock makes a clock that shows one time until the test moves it.
func StillClock(at time.Time) *Clock { return &Clock{still: at} }

// Now is the time by this clock.
func (c *Clock) Now() time.Time {
	at := c.still
	if at.IsZero() {
		at = time.Now()
	}
	return at.Add(time.Duration(c.ahead.Load()))
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }
