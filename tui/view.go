package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// View draws all of it. It changes nothing.
func (m *model) View() string {
	if m.w == 0 || m.h == 0 {
		return ""
	}
	t := m.c.Theme
	if m.w < leastWidth || m.h < leastHeight {
		return t.Fit(fmt.Sprintf("%d%s%d at least (now %d%s%d)", leastWidth, t.Times, leastHeight, m.w, t.Times, m.h), m.w)
	}
	c := m.c // a screen can't change the dashboard's
	c.Shown = true
	h := m.h - aside
	still := c
	if c.Paused {
		still.Now = m.paused // ages stand still, the clock goes on
	}
	body := t.Block(m.screen().View(&still, m.w, h), m.w, h)
	if m.overlay != nil {
		body = t.Block(m.overlay.View(&still, body, m.w, h), m.w, h)
	}
	lines := append([]string{m.first(&c), m.tabs()}, body...)
	return strings.Join(append(lines, m.last(&c)), "\n")
}

// path is where the dashboard looks, as far as that is known.
func (m *model) path() []string {
	var path []string
	for _, name := range []string{m.c.Scope.Organization, m.c.Scope.Project, m.c.Scope.Environment} {
		if name != "" {
			path = append(path, look.Text(name))
		}
	}
	return path
}

// first is the line of context, who, edges, time.
func (m *model) first(c *screen.Context) string {
	t := c.Theme
	clock := c.Now.Format(time.TimeOnly)
	path := m.path()
	narrow := c.Layout == screen.Column
	if narrow {
		clock = c.Now.Format("15:04")
		path = path[max(0, len(path)-1):]
	}
	left := " "
	if !narrow {
		left += t.Paint(look.Accent, "mezu") + "  "
	}
	left += t.Paint(look.Strong, strings.Join(path, " / "))
	gap := "   "
	if narrow {
		gap = "  "
	}
	// Who is logged in may have a long name. It gives way to where the dashboard looks.
	if right := m.heading(c, narrow, m.w-look.Width(left)-look.Width(gap+clock)-2); right != "" {
		clock = right + gap + clock
	}
	return t.Ends(left, clock+" ", m.w)
}

// heading is what the screen says of itself, or else who is logged in, and the edges, in so many
// cells.
func (m *model) heading(c *screen.Context, narrow bool, room int) string {
	t := c.Theme
	if headed, ok := m.screen().(screen.Headed); ok && !narrow {
		if text := headed.Heading(c); text != "" {
			return text
		}
	}
	var parts []string
	if m.edges.All > 0 {
		sign, tone := t.Up, look.Good
		switch {
		case m.edges.Up == 0:
			sign, tone = t.Down, look.Bad
		case m.edges.Up < m.edges.All:
			sign, tone = t.Partly, look.Warn
		}
		text := fmt.Sprintf(" %d/%d", m.edges.Up, m.edges.All)
		if !narrow {
			text += " edges"
		}
		parts = append(parts, t.Paint(tone, sign)+text)
	}
	if c.Paused {
		parts = append(parts, t.Paint(look.Warn, t.Paused+" paused"))
	}
	rest := strings.Join(parts, "   ")
	const least = 6 // cells of a name that are worth it
	if room -= look.Width(rest) + 3; m.who == "" || narrow || room < least {
		return rest
	}
	return strings.Join(append([]string{t.Cut(look.Text(m.who), room)}, parts...), "   ")
}

// narrowTitle is how many letters of a title a narrow terminal has room for.
const narrowTitle = 3

// tab is the text of one screen in the second line, without what is around it.
func (m *model) tab(i int) string {
	title := m.cfg.Screens[i].Title()
	if m.c.Layout == screen.Column {
		title = title[:min(len(title), narrowTitle)]
	}
	return strconv.Itoa(i+1) + " " + title
}

// tabs is the line of screens.
func (m *model) tabs() string {
	t := m.c.Theme
	var s strings.Builder
	if m.c.Layout == screen.Column {
		s.WriteString(" ")
	}
	for i := range m.cfg.Screens {
		if i == m.shown {
			s.WriteString(t.Paint(look.Accent, t.TabLeft+m.tab(i)+t.TabRight))
		} else {
			s.WriteString(" " + m.tab(i) + " ")
		}
	}
	if m.c.Layout != screen.Column {
		s.WriteString(t.Paint(look.Quiet, " : go to   ? help"))
	}
	return t.Fit(s.String(), m.w)
}

// tabAt is the screen whose name is drawn there, -1 for none.
func (m *model) tabAt(x int) int {
	at := 0
	if m.c.Layout == screen.Column {
		at = 1
	}
	for i := range m.cfg.Screens {
		next := at + look.Width(m.tab(i)) + 2
		if x >= at && x < next {
			return i
		}
		at = next
	}
	return -1
}

// last is the line of keys, or what is asked or said.
func (m *model) last(c *screen.Context) string {
	t := c.Theme
	switch {
	case m.ask != nil:
		return t.Fit(" "+m.ask.line(t, m.w-1), m.w)
	case m.notice != nil && m.notice.lasts(c.Now):
		tone := look.Plain
		if m.notice.bad {
			tone = look.Bad
		}
		return t.Fit(" "+t.Paint(tone, m.notice.text), m.w)
	case m.overlay != nil:
		return footer(t, m.overlay.Footer(c), nil, m.w)
	}
	end := keymap.Map{{Show: "q"}}
	if c.Layout == screen.Column {
		end = keymap.Map{{Show: ":", Footer: "go"}, {Show: "?", Footer: "help"}, {Show: "q"}}
	}
	return footer(t, m.screen().Keys(c), end, m.w)
}

// footer is keys with their words, cut from the right. Those of end stay.
func footer(t *look.Theme, keys, end keymap.Map, w int) string {
	item := func(b keymap.Binding) string {
		return strings.TrimSpace(t.Paint(look.Accent, b.Label()) + " " + b.Footer)
	}
	var tail []string
	for _, b := range end {
		tail = append(tail, item(b))
	}
	room := w - 1 - look.Width(strings.Join(tail, "  "))
	var shown []string
	for _, b := range keys {
		if b.Footer == "" {
			continue
		}
		text := item(b)
		if look.Width(text)+2 > room {
			break
		}
		room -= look.Width(text) + 2
		shown = append(shown, text)
	}
	return t.Fit(" "+strings.Join(append(shown, tail...), "  "), w)
}
