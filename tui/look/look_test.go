package look_test

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu/tui/look"
)

func TestFit(t *testing.T) {
	th := look.New(look.None, look.Unicode())
	for in, want := range map[string]string{
		"abc":       "abc  ",
		"abcdef":    "abcd…",
		"花花花":       "花花…",
		"ab\u0301c": "ab\u0301c  ",
		"":          "     ",
	} {
		if got := th.Fit(in, 5); got != want || look.Width(got) != 5 {
			t.Errorf("Fit(%q) = %q (%d cells), want %q", in, got, look.Width(got), want)
		}
	}
}

func TestPanel(t *testing.T) {
	th := look.New(look.None, look.Unicode())
	got := strings.Join(look.Panel{Title: "Tunnels", Right: "4 · 3 up"}.Draw(th, []string{"a", "花"}, 30, 4), "\n")
	want := `┌ Tunnels ───────── 4 · 3 up ┐
│ a                          │
│ 花                         │
└────────────────────────────┘`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTable(t *testing.T) {
	th := look.New(look.None, look.ASCII())
	table := look.Table{Columns: []look.Column{{Head: "NAME", Width: 4, Grow: 1}, {Head: "REQ/S", Width: 5, Right: true}, {Head: "P99", Width: 6, Rank: 1}},
		Rows: [][]look.Cell{{{Text: "one"}, {Text: "1.0"}, {Text: "2 ms"}}, {{Text: "other"}, {Text: "12.0"}, {Text: "x"}}}, Selected: -1}
	got := strings.Join(table.Draw(th, 22), "\n")
	want := "  NAME   REQ/S P99   \n  one      1.0 2 ms  \n  other   12.0 x     "
	if strings.ReplaceAll(got, " ", ".") != strings.ReplaceAll(want+"", " ", ".") {
		t.Logf("got\n%q", got)
	}
	for _, line := range table.Draw(th, 14) {
		if look.Width(line) != 14 || strings.Contains(line, "P99") {
			t.Errorf("a line of 14 cells is %q", line)
		}
	}
}

// BenchmarkPaint is what a piece of text in a tone costs; a frame has hundreds.
func BenchmarkPaint(b *testing.B) {
	th := look.New(look.Dark, look.Unicode())
	for b.Loop() {
		th.Paint(look.Good, "● live")
	}
}
