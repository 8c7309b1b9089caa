// Package field is a line in which somebody types.
//
// What lives here: one field, on top of the text input of bubbles, drawn with the glyphs of the
// theme. What may not: what the text means. Screens and forms of tui import it.
package field

import (
	"strings"

	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/look"
)

// Field is a line of text with a cursor. The zero value is not usable.
type Field struct {
	input  textinput.Model
	hidden bool
}

// New makes a field for at most so many characters.
func New(most int) *Field {
	f := &Field{input: textinput.New()}
	f.input.Prompt, f.input.CharLimit = "", most
	f.input.Focus() // its command blinks the cursor, which ours doesn't
	return f
}

// Hidden makes it one whose text is shown to nobody.
func (f *Field) Hidden() *Field {
	f.hidden = true
	return f
}

// Value is the text.
func (f *Field) Value() string { return f.input.Value() }

// Set replaces the text. The cursor goes to its end.
func (f *Field) Set(text string) {
	f.input.SetValue(text)
	f.input.CursorEnd()
}

// Key takes a key, or what was pasted, and reports whether the text is another one. Keys that
// edit nothing are nothing.
func (f *Field) Key(k tea.KeyMsg) bool {
	switch k.Type {
	case tea.KeyCtrlV: // of the clipboard, which is the terminal's to paste
		return false
	case tea.KeySpace:
		k.Type = tea.KeyRunes
	}
	before := f.input.Value()
	f.input, _ = f.input.Update(k)
	return f.input.Value() != before
}

// View is the text in w cells, with the cursor if somebody types in it. What is before and
// behind is cut so that the cursor is seen.
func (f *Field) View(t *look.Theme, w int, typing bool) string {
	runes := []rune(f.input.Value())
	if f.hidden {
		runes = []rune(strings.Repeat("*", len(runes)))
	}
	if !typing {
		return t.Fit(look.Head(string(runes), w), w)
	}
	at := min(f.input.Position(), len(runes))
	from := max(0, at-max(0, w-1)) // a character is a cell at least
	before := look.Text(string(runes[from:at]))
	for look.Width(before) > w-1 && from < at {
		from++
		before = look.Text(string(runes[from:at]))
	}
	under, after := t.Cursor, ""
	if at < len(runes) {
		under, after = t.Mark(look.Text(string(runes[at:at+1]))), look.Head(string(runes[at+1:]), w)
	}
	line := before + under
	if room := w - look.Width(line); room > 0 {
		line += t.Cut(after, room)
	}
	return t.Fit(line, w)
}
