package requests

import (
	"errors"
	"maps"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// sideWidth and detailWidth are those of the outer two of three columns.
	sideWidth   = 48
	detailWidth = 72
	// foldBelow is the height of the view below which only the panel with the focus is open:
	// 20 rows of the terminal.
	foldBelow = 17
)

// places is what lies where.
type places struct{ head, side, list, detail look.Rect }

// places are those of a view of w by h cells.
func (s *Screen) places(c *screen.Context, w, h int) places {
	p := places{head: look.Rect{W: w, H: min(1, h)}}
	if s.part {
		p.head.H = 0
	}
	y, rest := p.head.H, max(0, h-p.head.H)
	switch layout := screen.LayoutOf(w); {
	case s.full && s.detail.part == partFrames:
		top := max(min(rest, 4), rest*9/20)
		p.list = look.Rect{Y: y, W: w, H: top}
		p.detail = look.Rect{Y: y + top, W: w, H: rest - top}
	case s.full, layout == screen.Column && s.focus == onDetail:
		p.detail = look.Rect{Y: y, W: w, H: rest}
	case layout == screen.Column:
		p.list = look.Rect{Y: y, W: w, H: rest}
	case layout == screen.Stacked && h < foldBelow && s.focus == onList:
		p.list = look.Rect{Y: y, W: w, H: rest - 1}
		p.detail = look.Rect{Y: y + rest - 1, W: w, H: 1}
	case layout == screen.Stacked && h < foldBelow:
		p.list = look.Rect{Y: y, W: w, H: 1}
		p.detail = look.Rect{Y: y + 1, W: w, H: rest - 1}
	case layout == screen.Stacked:
		top := rest * 2 / 5
		p.list = look.Rect{Y: y, W: w, H: top}
		p.detail = look.Rect{Y: y + top, W: w, H: rest - top}
	case layout == screen.Beside || s.side == nil:
		right := w * 9 / 20
		p.list = look.Rect{Y: y, W: w - right, H: rest}
		p.detail = look.Rect{X: w - right, Y: y, W: right, H: rest}
	default:
		p.side = look.Rect{Y: y, W: sideWidth, H: rest}
		p.list = look.Rect{X: sideWidth, Y: y, W: w - sideWidth - detailWidth, H: rest}
		p.detail = look.Rect{X: w - detailWidth, Y: y, W: detailWidth, H: rest}
	}
	return p
}

// page is how many rows of the list are shown.
func (s *Screen) page(p places) int { return max(1, p.list.Body()-1) }

// View draws the screen.
func (s *Screen) View(c *screen.Context, w, h int) []string {
	return c.Theme.Signs(s.view(c, w, h))
}

func (s *Screen) view(c *screen.Context, w, h int) []string {
	p := s.places(c, w, h)
	var out []string
	if s.full {
		out = append(out, s.headLine(c, w))
		if p.list.H > 0 {
			out = append(out, s.framesPanel(c, p.list)...)
		}
		return c.Theme.Block(append(out, s.detailPanel(c, p.detail)...), w, h)
	}
	if !s.part {
		out = append(out, s.filterLine(c, w))
	}
	switch {
	case p.side.W > 0:
		out = append(out, look.Beside(s.side.Side(c, p.side.W, p.side.H), s.listPanel(c, p.list), s.detailPanel(c, p.detail))...)
	case p.detail.X > 0:
		out = append(out, look.Beside(s.listPanel(c, p.list), s.detailPanel(c, p.detail))...)
	default:
		if p.list.H > 0 {
			out = append(out, s.listPanel(c, p.list)...)
		}
		if p.detail.H > 0 {
			out = append(out, s.detailPanel(c, p.detail)...)
		}
	}
	return c.Theme.Block(out, w, h)
}

// filterLine is the line above the list: what is chosen, of how much.
func (s *Screen) filterLine(c *screen.Context, w int) string {
	t := c.Theme
	right := s.kept(c)
	switch {
	case s.log.err != nil && s.away == nil:
		right = t.Paint(look.Bad, escaped(s.log.err.Error()))
	case c.Layout == screen.Column && s.typing:
		right = ""
	}
	right = t.Cut(right, w-min(w/3, 20))
	room := w - look.Width(right) - 3
	text := t.Fit(" / ", 3)
	switch {
	case s.typing:
		text += s.filter.View(t, room-1, true)
	case s.filter.Value() != "":
		text += look.Head(s.filter.Value(), room)
	default:
		text += t.Paint(look.Quiet, t.Cut("method: status: path: dur: is: text: or a part of the path", max(0, room-1)))
	}
	return t.Ends(t.Cut(text, room+2), right, w)
}

// kept says how much is kept, and what is not.
func (s *Screen) kept(c *screen.Context) string {
	is := s.state(c)
	switch thinned := s.Thinned(c); {
	case !s.log.answered:
		return ""
	case thinned != "":
		return thinned
	case c.Layout == screen.Column:
		return look.Count(is.Kept) + " kept"
	}
	out := look.Count(is.Kept) + " kept  " + mebibytes(is.Bytes) + " of " + mebibytes(is.MaxBytes) + " MiB"
	if is.Pinned > 0 {
		out += "  " + look.Count(is.Pinned) + " pinned"
	}
	if is.LeftOut > 0 {
		out += "  " + look.Count(int(is.LeftOut)) + " only counted"
	}
	return out
}

// state is how the inspector is, or was when the dashboard was paused.
func (s *Screen) state(c *screen.Context) *local.InspectorState {
	if c.Paused {
		return &s.still
	}
	return &s.log.state
}

// Thinned says what is not kept of requests, because there are so many; it is empty if all is.
func (s *Screen) Thinned(c *screen.Context) string {
	many, what := "", ""
	switch s.state(c).Depth {
	case mezu.DepthHeads:
		many, what = "many requests: ", "bodies are left out"
	case mezu.DepthNone:
		many, what = "too many requests: ", "only failures are kept"
	default:
		return ""
	}
	if c.Layout == screen.Column {
		many = ""
	}
	return c.Theme.Paint(look.Warn, many+what)
}

func mebibytes(n int64) string { return look.Count(int((n + 1<<19) >> 20)) }

// listPanel is the list of requests.
func (s *Screen) listPanel(c *screen.Context, r look.Rect) []string {
	p := look.Panel{Title: "Requests", Right: s.listRight(c), Focused: s.focus == onList && !s.unfocused, Flush: true}
	if r.H == 1 {
		return []string{p.Fold(c.Theme, r.W)}
	}
	w, page := r.W-3, max(1, r.Body()-1)
	if len(s.list.rows) == 0 {
		return p.Draw(c.Theme, s.empty(c, w), r.W, r.H)
	}
	top := keymap.Scroll(s.list.top, s.list.at, len(s.list.rows), page)
	rows := s.list.rows[top:min(len(s.list.rows), top+page)]
	b := table(c, rows, w, s.marked)
	if b.Selected = s.list.at - top; s.unfocused {
		b.Selected = -1
	}
	return p.Draw(c.Theme, b.Draw(c.Theme, w), r.W, r.H)
}

// Recent are lines of w cells about the newest requests, for a panel of another screen.
func (s *Screen) Recent(c *screen.Context, w, h int) []string {
	if len(s.list.rows) == 0 {
		return s.empty(c, w)
	}
	top := keymap.Scroll(s.list.top, s.list.at, len(s.list.rows), h)
	at := s.list.at - top
	if s.unfocused {
		at = -1
	}
	return c.Theme.Signs(recent(c, s.list.rows[top:], at, w, h))
}

// ClickRecent selects a row of what Recent drew of page of them; twice opens it.
func (s *Screen) ClickRecent(c *screen.Context, row, page int, twice bool) tea.Cmd {
	at := keymap.Scroll(s.list.top, s.list.at, len(s.list.rows), page) + row
	if row < 0 || row >= page || at >= len(s.list.rows) {
		return nil
	}
	s.list.put(at, page)
	if twice {
		return s.act(c, actWhole)
	}
	return nil
}

// listRight is where in the list the cursor is, and what has come since.
func (s *Screen) listRight(c *screen.Context) string {
	if len(s.list.rows) == 0 {
		return s.thinnedPart(c)
	}
	out := look.Count(s.list.at+1) + " of " + look.Count(len(s.list.rows))
	if n := s.list.fresh(); n > 0 {
		out = c.Theme.More + " " + look.Count(n) + " new   " + out
	}
	for _, more := range []string{s.stale(c), s.thinnedPart(c)} {
		if more != "" {
			out = more + "   " + out
		}
	}
	return out
}

// thinnedPart is Thinned where there is no line of the filter to say it.
func (s *Screen) thinnedPart(c *screen.Context) string {
	if s.part {
		return s.Thinned(c)
	}
	return ""
}

// stale says how old what is shown is, if it could not be asked for.
func (s *Screen) stale(c *screen.Context) string {
	if s.log.err == nil || s.log.got.IsZero() || mezu.CodeOf(s.log.err) == mezu.CodeInvalid {
		return ""
	}
	what := "not answered"
	if s.away != nil {
		what = "daemon away"
	}
	return what + ", " + look.Ago(c.Now.Sub(s.log.got)) + " old"
}

// empty says why there are no rows.
func (s *Screen) empty(c *screen.Context, w int) []string {
	t := c.Theme
	say := func(lines ...string) []string {
		var out []string
		for _, l := range lines {
			for _, one := range look.Wrap(l, w) {
				out = append(out, t.Paint(look.Quiet, one))
			}
		}
		return out
	}
	switch {
	case s.away != nil && !errors.Is(s.away, local.ErrNotRunning):
		return say(escaped(s.away.Error()))
	case s.away != nil:
		return say("no daemon is running here, so there are no requests", "try: mezu tunnel 8080, or n on screen 1")
	case s.log.err != nil:
		return say(escaped(s.log.err.Error()))
	case !s.log.answered:
		return say(t.Ellipsis)
	case s.log.filter != "" && !s.part && s.log.state.Kept > 0:
		return say("none of "+look.Count(s.log.state.Kept)+" requests is like that; esc clears the filter", "method:POST status:5xx path:/hooks/* dur:>500ms is:ws text:refund")
	}
	lines := []string{"no request yet; they show here as they come"}
	for _, name := range slices.Sorted(maps.Values(s.uninspected)) {
		if s.part && s.log.filter != "tunnel:"+name {
			continue
		}
		lines = append(lines, escaped(name)+" was opened with --inspect off: nothing of it is kept")
	}
	return say(lines...)
}

// detailPanel is the request in its parts, or the selected frame.
func (s *Screen) detailPanel(c *screen.Context, r look.Rect) []string {
	t, d := c.Theme, &s.detail
	if s.onFrames() {
		title, right := d.frames.title(c)
		p := look.Panel{Title: title, Right: right}
		return p.Draw(t, d.frames.content(c, r.W-panelEdges, r.Body()), r.W, r.H)
	}
	p := look.Panel{Title: d.title(t), Focused: s.focus == onDetail && !s.unfocused || s.full}
	if r.H == 1 {
		return []string{p.Fold(t, r.W)}
	}
	body, more := d.view(c, r.W-panelEdges, r.Body(), p.Focused)
	if more > 0 {
		p.Right = t.More + " " + look.Count(more) + " more"
	}
	if d.err != nil && d.data != nil {
		what := "not answered"
		if mezu.CodeOf(d.err) == mezu.CodeNotFound {
			what = "not kept any more"
		}
		p.Right = what + ", " + look.Ago(c.Now.Sub(d.got)) + " old"
	}
	return p.Draw(t, body, r.W, r.H)
}

// framesPanel is the list of frames.
func (s *Screen) framesPanel(c *screen.Context, r look.Rect) []string {
	f := &s.detail.frames
	p := look.Panel{Title: "Frames", Right: f.right(c.Theme), Focused: true}
	return p.Draw(c.Theme, f.table(c, r.W-panelEdges, r.Body()), r.W, r.H)
}

// headLine is the line above the whole request.
func (s *Screen) headLine(c *screen.Context, w int) string {
	t := c.Theme
	if s.searching {
		return t.Fit(" search: "+s.search.View(t, w-11, true), w)
	}
	e, ok := s.list.selected()
	if !ok {
		return t.Fit(" "+t.Back+" esc", w)
	}
	left := " " + t.Back + " esc   " + escaped(e.Method) + " " + look.Head(e.Path+e.Query, w)
	status := " " + t.Arrow + " " + statusOf(c, &e)
	about := ""
	switch e.Kind {
	case mezu.ExchangeWebSocket:
		status += " WebSocket"
	case mezu.ExchangeEvents:
		status += " events"
	case mezu.ExchangeGRPC:
		status += " gRPC"
	}
	if e.Open {
		about = "   open " + look.Took(running(c, &e))
	} else {
		about = "   " + look.Took(e.DurationMS)
	}
	if x := s.detail.extensions(); x != "" {
		about += "  " + x
	}
	room := max(w/2, w-look.Width(status)-look.Width(about))
	return t.Fit(t.Cut(left, room)+status+about, w)
}

// extensions are those of a WebSocket, as both sides agreed on them.
func (d *detail) extensions() string {
	if d.data == nil || d.answer() == nil {
		return ""
	}
	for _, f := range d.answer().Fields {
		if strings.EqualFold(f.Name, "Sec-WebSocket-Extensions") {
			first, _, _ := strings.Cut(f.Value, ";")
			return look.Head(first, leastNames+2)
		}
	}
	return ""
}

// scrollTo has the line of the cursor be seen.
func (s *Screen) scrollTo(c *screen.Context) {
	s.detail.put(c, s.detail.at, s.places(c, c.Width, c.Height).detail)
}

// scrollFrame scrolls the content of a frame.
func (s *Screen) scrollFrame(c *screen.Context, a keymap.Action) {
	f := &s.detail.frames
	by := max(1, s.places(c, c.Width, c.Height).detail.Body()/2)
	if a == actLess {
		by = -by
	}
	f.scroll = max(0, min(f.scroll+by, len(f.body.lines)-1))
}

// Click selects what is there.
func (s *Screen) Click(c *screen.Context, x, y int, twice bool) tea.Cmd {
	p := s.places(c, c.Width, c.Height)
	var cmd tea.Cmd
	switch {
	case p.head.Has(x, y) && !s.full:
		s.typing = true
	case p.list.Has(x, y) && s.full:
		f := &s.detail.frames
		page := p.list.Body() - 1
		if i := y - p.list.Y - 2; i >= 0 && i < page {
			cmd = f.put(c, keymap.Scroll(f.top, f.at, len(f.rows), page)+i, page)
		}
	case p.list.Has(x, y):
		s.focus = onList
		page := s.page(p)
		i := y - p.list.Y - 2
		if at := keymap.Scroll(s.list.top, s.list.at, len(s.list.rows), page) + i; i >= 0 && i < page && at < len(s.list.rows) {
			s.detail.conceal(c)
			s.list.put(at, page)
			if twice {
				cmd = s.act(c, actWhole)
			}
		}
	case p.detail.Has(x, y):
		s.focus = onDetail
		d, w := &s.detail, p.detail.W-panelEdges
		if row := y - p.detail.Y - 1; row >= 0 && row < p.detail.Body() && !s.onFrames() {
			if at := d.lineAt(c.Theme, d.topFor(c.Theme, w, p.detail.Body()), row, w); at < len(d.lines) {
				d.conceal(c)
				d.put(c, at, p.detail)
			}
		}
		switch {
		case twice && s.part:
			cmd = s.act(c, actWhole)
		case twice:
			s.full = true
		}
	}
	return tea.Batch(cmd, s.follow(c))
}

// Wheel scrolls what is there.
func (s *Screen) Wheel(c *screen.Context, x, y, by int) tea.Cmd {
	p := s.places(c, c.Width, c.Height)
	switch {
	case p.list.Has(x, y) && s.full:
		f := &s.detail.frames
		return f.put(c, f.at+by, p.list.Body()-1)
	case p.list.Has(x, y):
		s.list.scroll(by, s.page(p))
	case p.detail.Has(x, y) && s.onFrames():
		f := &s.detail.frames
		f.scroll = max(0, min(f.scroll+by, len(f.body.lines)-1))
	case p.detail.Has(x, y):
		s.detail.wheel(c, by, p.detail)
	}
	return s.follow(c)
}
