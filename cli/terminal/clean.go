package terminal

import (
	"unicode/utf8"

	"github.com/mezusphere/mezu/visible"
)

// Clean makes text from outside safe for one line of a terminal.
func Clean(s string) string { return visible.Text(s) }

// EscapeJSON replaces the characters of a JSON text that a terminal might act on by \u
// escapes. The text means the same. encoding/json itself escapes only C0.
func EscapeJSON(data []byte) []byte {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == '\n' || r == '\t' || r < 0x7f || !visible.Unsafe(r) {
			out = append(out, data[i:i+n]...)
		} else {
			for _, u := range utf16Units(r) {
				out = append(out, '\\', 'u', hex[u>>12], hex[u>>8&15], hex[u>>4&15], hex[u&15])
			}
		}
		i += n
	}
	return out
}

// utf16Units are the one or two units with which JSON's \u notation writes r.
func utf16Units(r rune) []uint16 {
	if r < 0x10000 {
		return []uint16{uint16(r)}
	}
	r -= 0x10000
	return []uint16{0xd800 + uint16(r>>10), 0xdc00 + uint16(r&0x3ff)}
}
