package badger

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// engineLog passes the engine's messages on to slog and remembers the first error.
type engineLog struct {
	log *slog.Logger
	// complained is called at each error and warning, once the engine is open.
	complained func()

	mu          sync.Mutex
	first, last string
	open        bool
	stuck       chan struct{} // once the engine is being closed: ended by its next error
}

// opened notes that the engine is open.
func (l *engineLog) opened() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
}

func (l *engineLog) complain() {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	if open {
		l.complained()
	}
}

func (l *engineLog) firstError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// closing marks the engine as being closed. What it gives ends at the engine's next error.
func (l *engineLog) closing() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck = make(chan struct{})
	return l.stuck
}

func (l *engineLog) lastError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Errorf implements the engine's logger.
func (l *engineLog) Errorf(format string, args ...any) {
	msg := message(format, args)
	l.mu.Lock()
	if l.first == "" {
		l.first = msg
	}
	l.last = msg
	if l.stuck != nil {
		select {
		case <-l.stuck:
		default:
			close(l.stuck)
		}
	}
	l.mu.Unlock()
	l.log.Error("store engine: " + msg)
	l.complain()
}

// Warningf implements the engine's logger.
func (l *engineLog) Warningf(format string, args ...any) {
	l.log.Warn("store engine: " + message(format, args))
	l.complain()
}

// Infof implements the engine's logger.
func (l *engineLog) Infof(format string, args ...any) {
	l.log.Debug("store engine: " + message(format, args))
}

// Debugf implements the engine's logger and drops the message, because the engine calls it
// for every write.
func (l *engineLog) Debugf(string, ...any) {}

func message(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
