package tui

import (
	"context"
	"flag"
	"fmt"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/form"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden holds what the dashboard itself draws against files: its lines, and what lies over
// the screens.
func TestGolden(t *testing.T) {
	refused := form.New("New environment", []form.Field{{Name: "name", Label: "name", Value: "Staging"}, {Name: "waf", Label: "WAF", Value: "off", Choices: []string{"off", "detect", "block"}}},
		func(context.Context, map[string]string) (string, error) {
			return "", mezu.Invalid("name", "is lower-case letters, digits and '-', not %q", "Staging")
		}, nil)
	for name, msgs := range map[string][]tea.Msg{
		"plain":   {screen.Edges{Up: 1, All: 2}},
		"help":    {keyOf("?")},
		"palette": {keyOf(":"), keyOf("r")},
		"form":    {screen.Open{Overlay: refused}, keyOf("enter")},
		"asks":    {keyOf("x"), keyOf("de")},
		"says":    {screen.Say{Text: "nothing was written: disk full", Bad: true}},
		"paused":  {keyOf(" ")},
		"third":   {keyOf("3")},
	} {
		for _, w := range []int{40, 80, 200} {
			m, _ := newTest(t, w, 24)
			drive(m, msgs...)
			screentest.Golden(t, fmt.Sprintf("%s-%d", name, w), m.View()+"\n", *update)
		}
	}
	for palette, name := range map[look.Palette]string{look.Basic: "help-16", look.Dark: "help-dark", look.Light: "help-light"} {
		m, _ := newTest(t, 80, 24)
		m.c.Theme = look.New(palette, look.Unicode())
		drive(m, keyOf("?"))
		screentest.Golden(t, name, m.View()+"\n", *update)
	}
}
