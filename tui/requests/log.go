package requests

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// askEvery is the least time between two questions of a log, however many requests there
	// are.
	askEvery = 200 * time.Millisecond
	// askMore is how much later the next question comes for each row of an answer, so that rows
	// which all change all the time cost the daemon and the dashboard no more than a few percent
	// of a core. askLatest bounds that, and is the pause while requests are counted only: there
	// is little new to see.
	askMore   = 2 * time.Millisecond
	askLatest = time.Second
	// wholeEvery is the least time between two answers that have all rows again: which of them
	// a filter doesn't choose any more, and which were removed, changes don't say.
	wholeEvery = 2 * time.Second
)

// Log is what the daemon keeps of requests that a filter chooses, kept up to date by what it
// tells. It asks while its screen is shown only.
type Log struct {
	from   Inspector
	filter string

	// rows are newest first. They are replaced, never changed in place.
	rows     []mezu.Exchange
	state    local.InspectorState
	answered bool // there was an answer for this filter
	err      error
	got      time.Time // of the last good answer

	ticket   int // of the last question
	asking   bool
	changed  bool // since the last question
	asked    time.Time
	pause    time.Duration // from there to the next one
	waiting  bool          // for the time of the next question
	complete time.Time
}

// answer is what the daemon said.
type answer struct {
	log      *Log
	ticket   int
	complete bool
	is       local.Requests
	err      error
}

// due says that the time of the next question is there.
type due struct{ log *Log }

// NewLog makes a log. It asks nothing until it takes a message.
func NewLog(from Inspector, filter string) *Log {
	return &Log{from: from, filter: filter, changed: true}
}

// Rows are the requests, newest first.
func (l *Log) Rows() []mezu.Exchange { return l.rows }

// Err is why there is no newer answer.
func (l *Log) Err() error { return l.err }

// Filter chooses others.
func (l *Log) Filter(c *screen.Context, filter string) tea.Cmd {
	if filter == l.filter && l.err == nil {
		return nil
	}
	l.filter, l.answered = filter, false
	l.asking, l.complete = false, time.Time{} // an answer under way is of another filter
	return l.ask(c)
}

// Take takes a message, and reports whether the rows are others now.
func (l *Log) Take(c *screen.Context, msg tea.Msg) (took bool, cmd tea.Cmd) {
	switch msg := msg.(type) {
	case answer:
		if msg.log != l || msg.ticket != l.ticket {
			return false, nil
		}
		l.asking = false
		l.err = msg.err
		if msg.err == nil {
			l.merge(c, msg)
			took = true
		}
	case due:
		if msg.log == l {
			l.waiting = false
		}
	case feed.Listing:
		l.changed, l.complete = true, time.Time{} // it may be another daemon
	case feed.Batch:
		l.changed = l.changed || msg.Requests()
	case feed.Away:
		l.changed = true
	case screen.Second:
		// What is chosen by its age changes by itself; and what was in the way may have gone,
		// unless that is the filter.
		l.changed = l.changed || l.err != nil && mezu.CodeOf(l.err) != mezu.CodeInvalid || strings.Contains(l.filter, "age:") && c.Now.Sub(l.complete).Abs() > wholeEvery
	}
	return took, l.poke(c)
}

// poke asks if there is something to ask and it is time.
func (l *Log) poke(c *screen.Context) tea.Cmd {
	if !c.Shown || !l.changed || l.asking || l.waiting {
		return nil
	}
	if rest := l.pause - c.Now.Sub(l.asked); rest > 0 && rest <= l.pause {
		l.waiting = true
		return c.After(rest, due{l})
	}
	return l.ask(c)
}

// ask asks what has changed, or for everything.
func (l *Log) ask(c *screen.Context) tea.Cmd {
	l.ticket++
	l.asking, l.changed, l.asked, l.pause = true, false, c.Now, askEvery
	q := local.RequestsQuery{Filter: l.filter, PageSize: maxRows}
	complete := l.complete.IsZero() || (l.filter != "" || l.state.Kept != len(l.rows)) && c.Now.Sub(l.complete).Abs() >= wholeEvery
	if !complete {
		q.ChangedAfter = l.state.Revision
	}
	ticket := l.ticket
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := l.from.Requests(ctx, q)
		return answer{log: l, ticket: ticket, complete: complete, is: is, err: err}
	})
}

// merge brings the rows to what an answer says.
func (l *Log) merge(c *screen.Context, a answer) {
	l.answered, l.got, l.state = true, c.Now, a.is.InspectorState
	if a.complete {
		l.complete = c.Now
	}
	rows := a.is.Items
	switch {
	case l.state.Depth == mezu.DepthNone:
		l.pause = askLatest
	case !a.complete: // those are rare
		l.pause = min(max(askEvery, time.Duration(len(rows))*askMore), askLatest)
	}
	if !a.complete {
		changed := make(map[string]bool, len(rows))
		for i := range rows {
			changed[rows[i].ID] = true
		}
		rows = slices.Clone(rows)
		for _, e := range l.rows {
			if !changed[e.ID] && (e.Pinned || e.Sequence >= a.is.OldestSequence) {
				rows = append(rows, e)
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b mezu.Exchange) int {
		switch {
		case a.Sequence > b.Sequence:
			return -1
		case a.Sequence < b.Sequence:
			return 1
		}
		return 0
	})
	l.rows = rows[:min(len(rows), maxRows)]
}
