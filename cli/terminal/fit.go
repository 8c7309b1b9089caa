package terminal

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// looseWidth is how wide the middle of a line is where no terminal bounds it.
const looseWidth = 40

// Fit makes a line of stdout of three parts that the terminal has room for: the middle one is
// cut.
func (s Streams) Fit(head, middle, tail string) string {
	width := s.Width()
	if width == 0 {
		return fmt.Sprintf("%s%-*s  %s", head, looseWidth, middle, tail)
	}
	room := width - utf8.RuneCountInString(head) - utf8.RuneCountInString(tail) - 2
	if room < 1 {
		return s.Cut(head+middle+"  "+tail, width)
	}
	middle = s.Cut(middle, room)
	return head + middle + strings.Repeat(" ", room-utf8.RuneCountInString(middle)) + "  " + tail
}

// Cut shortens a text to so many characters.
func (s Streams) Cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	end := "~"
	if s.Unicode {
		end = "…"
	}
	return string([]rune(text)[:max(0, width-1)]) + end
}
