package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu/backoff"
)

// most draws the longest wait that the jitter allows.
func most() float64 { return 1 }

func TestBackoff_CeilingsOfAnOutage(t *testing.T) {
	now := time.Unix(0, 0)
	b := backoff.Backoff{Rand: most, Now: func() time.Time { return now }}
	if d := b.Next(); d != 0 {
		t.Fatalf("first retry after %v, want at once", d)
	}
	for now.Sub(time.Unix(0, 0)) < backoff.Patience-backoff.FirstCeiling {
		d := b.Next()
		if d != backoff.FirstCeiling {
			t.Fatalf("after %v of failure: wait of %v, want %v", now.Sub(time.Unix(0, 0)), d, backoff.FirstCeiling)
		}
		now = now.Add(d)
	}
	now = now.Add(backoff.FirstCeiling)
	for want := 2 * backoff.FirstCeiling; want < backoff.LastCeiling; want *= 2 {
		if d := b.Next(); d != want {
			t.Fatalf("wait of %v, want %v", d, want)
		}
	}
	for range 3 {
		if d := b.Next(); d != backoff.LastCeiling {
			t.Fatalf("wait of %v, want the last ceiling %v", d, backoff.LastCeiling)
		}
	}
	b.Reset()
	if d := b.Next(); d != 0 {
		t.Fatalf("first retry after a success waits %v", d)
	}
	if d := b.Next(); d != backoff.FirstCeiling {
		t.Fatalf("second retry after a success waits up to %v, want %v", d, backoff.FirstCeiling)
	}
}

func TestBackoff_FullJitter(t *testing.T) {
	b := backoff.Backoff{}
	b.Next()
	low, high := backoff.FirstCeiling, time.Duration(0)
	for range 1000 {
		d := b.Next()
		low, high = min(low, d), max(high, d)
	}
	if low > backoff.FirstCeiling/10 || high < backoff.FirstCeiling*9/10 || high > backoff.FirstCeiling {
		t.Fatalf("waits lie between %v and %v, want them all over 0 to %v", low, high, backoff.FirstCeiling)
	}
}

func TestBackoff_AskedByThePeer(t *testing.T) {
	b := backoff.Backoff{Rand: func() float64 { return 0.5 }}
	b.Ask(7 * time.Second)
	if d := b.Next(); d != 7*time.Second+backoff.FirstCeiling/2 {
		t.Fatalf("asked for 7 s, waits %v", d)
	}
	if d := b.Next(); d != backoff.FirstCeiling/2 {
		t.Fatalf("what was asked for held longer than one wait: %v", d)
	}
	b.Ask(24 * time.Hour)
	if d := b.Next(); d > backoff.MaxAsked+backoff.FirstCeiling {
		t.Fatalf("a peer made us wait %v", d)
	}
	b.Ask(-time.Hour)
	if d := b.Next(); d < 0 || d > backoff.FirstCeiling {
		t.Fatalf("after a negative request: wait of %v", d)
	}
}

func TestBackoff_WaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{Rand: most}
		start := time.Now()
		if err := b.Wait(t.Context()); err != nil || time.Since(start) != 0 {
			t.Fatalf("first wait: %v after %v", err, time.Since(start))
		}
		if err := b.Wait(t.Context()); err != nil || time.Since(start) != backoff.FirstCeiling {
			t.Fatalf("second wait: %v after %v", err, time.Since(start))
		}
		b.Ask(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("wait past the context's end: %v", err)
		}
		if err := backoff.Sleep(ctx, 0); err == nil {
			t.Fatal("no wait under an ended context reports no error")
		}
	})
}

func TestBell_EndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bell backoff.Bell
		bell.Ring() // nobody waits
		b := backoff.Backoff{Rand: most, Last: time.Second}
		for range 20 {
			if b.Wait(t.Context()) != nil {
				t.Fatal("a wait ended early")
			}
		}
		if d := b.Next(); d != time.Second {
			t.Fatalf("wait of %v, want the last ceiling of one's own", d)
		}
		start := time.Now()
		rung := bell.Rung()
		bell.Ring() // between the try and the wait
		if err := b.WaitOr(t.Context(), rung); err != nil || time.Since(start) != 0 {
			t.Fatalf("waited %v, %v", time.Since(start), err)
		}
		if d := b.Next(); d != 0 {
			t.Fatalf("first wait after the bell: %v", d)
		}
		done := make(chan error)
		for range 3 {
			rung := bell.Rung()
			go func() { done <- backoff.SleepOr(t.Context(), time.Hour, rung) }()
		}
		synctest.Wait()
		bell.Ring()
		for range 3 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := b.WaitOr(ended, bell.Rung()); !errors.Is(err, context.Canceled) {
			t.Fatalf("after the end: %v", err)
		}
		if time.Since(start) != 0 {
			t.Fatalf("waited %v", time.Since(start))
		}
	})
}
