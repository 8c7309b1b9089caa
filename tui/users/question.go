package users

import "sync"

// question is which users are asked for. The screen sets it, and who follows them reads it.
type question struct {
	mu               sync.Mutex
	directory, query string
}

func (q *question) set(directory, query string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.directory, q.query = directory, query
}

func (q *question) get() (directory, query string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.directory, q.query
}
