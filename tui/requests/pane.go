package requests

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// title names the parts, with a sign at the one that is shown.
func (d *detail) title(t *look.Theme) string {
	var b strings.Builder
	before := true // no blank is needed
	for i, p := range d.parts() {
		shown := p == d.part || d.part == "" && p == partRequest
		if i > 0 {
			if !before {
				b.WriteString(" ")
			}
			b.WriteString(t.Horizontal)
			if !shown {
				b.WriteString(" ")
			}
		}
		if before = shown; shown {
			b.WriteString(t.TabLeft + string(p) + t.TabRight)
		} else {
			b.WriteString(string(p))
		}
	}
	return b.String()
}

// view are h lines of w cells of the part, with a sign at the line of the cursor if it has the
// focus. more is how many lines are below.
func (d *detail) view(c *screen.Context, w, h int, focused bool) (out []string, more int) {
	t := c.Theme
	switch {
	case d.id == "":
		return nil, 0
	case d.err != nil && d.data == nil:
		return []string{t.Paint(look.Bad, escaped(d.err.Error()))}, 0
	case d.data == nil:
		return []string{t.Paint(look.Quiet, t.Ellipsis)}, 0
	case d.part == partFrames:
		return d.frames.table(c, w, h), 0
	}
	top := d.topFor(t, w, h)
	for i := top; i < len(d.lines) && len(out) < h; i++ {
		for n, one := range d.lines[i].draw(t, d.names, w) {
			if focused && i == d.at && n == 0 {
				one = t.Select(t.Fit(one, min(w, maxWidth)))
			}
			out = append(out, one)
		}
		more = len(d.lines) - 1 - i
	}
	return out, more
}

// rows are how many rows of w cells a line takes.
func (d *detail) rows(t *look.Theme, i, w int) int { return len(d.lines[i].draw(t, d.names, w)) }

// topOf is the least first line of h rows of w cells in which all of another line is seen.
func (d *detail) topOf(t *look.Theme, at, w, h int) int {
	top := max(0, min(at, len(d.lines)-1))
	for i, used := top, 0; i >= 0 && i < len(d.lines); i-- {
		if used += d.rows(t, i, w); used > h {
			break
		}
		top = i
	}
	return top
}

// topFor is the first line that is shown in h rows of w cells: the one with the cursor is seen.
func (d *detail) topFor(t *look.Theme, w, h int) int {
	top := min(d.top, d.at, d.topOf(t, len(d.lines)-1, w, h))
	return max(top, d.topOf(t, d.at, w, h), 0)
}

// lineAt is the line of which a row shows something, of what begins with the line top; the first one
// behind the last if there is none.
func (d *detail) lineAt(t *look.Theme, top, row, w int) int {
	for row >= 0 && top < len(d.lines) {
		if row -= d.rows(t, top, w); row < 0 {
			break
		}
		top++
	}
	return top
}

// put puts the cursor on a line, in a panel.
func (d *detail) put(c *screen.Context, at int, r look.Rect) {
	if at != d.at {
		d.conceal(c)
	}
	d.at = max(0, min(at, len(d.lines)-1))
	d.top = d.topFor(c.Theme, r.W-panelEdges, r.Body())
}

// panelEdges is how many cells of a panel's width are around its text.
const panelEdges = 4

// move moves the cursor among the lines of a panel.
func (d *detail) move(c *screen.Context, a keymap.Action, r look.Rect) tea.Cmd {
	if d.part == partFrames {
		return d.frames.move(c, a, r.Body()-1)
	}
	if at, ok := keymap.Move(a, d.at, len(d.lines), r.Body()); ok {
		d.put(c, at, r)
	}
	return nil
}

// wheel scrolls what a panel shows, and takes the cursor along at its edges.
func (d *detail) wheel(c *screen.Context, by int, r look.Rect) {
	t, w, h := c.Theme, r.W-panelEdges, r.Body()
	d.top = max(0, min(d.topFor(t, w, h)+by, d.topOf(t, len(d.lines)-1, w, h)))
	last := d.lineAt(t, d.top, h-1, w)
	if last > d.top && d.topOf(t, last, w, h) > d.top {
		last-- // its end isn't seen
	}
	d.put(c, max(min(d.at, last), d.top), r)
}

// find moves to the next line with a text, and reports whether there is one.
func (d *detail) find(c *screen.Context, text string, r look.Rect) bool {
	text = strings.ToLower(text)
	for n := 1; n <= len(d.lines); n++ {
		i := (d.at + n) % len(d.lines)
		if l := &d.lines[i]; strings.Contains(strings.ToLower(l.name+" "+l.text), text) {
			d.conceal(c)
			d.put(c, i, r)
			return true
		}
	}
	return false
}
