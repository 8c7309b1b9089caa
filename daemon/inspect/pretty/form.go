package pretty

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
)

// sample is how much of a body is looked at to tell what it is.
const sample = 1 << 10

// Form says how a body is shown, by its Content-Type, and by how it begins where that says little
// or something else.
func Form(mediaType string, body []byte) mezu.BodyForm {
	if len(body) == 0 {
		return mezu.BodyEmpty
	}
	kind, _, _ := strings.Cut(mediaType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	form := called(kind)
	switch form {
	case mezu.BodyFrames, mezu.BodyMultipart, mezu.BodyBinary:
		return form
	case "":
		if looksBinary(body) || !isUTF8(body[:min(len(body), sample)], len(body) > sample) {
			return mezu.BodyBinary
		}
		return looks(body)
	}
	if looksBinary(body) { // whatever it is called: it may be encrypted, or still be encoded
		return mezu.BodyBinary
	}
	if kind == "text/plain" {
		return looks(body)
	}
	return form
}

// called is the form of a media type, empty if that says nothing.
func called(kind string) mezu.BodyForm {
	top, sub, _ := strings.Cut(kind, "/")
	switch {
	case strings.Contains(sub, "json"):
		return mezu.BodyJSON
	case kind == "application/x-www-form-urlencoded":
		return mezu.BodyFields
	case top == "multipart":
		return mezu.BodyMultipart
	case kind == "text/event-stream", strings.HasPrefix(kind, "application/grpc"):
		return mezu.BodyFrames
	case sub == "xml", strings.HasSuffix(sub, "+xml") && sub != "xhtml+xml":
		return mezu.BodyXML
	case top == "text", sub == "javascript", sub == "x-javascript", sub == "ecmascript", sub == "graphql", sub == "xhtml+xml",
		strings.HasSuffix(sub, "yaml"), sub == "toml", sub == "x-sh", sub == "sql", strings.HasSuffix(sub, "+text"):
		return mezu.BodyText
	case top == "image", top == "audio", top == "video", top == "font":
		return mezu.BodyBinary
	}
	return ""
}

// looks is the form of a text by how it begins.
func looks(body []byte) mezu.BodyForm {
	begin := bytes.TrimLeft(body[:min(len(body), sample)], " \t\r\n\ufeff")
	if len(begin) == 0 {
		return mezu.BodyText
	}
	rest := bytes.TrimLeft(begin[1:], " \t\r\n")
	switch {
	case begin[0] == '{' && len(rest) > 0 && (rest[0] == '"' || rest[0] == '}'),
		begin[0] == '[' && len(rest) > 0 && strings.IndexByte(`"{[]-0123456789tfn`, rest[0]) >= 0:
		return mezu.BodyJSON
	case bytes.HasPrefix(begin, []byte("<?xml")):
		return mezu.BodyXML
	}
	return mezu.BodyText
}

// looksBinary reports whether a body is no text in any encoding of ASCII's family.
func looksBinary(body []byte) bool {
	begin := body[:min(len(body), sample)]
	controls := 0
	for _, c := range begin {
		switch {
		case c == 0:
			return true
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b:
			controls++
		}
	}
	if isUTF8(begin, len(body) > len(begin)) {
		return controls > len(begin)/4 // of ten, three
	}
	high := 0
	for _, c := range begin {
		if c >= utf8.RuneSelf {
			high++
		}
	}
	return controls > 0 || high > len(begin)/3
}

// isUTF8 reports whether a text is UTF-8. The last character of one that is cut may be, too.
func isUTF8(b []byte, cut bool) bool {
	if utf8.Valid(b) {
		return true
	}
	if !cut {
		return false
	}
	for n := 1; n < utf8.UTFMax && n < len(b); n++ {
		if utf8.Valid(b[:len(b)-n]) {
			return true
		}
	}
	return false
}
