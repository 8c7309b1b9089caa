package gcra_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu/gcra"
)

func TestLimiter_Allow(t *testing.T) {
	l := gcra.New(gcra.Rate{Events: 10, Per: time.Second, Burst: 3})
	now := time.Unix(1000, 0)
	for i := range 3 {
		if _, ok := l.Allow("a", now); !ok {
			t.Fatalf("event %d of the burst was refused", i)
		}
	}
	if !l.Spent("a", now) || l.Spent("b", now) {
		t.Error("another key is spent than the one that is")
	}
	wait, ok := l.Allow("a", now)
	if ok || wait != 100*time.Millisecond {
		t.Fatalf("past the burst: %v, %v", wait, ok)
	}
	if _, ok := l.Allow("b", now); !ok {
		t.Error("another key was refused")
	}
	if l.Spent("a", now.Add(wait)) {
		t.Error("spent after the wait that was asked for")
	}
	if _, ok := l.Allow("a", now.Add(wait)); !ok {
		t.Error("refused after the wait that was asked for")
	}
	if _, ok := l.Allow("a", now.Add(wait)); ok {
		t.Error("two were allowed after the wait for one")
	}
}

// Over any stretch of time a key has at most its burst and its rate.
func TestLimiter_NeverMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := gcra.Rate{Events: rapid.IntRange(1, 50).Draw(t, "events"), Per: time.Second, Burst: rapid.IntRange(1, 20).Draw(t, "burst")}
		l := gcra.New(rate)
		start := time.Unix(1000, 0)
		now := start
		var taken []time.Time
		for range rapid.IntRange(1, 300).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "gap")) * time.Millisecond)
			if _, ok := l.Allow("k", now); ok {
				taken = append(taken, now)
			}
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				most := rate.Burst + int(taken[j].Sub(taken[i])/(rate.Per/time.Duration(rate.Events)))
				if n := j - i + 1; n > most {
					t.Fatalf("%d events in %v, at most %d", n, taken[j].Sub(taken[i]), most)
				}
			}
		}
	})
}

// A flood of keys takes no more room than there is, and forgets nobody who is at
// his limit.
func TestLimiter_ManyKeys(t *testing.T) {
	l := gcra.New(gcra.Rate{Events: 1, Per: time.Hour, Burst: 1})
	now := time.Unix(1000, 0)
	l.Allow("victim", now)
	refused := 0
	for i := range 400_000 {
		if _, ok := l.Allow(fmt.Sprint(i), now); !ok {
			refused++
		}
	}
	if refused < 100_000 {
		t.Errorf("only %d of 400,000 keys were refused", refused)
	}
	if _, ok := l.Allow("victim", now); ok {
		t.Error("a key at its limit was forgotten")
	}
	if _, ok := l.Allow("late", now.Add(2*time.Hour)); !ok {
		t.Error("there is no room after all keys have rested")
	}
}

// Keys of a fixed size cost nothing to look up.
func TestKeyed_Allocations(t *testing.T) {
	l := gcra.NewKeyed[[16]byte](gcra.Rate{Events: 1000, Per: time.Second, Burst: 1000})
	now := time.Now()
	l.Allow([16]byte{1}, now)
	if n := testing.AllocsPerRun(100, func() { l.Allow([16]byte{1}, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
