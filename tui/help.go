package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// help is the page of help: of the screen, then of everything. It is made of the maps that
// handle the keys.
type help struct {
	title            string
	here, everywhere keymap.Map
	top              int
	search           string
	typing           bool
}

func newHelp(m *model) *help {
	return &help{title: m.screen().Title(), here: m.screen().Keys(&m.c), everywhere: m.everywhere}
}

// manual is the page that m opens.
const manual = "https://github.com/mezusphere/mezu/blob/main/docs/dashboard.md"

// Footer are its keys.
func (h *help) Footer(*screen.Context) keymap.Map {
	return keymap.Map{{Show: "↑↓", Footer: "scroll"}, {Show: "/", Footer: "search in help"}, {Show: "m", Footer: "open the manual page"}, {Show: "esc", Footer: "close"}}
}

// Key takes a key.
func (h *help) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	if h.typing {
		switch k.Type {
		case tea.KeyEsc:
			h.typing, h.search = false, ""
		case tea.KeyEnter:
			h.typing = false
		case tea.KeyBackspace:
			if r := []rune(h.search); len(r) > 0 {
				h.search = string(r[:len(r)-1])
			}
		case tea.KeyRunes, tea.KeySpace:
			if len(h.search) < maxTyped {
				h.search += string(k.Runes)
			}
		}
		h.top = 0
		return nil
	}
	switch k.String() {
	case "esc", "?", "q":
		return screen.Cmd(screen.Close{})
	case "up", "k":
		h.top = max(0, h.top-1)
	case "down", "j":
		h.top = min(h.top+1, h.last(c.Theme, c.Width, c.Height))
	case "/":
		h.typing = true
	case "m":
		return screen.Cmd(screen.Browse{URL: manual})
	}
	return nil
}

// Take does nothing: nothing moves here.
func (h *help) Take(*screen.Context, tea.Msg) tea.Cmd { return nil }

// View draws the page in the place of the screen.
func (h *help) View(c *screen.Context, _ []string, w, height int) []string {
	t := c.Theme
	lines := h.sought(t, w)
	top := min(h.top, h.last(t, w, height))
	p := look.Panel{Title: "Help: " + h.title, Right: "esc closes", Focused: true}
	if h.typing {
		p.Right = "/ " + look.Text(h.search) + t.Cursor
	}
	return p.Draw(t, lines[top:], w, height)
}

// sought is what of the page is shown on a screen of so many cells.
func (h *help) sought(t *look.Theme, w int) []string {
	lines := h.lines(t, w-4)
	if h.search != "" {
		lines = matching(lines, h.search)
	}
	return lines
}

// last is the first line that is shown when the end of the page is.
func (h *help) last(t *look.Theme, w, height int) int {
	return max(0, len(h.sought(t, w))-(height-2))
}

// matching are the lines that have the text.
func matching(lines []string, text string) []string {
	var out []string
	for _, l := range lines {
		if strings.Contains(strings.ToLower(l), strings.ToLower(text)) {
			out = append(out, l)
		}
	}
	return out
}

// helpKeys is how wide the column of keys is.
const helpKeys = 10

// lines is all of the page.
func (h *help) lines(t *look.Theme, w int) []string {
	column := func(head string, m keymap.Map) []string {
		out := []string{t.Paint(look.Quiet, head)}
		for _, b := range m {
			if b.Help != "" {
				out = append(out, "  "+t.Paint(look.Accent, t.Fit(b.Label(), helpKeys))+" "+b.Help)
			}
		}
		return out
	}
	here, all := column("HERE", h.here), column("EVERYWHERE", h.everywhere)
	var lines []string
	if half := w / 2; half >= 36 {
		n := max(len(here), len(all))
		lines = look.Beside(t.Block(here, half, n), t.Block(all, w-half, n))
	} else {
		lines = append(append(here, ""), all...)
	}
	g := t.Glyphs
	return append(lines,
		t.Paint(look.Quiet, "SIGNS"),
		"  "+strings.Join([]string{g.Up + " live", g.Partly + " partly", g.Down + " stopped", g.Waiting + " needs login", g.Behind + " behind", g.Pinned + " pinned", g.Replay + " replay"}, "  "),
		t.Paint(look.Quiet, "FILTER")+"  method:POST status:5xx path:/hooks/* dur:>500ms is:ws text:refund",
		"",
		"Without a dashboard: mezu tunnel list · mezu requests list -f · mezu status",
		"As plain lines: --plain or ACCESSIBLE=1   Colours: NO_COLOR, --theme light",
	)
}
