// Package atomicfile keeps the files of a state directory intact: they are replaced
// atomically, locked against a second process, and readable by their owner only.
//
// What lives here: writing a file, locking a directory, making a directory, and checking who
// else could change either. What may not: any format or meaning of the files. It imports the
// root package and x/sys only, and everything but the root package may import it.
package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrLocked is in the chain of Lock's error when another process holds the
// directory.
var ErrLocked = errors.New("in use by another process")

// LockName is the file that is locked to lock the directory.
const LockName = "lock"

// Names of files that are being written begin and end so. Lock removes those that were left
// behind.
const (
	partialPrefix = "."
	partialSuffix = ".partial"
)

// Write replaces the file at path by one with this content and mode. After a crash at any
// moment the file has either the old content or the new. When Write returns nil, the new
// content is on the disk. If several write the same path, the last one wins, and contents are
// never mixed.
func Write(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, os.Rename)
}

// File is one of the files that WriteAll writes.
type File struct {
	Path string
	Data []byte
}

// writers is how many files WriteAll writes at a time, because file systems sync for several
// waiting writers in one operation.
const writers = 16

// WriteAll is Write for many files of one directory, which is synced once for all. It returns
// an error for each file, which is nil if the file is on the disk.
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

// Create is Write for a file that must not exist yet. If several processes try at once, one
// wins, and the others get an error that is fs.ErrExist. The file system must have hard
// links.
func Create(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, func(partial, path string) error {
		return errors.Join(os.Link(partial, path), os.Remove(partial))
	})
}

// write makes a file with this content, moves it into place, and makes that durable.
func write(path string, data []byte, perm fs.FileMode, move func(partial, path string) error) error {
	if err := replace(path, data, perm, move); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replace writes a partial file and moves it into place. It does not sync the directory.
func replace(path string, data []byte, perm fs.FileMode, move func(partial, path string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), partialPrefix+filepath.Base(path)+"-*"+partialSuffix)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	err = fill(f, data, perm)
	if err == nil {
		err = move(f.Name(), path)
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

// EnsureDir makes the directory at path, with its parents, for its owner only (0700), and
// checks that this process may write to it. A full disk is no error: files can still be read,
// and there may be space again later. The mode of a directory that exists stays as it is,
// because others may share it.
func EnsureDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making directory %s: %w", path, err)
	}
	if err := tryWriting(path); err != nil && !IsFull(err) {
		return fmt.Errorf("directory %s is not writable: %w", path, err)
	}
	return nil
}

// EnsureOwnDir is EnsureDir for a directory in which this process trusts every file. It also
// does what CheckDir does.
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
// the first error. A process that locks the directory may remove the file first.
func tryWriting(dir string) error {
	f, err := os.CreateTemp(dir, partialPrefix+"writable-*"+partialSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{0})
	if closeErr := errors.Join(f.Close(), removeFile(f.Name())); err == nil {
		err = closeErr
	}
	return err
}

// Lock locks the directory for this process, without waiting. If another process has it, the
// error says so and is ErrLocked. The lock ends with Close, which is idempotent, or with the
// process. Lock also removes files that a killed Write left behind in the directory or below.
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

// waitPoll is how often LockFile looks whether the file is free.
const waitPoll = 20 * time.Millisecond

// LockFile locks the file at path, which it makes, for whatever its callers do one after the
// other, and waits for it until ctx ends. The lock ends with Close, or with the process. The
// file stays: if it were removed, two could lock one each.
func LockFile(ctx context.Context, path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	tick := time.NewTicker(waitPoll)
	defer tick.Stop()
	for {
		err := tryLock(f)
		if err == nil {
			return &lock{f}, nil
		}
		if !errors.Is(err, ErrLocked) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for %s, which another process holds: %w", path, ctx.Err())
		}
	}
}

// lock is a lock that is held. Closing its file releases it.
type lock struct{ file *os.File }

// Close releases the lock.
func (l *lock) Close() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("releasing %s: %w", l.file.Name(), err)
	}
	return nil
}

// removePartial removes the files that killed writes left in dir and below.
func removePartial(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil
		}
		if err != nil {
			return err
		}
		name := d.Name()
		if d.Type().IsRegular() && strings.HasPrefix(name, partialPrefix) && strings.HasSuffix(name, partialSuffix) {
			return removeFile(path)
		}
		return nil
	})
}

// removeFile removes a file, unless another process has.
func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
