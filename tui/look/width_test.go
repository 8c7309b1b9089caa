package look

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// What is counted here takes as many cells as by grapheme: each character by itself, and lines of
// them with everything else in between.
func TestWidth(t *testing.T) {
	var signs []string
	for r := rune(' '); r < 0x3000; r++ {
		s := string(r)
		if oneCell(r) {
			signs = append(signs, s)
		}
		if got, want := Width(s), ansi.StringWidth(s); got != want {
			t.Errorf("%q takes %d cells, not %d", s, got, want)
		}
	}
	if len(signs) < 240 {
		t.Errorf("%d signs", len(signs))
	}
	signs = append(signs, "a", " ", "~", "\x1b[1m", "\x1b[38;2;1;2;3m", "\x1b[m", "\x1b[2K", "\x1b[", "\x1b", "\x1b]0;t\x07", "花", "\u0301", "\ufe0f", "\u200d", "👩", "\xff", "\t", "\x00", "\u00ad")
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		var b strings.Builder
		for range random.IntN(6) {
			// Half of what is taken is of the end, where the odd ones are.
			b.WriteString(signs[len(signs)-1-random.IntN(len(signs))%[]int{19, len(signs)}[random.IntN(2)]])
		}
		if got, want := Width(b.String()), ansi.StringWidth(b.String()); got != want {
			t.Fatalf("%q takes %d cells, not %d", b.String(), got, want)
		}
	}
}

// BenchmarkFit is what a line of a panel costs.
func BenchmarkFit(b *testing.B) {
	th := New(Dark, Unicode())
	line := th.Paint(Quiet, "│ ") + th.Paint(Good, "● live") + "  https://acme-shop.example.org → 127.0.0.1:8080" + th.Paint(Quiet, " │")
	for b.Loop() {
		th.Fit(line, 100)
	}
}
