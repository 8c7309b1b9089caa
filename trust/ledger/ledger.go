// Package ledger keeps the signed revocations of a peer on its disk, in a log to which they
// are appended. The checksum of each record covers all records before it. When most of the
// log is out of date it is rewritten. In memory there is no more of a revocation than where
// it lies in the file.
//
// What lives here: the file, and reading from it what a Warpgate must have (Feed), in the
// order in which it was added. What may not: what revocations mean (package trust), and
// connections. Edges and Warpgates import it.
package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/trust"
)

// minStale is how many records must be out of date before the log is rewritten: with fewer
// that saves nothing.
const minStale = 1024

const fileMode = 0o600

// damagedSuffix marks a file that was set aside.
const damagedSuffix = ".rejected"

// Ledger is an open log. It is safe for concurrent use.
type Ledger struct {
	path string
	now  func() time.Time

	// writing is held by whoever writes the file.
	writing sync.Mutex

	mu sync.RWMutex
	// file holds the first written bytes of the log, pending those after them. sum is the
	// checksum of the last record of both.
	file    *os.File // nil before the first write
	written int64
	on      Mark // what is known to be on the disk
	pending []byte
	sum     checksum
	failed  bool // the last write did

	order  uint64
	scopes map[string]*list
	marks  map[string]mezu.Told
	count  int
	// partial are subjects of which no single statement says everything, which happens
	// when a control plane's clock went back. All statements about them are kept.
	partial map[subject]bool
	// stale counts the records that are out of date. ends are how many more will be when
	// their revocation ends, by the hour of that.
	stale int
	ends  map[int64]int
}

// subject is what a revocation speaks of.
type subject struct {
	kind mezu.RevocationKind
	id   string
}

// Mark names a state of the log: the checksum that it had at a size. A log that has the
// same checksum at that size has lost nothing since.
type Mark struct {
	Generation uint64 `json:"generation"`
	Size       int64  `json:"size"`
	Sum        string `json:"sum"`
}

// list is the revocations of one scope, in the order in which they came.
type list struct{ items []item }

// item is one revocation and where it lies.
type item struct {
	order  uint64
	at     mezu.Position
	offset int64
	length int32
}

// Report says what Open found.
type Report struct {
	// Lost says that revocations may be missing: the file was damaged, or it never had the
	// state that it must have had.
	Lost bool
	// Why says what was found, if Lost.
	Why string
}

// Open reads the log, if there is one, and puts into the anchor what is in force. must is a
// state that the log is known to have had, if it is not zero. A record that a crash cut off
// at the end is dropped; that is a loss only if it belongs to must. Where the file is
// damaged otherwise nothing that follows is used, and a copy of it is set aside. Signatures
// are not verified: each was when it was added.
func Open(path string, anchor *trust.Anchor, now func() time.Time, must Mark) (*Ledger, Report, error) {
	l := &Ledger{path: path, now: now, scopes: map[string]*list{}, marks: map[string]mezu.Told{}, ends: map[int64]int{}, partial: map[subject]bool{}}
	rep, err := l.load(anchor, must)
	if err != nil {
		return nil, rep, fmt.Errorf("opening the log of revocations %s: %w", path, err)
	}
	return l, rep, nil
}

// load reads the file, or makes one.
func (l *Ledger) load(anchor *trust.Anchor, must Mark) (Report, error) {
	var rep Report
	f, err := os.OpenFile(l.path, os.O_RDWR, fileMode)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if must.Size > 0 {
			rep = Report{Lost: true, Why: "the log is not there"}
		}
		l.begin(1)
		return rep, nil
	case err != nil:
		return rep, err
	}
	l.file = f
	if err := atomicfile.CheckFile(f); err != nil {
		return Report{Lost: true, Why: err.Error()}, l.setAside()
	}
	had := must.Size == 0
	var wide []*mezu.Revocation
	end, err := l.scan(f, func(size int64, sum checksum) {
		had = had || size == must.Size && sum.String() == must.Sum
	}, func(e entry, offset int64, length int) {
		if l.remember(anchor, e, offset, length) && e.kind == entryRevocation && e.revocation.Kind == mezu.RevokeDirectory {
			wide = append(wide, e.revocation)
		}
	})
	for _, r := range wide {
		err = errors.Join(err, l.coverLocked(anchor, r))
	}
	if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errDamaged) {
		return rep, errors.Join(err, f.Close())
	}
	// A log that was rewritten since then has a later generation, and all that was in force.
	had = had || l.on.Generation > must.Generation
	switch {
	case errors.Is(err, errDamaged):
		rep = Report{Lost: true, Why: err.Error()}
	case !had:
		rep = Report{Lost: true, Why: fmt.Sprintf("what it had at %d bytes is not there", must.Size)}
	}
	if errors.Is(err, errDamaged) {
		return rep, l.replaceDamaged(end)
	}
	if info, err := f.Stat(); err != nil || info.Size() == end {
		return rep, err
	}
	return rep, f.Truncate(end)
}

// setAside goes on with an empty log, and keeps the file under another name for whoever
// looks into it.
func (l *Ledger) setAside() error {
	old := l.file
	l.begin(l.on.Generation + 1)
	return errors.Join(old.Close(), os.Rename(l.path, l.path+damagedSuffix))
}

// replaceDamaged goes on with the part of the file that is good, and keeps a copy of all.
func (l *Ledger) replaceDamaged(end int64) error {
	if end < headerSize {
		return l.setAside()
	}
	copied, err := os.OpenFile(l.path+damagedSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, io.NewSectionReader(l.file, 0, 1<<62))
	return errors.Join(err, copied.Close(), l.file.Truncate(end))
}

// begin makes an empty log of a generation. The file is made when the first record is
// written.
func (l *Ledger) begin(generation uint64) {
	l.file, l.written, l.pending = nil, 0, header(generation)
	l.sum, l.on = sumOf(checksum{}, l.pending), Mark{Generation: generation}
}

// remember notes an entry that was read or added. added is false if it revokes nothing
// more. The caller holds l's lock, or l is not shared yet.
func (l *Ledger) remember(anchor *trust.Anchor, e entry, offset int64, length int) (added bool) {
	if e.kind == entryMark {
		l.marks[e.source] = e.at
		l.stale++ // the one before it, if there was one
		return true
	}
	r := e.revocation
	_, replaces := anchor.Revoked(r.Kind, r.Subject)
	if !anchor.Adds(r) {
		l.stale++
		return false
	}
	anchor.Revoke(r)
	if of := (subject{r.Kind, r.Subject}); !anchor.Tells(r) {
		l.partial[of] = true
	} else if len(l.partial) > 0 {
		delete(l.partial, of)
	}
	if replaces {
		l.stale++
	} else {
		l.count++
	}
	to := l.scopes[scopeOf(r)]
	if to == nil {
		to = &list{}
		l.scopes[scopeOf(r)] = to
	}
	l.order++
	to.items = append(to.items, item{l.order, r.Position, offset, int32(length)})
	l.ends[r.Until.Unix()/3600]++
	return true
}

// unscoped is the list of revocations that name no scope and are not for everyone: nobody
// gets them.
const unscoped = "-"

// scopeOf is the list in which a revocation lies.
func scopeOf(r *mezu.Revocation) string {
	if r.Scope == "" && !r.ForEveryone() {
		return unscoped
	}
	return r.Scope
}

// Add puts a revocation in force and into the log, and reports whether it revokes anything
// more than what is there. statement is what it was opened from. It is on the disk after
// Flush.
func (l *Ledger) Add(anchor *trust.Anchor, r *mezu.Revocation, statement mezu.Signed) (added bool, err error) {
	body, err := encode(statement)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.remember(anchor, entry{kind: entryRevocation, revocation: r}, l.end()+prefixSize, len(body)) {
		l.stale-- // it is not in the log
		return false, nil
	}
	l.append(body)
	if r.Kind == mezu.RevokeDirectory {
		return true, l.coverLocked(anchor, r)
	}
	return true, nil
}

// Note keeps up to where a source has told everything.
func (l *Ledger) Note(source string, at mezu.Told) error {
	body, err := encodeMark(source, at)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.marks[source] == at {
		return nil
	}
	l.marks[source] = at
	l.stale++
	l.append(body)
	return nil
}

// Unnote forgets that of all sources, for when they will speak of another environment.
func (l *Ledger) Unnote() error {
	l.mu.RLock()
	sources := slices.Collect(maps.Keys(l.marks))
	l.mu.RUnlock()
	var errs []error
	for _, source := range sources {
		errs = append(errs, l.Note(source, mezu.Told{}))
	}
	return errors.Join(errs...)
}

// Noted is what Note kept of a source.
func (l *Ledger) Noted(source string) mezu.Told {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.marks[source]
}

// end is where the next record goes; l.mu is held.
func (l *Ledger) end() int64 { return l.written + int64(len(l.pending)) }

// append adds a record to what is to be written; l.mu is held.
func (l *Ledger) append(body []byte) {
	l.pending, l.sum = appendRecord(l.pending, l.sum, body)
}

// coverLocked forgets the accounts that a revocation of their directory revokes too; l.mu is
// held. It reads all revocations of the directory; the control plane bounds how many there
// can be.
func (l *Ledger) coverLocked(anchor *trust.Anchor, wide *mezu.Revocation) error {
	to := l.scopes[wide.Subject]
	if to == nil {
		return nil
	}
	kept := make([]item, 0, 1)
	for _, it := range to.items {
		r, _, err := l.readLocked(it)
		if err != nil {
			return err
		}
		if r.Kind.OfAccount() && !r.NotBefore.After(wide.NotBefore) {
			anchor.Forget(r)
			l.count--
			l.stale++
			continue
		}
		kept = append(kept, it)
	}
	to.items = kept
	return nil
}

// readLocked reads a revocation from the file, or from what is to be written; l.mu is held.
func (l *Ledger) readLocked(it item) (*mezu.Revocation, mezu.Signed, error) {
	body := make([]byte, it.length)
	if it.offset >= l.written {
		copy(body, l.pending[it.offset-l.written:])
	} else if _, err := l.file.ReadAt(body, it.offset); err != nil {
		return nil, mezu.Signed{}, fmt.Errorf("reading the log of revocations: %w", err)
	}
	e, err := decode(body)
	if err == nil && e.kind != entryRevocation {
		err = fmt.Errorf("%w: no revocation at %d", errDamaged, it.offset)
	}
	return e.revocation, e.statement, err
}

// Unwritten reports whether something waits for its first write, and whether something
// could not be written.
func (l *Ledger) Unwritten() (waits, failed bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.waits() && !l.failed, l.failed
}

// waits reports whether there is something to be written; l.mu is held. A header alone is
// written with the first record.
func (l *Ledger) waits() bool {
	return len(l.pending) > 0 && (l.file != nil || int64(len(l.pending)) > headerSize)
}

// Len is how many revocations are in the log, one of each subject. Those that have ended
// since they were read or added count until the log is rewritten.
func (l *Ledger) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.count
}

// Mark is what is on the disk now.
func (l *Ledger) Mark() Mark {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.on
}

// Flush writes what was added and waits until it is on the disk. What can't be written
// stays in force, and the next Flush tries again.
func (l *Ledger) Flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.RLock()
	f, at, data, sum, waits := l.file, l.written, l.pending, l.sum, l.waits()
	l.mu.RUnlock()
	if !waits {
		return nil
	}
	f, err := l.write(f, data, at)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = f
	if err != nil {
		l.failed = true
		return fmt.Errorf("writing the log of revocations %s: %w", l.path, err)
	}
	l.failed = false
	l.written = at + int64(len(data))
	l.pending = slices.Clone(l.pending[len(data):])
	l.on = Mark{l.on.Generation, l.written, sum.String()}
	return nil
}

// write writes data into the file, or into a new one if there is none, which it returns.
func (l *Ledger) write(f *os.File, data []byte, at int64) (*os.File, error) {
	var err error
	isNew := f == nil
	if isNew {
		if f, err = os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode); err != nil {
			return nil, err
		}
	}
	_, err = f.WriteAt(data, at)
	if err == nil {
		err = f.Sync()
	}
	if err == nil && isNew {
		err = atomicfile.SyncDir(filepath.Dir(l.path))
	}
	return f, err
}

// Tidy rewrites the log if most of it is out of date, and reports whether it did.
func (l *Ledger) Tidy(anchor *trust.Anchor) (bool, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	hour := l.now().Unix() / 3600
	for end, n := range l.ends {
		if end < hour {
			l.stale += n
			delete(l.ends, end)
		}
	}
	if l.stale < minStale || l.stale < l.count {
		return false, nil
	}
	if err := l.rewriteLocked(anchor); err != nil {
		return false, fmt.Errorf("writing the log of revocations anew: %w", err)
	}
	return true, nil
}

// rewriteLocked makes a file of the revocations that are still needed; both locks are held.
func (l *Ledger) rewriteLocked(anchor *trust.Anchor) error {
	f, err := os.CreateTemp(filepath.Dir(l.path), "."+filepath.Base(l.path)+"-*.partial")
	if err != nil {
		return err
	}
	next := &Ledger{path: l.path, scopes: map[string]*list{}, ends: map[int64]int{}}
	if err := l.copyLocked(anchor, next, f); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	err = f.Chmod(fileMode)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), l.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	old := l.file
	l.file, l.written, l.pending, l.sum, l.failed = f, next.written, nil, next.sum, false
	l.on = Mark{l.on.Generation + 1, next.written, next.sum.String()}
	l.scopes, l.ends, l.count, l.stale = next.scopes, next.ends, next.count, 0
	if old != nil {
		err = old.Close()
	}
	return errors.Join(err, atomicfile.SyncDir(filepath.Dir(l.path)))
}

// copyLocked writes the revocations that are still needed into f, and notes in next where
// they lie.
func (l *Ledger) copyLocked(anchor *trust.Anchor, next *Ledger, f *os.File) error {
	next.pending = header(l.on.Generation + 1)
	next.sum = sumOf(checksum{}, next.pending)
	spill := func(least int) error {
		if len(next.pending) < least {
			return nil
		}
		n, err := f.Write(next.pending)
		next.written, next.pending = next.written+int64(n), next.pending[:0]
		return err
	}
	for source, at := range l.marks {
		body, err := encodeMark(source, at)
		if err != nil {
			return err
		}
		next.append(body)
	}
	for _, scope := range slices.Sorted(maps.Keys(l.scopes)) {
		to := &list{}
		for _, it := range l.scopes[scope].items {
			r, statement, err := l.readLocked(it)
			if err != nil {
				return err
			}
			if !l.neededLocked(anchor, r) {
				continue
			}
			body, err := encode(statement)
			if err != nil {
				return err
			}
			to.items = append(to.items, item{it.order, it.at, next.end() + prefixSize, int32(len(body))})
			next.append(body)
			next.count++
			next.ends[r.Until.Unix()/3600]++
			if err := spill(copyStep); err != nil {
				return err
			}
		}
		if len(to.items) > 0 {
			next.scopes[scope] = to
		}
	}
	return spill(0)
}

// neededLocked reports whether a revocation in the log still says something that others
// don't; l.mu is held.
func (l *Ledger) neededLocked(anchor *trust.Anchor, r *mezu.Revocation) bool {
	return anchor.Tells(r) || l.partial[subject{r.Kind, r.Subject}] && !l.now().After(r.Until)
}

// copyStep is how much of the new file is gathered before it is written.
const copyStep = 256 << 10

// Close gives the file back; what was not flushed is lost. It may be called again.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	if err := l.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("closing the log of revocations: %w", err)
	}
	return nil
}
