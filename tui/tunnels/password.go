package tunnels

import (
	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// password is one that was made for a tunnel. It is kept nowhere, so it stays over the screen until
// somebody has read it.
type password struct{ id, tunnel, user, text string }

var _ screen.Overlay = (*password)(nil)

// Footer are its keys.
func (p *password) Footer(*screen.Context) keymap.Map {
	return keymap.Map{{Show: "c", Footer: "copy it"}, {Show: "esc", Footer: "close; it is not shown again"}}
}

// Key takes a key. What is pressed by mistake closes nothing.
func (p *password) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "c", "y":
		return screen.Cmd(screen.Copy{What: "the password", Text: p.text})
	case "esc", "enter", "q":
		return screen.Cmd(screen.Close{})
	}
	return nil
}

// Take takes nothing.
func (p *password) Take(*screen.Context, tea.Msg) tea.Cmd { return nil }

// View draws it over the screen.
func (p *password) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	const width, height = 60, 7
	lines := []string{"visitors of " + look.Head(p.tunnel, 40) + " type", "", t.Fit("user", 10) + look.Head(p.user, 40), t.Fit("password", 10) + t.Paint(look.Strong, look.Head(p.text, 40)), "it is kept nowhere and not shown again"}
	wide := min(width, w)
	panel := look.Panel{Title: "Password", Right: "c copies, esc closes", Focused: true}
	return t.Put(under, panel.Draw(t, lines, wide, min(height, h)), (w-wide)/2, max(0, (h-height)/3))
}
