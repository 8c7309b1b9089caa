// Package gcra limits how often something may happen, by key: the generic cell rate
// algorithm (ITU-T I.371, annex A), which keeps one instant for each key.
//
// What lives here: that algorithm over a bounded table in memory. What may not: what
// a key is, and what follows from a refusal. Only edgesvc packages import it.
package gcra

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// shards keep callers with different keys from waiting for one another.
	shards = 64
	// maxKeys bounds a shard, and so the table to some ten megabytes. Keys that come
	// when it is full of keys in use share one allowance.
	maxKeys = 4096
	// tidyPause is between two passes over a full shard, so that a flood of keys
	// does not make each of them cost a pass.
	tidyPause = time.Second
)

// Rate is what one key may do: Burst at once, and Events each Per from then on.
type Rate struct {
	Events int
	Per    time.Duration
	Burst  int
}

// Limiter counts what keys do. It is safe for concurrent use.
type Limiter struct {
	interval, tolerance time.Duration
	seed                maphash.Seed
	shards              [shards]shard
}

type shard struct {
	mu sync.Mutex
	// due is the theoretical arrival time of each key's next event. A key that is
	// not there has had none lately.
	due map[string]time.Time
	// shared is that of all keys for which there was no room.
	shared time.Time
	// tidied is when room was last made.
	tidied time.Time
}

// New makes a limiter of a rate whose numbers are all positive.
func New(r Rate) *Limiter {
	interval := r.Per / time.Duration(r.Events)
	return &Limiter{interval: interval, tolerance: interval * time.Duration(r.Burst-1), seed: maphash.MakeSeed()}
}

// Interval is how far apart a key's events are once its burst is over.
func (l *Limiter) Interval() time.Duration { return l.interval }

// Allow counts an event of a key at now, or says after how long it would be allowed and
// counts nothing.
func (l *Limiter) Allow(key string, now time.Time) (wait time.Duration, ok bool) {
	s := &l.shards[maphash.String(l.seed, key)%shards]
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

// room makes room for one more key, if it can: keys whose time has come say nothing
// any more.
func (s *shard) room(now time.Time) bool {
	if s.due == nil {
		s.due = map[string]time.Time{}
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
