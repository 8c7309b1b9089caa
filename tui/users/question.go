package users

import "sync"

// asked is which users are asked for.
type asked struct{ directory, query string }

// question is what is asked for now. The screen sets it, and who follows the users reads it.
type question struct {
	mu  sync.Mutex
	now asked
}

func (q *question) set(to asked) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.now = to
}

func (q *question) get() asked {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.now
}
