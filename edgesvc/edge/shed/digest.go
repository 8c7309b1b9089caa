package shed

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Limit is a limit that clients meet.
type Limit int

// Limits.
const (
	LimitConnections Limit = iota
	LimitHandshakes
	LimitRequests
	LimitRefusals
	LimitMemory
	limits // how many there are
)

// String is the limit as metrics and the log name it.
func (l Limit) String() string {
	return [limits]string{"connections", "handshakes", "requests", "refusals", "memory"}[l]
}

// Limits are all of them.
func Limits() (all []Limit) {
	for l := range limits {
		all = append(all, l)
	}
	return all
}

// Limited is how often a limit was met.
func (g *Guard) Limited(l Limit) uint64 { return g.counts[l].Load() }

// TellEvery is the least time between two lines of the log about one subject. A scanner sends
// thousands of requests a minute, and one says what the others do.
const TellEvery = time.Minute

// Digest tells the log of what happens often: a line at once for each subject, and then one a minute
// at most, of the last time, with how often it was. Its methods may be called from many goroutines.
// Make it with NewDigest.
type Digest[K comparable, V any] struct {
	most   int
	others func(K) K
	say    func(of K, last V, count int)

	mu   sync.Mutex
	told map[K]*untold[V]
}

// untold is what is still to be told of a subject.
type untold[V any] struct {
	last  V
	count int
	due   time.Time
}

// NewDigest makes one that writes lines by say. So many subjects have lines of their own at once:
// what comes beyond them is told in the line of the subject that others gives for it.
func NewDigest[K comparable, V any](most int, others func(K) K, say func(of K, last V, count int)) *Digest[K, V] {
	return &Digest[K, V]{most: most, others: others, say: say, told: map[K]*untold[V]{}}
}

// Note counts one. v is kept.
func (d *Digest[K, V]) Note(of K, v V, now time.Time) {
	d.mu.Lock()
	u := d.told[of]
	if u == nil && len(d.told) >= d.most {
		of = d.others(of)
		u = d.told[of]
	}
	if u != nil {
		u.last = v
		u.count++
		d.mu.Unlock()
		return
	}
	d.told[of] = &untold[V]{due: now.Add(TellEvery)}
	d.mu.Unlock()
	d.say(of, v, 1)
}

// Tell writes the lines whose time has come, or all. Whoever notes something does not wait for
// that: a log may be slow.
func (d *Digest[K, V]) Tell(now time.Time, all bool) {
	type line struct {
		of K
		untold[V]
	}
	var lines []line
	d.mu.Lock()
	for of, u := range d.told {
		switch {
		case !all && now.Before(u.due):
		case u.count == 0:
			delete(d.told, of)
		default:
			lines = append(lines, line{of, *u})
			*u = untold[V]{due: now.Add(TellEvery)}
		}
	}
	d.mu.Unlock()
	for _, l := range lines {
		d.say(l.of, l.last, l.count)
	}
}

// Len is how many subjects have lines of their own now.
func (d *Digest[K, V]) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.told)
}

// maxLines bounds how many addresses and limits have lines of their own at once. Nobody reads
// more; what comes from others is told in one line for each limit.
const maxLines = 256

// about is what a line is about. Without an address it is about all that have none of their own.
type about struct {
	limit Limit
	from  key
}

// newDigest tells of clients that meet limits.
func newDigest(log *slog.Logger) *Digest[about, netip.Addr] {
	return NewDigest(maxLines, func(of about) about { return about{limit: of.limit} }, func(of about, last netip.Addr, count int) {
		who := "others"
		if of.from != (key{}) {
			who = last.String()
		}
		log.Info("a client is limited", "limit", of.limit.String(), "address", who, "count", count)
	})
}
