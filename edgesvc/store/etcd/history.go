package etcd

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// The part of the history that is kept in memory, for watchers that keep up. The
// others read from the cluster.
const (
	tailCommits = 1024
	tailBytes   = 4 << 20
)

// commit is one transaction of the history.
type commit struct {
	revision int64
	changes  []store.Change
	size     int // bytes of keys and values
}

// event is what a watcher of the prefix sees of the commit. Its bytes are the
// watcher's to keep.
func (c *commit) event(prefix string, position store.Position) store.Event {
	e := store.Event{Position: position}
	for _, ch := range c.changes {
		if strings.HasPrefix(ch.Key, prefix) {
			ch.Value = bytes.Clone(ch.Value)
			e.Changes = append(e.Changes, ch)
		}
	}
	return e
}

// history knows how far back watchers may lag, and holds the last commits. The
// feed writes to it, watchers read.
//
// It counts what it saw since it was opened. What was before, it takes to be one
// commit for each revision of the cluster, of no size: in a cluster of its own that is
// right but for the size.
type history struct {
	mu      sync.Mutex
	base    int64    // where it began
	before  int      // commits before base that may still be watched
	recent  []weight // commits since base that may be watched, in order
	dropped int64    // the last commit since base that may not, or base
	bytes   int      // of recent
	limit   int      // of bytes
	last    int64    // everything up to here was seen

	tail      []*commit // the last commits, in order
	tailFrom  int64     // after this revision all commits are in tail
	tailBytes int
	wake      chan struct{} // closed at the next commit
}

// weight is what is remembered of each commit.
type weight struct {
	revision int64
	size     int
}

func (h *history) init(revision int64) {
	h.wake, h.limit = make(chan struct{}), store.WatchHistoryBytes
	h.restart(revision)
}

// restart begins anew at revision, after commits that were not seen.
func (h *history) restart(revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.base, h.before, h.dropped, h.last = revision, store.WatchHistory, revision, revision
	h.recent, h.bytes = nil, 0
	h.tail, h.tailFrom, h.tailBytes = nil, revision, 0
	h.signal()
}

// append adds commits and wakes the watchers.
func (h *history) append(commits []*commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range commits {
		h.grow(c)
		h.last = c.revision
		h.tail = append(h.tail, c)
		h.tailBytes += c.size
		for len(h.tail) > tailCommits || h.tailBytes > tailBytes && len(h.tail) > 1 {
			h.tailBytes -= h.tail[0].size
			h.tailFrom = h.tail[0].revision
			h.tail[0] = nil
			h.tail = h.tail[1:]
		}
	}
	h.signal()
}

// grow counts one commit and moves the floor.
func (h *history) grow(c *commit) {
	h.recent = append(h.recent, weight{c.revision, c.size})
	h.bytes += c.size
	if len(h.recent)+h.before > store.WatchHistory && h.before > 0 {
		h.before--
	}
	if h.bytes > h.limit {
		h.before = 0
	}
	for len(h.recent) > store.WatchHistory || h.bytes > h.limit {
		h.bytes -= h.recent[0].size
		h.dropped = h.recent[0].revision
		h.recent = h.recent[1:]
	}
}

// signal wakes the watchers. Callers hold mu.
func (h *history) signal() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// floor is the earliest revision to watch from.
func (h *history) floor() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.floorLocked()
}

func (h *history) floorLocked() int64 {
	if h.before > 0 {
		return max(h.base-int64(h.before), 0)
	}
	return h.dropped
}

// after looks for the commits that follow a revision. If there are none yet, wake says
// when to look again; if memory no longer holds them, behind is set. through is what
// the watcher has seen everything up to, when it has the commits.
func (h *history) after(revision int64) (commits []*commit, through int64, behind bool, wake <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case revision < h.floorLocked():
		return nil, 0, false, nil, store.ErrCompacted
	case revision >= h.last:
		return nil, 0, false, h.wake, nil
	case revision < h.tailFrom:
		return nil, 0, true, nil, nil
	}
	return slices.Clone(following(h.tail, revision)), h.last, false, nil, nil
}

// following is the part of commits, which are in order, that follows a revision.
// Hundreds of watchers ask at each commit.
func following(commits []*commit, revision int64) []*commit {
	return commits[sort.Search(len(commits), func(i int) bool { return commits[i].revision > revision }):]
}

// through is the revision up to which everything was seen, and what wakes when it
// moves.
func (h *history) through() (int64, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.wake
}
