package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu/atomicfile"
)

const (
	// ephemeralPrefix begins the names of the temporary folders of "mezu dev --ephemeral".
	ephemeralPrefix = "mezu-dev-"
	// ephemeralYouth is the age from which on a folder is looked at: it takes a moment
	// until a run has locked the one it made.
	ephemeralYouth = time.Minute
)

// makeEphemeral makes a temporary folder, which is this run's as long as it is locked.
// remove takes it away.
func makeEphemeral() (dir string, remove func() error, err error) {
	if dir, err = os.MkdirTemp("", ephemeralPrefix); err != nil {
		return "", nil, fmt.Errorf("making a temporary folder: %w", err)
	}
	lock, err := atomicfile.Lock(dir)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("making a temporary folder: %w", err), os.RemoveAll(dir))
	}
	return dir, func() error { return errors.Join(lock.Close(), os.RemoveAll(dir)) }, nil
}

// removeAbandoned removes the temporary folders of runs that were killed: those of this
// user that were locked once and aren't any more. What can't be judged or removed stays.
func removeAbandoned(now time.Time) {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return
	}
	for _, e := range entries {
		if dir := filepath.Join(os.TempDir(), e.Name()); strings.HasPrefix(e.Name(), ephemeralPrefix) && abandoned(dir, e, now) {
			removeUnlocked(dir)
		}
	}
}

// abandoned reports whether a folder looks like one that a run left. A link is none.
func abandoned(dir string, e fs.DirEntry, now time.Time) bool {
	info, err := e.Info()
	if err != nil || !info.IsDir() || now.Sub(info.ModTime()) < ephemeralYouth || atomicfile.CheckDir(dir) != nil {
		return false
	}
	lock, err := os.Lstat(filepath.Join(dir, atomicfile.LockName))
	return err == nil && lock.Mode().IsRegular()
}

// removeUnlocked removes a folder unless a run has it.
func removeUnlocked(dir string) {
	lock, err := atomicfile.Lock(dir)
	if err != nil {
		return
	}
	// Windows removes no file that is open. Whoever else is at it does the same.
	if lock.Close() == nil {
		_ = os.RemoveAll(dir) // the next run tries again
	}
}
