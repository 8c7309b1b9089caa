// Package inspect keeps what passed through the tunnels of a daemon, so that their owner can look
// at it and send it again. It is kept in memory only, and ends with the process.
//
// What lives here: the recorder of exchanges, what it keeps of which and for how long, how they
// are found again, and how a request is made of one once more. What may not: what a person is
// shown of them (packages mask, decode, pretty and filter say that), logs, files, and what a
// request may. Nothing here is masked: whoever gives a Record away masks it. daemon and
// daemon/rest import it; the sidecar links nothing of it.
package inspect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// Config says how much is kept.
type Config struct {
	// Inspect is how many exchanges are kept, and how many bytes. What is zero is the default.
	local.Inspect
	// Now is the clock; if nil, time.Now.
	Now func() time.Time
}

// Inspector keeps the exchanges of all tunnels. It is safe for concurrent use.
//
// An exchange under way belongs to the tape of its data connection, and is kept there. Requests
// meet in a few atomic counters only; one that has ended takes the lock for as long as it takes to
// put it beside the others. Locks are taken in this order: of a tape, of its frames, of the
// Inspector.
type Inspector struct {
	most int
	max  int64
	now  func() time.Time
	rate rate

	bytes    atomic.Int64 // that are kept, those of exchanges under way too
	sequence atomic.Uint64
	revision atomic.Uint64
	looked   atomic.Uint64 // the revision that somebody has seen
	leftOut  atomic.Uint64

	mu     sync.Mutex
	tapes  map[*Tape]struct{}
	ended  []*Record // in the order in which they ended, which is that of their revisions
	pinned []*Record
	pins   int // pinned ones, those under way too
}

// New makes one that keeps nothing yet.
func New(cfg Config) *Inspector {
	i := &Inspector{most: cmp.Or(cfg.Exchanges, mezu.DefaultExchanges), max: cmp.Or(cfg.Bytes, mezu.DefaultExchangeBytes), now: cfg.Now, tapes: map[*Tape]struct{}{}}
	if i.now == nil {
		i.now = time.Now
	}
	i.rate.base = i.now()
	return i
}

// share is what one exchange may take of all bytes: what else is kept has room beside it.
func (i *Inspector) share() int64 { return i.max / 2 }

// reserve takes room for n bytes, at the cost of the exchanges that ended first. It reports
// whether there is that much.
func (i *Inspector) reserve(n int64) bool {
	if i.bytes.Add(n) <= i.max {
		return true
	}
	i.mu.Lock()
	i.makeRoom()
	i.mu.Unlock()
	if i.bytes.Load() <= i.max {
		return true
	}
	i.bytes.Add(-n)
	return false
}

// release gives room back.
func (i *Inspector) release(n int64) { i.bytes.Add(-n) }

// makeRoom lets go of what ended first, as far as there is too much. The lock is held.
func (i *Inspector) makeRoom() {
	n := 0
	for n < len(i.ended) && (len(i.ended)-n+len(i.pinned) > i.most || i.bytes.Load() > i.max) {
		i.release(i.ended[n].size)
		n++
	}
	clear(i.ended[:n])
	i.ended = i.ended[n:] // append makes it anew now and then: to move all each time costs more
}

// put keeps an exchange that has ended. Its bytes are reserved already.
func (i *Inspector) put(r *Record) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.enter(r)
	i.makeRoom()
}

// enter puts an exchange behind all others, as changed now. The lock is held.
func (i *Inspector) enter(r *Record) {
	r.Revision = i.revision.Add(1)
	if r.Pinned && !i.mayPin(r) { // it was pinned before it had grown
		r.Pinned = false
		i.pins--
	}
	if r.Pinned {
		i.pinned = append(i.pinned, r)
	} else {
		i.ended = append(i.ended, r)
	}
}

// change gives the revision of something that has just changed.
func (i *Inspector) change() uint64 { return i.revision.Add(1) }

// Query says which exchanges are asked for.
type Query struct {
	// Match is asked of each; if nil, all match. It is called without locks, newest first,
	// until there are enough.
	Match func(*Record) bool
	// Most is how many there are at most; if zero, no matter how many.
	Most int
	// Before is the Sequence before which they began; if zero, there is no such bound.
	Before uint64
	// ChangedAfter is a Revision: only those that have changed since.
	ChangedAfter uint64
}

// List gives exchanges, newest first. next is the Before of the page behind, zero if there is
// none. The state is that of the moment before.
func (i *Inspector) List(q Query) (page []*Record, next uint64, state local.InspectorState) {
	state = i.State()
	i.looked.Store(state.Revision)
	for _, r := range i.all() {
		switch {
		case q.Before > 0 && r.Sequence >= q.Before, r.Revision <= q.ChangedAfter, q.Match != nil && !q.Match(r):
		case q.Most > 0 && len(page) == q.Most:
			return page, page[q.Most-1].Sequence, state
		default:
			page = append(page, r)
		}
	}
	return page, 0, state
}

// all gives all exchanges, newest first. One that ends meanwhile is among them once.
func (i *Inspector) all() []*Record {
	i.mu.Lock()
	tapes := make([]*Tape, 0, len(i.tapes))
	for t := range i.tapes {
		tapes = append(tapes, t)
	}
	i.mu.Unlock()
	var open []*Record
	for _, t := range tapes {
		if r := t.underWay(); r != nil {
			open = append(open, r)
		}
	}
	i.mu.Lock()
	out := slices.Concat(i.ended, i.pinned)
	i.mu.Unlock()
	out = append(out, open...) // behind the same one, should it have ended
	slices.SortStableFunc(out, func(a, b *Record) int { return cmp.Compare(b.Sequence, a.Sequence) })
	return slices.CompactFunc(out, func(a, b *Record) bool { return a.Sequence == b.Sequence })
}

// idDigits is how long an id is.
const idDigits = 12

// mostNamed is how many exchanges are named that an id may stand for.
const mostNamed = 5

// Get gives the exchange whose id or request id is id, or begins with it. An error is a
// *mezu.Error: there is none, or there are several.
func (i *Inspector) Get(id string) (*Record, error) {
	var begin []*Record
	if id == "" {
		return nil, mezu.Invalid("id", "the id of a request is missing")
	}
	all := i.all()
	for _, r := range all {
		if r.ID == strings.ToLower(id) {
			return r, nil
		}
	}
	for _, r := range all {
		if strings.HasPrefix(r.ID, strings.ToLower(id)) || strings.HasPrefix(r.RequestID, id) {
			begin = append(begin, r)
		}
	}
	if whole := slices.DeleteFunc(slices.Clone(begin), func(r *Record) bool { return r.RequestID != id }); len(whole) > 0 {
		begin = whole // visitors may give several requests one id
	}
	switch len(begin) {
	case 0:
		return nil, &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("no request %q is kept", id), Hint: "mezu requests list"}
	case 1:
		return begin[0], nil
	}
	var names []string
	for _, r := range begin[:min(len(begin), mostNamed)] {
		names = append(names, fmt.Sprintf("%s (%s %s)", r.ID, r.Method, r.Path))
	}
	if more := len(begin) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "id", Detail: fmt.Sprintf("%q is the beginning of several: %s", id, strings.Join(names, ", ")), Hint: "give more of the id"}
}

// recent gives an exchange that has ended, nil if it is not kept any more.
func (i *Inspector) recent(sequence uint64) *Record {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := len(i.ended) - 1; n >= 0; n-- {
		if i.ended[n].Sequence == sequence {
			return i.ended[n]
		}
	}
	for _, r := range i.pinned {
		if r.Sequence == sequence {
			return r
		}
	}
	return nil
}

// underWay says that an exchange has not ended.
func underWay(r *Record) error {
	return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the request %s is still under way", r.ID), Hint: "try again when it has ended"}
}

// Remove removes an exchange that has ended, be it pinned or not.
func (i *Inspector) Remove(id string) error {
	r, err := i.Get(id)
	if err != nil {
		return err
	}
	if r.Open {
		return underWay(r)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.take(func(o *Record) bool { return o.Sequence == r.Sequence }, func(o *Record) bool { return o.Sequence == r.Sequence })
	return nil
}

// Clear removes the exchanges that have ended, are not pinned and match; all if match is nil. It
// returns how many.
func (i *Inspector) Clear(match func(*Record) bool) int {
	i.mu.Lock()
	all := slices.Clone(i.ended)
	i.mu.Unlock()
	gone := map[uint64]bool{}
	for _, r := range all {
		if match == nil || match(r) {
			gone[r.Sequence] = true
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.take(func(r *Record) bool { return gone[r.Sequence] }, func(*Record) bool { return false })
}

// take removes those that have ended, and returns how many. The lock is held.
func (i *Inspector) take(ended, pinned func(*Record) bool) int {
	before := len(i.ended) + len(i.pinned)
	removed := func(which func(*Record) bool) func(*Record) bool {
		return func(r *Record) bool {
			if !which(r) {
				return false
			}
			i.release(r.size)
			if r.Pinned {
				i.pins--
			}
			return true
		}
	}
	i.ended, i.pinned = slices.DeleteFunc(i.ended, removed(ended)), slices.DeleteFunc(i.pinned, removed(pinned))
	n := before - len(i.ended) - len(i.pinned)
	if n > 0 {
		i.revision.Add(1)
	}
	return n
}

// Pin has an exchange stay, or no longer.
func (i *Inspector) Pin(id string, pinned bool) (*Record, error) {
	r, err := i.Get(id)
	if err != nil {
		return nil, err
	}
	if r.Open {
		if done, err := r.tape.pin(r.Sequence, pinned); done || err != nil {
			return r.tape.Record(), err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, list := range []*[]*Record{&i.ended, &i.pinned} {
		n := slices.IndexFunc(*list, func(o *Record) bool { return o.Sequence == r.Sequence })
		if n < 0 {
			continue
		}
		is := *(*list)[n]
		if is.Pinned == pinned {
			return (*list)[n], nil
		}
		if pinned && !i.mayPin(&is) {
			return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: "the pinned requests take half of the room that there is", Hint: "mezu requests pin --undo ID"}
		}
		if err := i.countPin(pinned); err != nil {
			return nil, err
		}
		*list = slices.Delete(*list, n, n+1)
		is.Pinned = pinned
		i.enter(&is)
		i.makeRoom()
		return &is, nil
	}
	return nil, &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("the request %s is not kept any more", r.ID), Hint: "mezu requests list"}
}

// mayPin reports whether there is room for another one that stays: what comes needs some, too. The
// lock is held.
func (i *Inspector) mayPin(r *Record) bool {
	bytes := r.size
	for _, p := range i.pinned {
		bytes += p.size
	}
	return bytes <= i.share()
}

// countPin counts one pinned exchange more or less. The lock is held.
func (i *Inspector) countPin(pinned bool) error {
	switch {
	case !pinned:
		i.pins--
	case i.pins >= mezu.MaxPinned:
		return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%d requests are pinned, as many as may be", i.pins), Hint: "mezu requests pin --undo ID"}
	default:
		i.pins++
	}
	return nil
}

// State is how the inspector is.
func (i *Inspector) State() local.InspectorState {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := local.InspectorState{Revision: i.revision.Load(), OldestSequence: i.sequence.Load() + 1, Kept: len(i.ended) + len(i.pinned), MaxKept: i.most,
		Bytes: i.bytes.Load(), MaxBytes: i.max, Pinned: i.pins, Depth: i.rate.depth(i.now()), LeftOut: i.leftOut.Load()}
	s.OldestRevision = s.Revision + 1
	if len(i.ended) > 0 {
		s.OldestRevision = i.ended[0].Revision
	}
	for _, r := range i.ended {
		s.OldestSequence = min(s.OldestSequence, r.Sequence)
	}
	return s
}
