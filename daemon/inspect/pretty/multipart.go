package pretty

import (
	"bytes"
	"fmt"
	"mime"
	"strings"

	"github.com/mezusphere/mezu"
)

const (
	// maxInner is how deep bodies of several parts lie in one another. Deeper ones are text.
	maxInner = 3
	// maxPartHead bounds the head of a part.
	maxPartHead = 16 << 10
)

// multipart writes heads, sizes and texts of parts.
func (p *page) multipart(mediaType string, body []byte, inner int) (problem string) {
	boundary := boundaryOf(mediaType, body)
	delimiter := []byte("--" + boundary)
	at := nextDelimiter(body, delimiter, 0)
	if boundary == "" || inner == maxInner || at == len(body) {
		p.text(body)
		return "its parts are not told apart"
	}
	for n := 1; !p.full; n++ {
		from := at + len(delimiter)
		if bytes.HasPrefix(body[from:], []byte("--")) {
			return ""
		}
		at = nextDelimiter(body, delimiter, from)
		if n > 1 {
			p.raw("\n")
		}
		p.part(n, body[from:at], at == len(body), inner)
		if at == len(body) {
			return "its parts end too early"
		}
	}
	return ""
}

// part writes a part, with the line ends around it unless it is cut.
func (p *page) part(n int, part []byte, cut bool, inner int) {
	part = trimLineEnd(part, bytes.TrimPrefix)
	if !cut {
		part = trimLineEnd(part, bytes.TrimSuffix)
	}
	head, content := cutHead(part)
	p.raw(fmt.Sprintf("[part %d, %d bytes]\n", n, len(content)))
	kind := ""
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n")
		p.clean(line)
		p.raw("\n")
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && strings.EqualFold(string(name), "Content-Type") {
			kind = string(bytes.TrimSpace(value))
		}
	}
	p.raw("\n")
	switch form := Form(kind, content); form {
	case mezu.BodyBinary:
		p.raw("(binary)\n")
		return
	default:
		p.body(form, kind, content, inner+1)
	}
	if len(p.out) > 0 && p.out[len(p.out)-1] != '\n' {
		p.raw("\n")
	}
}

// trimLineEnd removes one line end from one side.
func trimLineEnd(b []byte, trim func(b, end []byte) []byte) []byte {
	if shorter := trim(b, []byte("\r\n")); len(shorter) < len(b) {
		return shorter
	}
	return trim(b, []byte("\n"))
}

// cutHead parts the head of a part from its content. Without an empty line, all of it is head.
func cutHead(part []byte) (head, content []byte) {
	for _, end := range []string{"\n", "\r\n"} { // no head
		if rest, ok := bytes.CutPrefix(part, []byte(end)); ok {
			return nil, rest
		}
	}
	within := part[:min(len(part), maxPartHead)]
	for _, blank := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(within, []byte(blank)); i >= 0 {
			return part[:i], part[i+len(blank):]
		}
	}
	return within, part[len(within):]
}

// nextDelimiter is where the next delimiter stands, at the begin of a line, or the end.
func nextDelimiter(body, delimiter []byte, at int) int {
	for {
		n := bytes.Index(body[at:], delimiter)
		if n < 0 {
			return len(body)
		}
		if at += n; at == 0 || body[at-1] == '\n' {
			return at
		}
		at += len(delimiter)
	}
}

// boundaryOf is the media type's, else the one with which the body begins; empty if there is none.
func boundaryOf(mediaType string, body []byte) string {
	if _, params, err := mime.ParseMediaType(mediaType); err == nil && params["boundary"] != "" {
		return params["boundary"]
	}
	const longest = 70 // RFC 2046, 5.1.1
	line, _, ok := bytes.Cut(body[:min(len(body), longest+4)], []byte("\n"))
	if line, begins := bytes.CutPrefix(bytes.TrimRight(line, "\r"), []byte("--")); ok && begins {
		return string(line)
	}
	return ""
}
