package pretty

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	// indent is that of a level.
	indent = "  "
	// maxIndent is the deepest level that is indented. What lies deeper is no longer read by its
	// indent.
	maxIndent = 40
	// shortLine is the longest list or object that is written in one line.
	shortLine = 60
)

// newLine begins a line at a depth.
func (p *page) newLine(depth int) {
	p.raw("\n")
	p.raw(strings.Repeat(indent, min(depth, maxIndent)))
}

// formatter writes JSON anew. It keeps a depth and no stack.
type formatter struct {
	*page
	in     []byte
	at     int
	depth  int
	inline int // the depth from which on everything is in one line; zero if nothing is
}

// json writes JSON, one value or several, with a line for each member.
func (p *page) json(body []byte) (problem string) {
	f := &formatter{page: p, in: body}
	f.at = len(body) - len(bytes.TrimPrefix(body, []byte("\ufeff")))
	fresh := true // nothing was written since the last bracket or comma
	for !p.full {
		f.blanks()
		if f.at == len(f.in) {
			break
		}
		switch c := f.in[f.at]; c {
		case '{', '[':
			if f.depth == 0 && !fresh {
				p.raw("\n")
			}
			fresh = f.open(c)
		case '}', ']':
			if f.depth == 0 {
				return f.rest()
			}
			f.close(c)
			fresh = false
		case ',':
			if f.depth == 0 {
				return f.rest()
			}
			f.at++
			p.raw(",")
			f.separate()
			fresh = true
		case ':':
			f.at++
			p.raw(": ")
			fresh = true
		default:
			if f.depth == 0 && !fresh {
				p.raw("\n")
			}
			end := f.token()
			if end == f.at {
				return f.rest()
			}
			p.clean(f.in[f.at:end])
			f.at = end
			fresh = false
		}
	}
	p.raw("\n")
	if f.depth > 0 && !p.full {
		return fmt.Sprintf("its JSON ends too early, after %d bytes", len(body))
	}
	return ""
}

func (f *formatter) blanks() {
	for f.at < len(f.in) && strings.IndexByte(" \t\r\n", f.in[f.at]) >= 0 {
		f.at++
	}
}

// open begins a list or an object.
func (f *formatter) open(c byte) (fresh bool) {
	f.at++
	f.blanks()
	f.raw(string(c))
	if f.at < len(f.in) && f.in[f.at] == c+2 { // the codes of { and }, [ and ] differ by two
		f.at++
		f.raw(string(c + 2))
		return false
	}
	f.depth++
	if f.inline == 0 && f.depth > 1 && f.isShort() {
		f.inline = f.depth
	}
	if f.inline > 0 {
		f.raw(" ")
	} else {
		f.newLine(f.depth)
	}
	return true
}

// close ends one.
func (f *formatter) close(c byte) {
	f.at++
	f.depth--
	switch {
	case f.inline == 0:
		f.newLine(f.depth)
	default:
		f.raw(" ")
		if f.depth < f.inline {
			f.inline = 0
		}
	}
	f.raw(string(c))
}

// separate is what is behind a comma.
func (f *formatter) separate() {
	if f.inline > 0 {
		f.raw(" ")
	} else {
		f.newLine(f.depth)
	}
}

// isShort reports whether the list or object that has begun fits into one line. It looks at no more
// than that.
func (f *formatter) isShort() bool {
	width, depth, quoted := 0, 1, false
	for _, c := range f.in[f.at:min(len(f.in), f.at+2*shortLine)] {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			return false // what is escaped has a line of its own
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return true
			}
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		case c == ',' || c == ':':
			width++
		}
		if width++; width > shortLine {
			return false
		}
	}
	return false
}

// token is where a string, number or word ends.
func (f *formatter) token() int {
	end := f.at
	if f.in[end] == '"' {
		for end++; end < len(f.in); end++ {
			switch f.in[end] {
			case '"':
				return end + 1
			case '\\':
				end++
			}
		}
		return len(f.in)
	}
	for end < len(f.in) && (f.in[end] >= '0' && f.in[end] <= '9' || f.in[end] >= 'a' && f.in[end] <= 'z' || f.in[end] == 'E' || strings.IndexByte("+-.", f.in[end]) >= 0) {
		end++
	}
	return end
}

// rest writes what is no JSON.
func (f *formatter) rest() (problem string) {
	if f.at > 0 {
		f.raw("\n")
	}
	f.text(f.in[f.at:])
	return fmt.Sprintf("it is no JSON from byte %d on", f.at)
}
