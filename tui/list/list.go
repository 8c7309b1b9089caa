// Package list is a list of records with a cursor, as the screens about the control plane have
// it: which rows are shown, which is selected, and how old they are if they could not be asked
// for.
//
// What lives here: the state of a list, its panel, and what all screens do whose list is followed
// (Followed). What may not: what a record means. Screens of tui import it.
package list

import (
	"errors"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// MaxRows bounds what a list holds. Nobody scrolls further; a filter finds what is behind.
const MaxRows = 1000

// List are records of one kind. The zero value is not usable.
type List[T any] struct {
	id    func(T) string
	all   []T
	rows  []T
	match func(T) bool
	at    int
	top   int

	// Err is why it could not be asked for the last time, Got when it was asked for with
	// success; zero if it never was.
	Err error
	Got time.Time
	// More says that there are records beyond those that are held.
	More bool
}

// New makes a list of records that have an id.
func New[T any](id func(T) string) *List[T] { return &List[T]{id: id} }

// Clear forgets what is known, because another place is looked at.
func (l *List[T]) Clear() {
	l.all, l.rows, l.at, l.top, l.Err, l.Got, l.More = nil, nil, 0, 0, nil, time.Time{}, false
}

// Take takes all records. The same one stays selected.
func (l *List[T]) Take(all []T, now time.Time) {
	l.More = l.More || len(all) > MaxRows
	l.all, l.Err, l.Got = all[:min(len(all), MaxRows)], nil, now
	l.filter()
}

// Fail says that they could not be asked for.
func (l *List[T]) Fail(err error) { l.Err = err }

// Filter shows those for which match says so; all if it is nil.
func (l *List[T]) Filter(match func(T) bool) {
	l.match = match
	l.filter()
}

func (l *List[T]) filter() {
	selected, ok := l.Selected()
	rows := make([]T, 0, len(l.all))
	for _, r := range l.all {
		if l.match == nil || l.match(r) {
			rows = append(rows, r)
		}
	}
	l.rows = rows
	at := min(l.at, max(0, len(rows)-1))
	if ok {
		for i, r := range rows {
			if l.id(r) == l.id(selected) {
				at = i
			}
		}
	}
	l.at = at
}

// All are all records that are held, Len is how many are shown.
func (l *List[T]) All() []T { return l.all }

// Len is how many records are shown.
func (l *List[T]) Len() int { return len(l.rows) }

// Selected is the record at the cursor.
func (l *List[T]) Selected() (T, bool) {
	if l.at >= len(l.rows) {
		var none T
		return none, false
	}
	return l.rows[l.at], true
}

// Select puts the cursor on the record of an id, if it is shown.
func (l *List[T]) Select(id string) {
	for i, r := range l.rows {
		if l.id(r) == id {
			l.at = i
		}
	}
}

// Move does a move of the cursor, with page rows shown, and reports whether it is one.
func (l *List[T]) Move(a keymap.Action, page int) bool {
	at, ok := keymap.Move(a, l.at, len(l.rows), page)
	if ok {
		l.at, l.top = at, keymap.Scroll(l.top, at, len(l.rows), page)
	}
	return ok
}

// Click puts the cursor on what is at a cell, where the panel of the list is at r, and reports
// whether rows are there.
func (l *List[T]) Click(r look.Rect, x, y int) bool {
	const head = 2 // of the panel and of the table
	n := y - r.Y - head
	if n < 0 || !r.Has(x, y) {
		return false
	}
	l.at = max(0, min(keymap.Scroll(l.top, l.at, len(l.rows), Page(r.H))+n, len(l.rows)-1))
	return true
}

// Wheel moves the cursor by so many rows if the wheel is turned over the panel at r.
func (l *List[T]) Wheel(r look.Rect, x, y, by int) {
	if r.Has(x, y) {
		l.at = max(0, min(l.at+by, len(l.rows)-1))
		l.top = keymap.Scroll(l.top, l.at, len(l.rows), Page(r.H))
	}
}

// Page is how many rows a panel of that height shows.
func Page(h int) int { return max(1, h-3) }

// Panel draws the list in a frame. empty says what it means that there is none.
func (l *List[T]) Panel(c *screen.Context, p look.Panel, columns []look.Column, cells func(T) []look.Cell, empty []string, w, h int) []string {
	t := c.Theme
	if h < 2 {
		return []string{p.Fold(t, w)}
	}
	if p.Right == "" {
		p.Right = l.Count(Page(h))
	}
	if stale := Stale(c, l.Err, l.Got); stale != "" {
		p.Right = stale
	}
	if len(l.rows) == 0 {
		return p.Draw(t, l.nothing(c, empty, w-4), w, h)
	}
	page := Page(h)
	if l.Err != nil && page > 1 {
		page--
	}
	top := keymap.Scroll(l.top, l.at, len(l.rows), page)
	b := look.Table{Columns: columns, Selected: l.at - top}
	for _, r := range l.rows[top:min(len(l.rows), top+page)] {
		b.Rows = append(b.Rows, cells(r))
	}
	out := b.Draw(t, w-4)
	if l.Err != nil && Page(h) > 1 {
		// What is shown is old: the last line says why, and what to do.
		out = append(t.Block(out, w-4, h-3), t.Paint(look.Bad, t.Cut(look.Text(Said(l.Err).Text), w-4)))
	}
	return p.Draw(t, out, w, h)
}

// Count says which rows are shown, of how many.
func (l *List[T]) Count(page int) string {
	if len(l.rows) == 0 {
		return ""
	}
	top := keymap.Scroll(l.top, l.at, len(l.rows), page)
	text := look.Count(len(l.rows))
	if l.More {
		text = "the first " + text
	}
	if len(l.rows) <= page {
		return text
	}
	return look.Count(top+1) + " – " + look.Count(min(top+page, len(l.rows))) + " of " + text
}

// nothing says why there are no rows.
func (l *List[T]) nothing(c *screen.Context, empty []string, w int) []string {
	t := c.Theme
	switch {
	case l.Err != nil:
		return Trouble(t, l.Err, w)
	case l.Got.IsZero():
		return []string{t.Ellipsis}
	case l.match != nil && len(l.all) > 0:
		return []string{t.Paint(look.Quiet, "none of "+look.Count(len(l.all))+" is like that; esc clears the filter")}
	}
	var out []string
	for _, line := range empty {
		out = append(out, t.Paint(look.Quiet, line))
	}
	return out
}

// mostTrouble is how much of an error is shown, in cells: some lines.
const mostTrouble = 240

// Trouble says what went wrong, and the next step.
func Trouble(t *look.Theme, err error, w int) []string {
	what, hint := err.Error(), ""
	var e *mezu.Error
	if errors.As(err, &e) {
		if what, hint = e.Detail, e.Hint; e.Field != "" {
			what = e.Field + ": " + what
		}
	}
	var out []string
	for _, line := range look.Wrap(look.Head(what, mostTrouble), w) {
		out = append(out, t.Paint(look.Bad, line))
	}
	if hint != "" {
		out = append(out, look.Wrap("try: "+look.Head(hint, mostTrouble), w)...)
	}
	return out
}

// Stale says how old what is shown is, if it could not be asked for since.
func Stale(c *screen.Context, err error, got time.Time) string {
	if err == nil || got.IsZero() {
		return ""
	}
	what := "control plane away"
	switch mezu.CodeOf(err) {
	case mezu.CodeUnauthenticated:
		what = "login ended"
	case mezu.CodeForbidden, mezu.CodeNotFound, mezu.CodeInvalid:
		what = "refused"
	}
	if age := c.Now.Sub(got); age >= time.Second {
		what += ", " + look.Ago(age) + " old"
	}
	return c.Theme.Paint(look.Warn, what)
}

// Said is a line that says what went wrong.
func Said(err error) screen.Say {
	var e *mezu.Error
	text := err.Error()
	if errors.As(err, &e) {
		if text = e.Detail; e.Field != "" {
			text = e.Field + ": " + text
		}
		if e.Hint != "" {
			text += "; try: " + e.Hint
		}
	}
	return screen.Say{Text: text, Bad: true}
}

// Rows are the records that are shown.
func (l *List[T]) Rows() []T { return l.rows }

// AtStart reports whether the first record is selected.
func (l *List[T]) AtStart() bool { return l.at == 0 }

// AtEnd reports whether the last record is selected.
func (l *List[T]) AtEnd() bool { return l.at >= len(l.rows)-1 }

// Start selects the first record.
func (l *List[T]) Start() { l.at, l.top = 0, 0 }

// End selects the last record.
func (l *List[T]) End() { l.at = max(0, len(l.rows)-1) }
