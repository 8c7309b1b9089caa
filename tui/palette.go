package tui

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// maxOffers bounds the lines of the palette: all tunnels, environments and projects of an
	// organization that somebody would look for by name.
	maxOffers = 1000
	// paletteWidth and paletteRows are how large it is drawn where there is room.
	paletteWidth = 58
	paletteRows  = 8
)

// palette finds screens, things and actions by a few letters of their names.
type palette struct {
	offers []screen.Offer
	typed  string
	hits   []int // indexes of offers, best first
	at     int
}

func newPalette(m *model) *palette {
	p := &palette{}
	for i, s := range m.cfg.Screens {
		p.offers = append(p.offers, screen.Offer{Text: s.Title(), Key: m.tab(i)[:1], Do: screen.Cmd(screen.GoTo{Screen: i + 1})})
	}
	c := m.c
	for _, b := range m.screen().Keys(&c) {
		if b.Palette != "" {
			p.offers = append(p.offers, screen.Offer{Text: b.Palette, Key: b.Label(), Do: screen.Cmd(pressed{b.Keys[0]})})
		}
	}
	for _, s := range parts(m.cfg) {
		if offering, ok := s.(screen.Offering); ok {
			p.offers = append(p.offers, offering.Offers(&c)...)
		}
	}
	for _, b := range m.everywhere {
		if b.Palette != "" {
			p.offers = append(p.offers, screen.Offer{Text: b.Palette, Key: b.Label(), Do: screen.Cmd(pressed{b.Keys[0]})})
		}
	}
	p.offers = p.offers[:min(len(p.offers), maxOffers)]
	p.look()
	return p
}

// pressed is a key that was chosen in the palette.
type pressed struct{ key string }

// look finds what fits the letters.
func (p *palette) look() {
	type ranked struct{ index, rank int }
	var all []ranked
	for i, o := range p.offers {
		if rank, ok := fuzzy(p.typed, o.Text); ok {
			all = append(all, ranked{i, rank})
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	p.hits, p.at = p.hits[:0], 0
	for _, r := range all {
		p.hits = append(p.hits, r.index)
	}
}

// fuzzy reports whether text has the letters of typed in their order, whatever lies between. The
// rank is lower the better: letters side by side and at the begins of words count more.
func fuzzy(typed, text string) (rank int, ok bool) {
	letters := []rune(strings.ToLower(typed))
	if len(letters) == 0 {
		return 0, true
	}
	if i := strings.Index(strings.ToLower(text), string(letters)); i >= 0 {
		if i == 0 {
			return -2000 + len(text), true
		}
		if before := rune(text[i-1]); !unicode.IsLetter(before) {
			return -1500 + len(text), true
		}
		return -1000 + i + len(text), true
	}
	next, last := 0, -1
	for i, r := range []rune(strings.ToLower(text)) {
		if next < len(letters) && r == letters[next] {
			if last >= 0 {
				rank += i - last
			}
			next, last = next+1, i
		}
	}
	return rank + len(text), next == len(letters)
}

// Footer are its keys.
func (p *palette) Footer(*screen.Context) keymap.Map {
	return keymap.Map{{Show: "↑↓", Footer: "choose"}, {Show: "enter", Footer: "do"}, {Show: "tab", Footer: "complete"}, {Show: "esc", Footer: "close"}}
}

// Key takes a key.
func (p *palette) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		return screen.Cmd(screen.Close{})
	case "up", "ctrl+p":
		p.at = max(0, p.at-1)
	case "down", "ctrl+n":
		p.at = max(0, min(len(p.hits)-1, p.at+1))
	case "tab":
		if p.at < len(p.hits) {
			p.typed = p.offers[p.hits[p.at]].Text
			p.look()
		}
	case "enter":
		if p.at < len(p.hits) {
			return tea.Sequence(screen.Cmd(screen.Close{}), p.offers[p.hits[p.at]].Do)
		}
	case "backspace":
		if r := []rune(p.typed); len(r) > 0 {
			p.typed = string(r[:len(r)-1])
			p.look()
		}
	default:
		if (k.Type == tea.KeyRunes || k.Type == tea.KeySpace) && len(p.typed) < maxTyped {
			p.typed += string(k.Runes)
			p.look()
		}
	}
	return nil
}

// Take does nothing: the palette is of the moment in which it was opened.
func (p *palette) Take(*screen.Context, tea.Msg) tea.Cmd { return nil }

// rect is where it is drawn over a screen of w by h cells.
func (p *palette) rect(w, h int) look.Rect {
	wide, rows := min(paletteWidth, w-2), min(paletteRows, h-4)
	return look.Rect{X: (w - wide) / 2, Y: max(0, min(4, h-rows-2)), W: wide, H: rows + 2}
}

// first is the index of the first line that is shown of rows, below the one in which somebody
// types.
func (p *palette) first(rows int) int { return max(0, min(p.at-rows+2, len(p.hits)-rows+1)) }

// Click chooses a line; twice does it.
func (p *palette) Click(c *screen.Context, x, y int, twice bool) tea.Cmd {
	r := p.rect(c.Width, c.Height)
	row := y - r.Y - 2
	if at := p.first(r.Body()) + row; r.Has(x, y) && row >= 0 && row < r.Body()-1 && at < len(p.hits) {
		p.at = at
		if twice {
			return p.Key(c, tea.KeyMsg{Type: tea.KeyEnter})
		}
	}
	return nil
}

// View draws it over the screen.
func (p *palette) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	r := p.rect(w, h)
	wide, rows := r.W, r.Body()
	lines := []string{"> " + look.Text(p.typed) + t.Cursor}
	first := p.first(rows)
	for i := first; i < len(p.hits) && i < first+rows-1; i++ {
		o := p.offers[p.hits[i]]
		line := t.Ends("  "+look.Text(o.Text), o.Key+" ", wide-4)
		if i == p.at {
			line = t.Select(t.Ends(t.Selected+" "+look.Text(o.Text), o.Key+" ", wide-4))
		}
		lines = append(lines, line)
	}
	panel := look.Panel{Title: "Go to or do", Right: look.Count(len(p.hits)) + " of " + look.Count(len(p.offers)), Focused: true}
	return t.Put(under, panel.Draw(t, lines, r.W, r.H), r.X, r.Y)
}
