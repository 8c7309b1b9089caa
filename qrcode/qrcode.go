// Package qrcode draws text as QR codes (ISO/IEC 18004) in lines of a terminal.
//
// What lives here: the lines of a code. What may not: colours and what is around them, which whoever
// shows a code has. It imports nothing of ours; cli/tunnel/show and
// tui/look import it.
package qrcode

import (
	"strings"

	"rsc.io/qr"
)

// quiet is the margin of a code in modules. The standard says four; cameras take two.
const quiet = 2

// Lines draws a text, two modules in one character where there are half blocks, else one module in
// two characters. Light modules are drawn: it is right where the background is dark.
func Lines(text string, blocks bool) ([]string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil, err
	}
	light := func(x, y int) bool { return !code.Black(x, y) }
	step := 2
	if !blocks {
		step = 1
	}
	var lines []string
	for y := -quiet; y < code.Size+quiet; y += step {
		var b strings.Builder
		for x := -quiet; x < code.Size+quiet; x++ {
			upper, lower := light(x, y), light(x, y+1)
			switch {
			case !blocks && upper:
				b.WriteString("##")
			case !blocks:
				b.WriteString("  ")
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		lines = append(lines, b.String())
	}
	return lines, nil
}
