package show

import (
	"fmt"
	"strings"

	"github.com/mezusphere/mezu/qrcode"
)

// QR draws an address for a camera. With colour it is black on white on every terminal.
func (l *Lines) QR(address string) error {
	lines, err := qrcode.Lines(address, l.Unicode)
	if err != nil {
		return fmt.Errorf("drawing the QR code: %w", err)
	}
	before, after := "", "\n"
	if l.ErrTerminal && !l.ColorOff {
		before, after = "\x1b[97;40m", "\x1b[0m\n"
	}
	fmt.Fprint(l.Err, before+strings.Join(lines, after+before)+after)
	return nil
}
