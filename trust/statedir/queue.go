package statedir

import "sync"

const (
	// maxBatch is how many files share one syncing of their directory, and so what a
	// revocation may have to wait for.
	maxBatch = 64
	// maxUntried bounds the files that wait for their first write: past it the stream
	// waits, so that a snapshot is not held in memory a second time.
	maxUntried = 1024
)

// queue holds the files that are to be written, each with its last content.
type queue struct {
	wake chan struct{}

	mu      sync.Mutex
	files   map[string]*content
	untried int
	orders  uint64
}

// content is that of a file. failed, under the queue's mu, says that writing it was tried
// in vain.
type content struct {
	data   []byte
	order  uint64
	failed bool
}

func (q *queue) init() {
	q.files, q.wake = map[string]*content{}, make(chan struct{}, 1)
}

// put makes a content wait in the place of an earlier one. It returns how many files have
// not been tried yet.
func (q *queue) put(name string, data []byte, failed bool) (untried int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.removeLocked(name)
	q.orders++
	q.files[name] = &content{data, q.orders, failed}
	if !failed {
		q.untried++
	}
	return q.untried
}

// remove takes a file off.
func (q *queue) remove(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.removeLocked(name)
}

func (q *queue) removeLocked(name string) {
	if c := q.files[name]; c != nil && !c.failed {
		q.untried--
	}
	delete(q.files, name)
}

// last is the order of the content that came last.
func (q *queue) last() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.orders
}

// take returns some of the contents up to an order; they go on waiting. Those that were
// tried before are taken only with again.
func (q *queue) take(order uint64, again bool) (names []string, contents []*content) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for name, c := range q.files {
		if c.order > order || c.failed && !again {
			continue
		}
		names, contents = append(names, name), append(contents, c)
		if len(names) == maxBatch {
			break
		}
	}
	return names, contents
}

// written notes the outcome of a write, and reports whether it is the first failure of
// this content. A content that came meanwhile goes on waiting.
func (q *queue) written(name string, c *content, err error) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.files[name] != c:
	case err == nil:
		q.removeLocked(name)
	case !c.failed:
		c.failed = true
		q.untried--
		return true
	}
	return false
}

// len is how many files wait, those that were tried in vain included.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.files)
}

// failed is how many files were tried in vain.
func (q *queue) failed() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.files {
		if c.failed {
			n++
		}
	}
	return n
}

// has reports whether a file waits.
func (q *queue) has(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.files[name] != nil
}

// idle reports that no file waits that was not tried.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.untried == 0
}
