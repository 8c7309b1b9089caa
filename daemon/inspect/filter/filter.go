// Package filter is the language in which people say which requests they want to see, for
// commands, dashboard and page alike.
//
// A filter is words that all have to match; "-" before one negates it. A word is a key, a colon and
// values of which any has to match, parted by commas: status:5xx,404. Quotes hold blanks, commas
// and colons, and a backslash in them the next character. "*" is any text, "key:*" any but none.
// Case never counts.
//
//	method: route: edge:      the whole of it
//	code:                     the whole of our code or cause
//	tunnel:                   the whole of its name, of that without the project, or of its id
//	user:                     the whole of it, or what is before its "@"
//	path:                     how it begins, or, without a slash in front, any part of it
//	host:                     any part of it
//	status:                   500, 5xx or a comparison; below 100 it is a status of gRPC
//	ip:                       an address, a CIDR, or a text with "*"
//	dur: size: age:           a comparison: >500ms, >=1k, <5m. dur is until the end, size that of the
//	                          answer's body, age since the begin. k and M are 1,000 and its square,
//	                          Ki and Mi 1,024 and its square
//	header:                   a field's name, or name=value; in any head
//	text:                     a part of a body or a frame
//	is:                       ws grpc sse stream open replay pinned failed cut
//	anything else             a part of path and query
//
// What lives here: the words, their parsing and their test on one exchange. What may not: the
// store of exchanges, and who asks. daemon/inspect and daemon/rest import it.
package filter

import (
	"time"

	"github.com/mezusphere/mezu"
)

// Subject is one exchange as a filter looks at it. What it gives is read only, and not kept.
// Whoever may see no secrets hands in what is masked: a filter is an oracle of what it searches.
type Subject interface {
	// Exchange is its row of the list.
	Exchange() *mezu.Exchange
	// Header calls yield with the value of each field of this name, in any case, of both heads
	// and trailers, until yield returns false.
	Header(name string, yield func(value string) bool)
	// Texts calls yield with what is kept of bodies and frames, each as one, without their content
	// encoding where that is at hand, until yield returns false. It is only asked when all else
	// matches.
	Texts(yield func(text []byte) bool)
}

// Filter is a parsed filter. It doesn't change, and is safe for concurrent use.
type Filter struct {
	words []word
}

// cost is how much a word costs, by which they are tried.
type cost int

const (
	ofRow cost = iota
	ofHeads
	ofBodies
)

// word is one of a filter's.
type word struct {
	cost    cost
	negated bool
	test    func(now time.Time, s Subject, x *mezu.Exchange) bool
}

// Match reports whether an exchange has all that the filter asks for. Words that cost little
// come first, those that search bodies last.
func (f *Filter) Match(now time.Time, s Subject) bool {
	x := s.Exchange()
	for i := range f.words {
		if w := &f.words[i]; w.test(now, s, x) == w.negated {
			return false
		}
	}
	return true
}

// All reports whether everything matches.
func (f *Filter) All() bool { return len(f.words) == 0 }

// Texts reports whether the filter searches bodies, so that it asks for Subject.Texts.
func (f *Filter) Texts() bool { return len(f.words) > 0 && f.words[len(f.words)-1].cost == ofBodies }
