package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// maxScan bounds the records that one page looks at: some megabytes, and a fraction of a
// second. A page that reaches it may be short, or empty, and still have a next one.
const maxScan = 20_000

// Query says which records of one scope are wanted. Empty fields match all.
type Query struct {
	Scope string
	// Project is an id.
	Project string
	// Actor is the id or the kind of who did it.
	Actor     string
	Operation string
	// Target is the id, name or kind of what it was done to.
	Target  string
	Outcome mezu.AuditOutcome
	// Since is the first moment that belongs to it, Until the first after it.
	Since, Until time.Time
	// Oldest asks for the oldest first.
	Oldest bool
}

// Matches reports whether a record is wanted.
func (q *Query) Matches(r *mezu.AuditRecord) bool {
	either := func(want string, have ...string) bool { return want == "" || slices.Contains(have, want) }
	return ScopeOf(*r) == q.Scope &&
		either(q.Project, r.Project) &&
		either(q.Actor, r.Actor.ID, r.Actor.Kind) &&
		either(q.Operation, r.Operation) &&
		either(q.Target, r.Target.ID, r.Target.Name, r.Target.Kind) &&
		either(string(q.Outcome), string(r.Outcome)) &&
		(q.Since.IsZero() || !r.Time.Before(q.Since)) &&
		(q.Until.IsZero() || r.Time.Before(q.Until))
}

// Page is a part of an answer. Next is the id after which the following page begins,
// empty on the last one.
type Page struct {
	Records []mezu.AuditRecord
	Next    string
	// Damaged are the segments of the archive that lie in the page's range and can't be
	// read.
	Damaged []error
}

// span is a range of ids, both ends exclusive; an empty before has no bound.
type span struct{ after, before string }

func (s span) has(id string) bool { return id > s.after && (s.before == "" || id < s.before) }

// span is what is left of a query after an id. The lowest id of the first moment is not in
// it, and no record has that id (see mezu.AuditIDAt).
func (q *Query) span(id string) span {
	var s span
	if !q.Since.IsZero() {
		s.after = mezu.AuditIDAt(q.Since)
	}
	if !q.Until.IsZero() {
		s.before = mezu.AuditIDAt(q.Until)
	}
	switch {
	case id == "":
	case q.Oldest:
		s.after = max(s.after, id)
	case s.before == "" || id < s.before:
		s.before = id
	}
	return s
}

// rereads is how often a page is read again because records were archived meanwhile.
const rereads = 4

// Read gives up to limit records after an earlier page's Next, from store and archive
// alike, each once.
func (l *Log) Read(ctx context.Context, q Query, after string, limit int) (Page, error) {
	for range rereads {
		before, err := l.head(ctx, q.Scope)
		if err != nil {
			return Page{}, err
		}
		page, err := l.read(ctx, q, after, limit, before.Value.Sequence)
		if err != nil {
			return Page{}, err
		}
		now, err := l.head(ctx, q.Scope)
		if err != nil {
			return Page{}, err
		}
		// Records that left the store meanwhile are in a segment that may have been written
		// after the page looked for segments.
		if now.Revision == before.Revision {
			return page, nil
		}
	}
	return Page{}, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the audit log is being archived", Hint: "try again"}
}

func (l *Log) read(ctx context.Context, q Query, after string, limit int, upTo uint64) (Page, error) {
	within := q.span(after)
	var archived source = nothing{}
	var past *past
	if l.cfg.Archive != nil {
		entries, err := l.cfg.Archive.Index(q.Scope, upTo)
		if err != nil {
			return Page{}, err
		}
		past = newPast(l.cfg.Archive, q.Scope, entries, within, q.Oldest)
		archived = past
	}
	merged := &merge{oldest: q.Oldest, sources: [2]source{newPresent(l.cfg.Store, q.Scope, within, q.Oldest, l.cfg.Now()), archived}}
	var page Page
	last := ""
	for range maxScan {
		rec, err := merged.next(ctx)
		if err != nil {
			return Page{}, err
		}
		if rec == nil {
			last = ""
			break
		}
		last = rec.ID
		if q.Matches(rec) {
			page.Records = append(page.Records, *rec)
		}
		if len(page.Records) == limit {
			break
		}
	}
	page.Next = last
	if past != nil {
		page.Damaged = past.damaged
	}
	return page, nil
}

// source gives records of one place in the order of a query, nil at the end.
type source interface {
	next(context.Context) (*mezu.AuditRecord, error)
}

type nothing struct{}

func (nothing) next(context.Context) (*mezu.AuditRecord, error) { return nil, nil }

// merge gives the records of two sources in order, those in both once.
type merge struct {
	oldest  bool
	sources [2]source
	heads   [2]*mezu.AuditRecord
	begun   bool
}

func (m *merge) next(ctx context.Context) (*mezu.AuditRecord, error) {
	if !m.begun {
		m.begun = true
		for i := range m.sources {
			if err := m.advance(ctx, i); err != nil {
				return nil, err
			}
		}
	}
	a, b := m.heads[0], m.heads[1]
	if a == nil && b == nil {
		return nil, nil
	}
	takeA := b == nil || a != nil && (a.ID < b.ID) == m.oldest
	same := a != nil && b != nil && a.ID == b.ID
	out := b
	if takeA || same {
		out = a
	}
	if takeA || same {
		if err := m.advance(ctx, 0); err != nil {
			return nil, err
		}
	}
	if !takeA || same {
		if err := m.advance(ctx, 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m *merge) advance(ctx context.Context, i int) (err error) {
	m.heads[i], err = m.sources[i].next(ctx)
	return err
}

// head is the end of a scope's chain in the archive, as the store has it.
type head struct {
	Sequence uint64 `json:"sequence"`
	Hash     string `json:"hash"`
	// Removing says that records of this segment may still be in the store.
	Removing bool `json:"removing,omitempty"`
}

type storedHead struct {
	Value    head
	Revision uint64
}

func (l *Log) head(ctx context.Context, scope string) (storedHead, error) {
	rec, err := l.cfg.Store.Get(ctx, prefixHead+scope)
	if errors.Is(err, store.ErrNotFound) {
		return storedHead{}, nil
	}
	if err != nil {
		return storedHead{}, err
	}
	out := storedHead{Revision: rec.Revision}
	if err := json.Unmarshal(rec.Value, &out.Value); err != nil {
		return out, fmt.Errorf("decoding record %q: %w", rec.Key, err)
	}
	return out, nil
}
