package terminal

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
)

// Sign is how a line begins that says how something is.
type Sign int

// Signs.
const (
	Good Sign = iota
	Caution
	Bad
	Waiting
)

// Sign is what stands for a sign: a character, or a word where the locale has no such
// characters.
func (s Streams) Sign(sign Sign) string {
	if s.Unicode {
		return [...]string{Good: "✓", Caution: "!", Bad: "✗", Waiting: "◌"}[sign]
	}
	return [...]string{Good: "ok", Caution: "warn", Bad: "fail", Waiting: "wait"}[sign]
}

// Signf writes a message with its sign to stderr. What is good, or still waits, is not said
// when quiet.
func (s Streams) Signf(sign Sign, format string, args ...any) {
	if s.Quiet && (sign == Good || sign == Waiting) {
		return
	}
	before, after := "", ""
	if s.ErrTerminal && !s.ColorOff {
		before, after = [...]string{Good: "\x1b[32m", Caution: "\x1b[33m", Bad: "\x1b[31m", Waiting: "\x1b[33m"}[sign], "\x1b[0m"
	}
	fmt.Fprintf(s.Err, before+s.Sign(sign)+after+" "+format+"\n", args...)
}

// unicodeLocale reports whether characters beyond ASCII can be shown. On Windows Go writes them
// to a console whatever its code page is.
func unicodeLocale(getenv func(string) string) bool {
	if runtime.GOOS == "windows" {
		return true
	}
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	_, encoding, _ := strings.Cut(locale, ".")
	encoding, _, _ = strings.Cut(encoding, "@")
	return encoding == "utf-8" || encoding == "utf8" || runtime.GOOS == "darwin" && (locale == "" || locale == "utf-8")
}
