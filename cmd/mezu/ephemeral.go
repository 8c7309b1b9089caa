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
	// ephemeralYouth is how old a folder must be to count as abandoned: a run needs a
	// moment to lock the folder that it made.
	ephemeralYouth = time.Minute
)

// makeEphemeral makes a temporary folder and locks it: it belongs to this run as long as
// it is locked. remove removes it.
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

// removeAbandoned removes the temporary folders of runs that were killed: folders of this
// user that have a lock file which nobody holds. What can't be read or removed stays.
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

// abandoned reports whether this looks like a folder that a run left. A link does not.
func abandoned(dir string, e fs.DirEntry, now time.Time) bool {
	info, err := e.Info()
	if err != nil || !info.IsDir() || young(e, now) || atomicfile.CheckDir(dir) != nil {
		return false
	}
	lock, err := os.Lstat(filepath.Join(dir, atomicfile.LockName))
	return err == nil && lock.Mode().IsRegular()
}

// young reports whether a folder may still be without the lock of the run that makes it.
func young(e fs.DirEntry, now time.Time) bool {
	info, err := e.Info()
	return err == nil && now.Sub(info.ModTime()) < ephemeralYouth
}

// removeUnlocked removes a folder unless a run has it.
func removeUnlocked(dir string) {
	lock, err := atomicfile.Lock(dir)
	if err != nil {
		return
	}
	// Windows removes no open file, so the lock goes first. Another run that takes it now
	// removes the folder as well.
	if lock.Close() == nil {
		_ = os.RemoveAll(dir) // the next run tries again
	}
}
