package browser

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// Sizes of a picture of a terminal, in pixels.
const (
	cellWidth  = 8.4 // of a font of 14 pixels
	cellHeight = 19
	margin     = 14
)

// colours of a terminal by the parameter of SGR (ECMA-48, 8.3.117).
var colours = map[string]string{
	"30": "#484f58", "31": "#ff7b72", "32": "#56d364", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea", "37": "#e6edf3",
	"90": "#8b949e", "91": "#ffa198", "92": "#7ee787", "93": "#f2cc60", "94": "#a5d6ff", "95": "#e2c5ff", "96": "#b3f0ff", "97": "#ffffff",
}

// sequence is a control sequence or a string of an operating system command.
var sequence = regexp.MustCompile(`\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>78]`)

// drawTerminal draws what a program wrote to a terminal of so many columns as an SVG. It knows
// colours and bold text; all else that moves a cursor is left out.
func drawTerminal(text string, columns int) string {
	var body strings.Builder
	row, widest := 0, 0
	var style style // goes on from line to line
	for line := range strings.SplitSeq(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n") {
		column, at := 0, 0
		show := func(s string) {
			for s != "" {
				if column == columns {
					row, column = row+1, 0
				}
				part := s
				if letters := []rune(s); len(letters) > columns-column {
					part = string(letters[:columns-column])
				}
				x, cells := margin+float64(column)*cellWidth, ansi.StringWidth(part)
				if style.reverse {
					fmt.Fprintf(&body, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", x, margin+row*cellHeight, float64(cells)*cellWidth, cellHeight, foreground)
				}
				fmt.Fprintf(&body, `<text x="%.1f" y="%d"%s xml:space="preserve">%s</text>`+"\n", x, margin+row*cellHeight+14, style, html.EscapeString(part))
				column += cells
				widest = max(widest, column)
				s = s[len(part):]
			}
		}
		for _, m := range sequence.FindAllStringSubmatchIndex(line, -1) {
			show(line[at:m[0]])
			at = m[1]
			if m[4] >= 0 && line[m[4]:m[5]] == "m" {
				style = style.with(line[m[2]:m[3]])
			}
		}
		show(line[at:])
		row++
	}
	w, h := 2*margin+float64(widest)*cellWidth, 2*margin+row*cellHeight
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="%s">
<rect width="100%%" height="100%%" rx="8" fill="%s"/>
%s</svg>
`, w, h, w, h, foreground, background, body.String())
}

// Colours of a picture's text and its background.
const (
	foreground = "#e6edf3"
	background = "#0d1117"
)

// style is how text is drawn.
type style struct {
	fill          string
	bold, reverse bool
}

// with is what a sequence of SGR parameters makes of it.
func (s style) with(parameters string) style {
	all := strings.Split(parameters, ";")
	for i := 0; i < len(all); i++ {
		switch p := all[i]; {
		case p == "" || p == "0":
			s = style{}
		case p == "1":
			s.bold = true
		case p == "7":
			s.reverse = true
		case p == "27":
			s.reverse = false
		case p == "39":
			s.fill = ""
		case p == "38" && i+4 < len(all) && all[i+1] == "2":
			var rgb [3]int
			for j := range rgb {
				rgb[j], _ = strconv.Atoi(all[i+2+j])
			}
			s.fill = fmt.Sprintf("#%02x%02x%02x", rgb[0], rgb[1], rgb[2])
			i += 4
		case colours[p] != "":
			s.fill = colours[p]
		}
	}
	return s
}

// String are the attributes of an element.
func (s style) String() string {
	out := ""
	if s.bold {
		out += ` font-weight="bold"`
	}
	switch {
	case s.reverse:
		out += ` fill="` + background + `"`
	case s.fill != "":
		out += ` fill="` + s.fill + `"`
	}
	return out
}

func TestDrawTerminal(t *testing.T) {
	got := drawTerminal("$ mezu \x1b[32m<ok>\x1b[0m\r\n\x1b]0;title\x07two and more\r\n", 11)
	for _, want := range []string{`>$ mezu </text>`, ` fill="#56d364" xml:space="preserve">&lt;ok&gt;</text>`, `y="47" xml:space="preserve">two and mor</text>`, `y="66" xml:space="preserve">e</text>`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	got = drawTerminal("\x1b[7m花\x1b[0m\x1b[1;38;2;1;2;255mx\x1b[39my", 80)
	for _, want := range []string{`width="16.8" height="19" fill="#e6edf3"`, ` fill="#0d1117" xml:space="preserve">花<`, `x="30.8" y="28" font-weight="bold" fill="#0102ff" xml:space="preserve">x<`, ` font-weight="bold" xml:space="preserve">y<`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

// keepDrawing writes a picture of a terminal to the folder of pictures.
func keepDrawing(t *testing.T, dir, name, text string, columns int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".svg"), []byte(drawTerminal(text, columns)), 0o600); err != nil {
		t.Fatal(err)
	}
}
