package tunnels

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// linksWidth is that of the panels right of the details, detailRows the rows in them.
	linksWidth = 26
	detailRows = 6
	// leastRequests is the least height of the last requests, leastList that of the list.
	leastRequests = 5
	leastList     = 5
	// foldBelow is the height of the view below which only the panel with the focus is open:
	// 20 rows of the terminal.
	foldBelow = 17
	// sideWidth is that of the first of three columns.
	sideWidth = 48
	// brief are the lines about a tunnel where there is one column.
	brief = 3
)

// places is what lies where.
type places struct{ list, detail, requests look.Rect }

// places are those of a view of w by h cells.
func (s *Screen) places(c *screen.Context, w, h int) places {
	var p places
	n := len(s.all)
	if n == 0 {
		n = leastList - 1 // room to say why
	}
	switch layout := screen.LayoutOf(w); {
	case layout == screen.Triple:
		top := max(leastList, min(n+3, h-(detailRows+2)-leastRequests))
		p.list = look.Rect{W: sideWidth, H: min(top, h)}
	case layout == screen.Column:
		top := max(3, min(n+2, h-brief-leastRequests))
		p.list = look.Rect{W: w, H: min(top, h)}
		p.detail = look.Rect{Y: top, W: w, H: brief}
		p.requests = look.Rect{Y: top + brief, W: w, H: max(0, h-top-brief)}
	case h < foldBelow && s.focus == onTunnels:
		p.list = look.Rect{W: w, H: h - 2}
		p.detail = look.Rect{Y: h - 2, W: w, H: 1}
		p.requests = look.Rect{Y: h - 1, W: w, H: 1}
	case h < foldBelow:
		p.list = look.Rect{W: w, H: 1}
		p.detail = look.Rect{Y: 1, W: w, H: 1}
		p.requests = look.Rect{Y: 2, W: w, H: h - 2}
	default:
		top := max(leastList, min(n+3, h-(detailRows+2)-leastRequests))
		p.list = look.Rect{W: w, H: top}
		p.detail = look.Rect{Y: top, W: w, H: detailRows + 2}
		p.requests = look.Rect{Y: top + detailRows + 2, W: w, H: h - top - detailRows - 2}
	}
	return p
}

// page is how many rows of the list are shown.
func (s *Screen) page(c *screen.Context) int {
	p := s.places(c, c.Width, c.Height)
	if c.Layout == screen.Column {
		return max(1, p.list.Body())
	}
	return max(1, p.list.Body()-1)
}

// View draws the screen.
func (s *Screen) View(c *screen.Context, w, h int) []string {
	t := c.Theme
	if screen.LayoutOf(w) == screen.Triple {
		return s.part.View(c, w, h)
	}
	p := s.places(c, w, h)
	out := s.listPanel(c, p.list)
	switch {
	case p.detail.H == brief:
		out = append(out, s.briefly(c, w)...)
	case p.detail.H == 1:
		out = append(out, look.Panel{Title: s.title()}.Fold(t, w))
	default:
		out = append(out, s.middle(c, w)...)
	}
	return t.Block(append(out, s.requestsPanel(c, p.requests)...), w, h)
}

// Side is the first of three columns.
func (s *Screen) Side(c *screen.Context, w, h int) []string {
	p := s.places(c, c.Width, h)
	out := s.listPanel(c, look.Rect{W: w, H: p.list.H})
	if rest := h - len(out); rest >= detailRows+2+leastRequests {
		out = append(out, s.details(c, w)...)
	}
	rest := h - len(out)
	links := look.Panel{Title: "Links"}
	if t, ok := s.selected(); ok && rest >= 2 {
		return c.Theme.Block(append(out, links.Draw(c.Theme, s.links(c, t, w-4, rest-2, true), w, rest)...), w, h)
	}
	return c.Theme.Block(out, w, h)
}

// title is that of the selected tunnel's panel.
func (s *Screen) title() string {
	if t, ok := s.selected(); ok {
		return look.Head(t.Environment, 40)
	}
	return "no tunnel"
}

// name is that of a tunnel as lists show it: without the project if it is the one that is looked
// at.
func name(c *screen.Context, t *mezu.Tunnel) string {
	if t.Project == c.Scope.Project && t.Name == mezu.TunnelName(t.Project, t.Environment) {
		return look.Head(t.Environment, 40)
	}
	return look.Head(t.Name, 60)
}

// listPanel is the list of tunnels.
func (s *Screen) listPanel(c *screen.Context, r look.Rect) []string {
	p := look.Panel{Title: "Tunnels", Right: s.right(c), Focused: s.focus == onTunnels}
	if r.H == 1 {
		return []string{p.Fold(c.Theme, r.W)}
	}
	w := r.W - 4
	if len(s.all) == 0 {
		return p.Draw(c.Theme, s.empty(c, w), r.W, r.H)
	}
	page := r.Body() - 1
	if c.Layout == screen.Column {
		page++
	}
	page = max(1, page)
	top := keymap.Scroll(s.top, s.at, len(s.all), page)
	b := s.table(c, s.all[top:min(len(s.all), top+page)], w)
	b.Selected = s.at - top
	return p.Draw(c.Theme, b.Draw(c.Theme, w), r.W, r.H)
}

// right says how many tunnels there are, and how old that is if the daemon is away.
func (s *Screen) right(c *screen.Context) string {
	if len(s.all) == 0 {
		return ""
	}
	n := 0
	for i := range s.all {
		if st := s.all[i].State; st == mezu.TunnelLive || st == mezu.TunnelPartly {
			n++
		}
	}
	out := strconv.Itoa(len(s.all)) + " · " + strconv.Itoa(n) + " up"
	if s.away != nil {
		out = "daemon away, " + look.Ago(c.Now.Sub(s.since)) + " old   " + out
	}
	return out
}

// empty says why there are no tunnels.
func (s *Screen) empty(c *screen.Context, w int) []string {
	t := c.Theme
	lines := []string{"no tunnel is open here", "n opens one, and so does: mezu tunnel 8080"}
	switch {
	case errors.Is(s.away, local.ErrNotRunning):
		lines = []string{"no daemon is running here, so no tunnel is open", "n opens one and starts it, and so does: mezu tunnel 8080"}
	case s.away != nil:
		lines = []string{look.Head(s.away.Error(), 512)}
	case !s.known:
		lines = []string{t.Ellipsis}
	}
	var out []string
	for _, l := range lines {
		for _, one := range look.Wrap(l, w) {
			out = append(out, t.Paint(look.Quiet, one))
		}
	}
	return out
}

// table are rows of tunnels in w cells.
func (s *Screen) table(c *screen.Context, all []mezu.Tunnel, w int) look.Table {
	t := c.Theme
	var b look.Table
	switch c.Layout {
	case screen.Column:
		b = look.Table{NoHead: true, Columns: []look.Column{{Width: 10, Grow: 1}, {Width: 1}, {Width: 6, Right: true}, {Width: 8, Right: true}}}
	case screen.Triple:
		b = look.Table{Columns: []look.Column{{Head: "NAME", Width: 12, Grow: 1}, {Width: 1}, {Head: "REQ/S", Width: 6, Right: true}, {Head: "120 s", Width: 12}, {Head: "P99", Width: 6, Right: true}}}
	default:
		b = look.Table{Columns: []look.Column{{Head: "NAME", Width: 14, Grow: 1}, {Head: "TARGET", Width: 17, Grow: 1}, {Head: "STATE", Width: 12}, {Head: "REQ/S", Width: 5, Right: true}, {Head: "P50", Width: 6, Right: true}, {Head: "P99", Width: 6, Right: true}, {Head: "ERR", Width: 6, Right: true}, {Width: 1, Rank: 1}}}
	}
	for i := range all {
		one := &all[i]
		sign, word, tone := s.state(t, one)
		rate, p50, p99, failed := t.Dash, t.Dash, t.Dash, t.Dash
		if up(one) {
			rate = look.Rate(one.Stats.PerSecond)
			if one.Stats.P99MS > 0 {
				p50, p99 = look.Took(one.Stats.P50MS), look.Took(one.Stats.P99MS)
			}
			if share, ok := shares(s.history[one.ID], one.Stats); ok {
				failed = percent(share[4])
			}
		}
		switch c.Layout {
		case screen.Column:
			if up(one) {
				rate = strconv.Itoa(int(one.Stats.PerSecond+0.5)) + "/s"
			} else {
				rate, p99 = "", ""
			}
			b.Rows = append(b.Rows, []look.Cell{{Text: name(c, one)}, {Text: sign, Tone: tone}, {Text: rate}, {Text: p99}})
		case screen.Triple:
			spark := t.Sparkline(s.history[one.ID].series(120, 12, false, rateOf), 12)
			b.Rows = append(b.Rows, []look.Cell{{Text: name(c, one)}, {Text: sign, Tone: tone}, {Text: rate}, {Text: spark, Tone: look.Accent}, {Text: p99}})
		default:
			state := sign + " " + word
			b.Columns[2].Width = max(b.Columns[2].Width, look.Width(state))
			b.Rows = append(b.Rows, []look.Cell{{Text: name(c, one)}, {Text: s.target(one)}, {Text: state, Tone: tone}, {Text: rate}, {Text: p50}, {Text: p99}, {Text: failed}, {}})
		}
	}
	return b
}

func rateOf(s sample) float64 { return s.rate }

func p99Of(s sample) float64 { return s.stats.P99MS }

// percent is a share as people read it.
func percent(share float64) string {
	v := share * 100
	if v > 0 && v < 9.95 {
		return fmt.Sprintf("%.1f %%", max(v, 0.1))
	}
	return fmt.Sprintf("%.0f %%", v)
}

// target is where a tunnel leads.
func (s *Screen) target(t *mezu.Tunnel) string {
	text := t.Target
	if s.cfg.Show != nil {
		text = s.cfg.Show(text)
	}
	return look.Head(text, 60)
}

// state is the sign of a tunnel's state, its word, and how good it is.
func (s *Screen) state(t *look.Theme, is *mezu.Tunnel) (sign, word string, tone look.Tone) {
	if doing := s.busy[is.ID]; doing != "" {
		return t.Partly, doing + " " + t.Ellipsis, look.Warn
	}
	switch is.State {
	case mezu.TunnelLive:
		return t.Up, "live", look.Good
	case mezu.TunnelPartly:
		n := 0
		for i := range is.Links {
			if is.Links[i].State == mezu.LinkConnected {
				n++
			}
		}
		return t.Partly, fmt.Sprintf("%d of %d up", n, len(is.Links)), look.Warn
	case mezu.TunnelNeedsLogin:
		return t.Waiting, "needs login", look.Warn
	case mezu.TunnelStarting:
		return t.Waiting, "starting", look.Warn
	case mezu.TunnelDraining:
		return t.Partly, "draining", look.Warn
	case mezu.TunnelDown:
		return t.Down, "down", look.Bad
	case mezu.TunnelStopped:
		return t.Down, "stopped", look.Quiet
	}
	return t.Waiting, look.Head(string(is.State), 12), look.Warn
}

// requestsPanel are the last requests of the selected tunnel.
func (s *Screen) requestsPanel(c *screen.Context, r look.Rect) []string {
	if r.H < 1 {
		return nil
	}
	p := look.Panel{Title: "Requests", Right: s.part.Thinned(c), Focused: s.focus == onRequests}
	if c.Layout != screen.Column && p.Right == "" {
		p.Right = "enter opens"
	}
	if r.H == 1 {
		return []string{p.Fold(c.Theme, r.W)}
	}
	if len(s.all) == 0 {
		return p.Draw(c.Theme, nil, r.W, r.H)
	}
	return p.Draw(c.Theme, s.part.Recent(c, r.W-4, r.Body()), r.W, r.H)
}

// Click selects what is there.
func (s *Screen) Click(c *screen.Context, x, y int, twice bool) tea.Cmd {
	p := s.places(c, c.Width, c.Height)
	if p.list.Has(x, y) {
		head := 2
		if c.Layout == screen.Column {
			head = 1
		}
		cmd := s.focused(c, onTunnels)
		page := s.page(c)
		if at := keymap.Scroll(s.top, s.at, len(s.all), page) + y - p.list.Y - head; y >= p.list.Y+head && at < len(s.all) {
			s.at = at
			cmd = tea.Batch(cmd, s.choice(c), s.lookAt(c), s.tell())
			if twice {
				cmd = tea.Batch(cmd, s.Act(c, actInspect))
			}
		}
		return cmd
	}
	if c.Layout == screen.Triple {
		at := onRequest
		if x < c.Width-72 {
			at = onRequests
		}
		if x < sideWidth {
			return nil
		}
		return tea.Batch(s.focused(c, at), s.part.Click(c, x, y, twice))
	}
	if p.requests.Has(x, y) {
		return tea.Batch(s.focused(c, onRequests), s.part.ClickRecent(c, y-p.requests.Y-1, p.requests.Body(), twice))
	}
	return nil
}

// Wheel scrolls what is there.
func (s *Screen) Wheel(c *screen.Context, x, y, by int) tea.Cmd {
	p := s.places(c, c.Width, c.Height)
	switch {
	case p.list.Has(x, y):
		page := s.page(c)
		s.at = max(0, min(s.at+by, len(s.all)-1))
		s.top = keymap.Scroll(s.top, s.at, len(s.all), page)
		return tea.Batch(s.choice(c), s.lookAt(c), s.tell())
	case c.Layout == screen.Triple && x >= sideWidth:
		return s.part.Wheel(c, x, y, by)
	case p.requests.Has(x, y):
		s.part.ScrollRecent(by, p.requests.Body())
	}
	return nil
}

// hostOf is the Host header that a tunnel sends, if it isn't the visitor's.
func hostOf(t *mezu.Tunnel) string {
	switch t.HostHeader {
	case "", mezu.HostKeep:
		return ""
	case mezu.HostTarget:
		u, err := mezu.ParseUpstream(t.Target)
		switch {
		case err != nil: // a folder asks for none
			return ""
		case u.Scheme == mezu.UpstreamUnix:
			return "localhost"
		}
		host := u.Address[:strings.LastIndexByte(u.Address, ':')] // before a port, always
		return look.Head(strings.Trim(host, "[]"), 40)
	}
	return look.Head(t.HostHeader, 40)
}

// called is how people call a program.
func called(program string) string {
	if program == "" || strings.ContainsAny(program, "./ ") {
		return look.Head(program, 20)
	}
	return look.Head(strings.ToUpper(program[:1])+program[1:], 20)
}
