package tui

import (
	"time"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// notice is a line that says what happened.
type notice struct {
	text  string // escaped
	bad   bool
	until time.Time
}

// lasts reports whether it is still to be seen. One from before the clock jumped back isn't.
func (n *notice) lasts(now time.Time) bool {
	left := n.until.Sub(now)
	return left > 0 && left <= noticeFor
}

// question is what the last line asks.
type question struct {
	screen.Ask
	typed string
	// save has what is typed be the name of a file for it; then nothing else is run.
	save *screen.Save
}

// maxTyped bounds what is typed in the last line: a name or a file's path.
const maxTyped = 512

// line is what the last line shows, in so many cells. What is typed, and how, is always seen; the
// question gives way.
func (q *question) line(t *look.Theme, w int) string {
	text, tone := look.Text(q.Question), look.Warn
	tail := " y does it, esc keeps it"
	typed := look.Text(q.typed)
	switch {
	case q.save != nil:
		tone, tail = look.Plain, " "+typed+t.Cursor
	case q.Word != "":
		tail = " Type " + look.Text(q.Word) + ", esc keeps it: " + typed + t.Cursor
	}
	const least = 12 // cells of a question that say something
	room := w - look.Width(tail)
	if room < least { // the end of what is typed
		room = min(least, w)
		tail = t.CutLeft(tail, w-room)
	}
	return t.Paint(tone, t.Cut(text, room)) + tail
}

// answer takes a key of an answer.
func (m *model) answer(k tea.KeyMsg) tea.Cmd {
	q := m.ask
	switch k.Type {
	case tea.KeyEsc:
		m.ask = nil
		return nil
	case tea.KeyEnter:
		switch {
		case q.save != nil:
			m.ask = nil
			return m.write(q.typed, q.save.Text)
		case q.Word != "" && q.typed == q.Word:
			m.ask = nil
			return q.Then
		case q.Word != "":
			m.ask = nil
			m.say("nothing was done: that is not "+q.Word, false)
		}
		return nil
	case tea.KeyBackspace:
		_, n := utf8.DecodeLastRuneInString(q.typed)
		q.typed = q.typed[:len(q.typed)-n]
		return nil
	case tea.KeyRunes, tea.KeySpace:
		if q.Word == "" && q.save == nil {
			m.ask = nil
			if k.String() == "y" {
				return q.Then
			}
			return nil
		}
		if text := string(k.Runes); len(q.typed)+len(text) <= maxTyped {
			q.typed += text
		}
	}
	return nil
}
