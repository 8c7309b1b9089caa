package look_test

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu/tui/look"
)

// TestThemesPaint: each set has colours of its kind, wherever the program runs, and without colours
// what is selected is still in reverse video.
func TestThemesPaint(t *testing.T) {
	for name, c := range map[string]struct {
		theme *look.Theme
		good  string
	}{
		"dark":      {look.New(look.Dark, look.Unicode()), "\x1b[38;2;"},
		"light":     {look.New(look.Light, look.Unicode()), "\x1b[38;2;"},
		"dark 256":  {look.Near(look.Dark, look.Unicode()), "\x1b[38;5;"},
		"16":        {look.New(look.Basic, look.Unicode()), "\x1b[32m"},
		"near 16":   {look.Near(look.Basic, look.Unicode()), "\x1b[32m"},
		"none":      {look.New(look.None, look.Unicode()), "text"},
		"near none": {look.Near(look.None, look.Unicode()), "text"},
	} {
		if got := c.theme.Paint(look.Good, "text"); !strings.HasPrefix(got, c.good) || !strings.Contains(got, "text") {
			t.Errorf("%s: what is good is %q", name, got)
		}
		if lines, err := c.theme.QR("text"); err != nil || strings.HasPrefix(lines[0], "\x1b[97;40m█") == strings.HasSuffix(name, "none") {
			t.Errorf("%s: what a camera reads is %q, %v", name, lines, err)
		}
		if got := c.theme.Select("text"); got != "\x1b[7mtext\x1b[0m" {
			t.Errorf("%s: what is selected is %q", name, got)
		}
		if got := c.theme.Paint(look.Strong, "text"); got != "\x1b[1mtext\x1b[0m" {
			t.Errorf("%s: what is strong is %q", name, got)
		}
	}
}
