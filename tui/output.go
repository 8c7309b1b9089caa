package tui

import (
	"os"
	"sync"
	"time"
)

const (
	// slowWrite is how long a write waits for the terminal. What it hasn't taken by then it gets
	// while the dashboard goes on: bubbletea would look at no key before.
	slowWrite = 50 * time.Millisecond
	// lastWrite is how long a slow terminal gets for what was drawn when the dashboard ends, and
	// then for being restored.
	lastWrite = time.Second
)

// output is the terminal, which the drawing and what is copied share: each write is whole, and they
// come in their order. bubbletea asks it for its size, too.
type output struct {
	*os.File

	mu      sync.Mutex
	pending []byte
	// idle is closed when the terminal has taken all; nil if it has.
	idle chan struct{}
	err  error
}

// Write writes all of p as one.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	if o.err != nil {
		defer o.mu.Unlock()
		return 0, o.err
	}
	o.pending = append(o.pending, p...)
	if o.idle == nil {
		o.idle = make(chan struct{})
		go o.drain(o.idle)
	}
	o.mu.Unlock()
	o.wait(slowWrite)
	return len(p), nil
}

// WriteString is Write: that of the file would go past what waits.
func (o *output) WriteString(s string) (int, error) { return o.Write([]byte(s)) }

// drain writes what waits.
func (o *output) drain(idle chan struct{}) {
	defer close(idle)
	for {
		o.mu.Lock()
		next := o.pending
		if o.pending = nil; len(next) == 0 || o.err != nil {
			o.idle = nil
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		if _, err := o.File.Write(next); err != nil {
			o.mu.Lock()
			o.err = err
			o.mu.Unlock()
		}
	}
}

// wait waits until the terminal has taken all, but not for longer than that, and reports whether
// it has.
func (o *output) wait(most time.Duration) bool {
	o.mu.Lock()
	idle := o.idle
	o.mu.Unlock()
	if idle == nil {
		return true
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}

// busy reports whether the terminal hasn't taken all.
func (o *output) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.idle != nil
}

// finish has a terminal restored that is slow: what nobody has seen yet is dropped.
func (o *output) finish() {
	if !o.wait(lastWrite) {
		discard(o.File)
		o.wait(lastWrite)
	}
}
