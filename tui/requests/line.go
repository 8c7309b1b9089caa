package requests

import (
	"strings"

	"github.com/mezusphere/mezu/tui/look"
)

// line is one of a part of a request. All of it is escaped.
type line struct {
	// name stands before the text, in a column of its own.
	name string
	text string
	tone look.Tone
	// rule says that it is a line across, with its text in it.
	rule bool
	// key says which value it has, of those that can be copied and shown; empty if none.
	key string
	// masked says that something in it is masked.
	masked bool
	// hint stands behind the text.
	hint string
	// span is drawn before the text, as wide as there is room.
	span *span
}

// leastNames and mostNames are how wide the column of names is.
const (
	leastNames = 18
	mostNames  = 32
)

// namesOf is the width of the column of names of some lines.
func namesOf(lines []line) int {
	w := leastNames
	for i := range lines {
		w = max(w, look.Width(lines[i].name)+2)
	}
	return min(w, mostNames)
}

// draw gives a line in w cells: one, or several if the text is longer.
func (l *line) draw(t *look.Theme, names, w int) []string {
	w = min(w, maxWidth)
	if l.rule {
		s := strings.Repeat(t.Horizontal, 2) + " " + l.text + " "
		return []string{t.Paint(look.Quiet, t.Cut(s+strings.Repeat(t.Horizontal, max(0, w-look.Width(s))), w))}
	}
	names = min(names, w/2)
	before := ""
	if l.name != "" {
		before = t.Paint(look.Accent, t.Fit(l.name, names-1)) + " "
		w -= names
	}
	text := l.text
	if l.span != nil {
		text = l.span.bar(t, w) + "  " + text
	}
	hint := l.hint
	if hint != "" && look.Width(text)+1+look.Width(hint) > w {
		hint = "" // the mask says enough
	}
	if hint != "" {
		text += " " + hint
	}
	var out []string
	for i, one := range look.Wrap(text, w) {
		if i > 0 && before != "" {
			before = strings.Repeat(" ", names)
		}
		if hint != "" && strings.HasSuffix(one, hint) {
			one = t.Paint(l.tone, strings.TrimSuffix(one, hint)) + t.Paint(look.Quiet, hint)
		} else {
			one = t.Paint(l.tone, one)
		}
		out = append(out, before+one)
	}
	return out
}
