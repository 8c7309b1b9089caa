package ledger

import (
	"cmp"
	"maps"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// Feed reads the revocations of some scopes, each once, and those of a scope in the order in
// which they were added. What is not read yet takes no memory, so a slow reader costs no
// more than a quick one. It is for one goroutine.
type Feed struct {
	ledger  *Ledger
	cursors []cursor
}

// cursor is how far a scope was read.
type cursor struct {
	scope string
	after mezu.Position // what lies up to there is left out
	order uint64
}

// Feed begins to read. Follow says of what.
func (l *Ledger) Feed() *Feed { return &Feed{ledger: l} }

// Follow sets the scopes; the empty one is what concerns everyone. What was read already of
// scopes that were set before is not read again. Of new ones what lies up to after is left
// out.
func (f *Feed) Follow(scopes []string, after mezu.Position) {
	cursors := make([]cursor, 0, len(scopes))
	for _, scope := range scopes {
		i := slices.IndexFunc(f.cursors, func(c cursor) bool { return c.scope == scope })
		if i >= 0 {
			cursors = append(cursors, f.cursors[i])
		} else {
			cursors = append(cursors, cursor{scope: scope, after: after})
		}
	}
	f.cursors = cursors
}

// Next reads up to n more, none when there are no more now. Scopes are read in the order in
// which Follow got them.
func (f *Feed) Next(n int) ([]mezu.Signed, error) {
	l := f.ledger
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []mezu.Signed
	for i := range f.cursors {
		c := &f.cursors[i]
		from := l.scopes[c.scope]
		if from == nil {
			continue
		}
		for _, it := range from.after(c.order) {
			if len(out) == n {
				return out, nil
			}
			if it.at.Compare(c.after) > 0 {
				r, statement, err := l.readLocked(it)
				if err != nil {
					return out, err
				}
				if !l.now().After(r.Until) {
					out = append(out, statement)
				}
			}
			c.order = it.order
		}
	}
	return out, nil
}

// after are the items that came after one.
func (t *list) after(order uint64) []item {
	first, _ := slices.BinarySearchFunc(t.items, order+1, func(it item, order uint64) int { return cmp.Compare(it.order, order) })
	return t.items[first:]
}

// Walk reads once the revocations in force of all scopes, if their position is one of those
// asked for. It is for one goroutine.
type Walk struct {
	ledger *Ledger
	of     func(mezu.Position) bool
	scopes []string // the first is being read
	order  uint64
}

// Walk begins to read what is there now.
func (l *Ledger) Walk(of func(mezu.Position) bool) *Walk {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return &Walk{ledger: l, of: of, scopes: slices.Sorted(maps.Keys(l.scopes))}
}

// Next reads up to n more, none at the end.
func (w *Walk) Next(anchor *trust.Anchor, n int) ([]mezu.Signed, error) {
	l := w.ledger
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []mezu.Signed
	for ; len(w.scopes) > 0; w.scopes, w.order = w.scopes[1:], 0 {
		from := l.scopes[w.scopes[0]]
		if from == nil {
			continue
		}
		for _, it := range from.after(w.order) {
			if len(out) == n {
				return out, nil
			}
			w.order = it.order
			if !w.of(it.at) {
				continue
			}
			r, statement, err := l.readLocked(it)
			if err != nil {
				return out, err
			}
			if l.neededLocked(anchor, r) {
				out = append(out, statement)
			}
		}
	}
	return out, nil
}
