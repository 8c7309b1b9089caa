package list

import (
	"context"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/screen"
)

// Followed is a list of what the control plane has at the place where the dashboard looks: it is
// followed, filtered and changed. S is what is told of the place, R a record of it.
//
// A screen embeds it. It has Watch, Typing and Key by that; its Act and Take call those of the
// list, and do what is its own besides.
type Followed[S, R any] struct {
	List  *List[R]
	Scope screen.Scope
	// State is what was told last, and is shown.
	State  S
	Filter *field.Filter
	// Full says that the selected record is shown in full.
	Full bool

	cfg     Config[S, R]
	subject *follow.Subject[S]
	later   *S // came while nothing that moves was to change
}

// Config says what is followed, and what its records are.
type Config[S, R any] struct {
	Follow follow.Follower[S]
	// Records are those of what was told, and whether there are more than these.
	Records func(S) (all []R, more bool)
	ID      func(R) string
	// Text is what the filter looks through.
	Text func(R) string
	// MostTyped bounds the filter.
	MostTyped int
}

// NewFollowed makes it.
func NewFollowed[S, R any](cfg Config[S, R]) *Followed[S, R] {
	return &Followed[S, R]{cfg: cfg, subject: follow.New(cfg.Follow), List: New(cfg.ID), Filter: field.NewFilter(cfg.MostTyped)}
}

// Watch follows the records.
func (f *Followed[S, R]) Watch() []screen.Source { return []screen.Source{f.subject.Source} }

// What the keys of every such screen do, beside the moves.
const (
	ActFilter keymap.Action = "filter"
	ActWhole  keymap.Action = "details"
	ActClear  keymap.Action = "clear"
)

// Act does what a key asks for, where the panel of the list has h lines, and reports whether it is
// one of these or a move.
func (f *Followed[S, R]) Act(a keymap.Action, h int) bool {
	switch a {
	case ActFilter:
		f.Filter.Begin()
	case ActWhole:
		_, ok := f.List.Selected()
		f.Full = ok && !f.Full
	case ActClear:
		if f.Full {
			f.Full = false
			break
		}
		f.Filter.Set("")
		f.Narrow()
	default:
		return f.List.Move(a, Page(h))
	}
	return true
}

// Typing reports whether somebody types a filter.
func (f *Followed[S, R]) Typing() bool { return f.Filter.Typing() }

// Key takes a key of the filter.
func (f *Followed[S, R]) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	f.Filter.Key(k)
	f.Narrow()
	return nil
}

// Narrow shows the records that have what is typed somewhere.
func (f *Followed[S, R]) Narrow() {
	text := strings.ToLower(strings.TrimSpace(f.Filter.Value()))
	if text == "" {
		f.List.Filter(nil)
		return
	}
	f.List.Filter(func(r R) bool { return strings.Contains(strings.ToLower(f.cfg.Text(r)), text) })
}

// Changed is what became of a change of what S tells of.
type Changed[S any] struct {
	// What was done, in words; if empty, that is said already.
	What string
	Err  error
}

// Do is the command of a change.
func (f *Followed[S, R]) Do(c *screen.Context, what string, change func(context.Context) error) tea.Cmd {
	return c.Within(screen.DoTime, func(ctx context.Context) tea.Msg {
		return Changed[S]{what, change(ctx)}
	})
}

// Take takes a message, and reports whether what is shown is news.
func (f *Followed[S, R]) Take(c *screen.Context, msg tea.Msg) (cmd tea.Cmd, news bool) {
	if c.Shown {
		f.subject.Want()
	}
	switch msg := msg.(type) {
	case screen.Moved:
		var none S
		f.Scope, f.State, f.Full = msg.Scope, none, false
		f.forget()
		f.subject.Move(msg.Scope)
	case follow.Got[S]:
		switch {
		case msg.Scope != f.Scope:
		case c.Paused && !f.List.Got.IsZero():
			f.later = &msg.Value
		default:
			f.show(c, msg.Value)
			return nil, true
		}
	case screen.Freed:
		if f.later != nil && !c.Paused {
			f.show(c, *f.later)
			return nil, true
		}
	case follow.Failed[S]:
		if msg.Scope == f.Scope {
			f.List.Fail(msg.Err)
		}
	case Changed[S]:
		f.subject.Again()
		switch {
		case msg.Err != nil:
			return screen.Cmd(Said(msg.Err)), false
		case msg.What != "":
			return screen.Cmd(screen.Say{Text: msg.What}), false
		}
	}
	return nil, false
}

// show shows what was told.
func (f *Followed[S, R]) show(c *screen.Context, state S) {
	all, more := f.cfg.Records(state)
	f.State, f.later, f.List.More = state, nil, more
	f.List.Take(all, c.Now)
}

// Renew forgets the records and asks for others.
func (f *Followed[S, R]) Renew() {
	f.forget()
	f.subject.Again()
}

func (f *Followed[S, R]) forget() {
	f.List.Clear()
	f.later = nil
}
