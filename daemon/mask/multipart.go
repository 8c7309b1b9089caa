package mask

import (
	"bytes"
	"mime"
	"strings"

	"github.com/mezusphere/mezu"
)

const (
	// maxMultiparts is how deep bodies of several parts lie in one another. Deeper ones are
	// searched as text.
	maxMultiparts = 3
	// maxPartHead bounds the head of a part.
	maxPartHead = 16 << 10
)

// maskMultipart masks each part by its name and its media type. A body that isn't of several parts
// is searched as text.
func maskMultipart(mediaType string, body []byte, inner int) ([]byte, int) {
	boundary := boundaryOf(mediaType, body)
	if boundary == "" || inner == maxMultiparts {
		return maskLoose(body)
	}
	delimiter := []byte("--" + boundary)
	e := edit[[]byte]{in: body}
	for at := nextDelimiter(body, delimiter, 0); at < len(body); {
		from := at + len(delimiter)
		next := nextDelimiter(body, delimiter, from)
		maskPart(&e, from, next, inner)
		at = next
	}
	if e.n == 0 && !bytes.Contains(body, delimiter) {
		return maskLoose(body)
	}
	return e.result()
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

// maskPart masks what lies between two delimiters.
func maskPart(e *edit[[]byte], from, to, inner int) {
	head, skip := cutHead(e.in[from:to])
	name, mediaType, isFile := partOf(head)
	at := from + skip
	end := to
	if end > at && end < len(e.in) { // the line end before a delimiter is a part of that
		end--
		if end > at && e.in[end-1] == '\r' {
			end--
		}
	}
	if at >= end {
		return
	}
	if name != "" && isQueryName(name) {
		e.hide(at, end, "")
		return
	}
	content := e.in[at:end]
	var masked []byte
	n := 0
	switch {
	case strings.HasPrefix(mediaType, "multipart/"):
		masked, n = maskMultipart(mediaType, content, inner+1)
	case strings.Contains(mediaType, "json"):
		masked, n = maskJSON(content, 0)
	case strings.HasPrefix(mediaType, "application/x-www-form-urlencoded"):
		masked, n = Body(mezu.BodyFields, "", content)
	case isFile && !strings.HasPrefix(mediaType, "text/"):
		masked, n = Body(mezu.BodyBinary, "", content)
	default:
		masked, n = Body(mezu.BodyText, "", content)
	}
	if n > 0 {
		e.replace(at, end, string(masked))
		e.n += n
	}
}

// cutHead is the head of a part, and how long it is with the empty line behind it. Without an
// empty line, all of it may be content.
func cutHead(part []byte) (head []byte, length int) {
	within := part[:min(len(part), maxPartHead)]
	for _, blank := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(within, []byte(blank)); i >= 0 {
			return within[:i], i + len(blank)
		}
	}
	return nil, 0
}

// partOf reads the head of a part.
func partOf(head []byte) (name, mediaType string, isFile bool) {
	for line := range strings.Lines(string(head)) {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(field)) {
		case "content-type":
			mediaType = strings.ToLower(value)
			if strings.HasPrefix(mediaType, "multipart/") {
				mediaType = "multipart/" + value[len("multipart/"):] // its boundary has a case
			}
		case "content-disposition":
			_, params, err := mime.ParseMediaType(value)
			if err != nil { // closed on doubt: whatever could be a name of it
				if _, rest, ok := strings.Cut(value, "name="); ok {
					name, _, _ = strings.Cut(strings.Trim(rest, `"`), `"`)
				}
			} else {
				name = params["name"]
			}
			isFile = params["filename"] != ""
		}
	}
	return name, mediaType, isFile
}
