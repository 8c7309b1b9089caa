package look

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/mezusphere/mezu"
)

// Lines makes lines of at most w cells of a text that others wrote, escaped, and at most so many.
// What is longer than a line goes on in the next one. more is how many lines of the text are left
// out.
func Lines(text []byte, w, most int) (lines []string, more int) {
	for len(text) > 0 {
		if len(lines) >= most {
			return lines, bytes.Count(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) + 1
		}
		raw, rest, _ := bytes.Cut(text, []byte("\n"))
		raw = bytes.TrimSuffix(raw, []byte("\r"))
		// What is left of a long line when there is no room for more is text again.
		used := 0
		for first := true; first || used < len(raw); first = false {
			if len(lines) >= most {
				return lines, bytes.Count(rest, []byte("\n")) + 1
			}
			n := fitting(raw[used:], w)
			lines = append(lines, Text(string(raw[used:used+n])))
			used += n
		}
		text = rest
	}
	return lines, 0
}

// fitting is how many bytes of a line fit into w cells, when they are escaped: one character at
// least.
func fitting(raw []byte, w int) int {
	if len(raw) <= w && plain(raw) {
		return len(raw)
	}
	const longest = 64 // bytes of what people write in one cell
	n, cells := 0, 0
	for n < len(raw) && n < w*longest {
		// One cluster after another, as terminals place them.
		end := min(len(raw), n+longest)
		for end < len(raw) && end > n+1 && !utf8.RuneStart(raw[end]) {
			end--
		}
		cluster, width := ansi.FirstGraphemeCluster(raw[n:end], ansi.GraphemeWidth)
		size := max(len(cluster), 1)
		if shown := Text(string(raw[n : n+size])); shown != string(raw[n:n+size]) {
			width = Width(shown)
		}
		if cells+width > w && n > 0 {
			break
		}
		n, cells = n+size, cells+width
	}
	return n
}

// plain reports whether each byte is a cell.
func plain(raw []byte) bool {
	return bytes.IndexFunc(raw, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// Wrap gives a line in lines of at most w cells.
func Wrap(line string, w int) []string {
	if Width(line) <= w || w <= 0 {
		return []string{line}
	}
	return strings.Split(ansi.Hardwrap(line, w, true), "\n")
}

// Signs has lines show masks with the theme's own signs. Those who mask know no theme.
func (t *Theme) Signs(lines []string) []string {
	if t.Glyphs.Mask == mezu.Mask {
		return lines
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.ReplaceAll(l, mezu.Mask, t.Glyphs.Mask)
	}
	return out
}
