package pages

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// color is one of sRGB, each part from 0 to 1.
type color [3]float64

// Ratios of contrast that WCAG 2 asks for: of text, and of what is no text.
const (
	textContrast  = 4.5
	shapeContrast = 3
)

// nearContrast is what white text on a brand's colour has to have so that the colour is
// made a little darker for it. Below that the text is black.
const nearContrast = 3

// Grounds of style.css on which the brand's colour is seen, in the light and in the dark.
var (
	lightGrounds = []color{rgb(0xffffff), rgb(0xf4f5f8)}
	darkGrounds  = []color{rgb(0x16191f), rgb(0x0d0f13)}
	white, black = rgb(0xffffff), rgb(0x000000)
)

// ourColor is for directories without one.
const ourColor = "#3457d5"

var hexColor = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

func rgb(n uint64) color {
	return color{float64(n>>16&0xff) / 255, float64(n>>8&0xff) / 255, float64(n&0xff) / 255}
}

// hex is the colour as it is written. Colours are compared as they are written.
func (c color) hex() string {
	return fmt.Sprintf("#%02x%02x%02x", uint8(math.Round(c[0]*255)), uint8(math.Round(c[1]*255)), uint8(math.Round(c[2]*255)))
}

// luminance is WCAG's relative luminance.
func (c color) luminance() float64 {
	linear := func(s float64) float64 {
		if s = math.Round(s*255) / 255; s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is WCAG's ratio of two colours.
func contrast(a, b color) float64 {
	x, y := a.luminance(), b.luminance()
	return (math.Max(x, y) + 0.05) / (math.Min(x, y) + 0.05)
}

// mix gives c with a part of other in it.
func (c color) mix(other color, part float64) color {
	for i := range c {
		c[i] += (other[i] - c[i]) * part
	}
	return c
}

// towards moves c to the end, white or black, no further than it has the ratio to all
// others.
func (c color) towards(end color, ratio float64, others ...color) color {
	const steps = 64
	for i := range steps {
		one := c.mix(end, float64(i)/steps)
		least := math.Inf(1)
		for _, o := range others {
			least = math.Min(least, contrast(one, o))
		}
		if least >= ratio {
			return one
		}
	}
	return end
}

// scheme is how a brand's colour is used in the light or in the dark.
type scheme struct {
	button, ink, hover color // of a button: ground, text, and ground below a pointer
	rim                color // of a button, which shows its shape on the page
	link               color // of links, and of the ring around what has the focus
}

// paint is a brand's colour.
type paint struct{ light, dark scheme }

// paintOf makes what can be read of any colour.
func paintOf(brand string) paint {
	if !hexColor.MatchString(brand) {
		brand = ourColor
	}
	n, _ := strconv.ParseUint(brand[1:], 16, 32) // six digits, as the expression has it
	c := rgb(n)
	one := scheme{button: c, ink: white}
	if contrast(c, white) >= nearContrast {
		one.button = c.towards(black, textContrast, white)
		one.hover = one.button.mix(black, 0.15)
	} else {
		one.ink = black
		one.hover = c.mix(white, 0.25)
	}
	light, dark := one, one
	light.rim, dark.rim = one.button.towards(black, shapeContrast, lightGrounds...), one.button.towards(white, shapeContrast, darkGrounds...)
	light.link, dark.link = c.towards(black, textContrast, lightGrounds...), c.towards(white, textContrast, darkGrounds...)
	return paint{light, dark}
}

// style sets the variables of style.css.
func (p paint) style() string {
	return ":root{" + p.light.variables() + "}@media (prefers-color-scheme:dark){:root{" + p.dark.variables() + "}}"
}

func (s scheme) variables() string {
	return "--button:" + s.button.hex() + ";--ink:" + s.ink.hex() + ";--hover:" + s.hover.hex() + ";--rim:" + s.rim.hex() + ";--link:" + s.link.hex()
}
