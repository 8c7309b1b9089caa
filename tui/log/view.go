package log

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	foldBelow = 17
	// filterLine is the line above the list.
	filterLine = 1
	// detailHeight is that of the record below the list.
	detailHeight = 9
)

// aside is how wide the record beside the list is; zero where none is there.
func (s *Screen) aside(c *screen.Context) int {
	if s.onDaemon && !s.full {
		return 0
	}
	return c.Aside()
}

// listHeight is that of the list.
func (s *Screen) listHeight(c *screen.Context) int {
	h := c.Height - filterLine
	switch {
	case s.full && c.Aside() == 0:
		return 1
	case s.onDaemon && !s.full, c.Aside() > 0, c.Layout == screen.Column, h < foldBelow:
		return h
	}
	return max(5, h-detailHeight)
}

// View draws the screen.
func (s *Screen) View(c *screen.Context, w, h int) []string {
	out := []string{s.headLine(c, w)}
	rest := h - filterLine
	if right := s.aside(c); right > 0 {
		return append(out, look.Beside(s.listPanel(c, w-right, rest), s.recordPanel(c, right, rest))...)
	}
	top := s.listHeight(c)
	out = append(out, s.listPanel(c, w, top)...)
	if rest-top > 1 {
		out = append(out, s.recordPanel(c, w, rest-top)...)
	}
	return out
}

// headLine says which log is shown, and what of it.
func (s *Screen) headLine(c *screen.Context, w int) string {
	t := c.Theme
	audit, daemon := t.Paint(look.Accent, t.TabLeft+"Audit"+t.TabRight), " Daemon "
	right := look.Text(s.scope.Organization)
	if s.onDaemon {
		audit, daemon, right = " Audit ", t.Paint(look.Accent, t.TabLeft+"Daemon"+t.TabRight), "the daemon of this machine"
	}
	return t.Ends(" "+audit+daemon+"  / "+s.filter.View(t, max(10, w/3)), right+" ", w)
}

// listPanel is the list of the log that is shown.
func (s *Screen) listPanel(c *screen.Context, w, h int) []string {
	t := c.Theme
	if s.onDaemon {
		cells := func(l line) []look.Cell {
			tone := look.Plain
			switch {
			case strings.Contains(l.text, "level=ERROR"):
				tone = look.Bad
			case strings.Contains(l.text, "level=WARN"):
				tone = look.Warn
			}
			return []look.Cell{{Text: look.Text(l.text), Tone: tone}}
		}
		return s.lines.Panel(c, look.Panel{Title: "Daemon", Focused: !s.full}, []look.Column{{Head: "what it wrote", Grow: 1}}, cells, []string{"it has written nothing"}, w, h)
	}
	columns := []look.Column{{Head: "TIME", Width: 11}, {Head: "WHO", Width: 14, Grow: 2, Rank: 1}, {Head: "OPERATION", Width: 14, Grow: 2}, {Head: "TARGET", Width: 10, Grow: 1, Rank: 2}, {Head: "RESULT", Width: 7}}
	cells := func(r Record) []look.Cell {
		outcome := look.Cell{Text: look.Text(result(&r)), Tone: look.Good}
		if r.Outcome != mezu.AuditDone {
			outcome.Tone = look.Bad
		}
		return []look.Cell{{Text: clock(r.Time.Local(), c.Now.Local()), Tone: look.Quiet}, {Text: look.Text(r.Who)}, {Text: look.Text(r.Operation), Tone: look.Strong}, {Text: look.Text(target(&r))}, outcome}
	}
	p := look.Panel{Title: "Audit", Focused: !s.full}
	if n := s.fresh(); n > 0 {
		p.Right = t.More + " " + look.Count(n) + " new"
	}
	return s.records.Panel(c, p, columns, cells, []string{"nothing was done in the last day"}, w, h)
}

// recordPanel is the selected one in full.
func (s *Screen) recordPanel(c *screen.Context, w, h int) []string {
	t := c.Theme
	if s.onDaemon {
		l, _ := s.lines.Selected()
		lines, _ := look.Lines([]byte(l.text), w-4, max(0, h-2))
		return look.Panel{Title: "Line", Focused: s.full}.Draw(t, lines, w, h)
	}
	r, ok := s.records.Selected()
	if !ok {
		return look.Panel{}.Draw(t, nil, w, h)
	}
	p := look.Panel{Title: look.Text(r.Operation + " " + target(&r)), Right: "before " + t.Arrow + " after", Focused: s.full}
	head := "from " + look.Text(r.Actor.Address)
	if r.Actor.Address == "" {
		head = "by " + look.Text(r.Actor.Kind)
	}
	if r.RequestID != "" {
		head += "   request " + look.Text(r.RequestID)
	}
	out := []string{head}
	if r.Code != "" {
		out = append(out, t.Paint(look.Bad, "refused: "+look.Text(string(r.Code))))
	}
	for _, d := range difference(&r) {
		tone := look.Good
		if strings.HasPrefix(d, "-") {
			tone = look.Bad
		}
		lines, _ := look.Lines([]byte(d), w-4, max(1, h))
		for _, one := range lines {
			out = append(out, t.Paint(tone, one))
		}
	}
	if r.Truncated {
		out = append(out, t.Paint(look.Quiet, "more was changed than is kept"))
	}
	return p.Draw(t, out, w, h)
}

// listAt is where the list is.
func (s *Screen) listAt(c *screen.Context) look.Rect {
	return look.Rect{Y: filterLine, W: c.Width - s.aside(c), H: s.listHeight(c)}
}

// Click selects a record; twice shows it in full.
func (s *Screen) Click(c *screen.Context, x, y int, twice bool) tea.Cmd {
	at := s.listAt(c)
	if s.onDaemon && s.lines.Click(at, x, y) || !s.onDaemon && s.records.Click(at, x, y) {
		s.full = twice
		s.catchUp(c)
	}
	return nil
}

// Wheel scrolls the list if it is turned there.
func (s *Screen) Wheel(c *screen.Context, x, y, by int) tea.Cmd {
	if s.onDaemon {
		s.lines.Wheel(s.listAt(c), x, y, by)
	} else {
		s.records.Wheel(s.listAt(c), x, y, by)
	}
	s.catchUp(c)
	return nil
}
