package daemon

import (
	"bytes"
	"path/filepath"
	"time"

	"github.com/mezusphere/mezu/atomicfile"
)

const (
	// stoppedName is the file with the time at which somebody stopped the daemon.
	stoppedName = "stopped"
	// maxStopped is room for a time.
	maxStopped = 64
)

// NoteStopped notes in the daemon's folder that somebody stops the daemon now. A command that
// has lost its tunnel just then reads it there, and starts no other daemon.
func NoteStopped(dir string) error {
	return atomicfile.Write(filepath.Join(dir, stoppedName), []byte(time.Now().Format(time.RFC3339Nano)+"\n"), 0o600)
}

// Stopped reports whether somebody has stopped the daemon of this user since then.
func (d *Daemon) Stopped(since time.Time) bool {
	dir, err := d.folder()
	if err != nil {
		return false
	}
	text, err := atomicfile.ReadFile(filepath.Join(dir, stoppedName), maxStopped)
	if err != nil {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, string(bytes.TrimSpace(text)))
	return err == nil && at.After(since)
}
