package etcd

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// The part of the history that is kept in memory, for watchers that keep up. Watchers that
// are further behind read from the cluster.
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

// event is the commit as a watcher of the prefix sees it. Its bytes are copies, which the
// watcher may keep.
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

// history knows how far back a watch may begin, and holds the last commits. The feed
// writes to it, watchers read.
//
// It knows the commits since the store was opened. For those before it assumes that each
// revision of the cluster was one commit, of no bytes. In a cluster that holds nothing else,
// the number is right and only the bytes are not.
type history struct {
	mu      sync.Mutex
	base    int64    // the revision where it began
	before  int      // how many commits before base can still be watched
	recent  []extent // the commits since base that can be watched, in order
	dropped int64    // the last commit since base that can't be watched any more, or base
	bytes   int      // of recent
	limit   int      // of bytes
	last    int64    // the revision up to which everything was seen

	tail      []*commit // the last commits, in order
	tailFrom  int64     // all commits after this revision are in tail
	tailBytes int
	wake      chan struct{} // closed at the next commit
}

// extent is what is kept of each commit in recent: where it is and how large.
type extent struct {
	revision int64
	size     int
}

func (h *history) init(revision int64) {
	h.wake, h.limit = make(chan struct{}), store.WatchHistoryBytes
	h.restart(revision)
}

// restart begins anew at revision, when the commits before it were not seen.
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

// grow adds one commit to recent, and drops those that are now out of the limits.
func (h *history) grow(c *commit) {
	h.recent = append(h.recent, extent{c.revision, c.size})
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

// floor is the earliest revision that a watch can begin from.
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

// after gives the commits that follow a revision. If there are none yet, wake is closed
// when there are. If memory no longer holds them, behind is true. through is the revision
// up to which a watcher with these commits has seen everything.
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

// following is the part of commits, which are in order, that follows a revision. It is a
// binary search because hundreds of watchers call it at each commit.
func following(commits []*commit, revision int64) []*commit {
	return commits[sort.Search(len(commits), func(i int) bool { return commits[i].revision > revision }):]
}

// through is the revision up to which everything was seen, and a channel that is closed
// when there is more.
func (h *history) through() (int64, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.wake
}
