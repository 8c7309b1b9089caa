package tui

import (
	"context"
	"maps"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/form"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// TestClickInAForm: a click puts the cursor on a field, and takes the choice that is there.
func TestClickInAForm(t *testing.T) {
	for _, w := range []int{60, 80, 200} {
		m, _ := newTest(t, w, 24)
		var got map[string]string
		f := form.New("New environment", []form.Field{{Name: "name", Label: "name", Note: "lower-case letters"}, {Name: "waf", Label: "WAF", Value: "off", Choices: []string{"off", "detect", "block"}}, {Name: "directory", Label: "directory"}},
			func(_ context.Context, values map[string]string) (string, error) {
				got = values
				return "made", nil
			}, nil)
		drive(m, screen.Open{Overlay: f})
		click := func(text string) {
			t.Helper()
			for y, line := range strings.Split(sequences().ReplaceAllString(m.View(), ""), "\n") {
				if before, _, ok := strings.Cut(line, text); ok && strings.Contains(before, "│") {
					drive(m, tea.MouseMsg{X: look.Width(before) + 1, Y: y, Button: tea.MouseButtonLeft, Action: tea.MouseActionPress})
					return
				}
			}
			t.Fatalf("there is no %s:\n%s", text, m.View())
		}
		click("directory")
		drive(m, keyOf("staff"))
		click("block")
		click("name  ")
		drive(m, keyOf("dev"), tea.KeyMsg{Type: tea.KeyEnter})
		if want := map[string]string{"name": "dev", "waf": "block", "directory": "staff"}; !maps.Equal(got, want) {
			t.Errorf("in %d cells it is %v, not %v", w, got, want)
		}
	}
}
