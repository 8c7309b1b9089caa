package filter

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// swift searches megabytes for a needle: for its rarest character, by the machine's instructions
// for that, and looks at what is around it. Text in which that is everywhere is searched as needle
// says.
type swift struct {
	at       int      // which of the needle's characters
	variants [][]byte // how it is written
	// before and behind are the characters around it, if they are of ASCII, else zero.
	before, behind byte
}

// common are characters of bodies, the most frequent first. Others are rarer.
const common = " \"e:taoinsr,lhdcu0m1pfg2.-w/y_b3456789v{}k[]=xj<>\n"

func newSwift(runes []rune) swift {
	out, rarest := swift{}, -1
	for i, r := range runes {
		rank := len(common)
		if r < utf8.RuneSelf {
			if c := strings.IndexByte(common, byte(r)); c >= 0 {
				rank = c
			}
		} else {
			rank = 2 // the first byte of most characters of a script is the same
		}
		if rank > rarest {
			out.at, rarest = i, rank
		}
	}
	if i := out.at - 1; i >= 0 && runes[i] < utf8.RuneSelf {
		out.before = byte(runes[i])
	}
	if i := out.at + 1; i < len(runes) && runes[i] < utf8.RuneSelf {
		out.behind = byte(runes[i])
	}
	r := runes[out.at]
	if r < utf8.RuneSelf {
		out.variants = [][]byte{{byte(r)}}
		if upper := byte(unicode.ToUpper(r)); upper != byte(r) {
			out.variants = append(out.variants, []byte{upper})
		}
		return out
	}
	out.variants = [][]byte{utf8.AppendRune(nil, r)}
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if fold(next) == r {
			out.variants = append(out.variants, utf8.AppendRune(nil, next))
		}
	}
	return out
}

const (
	// maxVariants is how many ways there are to write a character, but for its case: the largest
	// orbit of Unicode has four.
	maxVariants = 4
	// lookCost is what one occurrence of the rare character costs, in bytes that could be read
	// instead.
	lookCost = 6
	// freeLooks are looks before it counts whether they are too many.
	freeLooks = 64
)

// find is as needle's.
func (n *needle) find(s []byte, at int) int {
	sw := &n.swift
	if len(sw.variants) > maxVariants {
		return find(n, s, at)
	}
	var next [maxVariants]int // where each variant is next
	for i := range next {
		next[i] = -1
	}
	from, cost, pos := at, -freeLooks*lookCost, at
	for {
		hit, size := len(s), 0
		for i, v := range sw.variants {
			if next[i] < pos {
				j := bytes.Index(s[pos:], v)
				if j < 0 {
					next[i] = len(s)
				} else {
					next[i] = pos + j
				}
			}
			if next[i] < hit {
				hit, size = next[i], len(v)
			}
		}
		if hit == len(s) {
			return -1
		}
		pos = hit + 1
		if cost += lookCost; cost > pos-from {
			return find(n, s, max(from, hit-len(n.runes)*utf8.UTFMax))
		}
		if sw.before != 0 && (hit == 0 || lower(s[hit-1]) != sw.before) || sw.behind != 0 && (hit+size >= len(s) || lower(s[hit+size]) != sw.behind) {
			continue
		}
		if start := backward(n.runes[:sw.at], s, hit); start >= from {
			if end := forward(n.runes[sw.at+1:], s, hit+size); end >= 0 {
				return end
			}
		}
		cost += len(n.runes)
	}
}

// lower is a byte of ASCII, folded, zero if it is none.
func lower(c byte) byte {
	if c < utf8.RuneSelf {
		return lowered[c]
	}
	return 0
}

// contains reports whether a text has the parts of the pattern one behind the other.
func (p *pattern) contains(s []byte) bool {
	if p.some {
		return len(s) > 0
	}
	at := 0
	for i := range p.parts {
		if at = p.parts[i].find(s, at); at < 0 {
			return false
		}
	}
	return true
}
