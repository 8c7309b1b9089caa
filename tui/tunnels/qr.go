package tunnels

import (
	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

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

// View draws it. Where there is no room for it, it says so.
func (q *code) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	lines := []string{"a QR code needs a larger terminal", look.Head(q.url, w)}
	if drawn, err := t.QR(q.url); err != nil {
		lines = []string{look.Head(err.Error(), 512)}
	} else if len(drawn)+2 <= h && look.Width(drawn[0])+4 <= w {
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
