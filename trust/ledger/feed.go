package ledger

import (
	"slices"

	"github.com/mezusphere/mezu"
)

// Feed reads the revocations of some scopes, each once, in the order of additions
// within a scope. Reading changes nothing in the log, and no place is taken for what is
// not read yet: a slow reader costs what a quick one does. It is for one goroutine.
type Feed struct {
	ledger  *Ledger
	cursors []cursor
}

// cursor is how far a scope was read.
type cursor struct {
	scope string
	after mezu.Position // what lies up to there is known
	order uint64
}

// Feed begins to read what every Warpgate must have.
func (l *Ledger) Feed() *Feed { return &Feed{ledger: l} }

// Follow sets the scopes, of which an empty one is what concerns all. What was read of
// those that stay is not read again; of a new one, what lies up to after is left out.
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

// Next reads up to n more, none when there are no more now. A scope that stands before
// another is read first.
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
		first, _ := slices.BinarySearchFunc(from.items, c.order+1, func(it item, order uint64) int {
			switch {
			case it.order < order:
				return -1
			case it.order > order:
				return 1
			}
			return 0
		})
		for _, it := range from.items[first:] {
			if len(out) == n {
				return out, nil
			}
			if it.at.Compare(c.after) > 0 {
				r, doc, err := l.readLocked(it)
				if err != nil {
					return out, err
				}
				if !l.now().After(r.Until) {
					out = append(out, doc)
				}
			}
			c.order = it.order
		}
	}
	return out, nil
}
