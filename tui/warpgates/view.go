package warpgates

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// detailHeight and wayHeight are those of the two lower panels.
	detailHeight = 8
	wayHeight    = 5
	// linksWidth is that of the links beside the details.
	linksWidth = 26
	foldBelow  = 17
)

// listHeight is that of the list.
func (s *Screen) listHeight(c *screen.Context) int {
	h := c.Height
	switch {
	case c.Aside() > 0:
		return h
	case s.Full && (c.Layout == screen.Column || h < foldBelow):
		return 1
	case c.Layout == screen.Column:
		return max(4, h-wayHeight)
	case h < foldBelow:
		return max(4, h-wayHeight)
	}
	return max(5, min(s.List.Len()+3, h-detailHeight-wayHeight))
}

// View draws the screen.
func (s *Screen) View(c *screen.Context, w, h int) []string {
	if right := c.Aside(); right > 0 {
		details := max(detailHeight, h-wayHeight)
		column := append(s.detailPanels(c, right, details), s.wayPanel(c, right, h-details)...)
		return look.Beside(s.listPanel(c, w-right, h), c.Theme.Block(column, right, h))
	}
	top := s.listHeight(c)
	out := s.listPanel(c, w, top)
	rest := h - top
	if rest >= detailHeight+wayHeight || s.Full {
		details := rest - wayHeight
		if s.Full && rest < detailHeight+wayHeight {
			details = rest
		}
		out = append(out, s.detailPanels(c, w, details)...)
		rest -= details
	}
	return append(out, s.wayPanel(c, w, rest)...)
}

// listPanel is the list.
func (s *Screen) listPanel(c *screen.Context, w, h int) []string {
	t := c.Theme
	p := look.Panel{Title: "Warpgates of " + look.Text(s.Scope.Environment), Focused: true}
	for _, one := range s.List.All() {
		if _, ok := s.here[one.ID]; ok {
			p.Right = "this machine: " + look.Text(one.ID)
			break
		}
	}
	p.Right = cmp.Or(s.Filter.Title(t), p.Right)
	columns := []look.Column{{Head: "ID", Width: 12, Grow: 3}, {Head: "STATUS", Width: 14}, {Head: "ADDRESS", Width: 14, Grow: 1, Rank: 3}, {Head: "VERSION", Width: 7, Rank: 4},
		{Head: "EDGES", Width: 5, Rank: 1}, {Head: "BUNDLE", Width: 9, Rank: 2}, {Head: "SEEN", Width: 5}}
	cells := func(g mezu.Warpgate) []look.Cell {
		return []look.Cell{{Text: look.Text(g.ID), Tone: look.Strong}, status(t, &g), {Text: look.Text(g.Address)}, {Text: look.Text(g.Version)}, {Text: s.edges(&g)}, s.bundle(t, &g), {Text: seen(&g, c.Now)}}
	}
	return s.List.Panel(c, p, columns, cells, []string{"no Warpgate has registered yet", "mezu tunnel 8080, or warpgate --token-file F --upstream HOST:PORT"}, w, h)
}

// detailPanels are what is known of the selected one, and its links.
func (s *Screen) detailPanels(c *screen.Context, w, h int) []string {
	t := c.Theme
	one, ok := s.List.Selected()
	if !ok {
		return look.Panel{}.Draw(t, nil, w, h)
	}
	links := linksWidth
	if w < 60 {
		links = 0
	}
	lines := s.about(c, &one)
	if links == 0 {
		lines = append(lines, s.links(c, &one)...)
		return look.Panel{Title: look.Text(one.ID)}.Draw(t, lines, w, h)
	}
	return look.Beside(look.Panel{Title: look.Text(one.ID)}.Draw(t, lines, w-links, h), look.Panel{Title: "Links"}.Draw(t, s.links(c, &one), links, h))
}

// about are the lines on one.
func (s *Screen) about(c *screen.Context, w *mezu.Warpgate) []string {
	t := c.Theme
	line := func(name, value string) string {
		return t.Paint(look.Quiet, t.Fit(name, 16)) + look.Text(value)
	}
	certificate := w.Serial
	here, local := s.here[w.ID]
	if local && !here.CertificateEnds.IsZero() {
		certificate = shorten(t, certificate) + "  " + look.Left(here.CertificateEnds.Sub(c.Now)) + " left"
	}
	var out []string
	if w.Name != "" {
		out = append(out, line("machine", w.Name))
	}
	out = append(out, line("registered by", w.RegisteredBy), line("certificate", certificate))
	bundle := look.Position(w.Bundle)
	if w.Bundle.IsZero() {
		bundle = "none yet"
	} else if lag, ok := s.State.Lags[w.ID]; ok {
		bundle = lag.Text(c.Now)
	}
	out = append(out, line("bundle", bundle))
	if local {
		targets := append([]string{here.Target}, here.AllowTargets...)
		out = append(out, line("targets", strings.Join(targets, " ")), line("tunnel", here.Name))
	}
	if !w.LastSeenAt.IsZero() {
		out = append(out, line("last seen", w.LastSeenAt.Local().Format(time.DateTime)))
	}
	return append(out, line("registered", w.CreatedAt.Local().Format(time.DateTime)))
}

// shorten gives the first digits of a long number.
func shorten(t *look.Theme, s string) string {
	const digits = 8
	if len(s) <= digits {
		return s
	}
	return s[:digits] + t.Ellipsis
}

// links are its links as this machine knows them, else the edges that hold one.
func (s *Screen) links(c *screen.Context, w *mezu.Warpgate) []string {
	t := c.Theme
	here, ok := s.here[w.ID]
	if !ok {
		var out []string
		for _, e := range w.Edges {
			out = append(out, t.Paint(look.Good, t.Up)+" "+look.Text(e))
		}
		if len(out) == 0 {
			out = []string{t.Paint(look.Quiet, "no edge holds one")}
		}
		return out
	}
	var out []string
	for _, l := range here.Links {
		sign := t.Paint(look.Bad, t.Down)
		switch l.State {
		case mezu.LinkConnected:
			sign = t.Paint(look.Good, t.Up)
		case mezu.LinkConnecting, mezu.LinkDraining:
			sign = t.Paint(look.Warn, t.Partly)
		}
		out = append(out, sign+" "+t.Fit(look.Text(l.Name), 7)+" "+look.Text(l.Address))
		detail := fmt.Sprintf("  %s  %d con  %s", look.Took(l.RoundTripMS), l.Connections, look.Ago(c.Now.Sub(l.Since)))
		if l.Error != "" {
			detail = "  " + look.Text(l.Error)
		}
		out = append(out, detail)
	}
	if lost, ok := s.lost[w.ID]; ok {
		out = append(out, "lost "+lost.at.Local().Format(time.TimeOnly)+":", look.Text(lost.why))
	}
	return out
}

// wayPanel is the way of a request.
func (s *Screen) wayPanel(c *screen.Context, w, h int) []string {
	t := c.Theme
	p := look.Panel{Title: "A request now, hop by hop", Right: "p asks"}
	if h < 2 {
		return t.Block([]string{p.Fold(t, w)}, w, max(0, h))
	}
	var lines []string
	switch r := s.report; {
	case s.probing:
		p.Right = t.Ellipsis
	case s.err != nil:
		lines = list.Trouble(t, s.err, w-4)
	case r == nil:
		lines = []string{t.Paint(look.Quiet, "p sends one to the edge and through the Warpgate; the workload sees none")}
	}
	if s.report != nil && s.err == nil {
		if !s.probing {
			p.Right = "p again"
		}
		lines = append(way(t, s.report.Hops, w-4), look.Text(strings.Join(s.report.Notes, "   ")))
		if s.report.Detail != "" {
			lines = append(lines[:len(lines)-1], t.Paint(look.Bad, look.Text(s.report.Detail)))
			if s.report.Hint != "" {
				lines = append(lines, "try: "+look.Text(s.report.Hint))
			}
		}
	}
	return p.Draw(t, lines, w, h)
}

// way draws hops, and how each is below it.
func way(t *look.Theme, hops []Hop, w int) []string {
	names, signs := "", ""
	for i, hop := range hops {
		if i > 0 {
			line := t.Horizontal + t.Horizontal
			took := ""
			if hop.MS > 0 {
				took = look.Took(hop.MS)
			}
			names += " " + line + took + line + " "
		}
		sign := t.Paint(look.Quiet, t.Waiting)
		switch hop.State {
		case Up:
			sign = t.Paint(look.Good, t.Up)
		case Failed:
			sign = t.Paint(look.Bad, t.Down)
		}
		if hop.Note != "" {
			sign += " " + look.Text(hop.Note)
		}
		signs = t.Fit(signs, look.Width(names)+1) + sign
		names += look.Text(hop.Name)
	}
	return []string{t.Cut(names, w), t.Cut(signs, w)}
}

// listAt is where the list is.
func (s *Screen) listAt(c *screen.Context) look.Rect {
	return look.Rect{W: c.Width - c.Aside(), H: s.listHeight(c)}
}

// Click selects a Warpgate; twice shows all that is known of it.
func (s *Screen) Click(c *screen.Context, x, y int, twice bool) tea.Cmd {
	if s.List.Click(s.listAt(c), x, y) {
		s.Full = s.Full || twice
	}
	return nil
}

// Wheel scrolls the list if it is turned there.
func (s *Screen) Wheel(c *screen.Context, x, y, by int) tea.Cmd {
	s.List.Wheel(s.listAt(c), x, y, by)
	return nil
}
