package show

import (
	"context"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/filter"
)

const (
	// maxSearches is of how many filters it is known what they said: those of a dashboard, a page
	// and a command or two.
	maxSearches = 4
	// maxSaid is how much is known of one: what may be kept, and what was meanwhile.
	maxSaid = 2 * mezu.MaxExchanges
)

// search is a filter that looks into bodies, and what it said of exchanges that have ended, by their
// revisions: nothing of them changes any more without another one.
type search struct {
	text string
	said map[uint64]bool
}

// choose calls ask with the test of a filter, nil if everything matches. An error is that of the
// filter, or of whoever waits no longer for all of it.
//
// Bodies are searched for one at a time, and for nobody who waits no longer: to undo all that is kept
// takes a while. What was found out stays known to whoever asks again.
func (s *Show) choose(ctx context.Context, text string, ask func(match func(*inspect.Record) bool)) error {
	f, err := filter.Parse(text)
	if err != nil {
		return err // which names the filter
	}
	if f.All() {
		ask(nil)
		return nil
	}
	now := s.cfg.Now()
	match := func(r *inspect.Record) bool { return f.Match(now, &subject{record: r}) }
	if !f.Texts() {
		ask(match)
		return nil
	}
	select {
	case s.searching <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.searching }()
	said := s.search(text)
	ask(func(r *inspect.Record) bool {
		if ctx.Err() != nil {
			return false
		}
		if r.Open || said == nil {
			return match(r)
		}
		is, known := said[r.Revision]
		if !known {
			if len(said) >= maxSaid {
				clear(said)
			}
			is = match(r)
			said[r.Revision] = is
		}
		return is
	})
	return ctx.Err()
}

// search is what a filter said before, nil if what it says changes with time. Whoever searches calls
// it.
func (s *Show) search(text string) map[uint64]bool {
	if strings.Contains(strings.ToLower(strings.ReplaceAll(text, `"`, "")), "age:") {
		return nil
	}
	n := slices.IndexFunc(s.searches, func(o search) bool { return o.text == text })
	is := search{text: text, said: map[uint64]bool{}}
	if n >= 0 {
		is = s.searches[n]
		s.searches = slices.Delete(s.searches, n, n+1)
	}
	s.searches = append(s.searches[max(0, len(s.searches)+1-maxSearches):], is)
	return is.said
}
