// Package gcra limits how often something may happen, by key: the generic cell rate
// algorithm (ITU-T I.371, annex A), which keeps one instant for each key.
//
// What lives here: that algorithm over a bounded table in memory, and what
// counts as one client by its address. What may not: what other keys are, and what follows
// from a refusal. Packages of edgesvc import it, and the guard of a
// tunnel (daemon/forward/guard).
package gcra

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// shards is how many parts the table has, each with its own lock, so that callers with
	// different keys seldom wait for one another.
	shards = 64
	// maxKeys bounds a shard, which bounds the table to some ten megabytes. When a shard is
	// full of keys in use, all further keys share one allowance.
	maxKeys = 4096
	// tidyPause is the least time between two passes over a full shard. Without it, each
	// new key of a flood would cost a pass.
	tidyPause = time.Second
)

// Rate is how many events one key may have: Burst at once, and Events in each Per after
// that.
type Rate struct {
	Events int
	Per    time.Duration
	Burst  int
}

// Limiter limits the events of keys that are text.
type Limiter = Keyed[string]

// Keyed limits the events of each key. It is safe for concurrent use.
type Keyed[K comparable] struct {
	interval, tolerance time.Duration
	seed                maphash.Seed
	shards              [shards]shard[K]
}

type shard[K comparable] struct {
	mu sync.Mutex
	// due is the theoretical arrival time of each key's next event. A key that isn't in
	// it has had no event lately.
	due map[K]time.Time
	// shared is the same for all keys together that found no room in due.
	shared time.Time
	// tidied is when room was last made.
	tidied time.Time
}

// New makes a limiter of a rate. All numbers of the rate must be positive.
func New(r Rate) *Limiter { return NewKeyed[string](r) }

// NewKeyed is New for keys of any kind. Those without a pointer cost no allocation.
func NewKeyed[K comparable](r Rate) *Keyed[K] {
	interval := r.Per / time.Duration(r.Events)
	return &Keyed[K]{interval: interval, tolerance: interval * time.Duration(r.Burst-1), seed: maphash.MakeSeed()}
}

// Interval is the time between two events of a key that has used up its burst.
func (l *Keyed[K]) Interval() time.Duration { return l.interval }

// Allow reports whether a key may have an event now, and counts it if so. If not, wait is
// the time after which it would be allowed.
func (l *Keyed[K]) Allow(key K, now time.Time) (wait time.Duration, ok bool) {
	s := &l.shards[maphash.Comparable(l.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	due, known := s.due[key]
	room := known || s.room(now)
	if !room {
		due = s.shared
	}
	if due.Before(now) {
		due = now
	}
	if early := due.Sub(now) - l.tolerance; early > 0 {
		return early, false
	}
	due = due.Add(l.interval)
	if room {
		s.due[key] = due
	} else {
		s.shared = due
	}
	return 0, true
}

// Spent reports whether a key may have no event now. It counts none.
func (l *Keyed[K]) Spent(key K, now time.Time) bool {
	s := &l.shards[maphash.Comparable(l.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	due, known := s.due[key]
	if !known && len(s.due) >= maxKeys {
		due = s.shared
	}
	return due.Sub(now) > l.tolerance
}

// room reports whether the shard has room for one more key. If it is full it removes the keys
// whose time has passed, because a key that is missing means the same.
func (s *shard[K]) room(now time.Time) bool {
	if s.due == nil {
		s.due = map[K]time.Time{}
	}
	if len(s.due) < maxKeys {
		return true
	}
	if now.Sub(s.tidied) < tidyPause {
		return false
	}
	s.tidied = now
	for key, due := range s.due {
		if !due.After(now) {
			delete(s.due, key)
		}
	}
	return len(s.due) < maxKeys
}
