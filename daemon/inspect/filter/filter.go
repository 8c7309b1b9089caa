// Package filter is the language in which people say which requests they want to see, for
// commands, dashboard and page alike.
//
// What lives here: its words, their parsing and their test on one exchange. What may not: the
// store of exchanges, and who asks. daemon/inspect and daemon/rest import it.
package filter

import (
	"time"

	"github.com/mezusphere/mezu"
)

// Subject is one exchange as a filter looks at it. What it gives is read only, and not kept.
type Subject interface {
	// Exchange is its row of the list.
	Exchange() *mezu.Exchange
	// Header calls yield with the value of each field of this name, in any case, of both heads
	// and trailers, until yield returns false.
	Header(name string, yield func(value string) bool)
	// Texts calls yield with what is kept of bodies and frames, without their content encoding
	// where that is at hand, until yield returns false. It is only asked when all else matches.
	Texts(yield func(text []byte) bool)
}

// Filter is a parsed filter. It doesn't change, and is safe for concurrent use.
type Filter struct {
	words []word
	texts bool
}

// word is one of a filter's.
type word interface {
	match(now time.Time, s Subject, x *mezu.Exchange) bool
}

// Parse reads a filter. The empty one matches everything. Its error is a *mezu.Error, which
// names the word, its place and what to write instead.
func Parse(text string) (*Filter, error) {
	return &Filter{}, nil
}

// Match reports whether an exchange has all that the filter asks for. Words that cost little
// come first, those that search bodies last.
func (f *Filter) Match(now time.Time, s Subject) bool {
	x := s.Exchange()
	for _, w := range f.words {
		if !w.match(now, s, x) {
			return false
		}
	}
	return true
}

// All reports whether everything matches.
func (f *Filter) All() bool { return len(f.words) == 0 }

// Texts reports whether the filter searches bodies, so that it asks for Subject.Texts.
func (f *Filter) Texts() bool { return f.texts }
