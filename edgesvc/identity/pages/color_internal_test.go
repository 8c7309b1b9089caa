package pages

import (
	"math"
	"math/rand/v2"
	"regexp"
	"testing"
)

// TestContrast_OfAnyBrand: whatever the colour, words on buttons and links can be read,
// and buttons and the ring of the focus be seen, in the light and in the dark.
func TestContrast_OfAnyBrand(t *testing.T) {
	brands := []string{"", "#000000", "#ffffff", "#808080", "#777777", "#ffff00", "#0000ff", "#ff0000", "#00ff00", "#16191f", "#f4f5f8", "#767676", "#949494"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		brands = append(brands, rgb(uint64(r.Uint32()&0xffffff)).hex())
	}
	for _, brand := range brands {
		p := paintOf(brand)
		for name, c := range map[string]struct {
			scheme  scheme
			grounds []color
		}{"light": {p.light, lightGrounds}, "dark": {p.dark, darkGrounds}} {
			s := c.scheme
			for what, ratio := range map[string]float64{"a button": contrast(s.ink, s.button), "a button below the pointer": contrast(s.ink, s.hover)} {
				if ratio < textContrast {
					t.Errorf("%s in the %s: words on %s have %.2f", brand, name, what, ratio)
				}
			}
			for _, ground := range c.grounds {
				if ratio := contrast(s.link, ground); ratio < textContrast {
					t.Errorf("%s in the %s: a link on %s has %.2f", brand, name, ground.hex(), ratio)
				}
				if ratio := math.Max(contrast(s.rim, ground), contrast(s.button, ground)); ratio < shapeContrast {
					t.Errorf("%s in the %s: a button on %s has %.2f", brand, name, ground.hex(), ratio)
				}
			}
		}
	}
}

// TestContrast_KeepsAReadableColor as it is.
func TestContrast_KeepsAReadableColor(t *testing.T) {
	for _, brand := range []string{"#1a4fd6", "#0a6640", "#5b21b6"} {
		if p := paintOf(brand); p.light.button.hex() != brand || p.light.link.hex() != brand || p.light.ink != white {
			t.Errorf("%s becomes %s", brand, p.style())
		}
	}
	if p := paintOf("#ffd400"); p.light.button.hex() != "#ffd400" || p.light.ink != black {
		t.Errorf("yellow becomes %s", p.style())
	}
}

// TestContrast_OfTheStyle holds the colours that no brand changes against one another.
func TestContrast_OfTheStyle(t *testing.T) {
	blocks := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(styleSource, -1)
	if len(blocks) != 2 {
		t.Fatalf("style.css has %d blocks of colours", len(blocks))
	}
	for i, grounds := range [][]color{lightGrounds, darkGrounds} {
		colors := map[string]color{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(blocks[i][1], -1) {
			var n uint64
			for _, c := range m[2][1:] {
				n = n<<4 | uint64(hexDigit(c))
			}
			colors[m[1]] = rgb(n)
		}
		if colors["card"] != grounds[0] || colors["ground"] != grounds[1] {
			t.Errorf("color.go has other grounds than block %d of style.css", i)
		}
		for _, pair := range []struct {
			of, on string
			least  float64
		}{
			{"text", "card", textContrast}, {"text", "ground", textContrast}, {"muted", "card", textContrast}, {"muted", "ground", textContrast},
			{"bad", "card", textContrast}, {"bad", "bad-ground", textContrast}, {"good", "good-ground", textContrast}, {"edge", "card", shapeContrast},
		} {
			if ratio := contrast(colors[pair.of], colors[pair.on]); ratio < pair.least {
				t.Errorf("block %d: %s on %s has %.2f, not %.1f", i, pair.of, pair.on, ratio, pair.least)
			}
		}
	}
}

func hexDigit(r rune) rune {
	if r >= 'a' {
		return r - 'a' + 10
	}
	return r - '0'
}
