package look

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// luminance is the relative luminance of a colour "#rrggbb" (WCAG 2.2).
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	v, err := strconv.ParseUint(strings.TrimPrefix(color, "#"), 16, 24)
	if err != nil || len(color) != 7 {
		t.Fatalf("%q is no colour", color)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		part := float64(v>>(16-8*i)&0xff) / 255
		if part <= 0.04045 {
			part /= 12.92
		} else {
			part = math.Pow((part+0.055)/1.055, 2.4)
		}
		sum += weight * part
	}
	return sum
}

// TestContrast: each colour can be read on the backgrounds that its set is for.
func TestContrast(t *testing.T) {
	for palette, backgrounds := range map[Palette]map[string]string{
		Dark:  {"black": "#000000", "Solarized dark": "#002b36"},
		Light: {"white": "#ffffff", "Solarized light": "#fdf6e3"},
	} {
		colors := colorsOf(palette)
		if len(colors) < 5 {
			t.Errorf("%s has %d colours", palette, len(colors))
		}
		for tone, color := range colors {
			for name, background := range backgrounds {
				a, b := luminance(t, color), luminance(t, background)
				if contrast := (max(a, b) + 0.05) / (min(a, b) + 0.05); contrast < 4.5 {
					t.Errorf("%s: the colour %s of tone %d has a contrast of %.2f : 1 on %s", palette, color, tone, contrast, name)
				}
			}
		}
	}
}

// TestGlyphs: each is one cell wide, and those for other terminals are ASCII.
func TestGlyphs(t *testing.T) {
	for name, g := range map[string]Glyphs{"Unicode": Unicode(), "ASCII": ASCII()} {
		v := reflect.ValueOf(g)
		for i := range v.NumField() {
			field := v.Type().Field(i).Name
			var all []string
			switch f := v.Field(i).Interface().(type) {
			case string:
				all = []string{f}
			case []string:
				all = f
			}
			for _, s := range all {
				want := 1
				if field == "Mask" {
					want = 6
				}
				if Width(s) != want {
					t.Errorf("%s: %s is %q, of %d cells", name, field, s, Width(s))
				}
				if name == "ASCII" && strings.IndexFunc(s, beyond) >= 0 {
					t.Errorf("%s is %q", field, s)
				}
			}
		}
	}
}

// TestSpell: a terminal that shows ASCII alone gets nothing else, in lines as wide as they are to
// be.
func TestSpell(t *testing.T) {
	th := New(None, ASCII())
	for in, want := range map[string]string{
		"↑↓ choose":       "^v choose ",
		"1 … 6":           "1 ~ 6     ",
		"/花":              `/\u82b1   `,
		"/größe/überlang": `/gr\u00f6~`,
		"\x1b[1mü\x1b[0m": "\x1b[1m" + `\u00fc` + "\x1b[0m    ",
		"••••••":          "******    ",
		"🏳️‍🌈 at the end": `\U0001f3f~`,
	} {
		if got := th.Fit(in, 10); got != want || Width(got) != 10 {
			t.Errorf("%q is %q of %d cells, not %q", in, got, Width(got), want)
		}
	}
}

// TestC2_LongText: of a text of megabytes the beginning is drawn, whatever it is made of.
func TestC2_LongText(t *testing.T) {
	for _, one := range []string{"x", "\x1b]0;gotcha\x07", "\u202e", "\xff", "花", "e\u0301"} {
		got := Text(strings.Repeat(one, (10<<20)/len(one)))
		if len(got) > 8*maxText || strings.ContainsAny(got, "\x1b\x07\u202e") || strings.Contains(got, "\xff") {
			t.Errorf("%q is drawn in %d bytes", one, len(got))
		}
	}
	// A text of hundreds of marks in one cell is cut by its bytes.
	zalgo := "a" + strings.Repeat("\u0301", 1<<20)
	if got := New(None, Unicode()).Fit(Text(zalgo), 10); Width(got) != 10 || len(got) > maxText+16 {
		t.Errorf("a cell with a million marks is %d bytes, %d cells", len(got), Width(got))
	}
	for _, invalid := range []string{"\xff", "\xc3", "\xe2\x80", "\xed\xa0\x80"} {
		if got := Text("a" + invalid + "b"); !strings.HasPrefix(got, `a\x`) || !strings.HasSuffix(got, "b") {
			t.Errorf("%q is %q", invalid, got)
		}
	}
}
