package terminal

import (
	"fmt"
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// looseWidth is how wide the middle of a line is where no terminal bounds it.
const looseWidth = 40

// Wide is how many columns of a terminal a text takes: two for a character of Chinese, Japanese
// or Korean and for an emoji, none for an accent that stands on the one before.
func Wide(text string) int { return displaywidth.String(text) }

// pad fills a text up to so many columns.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-Wide(text)))
}

// Fit makes a line of stdout of three parts that the terminal has room for: the middle one is
// cut.
func (s Streams) Fit(head, middle, tail string) string {
	width := s.Width()
	if width == 0 {
		return fmt.Sprintf("%s%s  %s", head, pad(middle, looseWidth), tail)
	}
	room := width - Wide(head) - Wide(tail) - 2
	if room < 1 {
		return s.Cut(head+middle+"  "+tail, width)
	}
	return head + pad(s.Cut(middle, room), room) + "  " + tail
}

// Cut shortens a text to so many columns.
func (s Streams) Cut(text string, width int) string {
	if Wide(text) <= width {
		return text
	}
	end := "~"
	if s.Unicode {
		end = "…"
	}
	return displaywidth.TruncateString(text, max(1, width), end)
}

// Fold breaks a text into lines of so many columns, between words or behind a comma of a list.
// What is longer than a line stays in one piece, to be copied.
func Fold(text string, width int) []string {
	lines := []string{}
	line := ""
	for i, word := range strings.Split(text, " ") {
		for _, part := range parts(word, width) {
			switch {
			case i == 0 && line == "":
				line = part.text
			case Wide(line)+len(part.before)+Wide(part.text) <= width || width <= 0:
				line += part.before + part.text
			default:
				lines = append(lines, strings.TrimRight(line, " "))
				line = part.text
			}
		}
	}
	return append(lines, line)
}

// part is a piece of a text, and what stands before it on the same line.
type part struct{ before, text string }

// parts are the pieces between which a word can be broken. A list in a word that is too long for
// a line is broken behind its commas; an address is not.
func parts(word string, width int) []part {
	if Wide(word) <= width || !strings.Contains(word, ",") || strings.ContainsAny(word, "/?&") {
		return []part{{" ", word}}
	}
	out := []part{}
	before := " "
	for item := range strings.SplitAfterSeq(word, ",") {
		if item != "" {
			out = append(out, part{before, item})
		}
		before = ""
	}
	return out
}
