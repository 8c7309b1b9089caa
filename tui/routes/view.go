package routes

import (
	"cmp"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// foldBelow is the height below which the lower panel is its title line only.
const foldBelow = 17

// listHeight is that of the list of a terminal of this size.
func (s *Screen) listHeight(c *screen.Context) int {
	h := c.Height
	switch {
	case c.Aside() > 0:
		return h
	case c.Layout == screen.Column:
		if s.lower() {
			return 1
		}
		return h
	case h < foldBelow && !s.lower():
		return h - 1
	case h < foldBelow:
		return 1
	}
	return max(5, min(s.List.Len()+3, h-12))
}

// lower reports whether the lower panel has the focus.
func (s *Screen) lower() bool { return s.try.at != onNothing || s.Full }

// View draws the screen.
func (s *Screen) View(c *screen.Context, w, h int) []string {
	if right := c.Aside(); right > 0 {
		return look.Beside(s.upperPanel(c, w-right, h), s.lowerPanel(c, right, h))
	}
	top := s.listHeight(c)
	if h-top <= 0 {
		return s.upperPanel(c, w, h)
	}
	return append(s.upperPanel(c, w, top), s.lowerPanel(c, w, h-top)...)
}

// upperPanel is the list.
func (s *Screen) upperPanel(c *screen.Context, w, h int) []string {
	t := c.Theme
	p := look.Panel{Title: "Routes of " + look.Text(s.Scope.Environment), Right: cmp.Or(s.Filter.Title(t), s.inForce(c.Now)), Focused: !s.lower()}
	narrow := c.Layout == screen.Column
	columns := []look.Column{{Head: "MATCH", Width: 14, Grow: 3}, {Head: "METHODS", Width: 8, Rank: 3}, {Head: "UPSTREAM", Width: 14, Grow: 2, Rank: 4},
		{Head: "AUTH", Width: 9}, {Head: "LIMITS", Width: 12, Grow: 1, Rank: 2}, {Head: "HERE/M", Width: 6, Right: true, Rank: 1}}
	if narrow {
		columns[0].Width = 10
	}
	cells := func(r mezu.Route) []look.Cell {
		limit := look.Cell{Text: look.Text(limits(&r)), Tone: look.Quiet}
		if strings.HasPrefix(limit.Text, "closed") {
			limit.Tone = look.Warn
		}
		if limit.Text == "" {
			limit.Text = t.Dash
		}
		upstream, auth := r.Upstream, r.Auth
		if upstream == "" {
			upstream = "default"
		}
		if auth == "" {
			auth = mezu.AuthNone
		}
		return []look.Cell{{Text: look.Text(match(&r)), Tone: look.Strong}, {Text: look.Text(methods(&r))}, {Text: look.Text(upstream)}, {Text: look.Text(string(auth))}, limit,
			{Text: s.here.of(r.Label(), c.Now), Tone: look.Quiet}}
	}
	return s.List.Panel(c, p, columns, cells, []string{"no route: every request is answered with 404", "a adds one"}, w, h)
}

// lowerPanel is the try, or the selected route in full.
func (s *Screen) lowerPanel(c *screen.Context, w, h int) []string {
	t := c.Theme
	if route, ok := s.List.Selected(); ok && s.Full {
		p := look.Panel{Title: look.Text(route.Label()), Right: "esc closes", Focused: true}
		text, err := s.cfg.Drafts.Text(&route)
		if err != nil {
			return p.Draw(t, list.Trouble(t, err, w-4), w, h)
		}
		lines, _ := look.Lines(text, w-4, max(0, h-2))
		return p.Draw(t, lines, w, h)
	}
	p := look.Panel{Title: "Try a request", Right: "t  M method  u user", Focused: s.try.at != onNothing}
	if h < 2 {
		return []string{p.Fold(t, w)}
	}
	return p.Draw(t, s.try.lines(t, w-4), w, h)
}

// listAt is where the list is.
func (s *Screen) listAt(c *screen.Context) look.Rect {
	return look.Rect{W: c.Width - c.Aside(), H: s.listHeight(c)}
}

// Click selects a route; twice shows it in full.
func (s *Screen) Click(c *screen.Context, x, y int, twice bool) tea.Cmd {
	at := s.listAt(c)
	switch {
	case s.List.Click(at, x, y):
		s.try.at, s.Full = onNothing, twice
	case !at.Has(x, y) && !s.lower():
		s.try.at = onTarget
	}
	return nil
}

// Wheel scrolls the list if it is turned there.
func (s *Screen) Wheel(c *screen.Context, x, y, by int) tea.Cmd {
	s.List.Wheel(s.listAt(c), x, y, by)
	return nil
}
