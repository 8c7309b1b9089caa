package badger

import (
	"errors"
	"fmt"
	"sync"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// The part of the history that is kept in memory, for watchers that keep up. Watchers that
// are further behind read from the engine.
const (
	tailCommits = 1024
	tailBytes   = 4 << 20
)

// errLost says that the files hold less than was acknowledged.
var errLost = errors.New("acknowledged writes are missing: restore a backup")

// history knows which commits can be watched, and holds the last of them. The committer
// writes to it, watchers read.
type history struct {
	mu    sync.Mutex
	last  commitID
	floor uint64 // the earliest commit that a watch can begin after
	first uint64 // the earliest commit that the engine still has, ≤ floor
	sizes []int  // of commits floor+1 … last
	bytes int    // their sum
	limit int    // of bytes

	tail      []*commit // the last commits, in order
	tailBytes int
	wake      chan struct{} // closed at the next commit
}

func (h *history) init() {
	h.wake, h.limit = make(chan struct{}), store.WatchHistoryBytes
}

// head is the last commit.
func (h *history) head() commitID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// grow adds one commit, and moves the floor if the history is now over a limit. Its callers
// hold mu, or are the only goroutine yet.
func (h *history) grow(id commitID, size int) {
	if h.first == 0 {
		h.first, h.floor = id.seq, id.seq
		h.last = id
		return
	}
	h.last = id
	h.sizes = append(h.sizes, size)
	h.bytes += size
	for len(h.sizes) > store.WatchHistory || h.bytes > h.limit {
		h.bytes -= h.sizes[0]
		h.sizes = h.sizes[1:]
		h.floor++
	}
}

// append adds durable commits and wakes the watchers. Under the same lock it publishes the
// state after them. So a position that was read is always in the history, and a change that
// was watched can always be read.
func (h *history) append(commits []*commit, publish func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	publish()
	if len(commits) == 0 {
		return
	}
	for _, c := range commits {
		h.grow(c.commitID, c.size)
		h.tail = append(h.tail, c)
		h.tailBytes += c.size
		for len(h.tail) > tailCommits || h.tailBytes > tailBytes && len(h.tail) > 1 {
			h.tailBytes -= h.tail[0].size
			h.tail[0] = nil
			h.tail = h.tail[1:]
		}
	}
	close(h.wake)
	h.wake = make(chan struct{})
}

// after gives the commits that follow seq. If there are none yet, wake is closed when there
// are. If memory no longer holds them, fromDisk is true.
func (h *history) after(seq uint64) (commits []*commit, fromDisk bool, wake <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case seq < h.floor:
		return nil, false, nil, store.ErrCompacted
	case seq == h.last.seq:
		return nil, false, h.wake, nil
	case len(h.tail) == 0 || seq+1 < h.tail[0].seq:
		return nil, true, nil, nil
	}
	part := h.tail[seq+1-h.tail[0].seq:]
	return append([]*commit(nil), part...), false, nil, nil
}

// holds tells whether a watch can begin after a commit with the sequence number of id. The
// caller still has to compare the run of id with that of the commit.
func (h *history) holds(id commitID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.floor <= id.seq && id.seq <= h.last.seq
}

// old is the range of commits that the engine still has but no watcher may read.
func (h *history) old() (first, floor uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first, h.floor
}

// trimmed notes that the commits before first have been deleted.
func (h *history) trimmed(first uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.first = max(h.first, first)
}

// loadHistory reads from the engine which commits there are, and checks them against the
// high-water mark. If the store is new it begins the history.
func (db *DB) loadHistory(txn *engine.Txn) error {
	it := txn.NewIterator(engine.IteratorOptions{Prefix: []byte{changeSpace}})
	defer it.Close()
	h, marked := &db.history, false
	for it.Rewind(); it.Valid(); it.Next() {
		var c commit
		err := it.Item().Value(func(v []byte) (err error) {
			c, _, err = decodeHead(it.Item().Key(), v)
			return err
		})
		if err != nil {
			return err
		}
		if h.first != 0 && c.seq != h.last.seq+1 {
			return fmt.Errorf("commit %d follows %d: %w", c.seq, h.last.seq, errLost)
		}
		h.grow(c.commitID, c.size)
		marked = marked || c.commitID == db.mark.last
	}
	if want := db.mark.last; want.seq > h.last.seq || want.seq >= h.first && want.seq > 0 && !marked {
		return fmt.Errorf("history ends at commit %d, commit %d was acknowledged: %w", h.last.seq, want.seq, errLost)
	}
	if h.first == 0 {
		return db.begin(txn)
	}
	return nil
}

// begin writes the first commit of a new store. It changes nothing, but from then on every
// state has a commit and therefore a position.
func (db *DB) begin(txn *engine.Txn) error {
	it := txn.NewIterator(engine.IteratorOptions{Prefix: []byte{recordSpace}})
	defer it.Close()
	if it.Rewind(); it.Valid() {
		return fmt.Errorf("records without a history: %w", errLost)
	}
	if err := db.roomFor(db.opts.minFree()); err != nil {
		return err
	}
	c := &commit{commitID: commitID{1, db.run}}
	err := db.kv.Update(func(txn *engine.Txn) error { return txn.Set(changeKey(c.seq), c.encode()) })
	if err != nil {
		return fmt.Errorf("beginning history: %w", err)
	}
	db.history.grow(c.commitID, 0)
	return nil
}

// replay reads at least one of the commits after seq from the engine.
func (db *DB) replay(seq uint64) ([]*commit, error) {
	v := db.acquire()
	defer db.unview(v)
	opt := engine.DefaultIteratorOptions
	opt.Prefix = []byte{changeSpace}
	it := v.txn.NewIterator(opt)
	defer it.Close()
	var commits []*commit
	size := 0
	for it.Seek(changeKey(seq + 1)); it.Valid() && len(commits) < tailCommits && size < tailBytes; it.Next() {
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return nil, fmt.Errorf("reading history: %w", err)
		}
		c, err := decodeCommit(it.Item().Key(), b)
		if err != nil {
			return nil, fmt.Errorf("reading history: %w", err)
		}
		if c.seq != seq+1 {
			break
		}
		commits = append(commits, c)
		seq, size = c.seq, size+c.size
	}
	if len(commits) == 0 {
		// They were trimmed since the caller looked.
		return nil, store.ErrCompacted
	}
	return commits, nil
}
