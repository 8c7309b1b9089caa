// Package statedir keeps the files of a peer's state directory: what it believes and
// must have again after a restart. The directory is locked against a second process.
// Each file is replaced as a whole, and what can't be written now is kept in memory
// until it can.
//
// What lives here: reading, writing and setting aside files, and the order in which they
// reach the disk. What may not: what the files mean, and whether to believe them
// (package trust). Edges, control planes and Warpgates import it.
package statedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

const fileMode = 0o600

// maxFile bounds a file that is read: the largest is a bundle, whose payload JSON carries
// in base64. The rest is for a Warpgate's list of revocations of the version before, which may
// be larger than a bundle. Edges have no such file: what is larger than a bundle there does
// not verify, and is set aside as one that is too large would be.
const maxFile = mezu.MaxSignedPayload/3*4 + 1<<20

// Config says which directory it is and how its files look.
type Config struct {
	Path string
	// Owner is what runs on the directory, as in "stop the other Warpgate".
	Owner string
	// Checksums says that each file begins with a line that names the hash of the rest.
	Checksums bool
	// Folders are those in it that are made if need be.
	Folders []string
	// Suffix marks a file that was set aside.
	Suffix string
	// Log gets what Reject and Unsaved say; if nil, nobody does.
	Log *slog.Logger
}

// Dir is an open state directory. Names of files are relative to it. It is safe for
// concurrent use.
type Dir struct {
	cfg      Config
	log      *slog.Logger
	lock     io.Closer
	queue    queue
	failures atomic.Uint64

	writing sync.Mutex // held by whoever writes files of the queue, so that the later content wins
}

// Open makes the directory if need be and locks it. The error is a *mezu.Error for whoever
// started the program.
func Open(cfg Config) (*Dir, error) {
	d := &Dir{cfg: cfg, log: cfg.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.queue.init()
	if err := atomicfile.EnsureOwnDir(cfg.Path); err != nil {
		return nil, d.Unusable(err)
	}
	lock, err := atomicfile.Lock(cfg.Path)
	if err != nil {
		return nil, d.Unusable(err)
	}
	d.lock = lock
	for _, name := range cfg.Folders {
		if err := atomicfile.EnsureOwnDir(d.Path(name)); err != nil {
			return nil, errors.Join(d.Unusable(err), lock.Close())
		}
	}
	return d, nil
}

// Close gives the lock back. What still waits to be written is lost. It is idempotent.
func (d *Dir) Close() error { return d.lock.Close() }

// Unusable says what is wrong with the directory and what to do about it.
func (d *Dir) Unusable(cause error) error {
	return atomicfile.UnusableState(d.cfg.Path, d.cfg.Owner, cause)
}

// Path is where a file lies.
func (d *Dir) Path(name string) string { return filepath.Join(d.cfg.Path, name) }

// SyncDir makes durable what was removed from a folder of the directory.
func (d *Dir) SyncDir(folder string) error { return atomicfile.SyncDir(d.Path(folder)) }

// Read reads a file that only its owner could have changed. The error is fs.ErrNotExist
// if it isn't there, and ErrDamaged if its checksum is wrong.
func (d *Dir) Read(name string) ([]byte, error) { return d.read(name, atomicfile.ReadFile) }

// ReadKey is Read for a file with a private key, which nobody else may read.
func (d *Dir) ReadKey(name string) ([]byte, error) { return d.read(name, atomicfile.ReadKey) }

func (d *Dir) read(name string, read func(string, int64) ([]byte, error)) ([]byte, error) {
	data, err := read(d.Path(name), maxFile)
	if err != nil || !d.cfg.Checksums {
		return data, err
	}
	content, err := check(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.Path(name), err)
	}
	return content, nil
}

// ReadJSON reads a file into a value.
func (d *Dir) ReadJSON(name string, into any) error {
	content, err := d.Read(name)
	if err != nil {
		return err
	}
	return d.decode(name, content, into)
}

// ReadKeyJSON is ReadJSON for a file with a private key.
func (d *Dir) ReadKeyJSON(name string, into any) error {
	content, err := d.ReadKey(name)
	if err != nil {
		return err
	}
	return d.decode(name, content, into)
}

func (d *Dir) decode(name string, content []byte, into any) error {
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("decoding %s: %w", d.Path(name), err)
	}
	return nil
}

// encode is how a content looks on the disk.
func (d *Dir) encode(content []byte) []byte {
	if d.cfg.Checksums {
		return addChecksum(content)
	}
	return content
}

// Write replaces a file. After an error the old one is there, and nothing is tried again.
func (d *Dir) Write(name string, content []byte) error {
	return atomicfile.Write(d.Path(name), d.encode(content), fileMode)
}

// Save replaces a file before it returns. After an error the content waits, and Flush
// tries again. The text of both errors is the same for one failure.
func (d *Dir) Save(name string, content []byte) error {
	data := d.encode(content)
	d.writing.Lock()
	defer d.writing.Unlock()
	d.queue.remove(name)
	err := atomicfile.Write(d.Path(name), data, fileMode)
	if err != nil {
		d.queue.put(name, data, true)
		d.Unsaved(name, err)
		return d.unwritten(name, err)
	}
	return nil
}

// unwritten says which file could not be written.
func (d *Dir) unwritten(name string, err error) error {
	return fmt.Errorf("writing %s: %w", d.Path(name), err)
}

// SaveSoon lets a content wait for Flush, together with others that come at the same
// time, and wakes whoever waits for Wake. If so many files wait that the caller must flush
// before the next one, it reports full and wakes nobody.
func (d *Dir) SaveSoon(name string, content []byte) (full bool) {
	if d.queue.put(name, d.encode(content), false) >= maxUntried {
		return true
	}
	d.Poke()
	return false
}

// Flush writes what waits now, in batches. What was tried in vain before is tried only
// with again. An error says that something that was tried is not on the disk.
func (d *Dir) Flush(again bool) error {
	for order := d.queue.last(); ; {
		done, err := d.writeBatch(order, again)
		if done || err != nil {
			return err
		}
	}
}

// writeBatch writes some of what waits.
func (d *Dir) writeBatch(order uint64, again bool) (done bool, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	names, contents := d.queue.take(order, again)
	files := make([]atomicfile.File, len(names))
	for i, name := range names {
		files[i] = atomicfile.File{Path: d.Path(name), Data: contents[i].data}
	}
	var errs []error
	for i, err := range atomicfile.WriteAll(files, fileMode) {
		if d.queue.written(names[i], contents[i], err) {
			d.Unsaved(names[i], err)
		}
		if err != nil {
			errs = append(errs, d.unwritten(names[i], err))
		}
	}
	return len(files) < maxBatch, errors.Join(errs...)
}

// Remove takes a file away, and what waits to be written there. One that isn't there is
// no error.
func (d *Dir) Remove(name string) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.queue.remove(name)
	if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a file: %w", err)
	}
	return nil
}

// Forget drops what waits to be written to a file, and leaves the file as it is.
func (d *Dir) Forget(name string) { d.queue.remove(name) }

// SetAside takes a file out of use and keeps it, under a name with Suffix, for whoever
// looks into it.
func (d *Dir) SetAside(name string) error {
	return os.Rename(d.Path(name), d.Path(name)+d.cfg.Suffix)
}

// Reject logs why a file can't be used and sets it aside. One that isn't there needs
// neither.
func (d *Dir) Reject(name string, reason error) {
	if errors.Is(reason, fs.ErrNotExist) {
		return
	}
	path := d.Path(name)
	d.log.Error("setting a bad file aside", "file", path, "to", path+d.cfg.Suffix, "error", reason)
	if err := d.SetAside(name); err != nil {
		d.log.Error("setting a bad file aside", "file", path, "error", err)
	}
}

// Unsaved counts and logs that a file could not be written. Save and Flush call it once
// for a content, however often they try.
func (d *Dir) Unsaved(name string, err error) {
	d.failures.Add(1)
	d.log.Error("what the control plane said is in force but not on disk; trying again", "file", d.Path(name), "error", err)
}

// Failures counts the calls of Unsaved.
func (d *Dir) Failures() uint64 { return d.failures.Load() }

// Waiting is how many files wait to be written, those that were tried in vain included.
func (d *Dir) Waiting() int { return d.queue.len() }

// Failed is how many of these could not be written when it was tried last.
func (d *Dir) Failed() int { return d.queue.failed() }

// Waits reports whether a file does.
func (d *Dir) Waits(name string) bool { return d.queue.has(name) }

// Idle reports that no file waits for its first try.
func (d *Dir) Idle() bool { return d.queue.idle() }

// Wake gets a value when there is something to flush.
func (d *Dir) Wake() <-chan struct{} { return d.queue.wake }

// Poke wakes whoever waits for Wake. It never blocks.
func (d *Dir) Poke() {
	select {
	case d.queue.wake <- struct{}{}:
	default:
	}
}
