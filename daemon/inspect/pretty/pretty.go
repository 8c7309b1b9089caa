// Package pretty makes text for people of bodies and frames. No control character, escape
// sequence or formatting character of others is in it, so that it drives no terminal: mezu.Clean
// says how these are written. Lines end with a line feed, and a tab is four blanks.
//
// What lives here: what form a body has, its lines, its hex dump, and the one line that a list
// shows of a frame. What may not: masks and decompression, which come before. daemon/inspect and
// daemon/rest import it.
package pretty

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/visible"
)

// problemShort is said of what has more text than is shown.
const problemShort = "the rest is left out: it is too long to be shown"

// page is text that is written until it is full.
type page struct {
	out  []byte
	most int
	full bool
}

// raw appends text that is clean, as a whole or not at all.
func (p *page) raw(s string) {
	if len(p.out)+len(s) > p.most {
		p.full = true
	}
	if !p.full {
		p.out = append(p.out, s...)
	}
}

// cleanStep is how much is cleaned at once: what there is no room for isn't cleaned.
const cleanStep = 1 << 10

// clean appends a part of a line.
func (p *page) clean(b []byte) {
	for len(b) > 0 && !p.full {
		n := min(len(b), cleanStep)
		if n < len(b) {
			n = cutRune(b, n)
		}
		p.raw(visible.Text(string(b[:n])))
		b = b[n:]
	}
}

// cutRune is the last place, n at most, at which no character is cut.
func cutRune(b []byte, n int) int {
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	return n
}

// text appends text of several lines.
func (p *page) text(b []byte) {
	for len(b) > 0 && !p.full {
		i := bytes.IndexAny(b, "\n\r\t")
		if i < 0 {
			p.clean(b)
			return
		}
		p.clean(b[:i])
		switch {
		case b[i] == '\t':
			p.raw("    ")
		case b[i] == '\n':
			p.raw("\n")
		case i+1 < len(b) && b[i+1] == '\n':
			p.raw("\n")
			i++
		default:
			p.raw(`\r`)
		}
		b = b[i+1:]
	}
}

// result is the text, and the problem that it got to be too long if there was none before.
func (p *page) result(problem string) ([]byte, string) {
	if p.full && problem == "" {
		problem = problemShort
	}
	return p.out, problem
}

// Body gives a body as lines, local.MaxPretty bytes at most. One that is not of its form to the
// end, or is cut, is shown as far as it is, the rest as text. problem says why not all is shown.
func Body(form mezu.BodyForm, mediaType string, body []byte) (text []byte, problem string) {
	p := &page{most: local.MaxPretty}
	return p.result(p.body(form, mediaType, body, 0))
}

func (p *page) body(form mezu.BodyForm, mediaType string, body []byte, inner int) (problem string) {
	switch form {
	case mezu.BodyEmpty:
	case mezu.BodyJSON:
		return p.json(body)
	case mezu.BodyFields:
		p.fields(body)
	case mezu.BodyMultipart:
		return p.multipart(mediaType, body, inner)
	case mezu.BodyXML:
		return p.xml(body)
	case mezu.BodyBinary:
		return p.hex(body)
	case mezu.BodyFrames:
		if looksBinary(body) {
			return p.hex(body)
		}
		p.text(body)
	default:
		p.text(body)
	}
	return ""
}

// fields writes a form, a line for each field.
func (p *page) fields(body []byte) {
	for pair := range bytes.SplitSeq(body, []byte("&")) {
		name, value, given := bytes.Cut(pair, []byte("="))
		p.clean(decodeField(name))
		if given {
			p.raw(" = ")
			p.clean(decodeField(value))
		}
		p.raw("\n")
		if p.full {
			return
		}
	}
}

// decodeField undoes the encoding of a form. What is not encoded properly stays.
func decodeField(b []byte) []byte {
	if s, err := url.QueryUnescape(string(b)); err == nil {
		return []byte(s)
	}
	return b
}

const (
	hexWidth = 16
	hexGroup = 8
)

// Hex gives bytes as a dump of offset, hexadecimal digits and ASCII, local.MaxPretty bytes at
// most.
func Hex(body []byte) (text []byte, problem string) {
	p := &page{most: local.MaxPretty}
	return p.result(p.hex(body))
}

func (p *page) hex(body []byte) (problem string) {
	const digits = "0123456789abcdef"
	for at := 0; at < len(body); at += hexWidth {
		row := body[at:min(at+hexWidth, len(body))]
		line := fmt.Appendf(nil, "%08x ", at)
		ascii := []byte(" |")
		for i := range hexWidth {
			if i%hexGroup == 0 {
				line = append(line, ' ')
			}
			if i >= len(row) {
				line = append(line, "   "...)
				continue
			}
			c := row[i]
			line = append(line, digits[c>>4], digits[c&15], ' ')
			if c < ' ' || c > '~' {
				c = '.'
			}
			ascii = append(ascii, c)
		}
		line = append(append(line, ascii...), "|\n"...)
		p.raw(string(line))
		if p.full {
			return fmt.Sprintf("the first %d of %d bytes are shown", at, len(body))
		}
	}
	return ""
}

// closeCodes are names of why a WebSocket is closed (RFC 6455, 7.4.1, and IANA's registry).
func closeCodes() map[int]string {
	return map[int]string{1000: "normal closure", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "no status",
		1006: "abnormal closure", 1007: "invalid text", 1008: "policy violation", 1009: "message too big", 1010: "extension missing",
		1011: "internal error", 1012: "service restart", 1013: "try again later", 1014: "bad gateway", 1015: "TLS failed"}
}

// Line is one line of the content of a frame, mezu.MaxFrameLine bytes at most: its text with
// blanks for line ends, or hexadecimal digits if it is binary. That of a closing frame is its
// code and reason.
func Line(kind mezu.FrameKind, content []byte) string {
	begin := content[:min(len(content), mezu.MaxFrameLine+1)]
	if kind == mezu.FrameClose && len(content) >= 2 {
		code := int(content[0])<<8 | int(content[1])
		reason := content[2:]
		if len(reason) == 0 {
			reason = []byte(closeCodes()[code])
		}
		return oneLine(fmt.Appendf(nil, "%d %s", code, reason))
	}
	switch kind {
	case mezu.FrameText, mezu.FrameEvent:
		return oneLine(content)
	}
	if kind != mezu.FrameBinary && kind != mezu.FrameMessage && !looksBinary(begin) {
		return oneLine(content)
	}
	return oneLine(fmt.Appendf(nil, "% x", begin))
}

// oneLine is a text as one line.
func oneLine(content []byte) string {
	const more = "…"
	p := page{most: mezu.MaxFrameLine - len(more)}
	text := bytes.TrimSpace(content)
	for len(text) > 0 && !p.full {
		blank := bytes.IndexAny(text, " \t\r\n")
		if blank < 0 {
			blank = len(text)
		}
		p.word(text[:blank])
		if text = bytes.TrimLeft(text[blank:], " \t\r\n"); len(text) > 0 {
			p.raw(" ")
		}
	}
	if p.full {
		return strings.TrimRight(string(p.out), " ") + more
	}
	return string(p.out)
}

// word appends as much of a word as there is room for, and no cut escape.
func (p *page) word(b []byte) {
	for len(b) > 0 && !p.full {
		_, n := utf8.DecodeRune(b)
		p.clean(b[:n])
		b = b[n:]
	}
}
