package tunnels

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"rsc.io/qr"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// quiet is the margin of a QR code in modules. The standard says four; cameras take two.
const quiet = 2

// code is an address as a QR code, over the screen.
type code struct{ url string }

var _ screen.Overlay = (*code)(nil)

// Footer are its keys.
func (q *code) Footer(*screen.Context) keymap.Map {
	return keymap.Map{{Show: "c", Footer: "copy"}, {Show: "esc", Footer: "close"}}
}

// Key takes a key.
func (q *code) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	if k.String() == "c" || k.String() == "y" {
		return screen.Cmd(screen.Copy{What: "the URL", Text: q.url})
	}
	return screen.Cmd(screen.Close{})
}

// Take takes nothing.
func (q *code) Take(*screen.Context, tea.Msg) tea.Cmd { return nil }

// View draws it. It is dark on light on terminals that are dark; where there is no room for it, it
// says so.
func (q *code) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	lines := []string{"a QR code needs a larger terminal", look.Head(q.url, w)}
	if made, err := qr.Encode(q.url, qr.L); err != nil {
		lines = []string{look.Head(err.Error(), 512)}
	} else if drawn := draw(t, made); len(drawn)+2 <= h && look.Width(drawn[0])+4 <= w {
		lines = drawn
	}
	wide := 0
	for _, l := range lines {
		wide = max(wide, look.Width(l)+4)
	}
	wide, tall := min(wide, w), min(len(lines)+2, h)
	p := look.Panel{Title: "QR", Right: "esc closes", Focused: true}
	return t.Put(under, p.Draw(t, lines, wide, tall), (w-wide)/2, (h-tall)/2)
}

// draw draws two modules in one cell where there are half blocks, else one in two.
func draw(t *look.Theme, made *qr.Code) []string {
	half := !t.ASCII
	light := func(x, y int) bool { return !made.Black(x, y) }
	step := 1
	if half {
		step = 2
	}
	var out []string
	for y := -quiet; y < made.Size+quiet; y += step {
		var b strings.Builder
		for x := -quiet; x < made.Size+quiet; x++ {
			upper, lower := light(x, y), light(x, y+1)
			switch {
			case !half && upper:
				b.WriteString("##")
			case !half:
				b.WriteString("  ")
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		out = append(out, b.String())
	}
	return out
}
