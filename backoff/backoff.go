// Package backoff paces the retries of a connection: the first at once, then
// after random times under a ceiling that rises, so that a peer which was away
// for a moment is found again within a quarter of a second and thousands that
// lost the same peer do not come back in step. What doesn't pass in a moment, such
// as a name that doesn't resolve, is tried less often.
//
// What lives here: how long to wait. What may not: what is retried, and whether
// it is worth it. It imports the standard library only; everything that dials
// may import it.
package backoff

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// FirstCeiling bounds the waits of the first Patience of failure: a peer
	// that restarts is back in about a second, and whoever waits for it must
	// find it within 0.3 s of that.
	FirstCeiling = 250 * time.Millisecond
	// Patience is how long FirstCeiling lasts; each wait after it doubles the
	// ceiling.
	Patience = 3 * time.Second
	// LastCeiling bounds every wait that the peer did not ask for.
	LastCeiling = 30 * time.Second
	// MaxAsked bounds a wait that a peer asks for, since peers can be wrong.
	MaxAsked = 5 * time.Minute
)

// Backoff counts the failures of one thing that is tried again and again. The
// zero value is ready; it is not safe for concurrent use.
type Backoff struct {
	// Rand gives numbers in [0, 1). If nil, math/rand/v2 does.
	Rand func() float64
	// Now is the clock. If nil, time.Now.
	Now func() time.Time
	// Last bounds every wait that the peer did not ask for; if zero, LastCeiling.
	Last time.Duration

	failing time.Time // of the first failure since the last success
	ceiling time.Duration
	asked   time.Duration
	lasting bool      // the cause of the last failure; see Because
	raised  time.Time // when a lasting cause raised the ceiling last
}

// Next is how long to wait before the next try. It is called once after each
// failure.
func (b *Backoff) Next() time.Duration {
	now := b.now()
	wait := b.asked
	b.asked = 0
	if b.lasting {
		// Those that failed together, such as connections to one peer, raise it once.
		if b.ceiling == 0 || now.Sub(b.raised) >= b.ceiling/2 {
			b.ceiling, b.raised = min(max(2*b.ceiling, LastingCeiling), b.last()), now
		}
		// Half of it is certain: a wait of nothing would be one more try in vain.
		return wait + b.ceiling/2 + time.Duration(b.random()*float64(b.ceiling/2))
	}
	if b.ceiling == 0 {
		b.failing, b.ceiling = now, FirstCeiling
		if wait == 0 {
			return 0
		}
	} else if now.Sub(b.failing) >= Patience {
		b.ceiling = min(2*b.ceiling, b.last())
	}
	return wait + time.Duration(b.random()*float64(b.ceiling))
}

// Ask makes the next wait at least d, as the peer asked. The wait is longer than
// d by a random time, since it asked others too. If d is negative or zero,
// nothing was asked; more than MaxAsked counts as MaxAsked.
func (b *Backoff) Ask(d time.Duration) { b.asked = min(max(d, 0), MaxAsked) }

// Reset says that the last try succeeded.
func (b *Backoff) Reset() { b.ceiling, b.asked, b.lasting = 0, 0, false }

// Wait waits for Next. It returns early with the context's error when ctx ends.
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// WaitOr is Wait, and returns early without an error when rung is closed. That counts as a
// success: what rings a bell says that the next try is another one than the last.
func (b *Backoff) WaitOr(ctx context.Context, rung <-chan struct{}) error {
	return b.SleepOr(ctx, b.Next(), rung)
}

// SleepOr is WaitOr for a wait that Next has given before.
func (b *Backoff) SleepOr(ctx context.Context, d time.Duration, rung <-chan struct{}) error {
	err := SleepOr(ctx, d, rung)
	select {
	case <-rung:
		b.Reset()
	default:
	}
	return err
}

// Bell ends waits early, those of all who sleep over it. The zero value is ready; it is safe
// for concurrent use.
type Bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

// Rung is closed when the bell is rung next. Whoever tries again and again takes it before
// the try, so that no ring is missed between the try and the sleep after it.
func (b *Bell) Rung() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// Ring ends the waits.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// Jitter is a random time under a ceiling.
func Jitter(ceiling time.Duration) time.Duration {
	return time.Duration(rand.Float64() * float64(ceiling))
}

// Sleep waits for d, or less with the context's error when ctx ends.
func Sleep(ctx context.Context, d time.Duration) error { return SleepOr(ctx, d, nil) }

// SleepOr is Sleep, and returns early without an error when rung is closed.
func SleepOr(ctx context.Context, d time.Duration, rung <-chan struct{}) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-rung:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Backoff) last() time.Duration {
	if b.Last == 0 {
		return LastCeiling
	}
	return b.Last
}

func (b *Backoff) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}

func (b *Backoff) random() float64 {
	if b.Rand == nil {
		return rand.Float64()
	}
	return b.Rand()
}
