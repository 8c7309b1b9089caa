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

// Silence ends what has moved no byte in either direction for some time. A
// deadline of a connection can't do that: it knows one direction of one hop, and
// TLS can't go on after a write that ran into one. The zero value watches over
// nothing. It is safe for concurrent use, and reused by the next exchange.
type Silence struct {
	mu    sync.Mutex
	timer *time.Timer // nil before the first use
	phase Phase       // zero: nothing is watched
	bound time.Duration
	end   func()
	base  time.Time    // of the first Begin; the clock that moved is read from
	moved atomic.Int64 // when something moved last, nanoseconds since base
}

// Begin watches over a phase from now on, unless a later one is watched already.
// end is called once, when nothing has moved for bound, and must make every read
// and write of the exchange return. It must not wait, nor call Begin or Over.
func (s *Silence) Begin(phase Phase, bound time.Duration, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if phase < s.phase {
		return
	}
	s.phase, s.bound, s.end = phase, bound, end
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

// Over ends the watch over a phase, if that is what is watched. Its end is not
// called after Over has returned.
func (s *Silence) Over(phase Phase) {
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
	if left := s.bound - (time.Since(s.base) - time.Duration(s.moved.Load())); left > 0 {
		s.timer.Reset(left)
		return
	}
	s.phase = 0
	s.end()
}
