package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Bounds of what is written of denied attempts. They protect the store from a flood of
// writes. Each process counts for itself, and one that is killed loses the counts of its
// last minute.
const (
	// DenialWindow is the time for which attempts of one caller at one operation are
	// counted together.
	DenialWindow = time.Minute
	// DenialRecords is how many of them get a record each. All further ones get one record
	// with their count, at the window's end.
	DenialRecords = 10
	// denialsAtOnce bounds the records of all callers together in a window, so that
	// many stolen keys can't turn refusals into a flood of writes. Attempts beyond it
	// are counted, too.
	denialsAtOnce = 600
	// maxWindows bounds the memory. An attempt for which there is no window left is not
	// recorded; the API's metrics and log have it.
	maxWindows = 10_000
)

// attempt is what is counted together.
type attempt struct{ caller, operation string }

// window counts the attempts of one caller at one operation.
type window struct {
	begun   time.Time
	written int              // attempts with a record of their own
	counted int              // the others
	first   mezu.AuditRecord // of those that were counted
}

type denials struct {
	windows map[attempt]*window
	// begun and written count the records of all.
	begun   time.Time
	written int
}

// Denied writes down a denied attempt. The first ones of a window are written at once,
// further ones as a count when the window ends. where completes the record with its scope.
// It may read the store, and is called only for a record that is written or is the first
// that is counted. Denied returns when the record is written, so that whoever provokes
// refusals waits for the writes.
func (l *Log) Denied(ctx context.Context, rec mezu.AuditRecord, where func(*mezu.AuditRecord) error) error {
	rec.Outcome = mezu.AuditDenied
	write, locate := l.count(rec)
	if !locate {
		return nil
	}
	if err := where(&rec); err != nil {
		return err
	}
	if write {
		return l.put(ctx, rec)
	}
	l.denialsMu.Lock()
	defer l.denialsMu.Unlock()
	if w := l.denials.windows[attempt{rec.Actor.ID, rec.Operation}]; w != nil {
		w.first = rec
	}
	return nil
}

// count decides whether an attempt gets a record of its own, and whether its scope must
// be known.
func (l *Log) count(rec mezu.AuditRecord) (write, locate bool) {
	now := l.cfg.Now()
	l.denialsMu.Lock()
	defer l.denialsMu.Unlock()
	d := &l.denials
	if now.Sub(d.begun) >= DenialWindow || now.Before(d.begun) {
		d.begun, d.written = now, 0
	}
	at := attempt{rec.Actor.ID, rec.Operation}
	w := d.windows[at]
	if w == nil {
		if len(d.windows) >= maxWindows {
			return false, false
		}
		w = &window{begun: now}
		d.windows[at] = w
	}
	if ended := now.Sub(w.begun) >= DenialWindow || now.Before(w.begun); ended && w.counted == 0 {
		*w = window{begun: now}
	}
	// A window that ended with a count is kept for FlushDenials, and counts on.
	if w.written < DenialRecords && d.written < denialsAtOnce && now.Sub(w.begun) < DenialWindow {
		w.written++
		d.written++
		return true, true
	}
	w.counted++
	return false, w.counted == 1
}

// flushBatch is how many counts one transaction writes.
const flushBatch = 32

// FlushDenials writes the counts of windows that have ended, or of all when the process
// ends. It is not for several goroutines at once.
func (l *Log) FlushDenials(ctx context.Context, all bool) error {
	now := l.cfg.Now()
	var due []mezu.AuditRecord
	l.denialsMu.Lock()
	for at, w := range l.denials.windows {
		if !all && now.Sub(w.begun) < DenialWindow && !now.Before(w.begun) {
			continue
		}
		if w.counted > 0 && w.first.ID != "" {
			rec := w.first
			rec.Count = w.counted
			due = append(due, rec)
		}
		delete(l.denials.windows, at)
	}
	l.denialsMu.Unlock()
	for batch := range slices.Chunk(due, flushBatch) {
		if err := l.put(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// put writes records that are part of no other change.
func (l *Log) put(ctx context.Context, records ...mezu.AuditRecord) error {
	var txn store.Txn
	for _, rec := range records {
		value, err := json.Marshal(rec)
		if err != nil {
			return fmt.Errorf("encoding an audit record: %w", err)
		}
		txn.Ops = append(txn.Ops, store.Op{Key: Key(rec), Value: value})
	}
	if _, err := l.cfg.Store.Commit(ctx, txn); err != nil {
		return fmt.Errorf("writing audit records: %w", err)
	}
	return nil
}
