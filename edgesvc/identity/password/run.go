package password

import "strings"

// runLength is the length from which a run counts. Runs of three are in many words.
const runLength = 4

// rows are what runs go along, in both directions: alphabet, digits, and the rows and
// columns of the usual keyboards (QWERTY, QWERTZ, AZERTY).
func rows() []string {
	return []string{
		"abcdefghijklmnopqrstuvwxyz", "01234567890",
		"qwertyuiop", "asdfghjkl;", "zxcvbnm,./",
		"qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-",
		"azertyuiop", "qsdfghjklm", "wxcvbn",
		"1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/",
	}
}

// markRuns marks the characters of runs. The last one of a run may begin the next, as in
// abcdcba.
func markRuns(s []rune, easy []bool) {
	rows := rows()
	for i := 0; i < len(s); {
		end, ways := i+1, ^uint64(0)
		for ; end < len(s); end++ {
			if ways &= steps(rows, s[end-1], s[end]); ways == 0 {
				break
			}
		}
		if end-i < runLength {
			i++
			continue
		}
		markAll(easy[i:end])
		if end == len(s) {
			return
		}
		i = end - 1
	}
}

// steps are the ways in which b follows a: a bit for staying, and two for each row.
func steps(rows []string, a, b rune) uint64 {
	if a == b {
		return 1
	}
	var out uint64
	on, back := string([]rune{a, b}), string([]rune{b, a})
	for i, row := range rows {
		if strings.Contains(row, on) {
			out |= 2 << (2 * i)
		}
		if strings.Contains(row, back) {
			out |= 4 << (2 * i)
		}
	}
	return out
}
