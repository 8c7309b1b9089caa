package status

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/mezusphere/mezu/cli/terminal"
)

// widest is how wide the drawing may be where no terminal says how wide it is: as the smallest
// usual one. What is wider comes in lines.
const widest = 80

// indent is how far lines of hops are indented, and what is said of them is apart.
const indent = 2

// shownID is how much of an id tells it from others.
const shownID = 7

// draw is the way as a person looks at it.
func (r Report) draw(s terminal.Streams) string {
	name := fmt.Sprintf("%s/%s/%s   ", terminal.Clean(r.Organization), terminal.Clean(r.Project), terminal.Clean(r.Environment))
	head := s.Beside(name, terminal.Wide(name), terminal.Clean(r.URL)) + "\n"
	way, signs := "  ", ""
	// at is how far behind the beginning of a hop its sign stands.
	at := [...]int{1, 2, 2, 4}
	for i, h := range r.Hops {
		if i > 0 {
			way += " " + line(s, h.MS) + " "
		}
		signs += strings.Repeat(" ", max(1, terminal.Wide(way)+at[min(i, len(at)-1)]-terminal.Wide(signs)))
		way += h.label(s)
		signs += h.sign(s)
	}
	room := cmp.Or(s.Width(), widest)
	if terminal.Wide(way) <= room && terminal.Wide(signs) <= room {
		return head + way + "\n" + signs + "\n\n"
	}
	var b strings.Builder
	b.WriteString(head)
	width := 0
	for _, h := range r.Hops {
		width = max(width, terminal.Wide(h.label(s))+indent)
	}
	for _, h := range r.Hops {
		took := ""
		if h.MS > 0 {
			took = "  " + Millis(h.MS)
		}
		b.WriteString(s.Beside("  "+h.label(s), width+indent, h.sign(s)+took))
	}
	return b.String() + "\n"
}

// line is the way from one hop to the next.
func line(s terminal.Streams, ms float64) string {
	dash := "─"
	if !s.Unicode {
		dash = "-"
	}
	if ms == 0 {
		return strings.Repeat(dash, 4)
	}
	return dash + dash + Millis(ms) + dash + dash
}

// Millis is a time in milliseconds as people read it.
func Millis(ms float64) string {
	if ms < 1 {
		return "<1 ms"
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// label is a hop with its name.
func (h Hop) label(s terminal.Streams) string {
	name := terminal.Clean(h.Name)
	switch h.Hop {
	case "edge":
		return strings.TrimSpace("edge " + name)
	case "warpgate":
		return strings.TrimSpace("Warpgate " + shorten(s, name))
	case "workload":
		return or(name, "workload")
	}
	return h.Hop
}

// shorten cuts an id.
func shorten(s terminal.Streams, id string) string {
	if !strings.Contains(id, "_") || len(id) <= shownID {
		return id
	}
	if !s.Unicode {
		return id[:shownID] + "..."
	}
	return id[:shownID] + "…"
}

// sign is how a hop is.
func (h Hop) sign(s terminal.Streams) string {
	sign := "?"
	switch h.State {
	case OK:
		sign = s.Sign(terminal.Good)
	case Failed:
		sign = s.Sign(terminal.Bad)
	}
	return strings.TrimSpace(sign + " " + terminal.Clean(h.Detail))
}
