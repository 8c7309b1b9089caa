package badger

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// engineLog carries the engine's talk to slog and remembers its first error.
type engineLog struct {
	log   *slog.Logger
	mu    sync.Mutex
	first string
}

func (l *engineLog) firstError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// Errorf implements the engine's logger.
func (l *engineLog) Errorf(format string, args ...any) {
	msg := message(format, args)
	l.mu.Lock()
	if l.first == "" {
		l.first = msg
	}
	l.mu.Unlock()
	l.log.Error("store engine: " + msg)
}

// Warningf implements the engine's logger.
func (l *engineLog) Warningf(format string, args ...any) {
	l.log.Warn("store engine: " + message(format, args))
}

// Infof implements the engine's logger.
func (l *engineLog) Infof(format string, args ...any) {
	l.log.Debug("store engine: " + message(format, args))
}

// Debugf implements the engine's logger and drops what it says: it is called for
// every write.
func (l *engineLog) Debugf(string, ...any) {}

func message(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
