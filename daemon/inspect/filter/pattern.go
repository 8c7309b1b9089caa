package filter

import (
	"unicode"
	"unicode/utf8"
)

// text is what is searched.
type text interface{ ~string | ~[]byte }

// extent is how much of a text a pattern without "*" has to be.
type extent int

const (
	complete extent = iota
	begin
	anywhere
)

// pattern is a text with "*" for any text. It matches in the time that the text takes to read.
type pattern struct {
	parts      []needle // what is between the stars; none is empty
	head, tail bool     // the first part is where the text begins, the last where it ends
	some       bool     // it is "*" alone, which is any text but none
	target     bool     // it has a "?", which in a target begins the query
}

// newPattern reads one. Where it has a star, it has to be the complete text, except for a pattern
// that may be anywhere.
func newPattern(chars []char, e extent) pattern {
	p := pattern{head: e != anywhere, tail: e == complete}
	from, stars := 0, 0
	add := func(to int) {
		if to > from {
			p.parts = append(p.parts, newNeedle(plain(chars[from:to])))
		}
	}
	for i, c := range chars {
		p.target = p.target || c.b == '?'
		if c.b != '*' || c.quoted {
			continue
		}
		stars++
		if i == 0 {
			p.head = false
		}
		add(i)
		from = i + 1
	}
	add(len(chars))
	if stars > 0 && e == begin {
		p.tail = true
	}
	if n := len(chars); n > 0 && chars[n-1].b == '*' && !chars[n-1].quoted {
		p.tail = false
	}
	p.some = len(p.parts) == 0
	return p
}

// match reports whether a text has the pattern.
func (p *pattern) match(s string) bool {
	if p.some {
		return s != ""
	}
	parts, at := p.parts, 0
	if p.head {
		if at = parts[0].prefix(s); at < 0 {
			return false
		}
		if parts = parts[1:]; len(parts) == 0 {
			return !p.tail || at == len(s)
		}
	}
	if p.tail {
		end := parts[len(parts)-1].suffix(s)
		if end < at {
			return false
		}
		s, parts = s[:end], parts[:len(parts)-1]
	}
	for i := range parts {
		if at = find(&parts[i], s, at); at < 0 {
			return false
		}
	}
	return true
}

// matchAny reports whether a text has one of the patterns.
func matchAny(list []pattern, s string) bool {
	for i := range list {
		if list[i].match(s) {
			return true
		}
	}
	return false
}

// needle is a text that is searched for, whatever its case, by Knuth, Morris and Pratt: each
// character of what is searched is looked at a constant number of times.
type needle struct {
	runes []rune // folded
	fail  []int32
	swift swift
}

func newNeedle(s string) needle {
	var n needle
	for _, r := range s {
		n.runes = append(n.runes, fold(r))
	}
	n.fail = make([]int32, len(n.runes))
	for i, k := 1, int32(0); i < len(n.runes); i++ {
		for k > 0 && n.runes[i] != n.runes[k] {
			k = n.fail[k-1]
		}
		if n.runes[i] == n.runes[k] {
			k++
		}
		n.fail[i] = k
	}
	n.swift = newSwift(n.runes)
	return n
}

// fold is the one character that stands for all that differ by case alone. Those outside of ASCII
// that fold to a letter of it, such as the sign of Kelvin, stay, so that ASCII can be searched byte
// by byte.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if next < utf8.RuneSelf {
			return r
		}
		least = min(least, next)
	}
	return least
}

// broken begins what stands for bytes that are no UTF-8: none of them equals a character.
const broken = utf8.MaxRune + 1

// runeAt is the folded character at a place, and its length.
func runeAt[T text](s T, at int) (rune, int) {
	if c := s[at]; c < utf8.RuneSelf {
		return fold(rune(c)), 1
	}
	r, n := utf8.DecodeRuneInString(string(s[at:min(at+utf8.UTFMax, len(s))]))
	if r == utf8.RuneError && n == 1 {
		return broken + rune(s[at]), 1
	}
	return fold(r), n
}

// runeBefore is the folded character before a place, and its length.
func runeBefore[T text](s T, at int) (rune, int) {
	if c := s[at-1]; c < utf8.RuneSelf {
		return fold(rune(c)), 1
	}
	r, n := utf8.DecodeLastRuneInString(string(s[max(0, at-utf8.UTFMax):at]))
	if r == utf8.RuneError && n == 1 {
		return broken + rune(s[at-1]), 1
	}
	return fold(r), n
}

// lowered are the bytes of ASCII, folded.
var lowered = func() (out [utf8.RuneSelf]byte) {
	for c := range out {
		out[c] = byte(fold(rune(c)))
	}
	return out
}()

// find is the end of the first occurrence from a place on, negative if there is none.
func find[T text](n *needle, s T, at int) int {
	runes, k := n.runes, 0
	for at < len(s) {
		var r rune
		if c := s[at]; c < utf8.RuneSelf {
			r = rune(lowered[c])
			at++
		} else {
			var size int
			r, size = runeAt(s, at)
			at += size
		}
		for k > 0 && runes[k] != r {
			k = int(n.fail[k-1])
		}
		if runes[k] == r {
			if k++; k == len(runes) {
				return at
			}
		}
	}
	return -1
}

// prefix is where the needle ends if the text begins with it, else negative.
func (n *needle) prefix(s string) int { return forward(n.runes, s, 0) }

// suffix is where the needle begins if the text ends with it, else negative.
func (n *needle) suffix(s string) int { return backward(n.runes, s, len(s)) }

// forward is where the characters end that begin at a place, negative if others do.
func forward[T text](runes []rune, s T, at int) int {
	for _, want := range runes {
		if at == len(s) {
			return -1
		}
		r, size := runeAt(s, at)
		if r != want {
			return -1
		}
		at += size
	}
	return at
}

// backward is where the characters begin that end at a place, negative if others do.
func backward[T text](runes []rune, s T, at int) int {
	for i := len(runes) - 1; i >= 0; i-- {
		if at == 0 {
			return -1
		}
		r, size := runeBefore(s, at)
		if r != runes[i] {
			return -1
		}
		at -= size
	}
	return at
}
