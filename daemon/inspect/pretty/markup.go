package pretty

import (
	"bytes"
	"fmt"
)

// marks are what begins parts of XML, and what ends them.
var marks = [...]struct{ begin, end string }{
	{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}, {"<", ">"},
}

// xml writes XML with a line for each element. It keeps a depth and no stack.
func (p *page) xml(body []byte) (problem string) {
	in := bytes.TrimPrefix(body, []byte("\ufeff"))
	depth, first := 0, true
	opened := false // the last part was a start tag, or the text behind one
	for len(in) > 0 && !p.full {
		lt := bytes.IndexByte(in, '<')
		text := in
		if lt >= 0 {
			text = in[:lt]
		}
		if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 {
			closes := lt >= 0 && lt+1 < len(in) && in[lt+1] == '/'
			if opened && closes && bytes.IndexByte(trimmed, '\n') < 0 {
				p.clean(trimmed)
			} else {
				p.startLine(depth, &first)
				p.text(trimmed)
				opened = false
			}
		}
		if lt < 0 {
			break
		}
		in = in[lt:]
		size := partOf(in)
		if size < 0 {
			p.startLine(depth, &first)
			p.text(in)
			p.raw("\n")
			return fmt.Sprintf("it is no XML from byte %d on, or ends too early", len(body)-len(in))
		}
		part := in[:size]
		in = in[size:]
		switch {
		case part[1] == '/':
			depth = max(0, depth-1)
			if !opened {
				p.startLine(depth, &first)
			}
			opened = false
		case part[1] == '!' || part[1] == '?' || part[size-2] == '/':
			p.startLine(depth, &first)
			opened = false
		default:
			p.startLine(depth, &first)
			depth++
			opened = true
		}
		p.text(part)
	}
	p.raw("\n")
	return ""
}

// startLine begins a line, but for the first one.
func (p *page) startLine(depth int, first *bool) {
	if *first {
		*first = false
		return
	}
	p.newLine(depth)
}

// partOf is how long the tag, comment or section is with which a text begins; negative if it has no
// end.
func partOf(in []byte) int {
	for _, m := range marks {
		if !bytes.HasPrefix(in, []byte(m.begin)) {
			continue
		}
		n := bytes.Index(in[len(m.begin):], []byte(m.end))
		if n < 0 || m.begin == "<" && n == 0 {
			return -1
		}
		return len(m.begin) + n + len(m.end)
	}
	return -1
}
