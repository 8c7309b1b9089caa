// Package visible makes text from outside safe to show: what a terminal, a browser or a log
// might act on is escaped.
//
// What lives here: the rule which characters those are, and the escapes. What may not: colours,
// widths, terminals. It imports nothing of ours; whoever shows what others wrote imports it.
package visible

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text makes text safe for one line of a terminal. It escapes, in Go's notation, control
// characters (escape sequences begin with one), formatting characters (some reverse the
// text), line separators, and bytes that aren't UTF-8. Everything else stays.
func Text(s string) string {
	if strings.IndexFunc(s, Unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[i])+0x100, 16)[1:])
		case Unsafe(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// Unsafe reports whether a terminal might act on r instead of showing it. It includes the
// replacement character, which stands for bytes that aren't UTF-8.
func Unsafe(r rune) bool {
	if r >= ' ' && r < 0x7f { // most are
		return false
	}
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
