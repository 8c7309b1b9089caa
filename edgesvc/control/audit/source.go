package audit

import (
	"context"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// How the store, which lists forwards only, is read backwards: one window of time after
// another, each of them forwards.
const (
	// firstWindow is the width of the first; it grows while windows are empty and
	// shrinks when one has too many.
	firstWindow = 10 * time.Minute
	leastWindow = time.Millisecond
	windowStep  = 4
	// maxWindow bounds the records that one window holds in memory, unless they are of
	// one leastWindow.
	maxWindow = 2 * store.MaxPage
)

// present gives the records in the store.
type present struct {
	store  store.Store
	prefix string
	within span
	oldest bool
	ready  []mezu.AuditRecord
	ended  bool

	token string // forwards: of the next page

	// Backwards: floor is the time of the oldest record, high the end of the next
	// window, width how far it goes back.
	floor, high time.Time
	width       time.Duration
}

func newPresent(s store.Store, scope string, within span, oldest bool, now time.Time) *present {
	p := &present{store: s, prefix: Prefix(scope), within: within, oldest: oldest, width: firstWindow, high: now}
	p.token = p.after(within.after)
	// If the end is far in the future the first window reaches up to it: small windows
	// would all be empty until the present.
	if t, err := mezu.AuditIDTime(within.before); err == nil && t.Before(now) {
		p.high = t
	}
	return p
}

// after is the page token for what follows an id.
func (p *present) after(id string) string {
	if id == "" {
		return ""
	}
	return store.PageToken(p.prefix + id)
}

func (p *present) next(ctx context.Context) (*mezu.AuditRecord, error) {
	for len(p.ready) == 0 {
		if p.ended {
			return nil, nil
		}
		fill := p.backwards
		if p.oldest {
			fill = p.forwards
		}
		if err := fill(ctx); err != nil {
			return nil, err
		}
	}
	out := p.ready[0]
	p.ready = p.ready[1:]
	return &out, nil
}

// forwards reads the next page.
func (p *present) forwards(ctx context.Context) (err error) {
	p.ready, p.token, err = p.page(ctx, p.token, p.within, store.MaxPage)
	p.ended = p.token == ""
	return err
}

// page reads one page of what lies in a span; the token is empty at the span's end.
func (p *present) page(ctx context.Context, token string, within span, limit int) ([]mezu.AuditRecord, string, error) {
	page, err := p.store.List(ctx, p.prefix, token, limit)
	if err != nil {
		return nil, "", err
	}
	var out []mezu.AuditRecord
	for _, r := range page.Records {
		rec, err := decode(r)
		if err != nil {
			return nil, "", err
		}
		if within.before != "" && rec.ID >= within.before {
			return out, "", nil
		}
		out = append(out, rec)
	}
	return out, page.Next, nil
}

// backwards reads the next window.
func (p *present) backwards(ctx context.Context) error {
	if p.floor.IsZero() {
		first, _, err := p.page(ctx, p.token, p.within, 1)
		if err != nil {
			return err
		}
		if len(first) == 0 {
			p.ended = true
			return nil
		}
		if p.floor, err = mezu.AuditIDTime(first[0].ID); err != nil {
			return err
		}
	}
	low := p.high.Add(-p.width)
	window := span{mezu.AuditIDAt(low), p.within.before}
	bottom := !low.After(p.floor)
	if bottom {
		window.after = p.within.after
	}
	all, err := p.window(ctx, window)
	if err != nil {
		return err
	}
	if all == nil {
		p.width /= windowStep
		return nil
	}
	if len(all) == 0 {
		p.width *= windowStep
	}
	slices.Reverse(all)
	p.ready, p.ended, p.high, p.within.before = all, bottom, low, window.after
	return nil
}

// window reads all of a span. It gives nil if there are too many records and the span can
// be made smaller.
func (p *present) window(ctx context.Context, within span) ([]mezu.AuditRecord, error) {
	all := []mezu.AuditRecord{}
	for token := p.after(within.after); ; {
		page, next, err := p.page(ctx, token, within, store.MaxPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		if len(all) > maxWindow && p.width > leastWindow {
			return nil, nil
		}
		token = next
	}
}

// past gives the records in the archive.
type past struct {
	archive *archive.Archive
	scope   string
	within  span
	oldest  bool
	// waiting are the segments that were not read yet, in the order of the query.
	waiting []archive.Entry
	ready   []mezu.AuditRecord // sorted by id, in the order of the query
	damaged []error
}

func newPast(a *archive.Archive, scope string, entries []archive.Entry, within span, oldest bool) *past {
	p := &past{archive: a, scope: scope, within: within, oldest: oldest}
	for _, e := range entries {
		before := within.before != "" && e.First >= within.before
		after := e.Last != "" && e.Last <= within.after
		if !before && !after {
			p.waiting = append(p.waiting, e)
		}
	}
	if !oldest {
		slices.Reverse(p.waiting)
	}
	return p
}

func (p *past) next(ctx context.Context) (*mezu.AuditRecord, error) {
	for len(p.waiting) > 0 && (len(p.ready) == 0 || p.overlaps(p.waiting[0])) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.load()
	}
	if len(p.ready) == 0 {
		return nil, nil
	}
	out := p.ready[0]
	p.ready = p.ready[1:]
	return &out, nil
}

// overlaps reports whether a segment may have a record that comes before the next one
// that is ready. It can, because the ids of several control planes are only as ordered as
// their clocks.
func (p *past) overlaps(e archive.Entry) bool {
	if p.oldest {
		return e.First <= p.ready[0].ID
	}
	return e.Last == "" || e.Last >= p.ready[0].ID
}

// load reads the next segment. A segment that can't be read is noted and skipped.
func (p *past) load() {
	e := p.waiting[0]
	p.waiting = p.waiting[1:]
	err := e.Err
	var records []mezu.AuditRecord
	if err == nil {
		records, err = p.archive.Read(p.scope, e.Sequence)
	}
	if err != nil {
		p.damaged = append(p.damaged, err)
		return
	}
	for _, r := range records {
		if p.within.has(r.ID) {
			p.ready = append(p.ready, r)
		}
	}
	slices.SortStableFunc(p.ready, func(a, b mezu.AuditRecord) int {
		if p.oldest {
			return compareIDs(a, b)
		}
		return compareIDs(b, a)
	})
}
