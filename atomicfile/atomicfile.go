// Package atomicfile keeps the files of a state directory whole: replaced as
// one, locked against a second process, readable by their owner only.
//
// What lives here: writing a file, locking a directory, making a directory, and who else
// could change either. What may not: any format or meaning of the files. It imports the standard
// library and x/sys only, and everything but the root package may import it.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// ErrLocked is in the chain of Lock's error when another process holds the
// directory.
var ErrLocked = errors.New("in use by another process")

// LockName is the file whose lock stands for the directory's.
const LockName = "lock"

// Marks of a file that is being written; Lock removes those left behind.
const (
	partialPrefix = "."
	partialSuffix = ".partial"
)

// Write replaces the file at path by one with this content and mode. After a
// crash at any moment path holds either the old content or the new, and when
// Write returns nil the new content is on the disk. Concurrent writers of one path
// don't mix; the last one wins.
func Write(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, os.Rename)
}

// File is one of those that WriteAll writes.
type File struct {
	Path string
	Data []byte
}

// writers is how many files WriteAll writes at a time: file systems make durable in one
// go what several writers wait for.
const writers = 16

// WriteAll is Write for many files, which share the syncing of their directory. It
// returns an error for each of them, nil for those that are on the disk.
func WriteAll(files []File, perm fs.FileMode) []error {
	errs := make([]error, len(files))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(writers, len(files)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				errs[i] = replace(files[i].Path, files[i].Data, perm, os.Rename)
			}
		})
	}
	wg.Wait()
	synced := map[string]error{}
	for i, f := range files {
		dir := filepath.Dir(f.Path)
		if _, done := synced[dir]; !done {
			synced[dir] = syncDir(dir)
		}
		if errs[i] == nil {
			errs[i] = synced[dir]
		}
	}
	return errs
}

// Create is Write for a file that must not be there yet, also when several processes
// try at once: one wins, the others get an error that is fs.ErrExist. The file system
// must have hard links.
func Create(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, func(partial, path string) error {
		return errors.Join(os.Link(partial, path), os.Remove(partial))
	})
}

// write replaces a file and makes that durable.
func write(path string, data []byte, perm fs.FileMode, place func(partial, path string) error) error {
	if err := replace(path, data, perm, place); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replace fills a partial file and has it put in place; the directory is not synced.
func replace(path string, data []byte, perm fs.FileMode, place func(partial, path string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), partialPrefix+filepath.Base(path)+"-*"+partialSuffix)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	err = fill(f, data, perm)
	if err == nil {
		err = place(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	if err := SyncDir(dir); err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, err)
	}
	return nil
}

// fill writes, syncs and closes f.
func fill(f *os.File, data []byte, perm fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// EnsureDir makes the directory at path, with its parents, for its owner only
// (0700), and checks that this process may write to it. A disk that is full is no error:
// it has space again some day, and what is there can be read. The mode of a directory that
// is there already is left as it is: it may be one that others share.
func EnsureDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making directory %s: %w", path, err)
	}
	if err := tryWriting(path); err != nil && !isFull(err) {
		return fmt.Errorf("directory %s is not writable: %w", path, err)
	}
	return nil
}

// EnsureOwnDir is EnsureDir for a directory of which every file is taken for this
// process's own: it also does what CheckDir does.
func EnsureOwnDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making directory %s: %w", path, err)
	}
	if err := CheckDir(path); err != nil {
		return err
	}
	return EnsureDir(path)
}

// tryWriting writes a byte to a new file in the directory and removes it. It stops at
// the first error.
func tryWriting(dir string) error {
	f, err := os.CreateTemp(dir, partialPrefix+"writable-*"+partialSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{0})
	if closeErr := errors.Join(f.Close(), os.Remove(f.Name())); err == nil {
		err = closeErr
	}
	return err
}

// Lock takes the directory for this process, without waiting; when another
// process has it the error says so and is ErrLocked. The lock ends with Close, which
// is idempotent, or with the process. Once held, files that a killed Write left behind
// in the directory or below are removed.
func Lock(dir string) (io.Closer, error) {
	path := filepath.Join(dir, LockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking directory %s: %w", dir, err)
	}
	if err := tryLock(f); err != nil {
		f.Close()
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("directory %s is %w, which holds %s", dir, ErrLocked, path)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if err := removePartial(dir); err != nil {
		f.Close()
		return nil, fmt.Errorf("removing unfinished files of %s: %w", dir, err)
	}
	return &lock{f}, nil
}

// lock is a held lock. Closing the file releases it.
type lock struct{ file *os.File }

// Close releases the lock.
func (l *lock) Close() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("releasing %s: %w", l.file.Name(), err)
	}
	return nil
}

// removePartial removes the files of killed writes in dir and below.
func removePartial(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.Type().IsRegular() && strings.HasPrefix(name, partialPrefix) && strings.HasSuffix(name, partialSuffix) {
			return os.Remove(path)
		}
		return nil
	})
}
