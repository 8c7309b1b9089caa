package waf

import (
	"bytes"
	"mime"
	"net/textproto"
	"strings"

	"github.com/mezusphere/mezu/relay"
)

// Bounds on what is between the parts of a multipart body.
const (
	// maxPartHead bounds the head of one part. Browsers send some hundred bytes.
	maxPartHead = 4 << 10
	// maxPartFields bounds the fields of one part's head. Browsers send two.
	maxPartFields = 16
	// maxPartOverhead bounds the heads of all parts together: 256 of the usual kind.
	maxPartOverhead = 64 << 10
)

// Where a scanner is.
const (
	atStart    = iota // before the first boundary
	atBoundary        // behind a boundary
	atHead            // in the head of a part
	inField           // in what is looked at
	inFile            // in what is not
	atEnd             // behind the last boundary
)

// scanner takes a multipart body apart as it comes (RFC 7578, RFC 2046, 5.1). It takes one form
// only, in which all readers agree: lines that end in CR LF, nothing before the first boundary or
// behind the last, and no line that begins with the boundary and is none.
type scanner struct {
	p         *parsed
	delimiter []byte // CR LF, two hyphens and the boundary
	state     int
	pending   []byte // not taken yet
	heads     int    // bytes of all heads
	value     []byte // of the field that is being read
	name      string
	json      bool // the field says that it is JSON
	ready     bool // a file begins: what came before it is to be judged
	taken     int64
	safe      int64 // so many bytes may be sent on, once what came before them is judged
	why       string
}

// newScanner begins a body; nil if its media type names no boundary.
func newScanner(p *parsed, r *relay.Request) *scanner {
	b := boundary(r)
	if b == "" {
		return nil
	}
	return &scanner{p: p, delimiter: []byte("\r\n--" + b)}
}

// parts takes apart a body that is here as a whole.
func (p *parsed) parts(r *relay.Request, body []byte) string {
	s := newScanner(p, r)
	if s == nil {
		return badParts
	}
	s.write(body)
	return s.end()
}

// end is why the body, which has ended, is unreadable; empty if it is not.
func (s *scanner) end() string {
	if s.why == "" && s.p.exceeded == "" && (s.state != atEnd || len(s.pending) > 0) {
		s.why = badParts
	}
	return s.why
}

// write takes the next bytes. It stops at the first fault.
func (s *scanner) write(b []byte) {
	s.pending = append(s.pending, b...)
	for s.why == "" && s.p.exceeded == "" && s.step() {
	}
}

// step takes what it can of the pending bytes, and reports whether there may be more to take.
func (s *scanner) step() bool {
	switch s.state {
	case atStart:
		return s.take(s.delimiter[2:], atBoundary)
	case atBoundary:
		return s.boundary()
	case atHead:
		return s.head()
	case inField, inFile:
		return s.content()
	}
	// Some senders end the last line.
	if len(s.pending) > 0 && !bytes.HasPrefix([]byte("\r\n"), s.pending) {
		s.why = badParts
	}
	if len(s.pending) == 2 {
		s.pending = s.pending[:0]
	}
	return false
}

// take takes a text that has to be there.
func (s *scanner) take(text []byte, next int) bool {
	n := min(len(text), len(s.pending))
	if !bytes.Equal(s.pending[:n], text[:n]) {
		s.why = badParts
		return false
	}
	if n < len(text) {
		return false
	}
	s.drop(n)
	s.state = next
	return true
}

// drop takes n pending bytes away.
func (s *scanner) drop(n int) {
	s.pending = append(s.pending[:0], s.pending[n:]...)
	s.taken += int64(n)
}

// boundary is what follows a boundary: the end of its line, or two hyphens.
func (s *scanner) boundary() bool {
	if len(s.pending) < 2 {
		return false
	}
	switch string(s.pending[:2]) {
	case "\r\n":
		s.state = atHead
	case "--":
		s.state = atEnd
	default:
		s.why = badParts // longer than the boundary: for some readers it is one, for others not
		return false
	}
	s.drop(2)
	return true
}

// head is the head of a part, with the empty line behind it.
func (s *scanner) head() bool {
	i := bytes.Index(s.pending, []byte("\r\n\r\n"))
	if i < 0 || i > maxPartHead {
		if len(s.pending) > maxPartHead {
			s.p.exceeded = "part"
		}
		return false
	}
	if s.why = s.partHead(string(s.pending[:i])); s.why != "" {
		return false
	}
	s.drop(i + 2) // the line end before the boundary of an empty part is that of its head
	if s.state == inFile {
		s.safe = s.taken
	}
	s.value = s.value[:0]
	return true
}

// partHead reads the head of a part.
func (s *scanner) partHead(head string) string {
	lines := strings.Split(head, "\r\n")
	if len(lines) > maxPartFields {
		s.p.exceeded = "part"
		return ""
	}
	disposition, mediaType, seen := "", "", map[string]bool{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		key := textproto.CanonicalMIMEHeaderKey(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n\x00") || strings.ContainsAny(value, "\r\n\x00") || seen[key] {
			return badParts
		}
		seen[key] = true
		switch key {
		case "Content-Disposition":
			disposition = value
		case "Content-Type":
			mediaType = strings.TrimSpace(value)
		}
	}
	_, params, err := mime.ParseMediaType(disposition)
	if disposition != "" && err != nil || strings.HasPrefix(strings.ToLower(mediaType), "multipart/") {
		return badParts
	}
	s.name, s.json = params["name"], kindOf(mediaType) == JSON
	for _, line := range lines {
		s.heads += len(line)
		s.p.heads = append(s.p.heads, [2]string{s.name, line})
	}
	if s.heads > maxPartOverhead {
		s.p.exceeded = "part"
	}
	if !s.p.value(len(s.name), 0) {
		return ""
	}
	// mime reads filename* as filename. Workloads that don't know it see a field, so that is looked
	// at like one.
	name := params["filename"]
	if name != "" {
		s.p.files = append(s.p.files, file{s.name, name})
	}
	if s.state = inField; name != "" && !strings.Contains(strings.ToLower(disposition), "filename*") {
		s.state, s.ready = inFile, true
	}
	return ""
}

// content is what a part holds, up to the next boundary.
func (s *scanner) content() bool {
	i := bytes.Index(s.pending, s.delimiter[1:])
	if i >= 0 && (i == 0 || s.pending[i-1] != '\r') {
		s.why = badParts // a line ends without CR: for some readers the boundary counts all the same
		return false
	}
	n := i - 1
	if i < 0 {
		n = max(0, len(s.pending)-len(s.delimiter))
	}
	if s.state == inField {
		s.value = append(s.value, s.pending[:n]...)
		if len(s.value) > s.p.s.Body+2 {
			s.p.exceeded = "body"
			return false
		}
	}
	file := s.state == inFile
	if i >= 0 && !file {
		s.field()
	}
	s.drop(n)
	if file {
		s.safe = s.taken
	}
	if i < 0 {
		return false
	}
	s.drop(len(s.delimiter))
	s.state = atBoundary
	return true
}

// field ends a field.
func (s *scanner) field() {
	value := string(bytes.TrimPrefix(s.value, []byte("\r\n"))) // the empty line behind the head
	if s.json {
		s.why = s.p.json(s.name, []byte(value), false)
		return
	}
	s.p.values-- // counted at its head
	s.p.add(s.name, value)
}
