// Package look is how the dashboard draws: themes, glyphs, and the pure functions that make
// lines of cells of text.
//
// What lives here: colours, frames, tables, sparklines, measures of text, units. What may not:
// keys, messages, state, I/O. Every line is exactly as wide as it was asked for, counted in
// cells by grapheme, and text from outside is escaped by whoever takes it in (Text, Cell).
// Packages of tui import it.
package look

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"github.com/mezusphere/mezu/qrcode"
	"github.com/mezusphere/mezu/visible"
)

// Tone is what a piece of text is for. Each has a job, and none is the only sign of a state.
type Tone uint8

// Tones.
const (
	Plain  Tone = iota
	Good        // up, answered
	Warn        // partly, late, masked
	Bad         // down, failed
	Accent      // focus, keys, the screen that is shown
	Quiet       // frames, heads of tables, what is less important
	Strong      // names
	tones
)

// Palette names a set of colours.
type Palette string

// Palettes. With Basic the terminal's own colours are used, with None only bold and reverse.
const (
	Dark  Palette = "dark"
	Light Palette = "light"
	Basic Palette = "16"
	None  Palette = "none"
)

// Theme paints text. It is immutable.
type Theme struct {
	Glyphs
	tones    [tones]paint
	selected paint
	paper    paint
}

// New makes a theme, for a terminal that shows all colours of its palette.
func New(p Palette, g Glyphs) *Theme { return theme(p, g, termenv.TrueColor) }

// Near makes a theme of the nearest of 256 colours, for a terminal of which nobody knows that it
// shows others.
func Near(p Palette, g Glyphs) *Theme { return theme(p, g, termenv.ANSI256) }

func theme(p Palette, g Glyphs, profile termenv.Profile) *Theme {
	switch p {
	case Basic, None: // without colours it is bold and reverse all the same
		profile = termenv.ANSI
	}
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(profile) // else it asks the environment of the process, whatever the option says
	t := &Theme{Glyphs: g}
	for tone, color := range colorsOf(p) {
		t.tones[tone] = paintOf(r.NewStyle().Foreground(lipgloss.Color(color)))
	}
	t.tones[Strong] = paintOf(r.NewStyle().Bold(true))
	t.selected = paintOf(r.NewStyle().Reverse(true))
	if p != None {
		t.paper = paintOf(r.NewStyle().Foreground(lipgloss.Color("15")).Background(lipgloss.Color("0")))
	}
	return t
}

// paint is what stands before and behind a text so that it is drawn in a style. lipgloss makes it
// once: it looks at every text anew for what lines of ours never have, and a frame has hundreds.
type paint struct{ before, behind string }

func paintOf(s lipgloss.Style) paint {
	const text = "x"
	before, behind, _ := strings.Cut(s.Render(text), text)
	return paint{before, behind}
}

// on gives a text in the style.
func (p paint) on(text string) string {
	if text == "" {
		return ""
	}
	return p.before + text + p.behind
}

// colorsOf are the colours of a palette. Those of Dark and Light have a contrast of 4.5 : 1 at
// least against the backgrounds that they are for (WCAG 2.2, 1.4.3); a test computes it.
func colorsOf(p Palette) map[Tone]string {
	switch p {
	case Dark:
		return map[Tone]string{Good: "#8fce5a", Warn: "#e8b84a", Bad: "#ff8a80", Accent: "#6cc4f5", Quiet: "#a3adb3"}
	case Light:
		return map[Tone]string{Good: "#2f6b12", Warn: "#7a5200", Bad: "#b3261e", Accent: "#0b5c8f", Quiet: "#555c61"}
	case Basic:
		return map[Tone]string{Good: "2", Warn: "3", Bad: "1", Accent: "4", Quiet: "8"}
	}
	return nil
}

// Paint gives text in a tone.
func (t *Theme) Paint(tone Tone, text string) string {
	return t.tones[tone].on(text)
}

// Select gives a line as the selected one: in reverse video, without tones of its own.
func (t *Theme) Select(line string) string { return t.selected.on(ansi.Strip(line)) }

// QR are the lines of a code for a camera: black on white, whatever the terminal's background is,
// where there are colours.
func (t *Theme) QR(text string) ([]string, error) {
	lines, err := qrcode.Lines(text, !t.ASCII)
	for i := range lines {
		lines[i] = t.paper.on(lines[i])
	}
	return lines, err
}

// maxText bounds what is drawn of one text, in bytes: a terminal of 200 columns has room for less,
// and a name or an error can have megabytes if a control plane lies.
const maxText = 8 << 10

// Text escapes what a terminal might act on. It is for everything that others wrote: paths,
// fields, names, bodies, errors. Of a long text it is the beginning.
func Text(s string) string {
	return visible.Text(begin(s, maxText))
}

// begin is at most so many bytes of a text, without a character that would be cut.
func begin(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for n := most; n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n]
		}
	}
	return s[:most]
}

// Head escapes the beginning of a text, enough of it to fill so many cells: what others wrote can
// be a megabyte long, and a line is drawn many times.
func Head(s string, cells int) string {
	// A cell can have several characters of several bytes; more than this is nobody's writing.
	const bytesPerCell = 16
	return Text(begin(s, max(cells, 0)*bytesPerCell+bytesPerCell))
}

// Mark gives text in reverse video, as the cursor in a field.
func (t *Theme) Mark(text string) string { return t.selected.on(text) }

// Cut gives at most w cells of a line, with an ellipsis if something is missing.
func (t *Theme) Cut(s string, w int) string {
	s, _ = t.cut(s, w)
	return s
}

// cut is Cut, and how many cells it gives.
func (t *Theme) cut(s string, w int) (string, int) {
	if w <= 0 {
		return "", 0
	}
	s = t.Spell(s)
	if n := Width(s); n <= w {
		return s, n
	}
	s = ansi.Truncate(s, w, t.Ellipsis)
	return s, Width(s)
}

// CutLeft gives the last w cells of a line.
func (t *Theme) CutLeft(s string, w int) string {
	s = t.Spell(s)
	if n := Width(s); n > w {
		return ansi.TruncateLeft(s, n-max(w, 0), "")
	}
	return s
}

// Spell gives a text for a terminal that shows ASCII alone: our own signs as others, and what
// others wrote with escapes. It changes nothing for any other terminal.
func (t *Theme) Spell(s string) string {
	if !t.ASCII || strings.IndexFunc(s, beyond) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch sign := spelling(r); {
		case !beyond(r):
			b.WriteRune(r)
		case sign != "":
			b.WriteString(sign)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

func beyond(r rune) bool { return r > '~' }

// Fit gives exactly w cells: cut, or filled with spaces on the right.
func (t *Theme) Fit(s string, w int) string {
	s, n := t.cut(s, w)
	return s + strings.Repeat(" ", max(0, w-n))
}

// FitRight gives exactly w cells, with the text on the right.
func (t *Theme) FitRight(s string, w int) string {
	s, n := t.cut(s, w)
	return strings.Repeat(" ", max(0, w-n)) + s
}

// Ends gives a line of w cells with one text on the left and one on the right. The left one is
// cut first.
func (t *Theme) Ends(left, right string, w int) string {
	right = t.Cut(right, w)
	room := w - Width(right)
	return t.Fit(left, room) + right
}

// Block gives exactly h lines of exactly w cells.
func (t *Theme) Block(lines []string, w, h int) []string {
	out := make([]string, h)
	for i := range out {
		if i < len(lines) {
			out[i] = t.Fit(lines[i], w)
		} else {
			out[i] = strings.Repeat(" ", w)
		}
	}
	return out
}

// Beside joins blocks of the same height from left to right.
func Beside(blocks ...[]string) []string {
	var out []string
	for _, b := range blocks {
		for i, line := range b {
			if i == len(out) {
				out = append(out, "")
			}
			out[i] += line
		}
	}
	return out
}

// Put draws a block over the lines below it, its upper left corner at these cells.
func (t *Theme) Put(under, block []string, x, y int) []string {
	out := append([]string(nil), under...)
	for i, line := range block {
		if y+i >= len(out) {
			break
		}
		w := Width(line)
		left := t.Fit(ansi.Truncate(out[y+i], x, ""), x)
		out[y+i] = left + line + ansi.TruncateLeft(out[y+i], x+w, "")
	}
	return out
}
