package pipe

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// ErrSilent is the end of what moved no byte in either direction for as long as the
// route allows.
var ErrSilent = &mezu.Cut{Cause: mezu.CauseIdleTimeout, Err: errors.New("nothing came either way for the route's idle_timeout")}

// Phase is a part of what a Silence watches over. A greater one takes the place of a
// smaller one; zero is none.
type Phase uint8

// piping is the one phase of a pipe.
const piping Phase = 1

// Silence ends what has moved no byte in either direction for some time, and, of who says when it
// writes, what nobody takes for as long, whatever moves beside it. A deadline of a
// connection can't do that: it knows one direction of one connection, and TLS can't go on
// after a write has run into a deadline. The zero value watches nothing. A Silence is safe
// for concurrent use, and is used again by the next exchange.
type Silence struct {
	mu    sync.Mutex
	timer *time.Timer // nil before the first use
	phase Phase       // zero: nothing is watched
	bound time.Duration
	end   func()
	base  time.Time    // of the first Begin; the clock that moved is read from
	moved atomic.Int64 // when something moved last, nanoseconds since base
	// writes is when what is being written began to be, as moved; zero: nothing is.
	writes atomic.Int64
}

// Begin watches a phase from now on, unless a later one is watched already. When nothing has
// moved for bound, end is called, once. It must make every read and write of the exchange
// return, must not wait, and must not call Begin or End.
func (s *Silence) Begin(phase Phase, bound time.Duration, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if phase < s.phase {
		return
	}
	s.phase, s.bound, s.end = phase, bound, end
	s.writes.Store(0)
	if s.timer == nil {
		s.base = time.Now()
		s.timer = time.AfterFunc(bound, s.look)
	} else {
		s.timer.Reset(bound)
	}
	s.Moved()
}

// Moved notes that something moved. Whoever calls it has called Begin before.
func (s *Silence) Moved() { s.moved.Store(int64(time.Since(s.base))) }

// Writes notes that something is being written from now on, and Wrote that it was. Both are
// moves. Whoever calls them has called Begin before.
func (s *Silence) Writes() {
	s.Moved()
	s.writes.Store(max(s.moved.Load(), 1))
}

// Wrote ends what Writes has begun.
func (s *Silence) Wrote() {
	s.writes.Store(0)
	s.Moved()
}

// End ends the watch of a phase, if that is the one that is watched. After it the end that
// Begin was given is not called any more.
func (s *Silence) End(phase Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phase {
		s.phase = 0
		s.timer.Stop()
	}
}

// look is called when the bound may be reached.
func (s *Silence) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == 0 {
		return // it ended in the same moment
	}
	since := s.moved.Load()
	if w := s.writes.Load(); w > 0 {
		since = min(since, w)
	}
	if left := s.bound - (time.Since(s.base) - time.Duration(since)); left > 0 {
		s.timer.Reset(left)
		return
	}
	s.phase = 0
	s.end()
}
