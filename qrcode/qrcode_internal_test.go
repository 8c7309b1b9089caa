package qrcode

import (
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"
)

// The modules of a code come back from what is drawn, with half blocks and without.
func TestLines(t *testing.T) {
	const address = "https://shop-dev-ada-acme.edge.example.com"
	code, err := qr.Encode(address, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for _, blocks := range []bool{true, false} {
		lines, err := Lines(address, blocks)
		if err != nil {
			t.Fatal(err)
		}
		black := func(x, y int) bool {
			if !blocks {
				return lines[y+quiet][2*(x+quiet)] == ' '
			}
			r := []rune(lines[(y+quiet)/2])[x+quiet]
			if (y+quiet)%2 == 0 {
				return r == ' ' || r == '▄'
			}
			return r == ' ' || r == '▀'
		}
		for y := range code.Size {
			for x := range code.Size {
				if black(x, y) != code.Black(x, y) {
					t.Fatalf("blocks %v: module %d, %d", blocks, x, y)
				}
			}
		}
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n != utf8.RuneCountInString(lines[0]) || !blocks && strings.Trim(l, "# ") != "" {
				t.Errorf("%q", l)
			}
		}
	}
	if _, err := Lines(strings.Repeat("x", 1<<20), true); err == nil {
		t.Error("a megabyte has a code")
	}
}
