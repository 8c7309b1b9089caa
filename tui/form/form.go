// Package form is a small form over the screens: a few fields, each a line to type in or a choice,
// and what is done with them.
//
// What lives here: the fields and their keys. What may not: the rules of what is typed, which are
// those of the API: what it refuses is shown in the form, and nothing that was typed is lost.
// Screens of tui import it.
package form

import (
	"context"
	"errors"
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// width is how wide a form is drawn where there is room.
	width = 72
	// maxValue bounds what is typed in a field: a pattern of a route.
	maxValue = 1024
	// labels is how wide the column of names is.
	labels = 14
)

// Field is one of a form.
type Field struct {
	// Name is what errors of the API call it, Label what stands before it.
	Name, Label string
	Value       string
	// Choices are all values that there are; if empty, anything is typed.
	Choices []string
	// Note says in a few words what may be typed.
	Note string
}

// Form is shown over the screens.
type Form struct {
	title  string
	fields []Field
	typed  []*field.Field
	at     int
	do     func(ctx context.Context, values map[string]string) (done string, err error)
	then   tea.Msg
	after  func(values map[string]string) tea.Msg
	busy   bool
	err    error
}

var (
	_ screen.Overlay = (*Form)(nil)
	_ screen.Clicked = (*Form)(nil)
)

// New makes a form. do does what it is for, and says what was done; then is sent after that, and
// may be nil.
func New(title string, fields []Field, do func(ctx context.Context, values map[string]string) (string, error), then tea.Msg) *Form {
	f := &Form{title: title, fields: fields, do: do, then: then}
	for _, one := range fields {
		typed := field.New(maxValue)
		typed.Set(one.Value)
		f.typed = append(f.typed, typed)
	}
	return f
}

// After has a message made of what was typed, when it was done, in the place of a line that says
// so.
func (f *Form) After(message func(values map[string]string) tea.Msg) { f.after = message }

// finished is what became of it.
type finished struct {
	form   *Form
	values map[string]string
	done   string
	err    error
}

// Footer are its keys.
func (f *Form) Footer(*screen.Context) keymap.Map {
	return keymap.Map{{Show: "tab", Footer: "next field"}, {Show: "←→", Footer: "choose"}, {Show: "enter", Footer: "do it"}, {Show: "esc", Footer: "cancel"}}
}

// Key takes a key.
func (f *Form) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	if f.busy {
		if k.Type == tea.KeyEsc { // what comes of it would go unseen: a key that is shown once, or why it failed
			return screen.Cmd(screen.Say{Text: "that is under way; what comes of it is shown here"})
		}
		return nil
	}
	switch k.String() {
	case "esc":
		return screen.Cmd(screen.Close{})
	case "tab", "down":
		f.at = (f.at + 1) % len(f.fields)
		return nil
	case "shift+tab", "up":
		f.at = (f.at + len(f.fields) - 1) % len(f.fields)
		return nil
	case "enter":
		return f.submit(c)
	}
	now := &f.fields[f.at]
	if len(now.Choices) == 0 {
		f.typed[f.at].Key(k)
		return nil
	}
	i := max(0, slices.Index(now.Choices, now.Value))
	switch k.String() {
	case "left", "h":
		i += len(now.Choices) - 1
	case "right", "l", " ":
		i++
	}
	now.Value = now.Choices[i%len(now.Choices)]
	return nil
}

// submit does what the form is for.
func (f *Form) submit(c *screen.Context) tea.Cmd {
	values := map[string]string{}
	for i, one := range f.fields {
		if len(one.Choices) > 0 {
			values[one.Name] = one.Value
		} else {
			values[one.Name] = f.typed[i].Value()
		}
	}
	f.busy, f.err = true, nil
	do := f.do
	return c.Within(screen.DoTime, func(ctx context.Context) tea.Msg {
		done, err := do(ctx, values)
		return finished{f, values, done, err}
	})
}

// Take takes what became of it.
func (f *Form) Take(_ *screen.Context, msg tea.Msg) tea.Cmd {
	end, ok := msg.(finished)
	if !ok || end.form != f {
		return nil
	}
	f.busy = false
	if end.err != nil {
		f.err = end.err
		var e *mezu.Error
		if errors.As(end.err, &e) {
			for i, one := range f.fields {
				if one.Name == e.Field {
					f.at = i
				}
			}
		}
		return nil
	}
	if f.after != nil {
		return tea.Sequence(screen.Cmd(screen.Close{}), screen.Cmd(f.after(end.values)))
	}
	// One after another: what comes then may open another thing.
	cmds := []tea.Cmd{screen.Cmd(screen.Close{}), screen.Cmd(screen.Say{Text: end.done})}
	if f.then != nil {
		cmds = append(cmds, screen.Cmd(f.then))
	}
	return tea.Sequence(cmds...)
}

// shown are its lines in w cells, and which of them is that of each field.
func (f *Form) shown(c *screen.Context, w int) (lines []string, at []int) {
	t := c.Theme
	for i, one := range f.fields {
		label := t.Fit("  "+one.Label, labels)
		if i == f.at {
			label = t.Paint(look.Accent, t.Fit(t.Selected+" "+one.Label, labels))
		}
		value := ""
		if len(one.Choices) > 0 {
			for _, choice := range one.Choices {
				value += one.choice(t, choice)
			}
		} else {
			value = f.typed[i].View(t, w-labels-1, i == f.at && !f.busy)
		}
		at = append(at, len(lines))
		lines = append(lines, label+" "+value)
		if one.Note != "" && i == f.at {
			lines = append(lines, t.Fit("", labels+1)+t.Paint(look.Quiet, one.Note))
		}
	}
	lines = append(lines, "")
	switch {
	case f.busy:
		lines = append(lines, t.Ellipsis)
	case f.err != nil:
		lines = append(lines, list.Trouble(t, f.err, w)...)
	}
	return lines, at
}

// choice is how one is written, with the space behind it.
func (f *Field) choice(t *look.Theme, choice string) string {
	text := look.Text(choice)
	if choice == "" {
		text = "none"
	}
	if choice == f.Value {
		text = t.Mark(t.Selected + text)
	}
	return text + "  "
}

// inside is how many cells its lines have over a screen that is w cells wide.
func inside(w int) int { return min(width, w-2) - 4 }

// rect is where it is drawn over a screen of w by h cells, with so many lines.
func rect(lines, w, h int) look.Rect {
	wide, tall := min(width, w-2), min(lines+2, h)
	return look.Rect{X: (w - wide) / 2, Y: max(0, (h-tall)/3), W: wide, H: tall}
}

// Click puts the cursor on a field, and takes the choice that is there.
func (f *Form) Click(c *screen.Context, x, y int, _ bool) tea.Cmd {
	lines, at := f.shown(c, inside(c.Width))
	r := rect(len(lines), c.Width, c.Height)
	line := y - r.Y - 1
	i := slices.Index(at, line)
	if f.busy || i < 0 || line >= r.Body() || !r.Has(x, y) {
		return nil
	}
	f.at = i
	one := &f.fields[i]
	left := r.X + 2 + labels + 1
	for _, choice := range one.Choices {
		right := left + look.Width(one.choice(c.Theme, choice))
		if x >= left && x < right {
			one.Value = choice
			break
		}
		left = right
	}
	return nil
}

// View draws it over the screen.
func (f *Form) View(c *screen.Context, under []string, w, h int) []string {
	lines, _ := f.shown(c, inside(w))
	r := rect(len(lines), w, h)
	return c.Theme.Put(under, look.Panel{Title: f.title, Focused: true}.Draw(c.Theme, lines, r.W, r.H), r.X, r.Y)
}
