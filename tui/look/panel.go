package look

import "strings"

// Panel is a frame with a title on the left of its upper edge and a word on the right.
type Panel struct {
	Title, Right string
	Focused      bool
	// Flush gives the body the margin on the right too, where lists have their signs.
	Flush bool
}

// Draw gives h lines of w cells: the frame, and what is in it. The body gets w-4 cells of each
// line, w-3 if it is flush; what it has more is cut.
func (p Panel) Draw(t *Theme, body []string, w, h int) []string {
	if w < 4 || h < 2 {
		return t.Block(nil, w, h)
	}
	tone := Quiet
	if p.Focused {
		tone = Accent
	}
	edge := func(s string) string { return t.Paint(tone, s) }
	out := make([]string, 0, h)
	out = append(out, p.top(t, tone, w))
	room, margin := w-4, " "
	if p.Flush {
		room, margin = w-3, ""
	}
	for _, line := range t.Block(body, room, h-2) {
		out = append(out, edge(t.Vertical)+" "+line+margin+edge(t.Vertical))
	}
	return append(out, edge(t.BottomLeft+strings.Repeat(t.Horizontal, w-2)+t.BottomRight))
}

// Fold gives the panel's title line alone.
func (p Panel) Fold(t *Theme, w int) string {
	tone := Quiet
	if p.Focused {
		tone = Accent
	}
	return p.top(t, tone, w)
}

// top is the upper edge.
func (p Panel) top(t *Theme, tone Tone, w int) string {
	title, right := p.Title, p.Right
	if title != "" {
		title = " " + title + " "
	}
	if right != "" {
		right = " " + right + " "
	}
	room := w - 2
	if Width(right) > room-Width(title) { // the title says what it is
		right = ""
	}
	title = t.Cut(title, room)
	line := strings.Repeat(t.Horizontal, max(0, room-Width(title)-Width(right)))
	name := title
	if p.Focused {
		name = t.Paint(Accent, title)
	}
	return t.Paint(tone, t.TopLeft) + name + t.Paint(tone, line) + right + t.Paint(tone, t.TopRight)
}
