package replica

import (
	"context"
	"sync"

	"github.com/mezusphere/mezu/atomicfile"
)

const (
	// maxBatch is how many files share one syncing of their directory, and so what a
	// revocation may have to wait for.
	maxBatch = 64
	// maxUntried bounds the files that wait for their first write: past it the stream
	// waits, so that a snapshot is not held in memory a second time.
	maxUntried = 1024
)

// waiting are the files that are to be written, each with its last content.
type waiting struct {
	// writing is held by whoever writes into the state directory, flushing by
	// whoever moves the cursor there.
	writing, flushing sync.Mutex
	wake              chan struct{} // of persist

	mu      sync.Mutex
	files   map[string]*content
	untried int
	orders  uint64
}

// content is that of a file. failed, under waiting's mu, says that it was tried in vain.
type content struct {
	data   []byte
	order  uint64
	failed bool
}

func (w *waiting) init() {
	w.files, w.wake = map[string]*content{}, make(chan struct{}, 1)
}

// put makes a content wait in the place of an earlier one. It tells how many files have
// not been tried yet.
func (w *waiting) put(path string, data []byte, failed bool) (untried int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removeLocked(path)
	w.orders++
	w.files[path] = &content{data, w.orders, failed}
	if !failed {
		w.untried++
	}
	return w.untried
}

// remove takes a file off.
func (w *waiting) remove(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removeLocked(path)
}

func (w *waiting) removeLocked(path string) {
	if c := w.files[path]; c != nil && !c.failed {
		w.untried--
	}
	delete(w.files, path)
}

// last is the order of the content that was put last.
func (w *waiting) last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.orders
}

// take gives some of the contents up to an order, which go on waiting: those that were
// tried before only with again.
func (w *waiting) take(order uint64, again bool) (files []atomicfile.File, contents []*content) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, c := range w.files {
		if c.order > order || c.failed && !again {
			continue
		}
		files, contents = append(files, atomicfile.File{Path: path, Data: c.data}), append(contents, c)
		if len(files) == maxBatch {
			break
		}
	}
	return files, contents
}

// settle notes the outcome of a write, and reports whether it is a failure that nobody
// knows yet. A later content goes on waiting.
func (w *waiting) settle(path string, c *content, err error) (news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.files[path] != c:
	case err == nil:
		w.removeLocked(path)
	case !c.failed:
		c.failed = true
		w.untried--
		return true
	}
	return false
}

// len is how many files wait, those that were tried in vain included; idle reports
// that no others do.
func (w *waiting) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.files)
}

func (w *waiting) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.untried == 0
}

// poke wakes persist.
func (w *waiting) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// save writes a file before it returns, or keeps its content to try again.
func (r *Replica) save(path string, data []byte) {
	r.disk.writing.Lock()
	defer r.disk.writing.Unlock()
	r.disk.remove(path)
	if err := atomicfile.Write(path, data, fileMode); err != nil {
		r.disk.put(path, data, true)
		r.unsaved(path, err)
	}
}

// saveSoon has persist write a file, together with others that come at the same time.
func (r *Replica) saveSoon(path string, data []byte) {
	if r.disk.put(path, data, false) < maxUntried {
		r.disk.poke()
		return
	}
	r.writeWaiting(false)
}

// unsaved says that a file could not be written, once.
func (r *Replica) unsaved(path string, err error) {
	r.counters.unsaved.Add(1)
	r.log.Error("what the control plane said is in force but not on disk; trying again", "file", path, "error", err)
}

// writeWaiting writes what waits now, in batches, and reports whether all of it is on
// disk. What was tried in vain before is tried only with again.
func (r *Replica) writeWaiting(again bool) (whole bool) {
	logged := r.writeRevocations(again)
	for order := r.disk.last(); ; {
		done, failures := r.writeBatch(order, again)
		if done || failures {
			return !failures && logged
		}
	}
}

// writeRevocations writes what was added to the log of revocations, and reports whether
// all of it is on disk.
func (r *Replica) writeRevocations(again bool) bool {
	if r.revoked == nil {
		return true
	}
	if _, failed := r.revoked.Unwritten(); failed && !again {
		return false
	}
	_, before := r.revoked.Unwritten()
	err := r.revoked.Flush()
	if err != nil && !before {
		r.unsaved(r.path(revocationsLog), err)
	}
	return err == nil
}

// writeBatch writes some of what waits.
func (r *Replica) writeBatch(order uint64, again bool) (done, failures bool) {
	r.disk.writing.Lock()
	defer r.disk.writing.Unlock()
	files, contents := r.disk.take(order, again)
	for i, err := range atomicfile.WriteAll(files, fileMode) {
		failures = failures || err != nil
		if r.disk.settle(files[i].Path, contents[i], err) {
			r.unsaved(files[i].Path, err)
		}
	}
	return len(files) < maxBatch, failures
}

// persist writes what saveSoon left, until ctx ends.
func (r *Replica) persist(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.disk.wake:
		}
		for !r.settled() && ctx.Err() == nil {
			r.writeWaiting(false)
		}
	}
}

// settled reports whether no file waits for its first write. Then the control plane may
// be told that what it said so far is in force: a kill would not take it back.
func (r *Replica) settled() bool {
	at := r.applied()
	if !r.disk.idle() {
		return false
	}
	if waits, _ := r.revoked.Unwritten(); waits {
		return false
	}
	r.mu.Lock()
	changed := r.state.settled != at
	r.state.settled = at
	r.mu.Unlock()
	if changed {
		r.reporter.poke()
	}
	return true
}
