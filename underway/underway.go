// Package underway knows the requests that a program carries now, so that it can say at its end
// what it waits for, and cut what has no end of its own.
//
// What lives here: the set of them, and the words about it. What may not: HTTP, connections, and
// whoever prints or logs the words. It imports the standard library only; edgesvc/edge/web and
// daemon/forward import it.
package underway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// shards is over how many locks the requests of a set are spread: each takes one twice.
const shards = 16

// Set is the requests under way. It is safe for concurrent use. If zero, it has none.
type Set struct {
	shards [shards]shard
	next   atomic.Uint32
	ending atomic.Bool
}

type shard struct {
	mu    sync.Mutex
	first *Request
}

// Request is one of them, part of whatever carries it, which may use it for one after another.
type Request struct {
	set        *Set
	shard      *shard
	cut        func()
	prev, next *Request // guarded by the shard
	in, wasCut bool     // the same
	line       line
	stream     atomic.Bool
}

// line is what is said of a request.
type line struct {
	method, path string
	since        time.Time
}

// Init prepares a request. cut is called to end it while it is under way, with a lock held: it
// must not wait, and not use the set.
func (s *Set) Init(r *Request, cut func()) {
	r.set, r.cut = s, cut
	r.shard = &s.shards[s.next.Add(1)%shards]
}

// Begin says that it is under way. The texts must not change.
func (r *Request) Begin(method, path string, since time.Time) {
	r.stream.Store(false)
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	r.in, r.wasCut, r.line = true, false, line{method, path, since}
	r.prev, r.next = nil, r.shard.first
	if r.next != nil {
		r.next.prev = r
	}
	r.shard.first = r
}

// Stream says that it has no end of its own.
func (r *Request) Stream() {
	r.stream.Store(true)
	if r.set.ending.Load() {
		r.shard.mu.Lock()
		defer r.shard.mu.Unlock()
		r.cutOnce()
	}
}

// cutOnce cuts it. The lock is held.
func (r *Request) cutOnce() {
	if r.in && !r.wasCut {
		r.wasCut = true
		r.cut()
	}
}

// End says that it isn't under way any more. It may be called twice, and of one that did not begin.
// From then on it is not cut; it reports whether it was. One that did not begin is no stream, though
// the one before was.
func (r *Request) End() (wasCut bool) {
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	wasCut = r.wasCut
	if !r.in {
		r.stream.Store(false)
		return false
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		r.shard.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next, r.in = nil, nil, false
	return wasCut
}

// Ending reports whether it is a stream that ends with the program. What breaks it then is not
// whoever is at its other end.
func (r *Request) Ending() bool { return r.stream.Load() && r.set.ending.Load() }

// Mark says that streams end with the program from now on. Where two sets have parts of the same
// requests, both are marked before either is cut, so that both give the same reason.
func (s *Set) Mark() { s.ending.Store(true) }

// CutStreams cuts all streams, and each that begins later.
func (s *Set) CutStreams() {
	s.Mark()
	for i := range s.shards {
		s.shards[i].cutStreams()
	}
}

func (s *shard) cutStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.first; r != nil; r = r.next {
		if r.stream.Load() {
			r.cutOnce()
		}
	}
}

const (
	// maxNamed is how many requests are named, those that began first: as many as fit on a line.
	maxNamed = 3
	// maxPath is how much of a path is said, in bytes.
	maxPath = 60
)

// oldest are the requests that began first, and the number of all.
func (s *Set) oldest() (named []line, count int) {
	for i := range s.shards {
		named, count = s.shards[i].oldest(named, count)
	}
	return named, count
}

func (s *shard) oldest(named []line, count int) ([]line, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.first; r != nil; r = r.next {
		count++
		if len(named) == maxNamed && !r.line.since.Before(named[maxNamed-1].since) {
			continue
		}
		if len(named) == maxNamed {
			named = named[:maxNamed-1]
		}
		at, _ := slices.BinarySearchFunc(named, r.line, func(a, b line) int {
			return cmp.Or(a.since.Compare(b.since), strings.Compare(a.path, b.path), strings.Compare(a.method, b.method))
		})
		named = slices.Insert(named, at, r.line)
	}
	return named, count
}

// Waits says which requests are under way, as «1 request under way (GET /ws, 41 s)», and which
// word stands for them: it, or them. what is empty if there are none. The texts are those of
// clients.
func (s *Set) Waits(now time.Time) (what, them string) {
	named, count := s.oldest()
	return say(named, count, now)
}

func say(named []line, count int, now time.Time) (what, them string) {
	if count == 0 {
		return "", ""
	}
	what, them = "1 request under way (", "it"
	if count > 1 {
		what, them = fmt.Sprintf("%d requests under way (", count), "them"
	}
	for i, l := range named {
		if i > 0 {
			what += "; "
		}
		what += l.method + " " + short(l.path) + ", " + age(now.Sub(l.since))
	}
	if more := count - len(named); more > 0 {
		what += fmt.Sprintf("; and %d more", more)
	}
	return what + ")", them
}

func short(path string) string {
	if len(path) <= maxPath {
		return path
	}
	path = path[:maxPath]
	for !utf8.ValidString(path) && len(path) > maxPath-utf8.UTFMax {
		path = path[:len(path)-1]
	}
	return path + "…"
}

// age is how long a request is under way, in its two largest units.
func age(d time.Duration) string {
	s := int(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 60*60:
		return fmt.Sprintf("%d m %d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %d m", s/3600, s/60%60)
}

const (
	// look is how often Follow looks, repeat how often it says what has not changed.
	look   = time.Second
	repeat = 10 * time.Second
)

// Follow says what is waited for until ctx ends: at once, when that has changed, and now and then
// anyhow. It says nothing while nothing is under way.
func (s *Set) Follow(ctx context.Context, say func(what, them string)) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	s.follow(ctx, tick.C, time.Now, say)
}

func (s *Set) follow(ctx context.Context, ticks <-chan time.Time, now func() time.Time, tell func(what, them string)) {
	var said []line
	var saidCount int
	var at time.Time
	for ctx.Err() == nil {
		named, count := s.oldest()
		changed := count != saidCount || !slices.Equal(named, said)
		if now := now(); count > 0 && (changed || now.Sub(at) >= repeat) {
			tell(say(named, count, now))
			at = now
		}
		said, saidCount = named, count
		select {
		case <-ticks:
		case <-ctx.Done():
		}
	}
}
