package look

import (
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Width is how many cells a line takes.
//
// Most lines are of letters, frames and colours that take one cell each or none: these are
// counted here. A line with any other character is measured by grapheme, which takes twenty times
// as long and was most of what a frame cost.
func Width(s string) int {
	cells := 0
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case ' ' <= c && c <= '~':
			i, cells = i+1, cells+1
		case c == '\x1b':
			n := colour(s[i:])
			if n == 0 {
				return ansi.StringWidth(s)
			}
			i += n
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if !oneCell(r) {
				return ansi.StringWidth(s)
			}
			i, cells = i+n, cells+1
		}
	}
	return cells
}

// colour is the length of the sequence SGR that s begins with; zero if that is anything else.
func colour(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for i := len("\x1b["); i < len(s); i++ {
		switch c := s[i]; {
		case c == 'm':
			return i + 1
		case c != ';' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}

// oneCell reports whether a character beyond ASCII takes one cell and joins with no other of
// these. Glyphs are such: frames, blocks, shapes, arrows, dots and dashes.
func oneCell(r rune) bool {
	switch {
	case '─' <= r && r <= '◯': // U+2500 to U+25EF
		return true
	}
	switch r {
	case '·', '×', '–', '•', '…', '‹', '←', '↑', '→', '↓', '↻', '★', '✓', '‖':
		return true
	}
	return false
}
