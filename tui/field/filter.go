package field

import (
	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/look"
)

// Filter is a field by which a list is filtered: enter ends typing, and esc clears it, too. The
// zero value is not usable.
type Filter struct {
	*Field
	typing bool
}

// NewFilter makes a filter for at most so many characters.
func NewFilter(most int) *Filter { return &Filter{Field: New(most)} }

// Begin has somebody type.
func (f *Filter) Begin() { f.typing = true }

// Typing reports whether somebody types.
func (f *Filter) Typing() bool { return f.typing }

// Key takes a key of who types.
func (f *Filter) Key(k tea.KeyMsg) {
	switch k.Type {
	case tea.KeyEsc:
		f.Set("")
		f.typing = false
	case tea.KeyEnter:
		f.typing = false
	default:
		f.Field.Key(k)
	}
}

// View is the text in w cells, with the cursor while somebody types.
func (f *Filter) View(t *look.Theme, w int) string { return f.Field.View(t, w, f.typing) }

// Title is what the title of a list says of it; empty if there is no filter.
func (f *Filter) Title(t *look.Theme) string {
	const room = 20
	if !f.typing && f.Value() == "" {
		return ""
	}
	return "/ " + f.View(t, room)
}
