package field_test

import (
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestField(t *testing.T) {
	theme := look.New(look.None, look.Unicode())
	f := field.New(10)
	if !f.Key(screentest.Key("abc")) || f.Key(screentest.Key("up")) || f.Value() != "abc" {
		t.Errorf("%q", f.Value())
	}
	if v := f.View(theme, 6, true); v != "abc█  " {
		t.Errorf("%q", v)
	}
	f.Key(screentest.Key("left"))
	f.Key(screentest.Key("x"))
	f.Key(screentest.Key("backspace"))
	f.Key(tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}})
	if f.Value() != "ab c" {
		t.Errorf("%q", f.Value())
	}
	// What is pasted is one line of text, and no longer than it may be.
	f.Set("")
	f.Key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("1\x1b[2J\n2" + strings.Repeat("y", 50)), Paste: true})
	if v := f.Value(); len([]rune(v)) != 10 || strings.ContainsAny(v, "\x1b\n") {
		t.Errorf("%q", v)
	}
	for _, w := range []int{1, 3, 8, 40} {
		for _, text := range []string{"", "花花花花", "e\u0301e\u0301", "\u202eabc"} {
			f.Set(text)
			for range 5 {
				if v := f.View(theme, w, true); look.Width(v) != w || strings.ContainsRune(v, '\u202e') {
					t.Errorf("%q in %d cells: %q of %d", text, w, v, look.Width(v))
				}
				f.Key(screentest.Key("left"))
			}
		}
	}
	if v := field.New(10).Hidden(); v.Key(screentest.Key("secret")) && strings.Contains(v.View(theme, 20, true), "secret") {
		t.Error("it shows what is hidden")
	}
}
