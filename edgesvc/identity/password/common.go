package password

import (
	_ "embed" // for common
	"strings"
	"unicode/utf8"
)

// common are the passwords that are guessed first: one a line, folded, sorted by their
// bytes. They stay in the program's read-only part and cost no heap. They are the
// dictionary "passwords" of npm's @zxcvbn-ts/language-common 4.1.3, under the licence in
// common_license.txt; TestRecordCommon writes the file anew.
//
//go:embed common.txt
var common string

// maxCommon is the length of the longest of them in bytes.
const maxCommon = 20

// isListed looks one up.
func isListed(folded string) bool {
	if folded == "" || len(folded) > maxCommon {
		return false
	}
	low, high := 0, len(common) // between beginnings of lines
	for low < high {
		begin := low + (high-low)/2
		begin = low + strings.LastIndexByte(common[low:begin], '\n') + 1
		line, _, _ := strings.Cut(common[begin:high], "\n")
		switch strings.Compare(line, folded) {
		case 0:
			return true
		case -1:
			low = begin + len(line) + 1
		default:
			high = begin
		}
	}
	return false
}

// isCommon reports whether a folded password is a common one, or one with digits behind.
func isCommon(folded string) bool {
	for _, s := range withoutDigits(folded) {
		if isListed(s) {
			return true
		}
	}
	return false
}

// isRepeated reports whether a folded password is a common one several times, with or
// without digits behind, or so few characters several times that they would be too few.
func isRepeated(folded string) bool {
	borders := borders(folded)
	for _, s := range withoutDigits(folded) {
		period := len(s) - borders[len(s)-1]
		if len(s)%period != 0 || period == len(s) {
			continue
		}
		if s == folded && utf8.RuneCountInString(s[:period]) < enough {
			return true
		}
		for n := period; n <= len(s)/2 && n <= maxCommon; n += period {
			if len(s)%n == 0 && isListed(s[:n]) {
				return true
			}
		}
	}
	return false
}

// withoutDigits gives a password as it is, and with one digit less behind each time. Of
// digits alone only the whole counts: most that are long begin with some common ones.
func withoutDigits(s string) []string {
	out := []string{s}
	for n := len(strings.TrimRight(s, "0123456789")); n > 0 && len(s) > n; {
		s = s[:len(s)-1]
		out = append(out, s)
	}
	return out
}

// borders gives for each beginning of s the length of its longest proper beginning that it
// also ends with (the failure function of Knuth, Morris and Pratt). What is left without it
// is the shortest period. A period of valid UTF-8 never cuts a character.
func borders(s string) []int {
	out := make([]int, len(s))
	for i, n := 1, 0; i < len(s); i++ {
		for n > 0 && s[i] != s[n] {
			n = out[n-1]
		}
		if s[i] == s[n] {
			n++
		}
		out[i] = n
	}
	return out
}
