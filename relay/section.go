package relay

import (
	"strings"

	"github.com/mezusphere/mezu"
)

// SectionKind says what a section of fields is of.
type SectionKind uint8

// Kinds of sections.
const (
	SectionRequest SectionKind = iota
	SectionResponse
	SectionTrailer
)

const (
	// fieldCost is what a field of HTTP/2 counts beside its name and value (RFC 9113, 6.5.2).
	fieldCost = 32
	// usualText and usualFields are room for what most messages have.
	usualText   = 1 << 10
	usualFields = 16
	// maxKeptFields is how many fields the next section gets room for: no browser sends more.
	maxKeptFields = 64
)

// MalformedError is why a message of HTTP/2 is malformed (RFC 9113, 8.1.1): its stream is
// reset with PROTOCOL_ERROR. What HTTP/1.1 answers is another error.
type MalformedError struct{ rule *mezu.Error }

// Error names the rule that was broken, and the field.
func (e *MalformedError) Error() string { return e.rule.Error() }

// Detail names the rule alone: nothing of the message is in it.
func (e *MalformedError) Detail() string { return e.rule.Detail }

// Unwrap gives the refusal that it would be in HTTP/1.1, for events and logs.
func (e *MalformedError) Unwrap() error { return e.rule }

// Section becomes the head or the trailer section of a message of HTTP/2, from its fields as
// HPACK gives them. It judges each field as it comes, by the rules of RFC 9113, 8.1 to 8.3, and
// by those of HTTP/1.1. What RFC 9113 calls malformed is a MalformedError. What is well-formed
// and refused nevertheless is the same *mezu.Error as in HTTP/1.1, to be answered.
//
// A Section is used again for the next message. What was made from it aliases its memory until
// Reset.
type Section struct {
	message
	kind      SectionKind
	text      Text
	pseudo    [pseudoFields][]byte
	has       uint8 // the pseudo-fields that came, a bit each
	regular   bool  // a field came that is none of these
	count     int   // fields, as HTTP/1.1 counts them
	size      int   // as RFC 9113 counts it
	cookie    int   // the index of the last crumb
	crumbs    int   // lines of Cookie that stand apart
	tooLarge  bool
	tooLong   bool // the target
	malformed error
	refusal   error
	content   int64 // of a response, see Content
}

// Pseudo-fields (RFC 9113, 8.3; RFC 8441, 4).
const (
	pseudoMethod = iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus
	pseudoFields
)

// Reset begins a section.
func (s *Section) Reset(kind SectionKind) {
	text, fields := s.text, s.Fields[:0]
	text.reset()
	if cap(fields) > maxKeptFields {
		fields = nil
	}
	*s = Section{kind: kind, text: text, content: -1}
	s.Fields = fields
}

// Add takes the next field in. Both texts are copied. Of a section that is too large nothing
// more is kept. Blanks around a value make a request malformed (RFC 9113, 8.2.1). Those of a
// workload are taken off, because messages of gRPC end in them.
func (s *Section) Add(name, value string) {
	if s.tooLarge {
		return
	}
	s.size += len(name) + len(value) + fieldCost
	s.tooLarge = s.size > MaxHead
	if len(name) > 0 && name[0] == ':' {
		s.addPseudo(name, value)
		return
	}
	s.regular = true
	crumb := name == "cookie"
	if !crumb || s.crumbs == 0 {
		s.count++
	}
	if s.tooLarge = s.tooLarge || s.count > MaxFields; s.tooLarge || s.malformed != nil {
		return
	}
	trimmed := trimBlanks(value)
	if s.kind == SectionRequest && len(trimmed) < len(value) {
		s.fail(malformedField("a field's value begins or ends with a blank", []byte(name)))
		return
	}
	if value = trimmed; !mezu.ValidHeaderValue(value) {
		s.badValue(name, value)
		return
	}
	if crumb {
		s.addCrumb(value)
		return
	}
	f := Field{Name: s.addName(name)}
	if f.Name == nil {
		s.fail(malformedField("a field's name is no token in lower case", []byte(name)))
		return
	}
	f.Value = s.addText(value)
	if f.kind = kindOf(f.Name); f.kind != fieldOther {
		s.judge(&f)
	}
	s.keep(f)
}

// keep adds a field.
func (s *Section) keep(f Field) {
	if s.Fields == nil {
		s.Fields = make([]Field, 0, usualFields)
	}
	s.Fields = append(s.Fields, f)
}

// judge takes in a field that steers the message itself.
func (s *Section) judge(f *Field) {
	switch {
	case ofConnection(f):
		s.fail(malformedField("a field of one connection has no place in HTTP/2", f.Name))
	case f.kind == fieldTE && s.kind == SectionRequest && !equalFold(f.Value, "trailers"):
		s.fail(malformed("TE is not «trailers»"))
	case f.kind == fieldLookalike && s.kind == SectionRequest:
		s.refuse(errLookalike)
	default:
		if err := s.note(f); err != nil {
			s.refuse(err)
		}
	}
}

// ofConnection reports whether a field makes a message of HTTP/2 malformed (RFC 9113, 8.2.2).
// Fields for a proxy don't: they go no further, as in HTTP/1.1.
func ofConnection(f *Field) bool {
	switch f.kind {
	case fieldConnection, fieldTransferEncoding, fieldUpgrade:
		return true
	case fieldHopByHop:
		return len(f.Name) < len("proxy-authenticate") // keep-alive, proxy-connection, http2-settings
	}
	return false
}

// badValue notes what is wrong with a value. RFC 9113, 8.2.1 forbids what could end it
// elsewhere. Other control characters are refused as in HTTP/1.1.
func (s *Section) badValue(name, value string) {
	err := malformedField("a field value has a control character", []byte(name))
	if hasLineEnd(value) {
		s.fail(err)
	} else {
		s.refuse(err)
	}
}

func hasLineEnd(value string) bool { return strings.ContainsAny(value, "\r\n\x00") }

// addPseudo takes a pseudo-field in.
func (s *Section) addPseudo(name, value string) {
	p := pseudoFields
	switch name {
	case ":method":
		p = pseudoMethod
	case ":scheme":
		p = pseudoScheme
	case ":authority":
		p = pseudoAuthority
		s.count++ // it is HTTP/1.1's Host
	case ":path":
		p = pseudoPath
	case ":protocol":
		p = pseudoProtocol
	case ":status":
		p = pseudoStatus
	}
	switch {
	case p == pseudoFields, s.kind == SectionTrailer, (p == pseudoStatus) != (s.kind == SectionResponse):
		s.fail(malformedField("a pseudo-field has no place in it", []byte(name)))
		return
	case s.regular:
		s.fail(malformedField("a pseudo-field comes after other fields", []byte(name)))
		return
	case s.has&(1<<p) != 0:
		s.fail(malformedField("a pseudo-field is repeated", []byte(name)))
		return
	case hasLineEnd(value):
		s.fail(malformedField("a field value has a control character", []byte(name)))
	}
	if p == pseudoPath && len(value) > MaxTarget {
		s.tooLong = true
		value = value[:MaxTarget] // for people, who look for what they have sent
	} else if s.tooLarge {
		return
	}
	s.has |= 1 << p
	s.pseudo[p] = s.addText(value)
}

// addCrumb takes a Cookie field in. HTTP/2 splits one into several, which are one in HTTP/1.1
// (RFC 9113, 8.2.3). Those in a row become one at once.
func (s *Section) addCrumb(value string) {
	if n := len(s.Fields); s.crumbs > 0 && s.cookie == n-1 {
		f := &s.Fields[n-1]
		begin := len(s.text.bytes) - len(f.Value)
		s.addText("; ")
		s.addText(value)
		f.Value = s.text.bytes[begin:len(s.text.bytes):len(s.text.bytes)]
		return
	}
	s.cookie = len(s.Fields)
	s.crumbs++
	f := Field{Name: s.addName("cookie")}
	f.Value = s.addText(value)
	s.keep(f)
}

// joinCrumbs makes one field, where the first one is, of crumbs that stand apart.
func (s *Section) joinCrumbs() {
	if s.crumbs < 2 {
		return
	}
	s.crumbs = 1
	var first *Field
	kept, begin := s.Fields[:0], len(s.text.bytes)
	for i := range s.Fields {
		f := s.Fields[i]
		switch {
		case f.kind != fieldOther || string(f.Name) != "Cookie":
			kept = append(kept, f)
			continue
		case first == nil:
			kept = append(kept, f)
			first = &kept[len(kept)-1]
		default:
			s.addText("; ")
		}
		s.text.bytes = append(s.text.bytes, f.Value...)
	}
	first.Value = s.text.bytes[begin:len(s.text.bytes):len(s.text.bytes)]
	s.Fields = kept
}

// addText copies a text.
func (s *Section) addText(v string) []byte {
	if s.text.bytes == nil {
		s.text.bytes = make([]byte, 0, usualText)
	}
	return s.text.add(v)
}

// lowerToken marks the bytes of a name in HTTP/2.
var lowerToken = func() (t [256]bool) {
	for c := range t {
		t[c] = mezu.ValidHeaderName([]byte{byte(c)}) && (c < 'A' || c > 'Z')
	}
	return t
}()

// websocketNames begin the names that RFC 6455 writes in its own way.
const websocketNames = "Sec-Websocket-"

// addName copies a name in the form that HTTP/1.1 usually has, in which its workloads have
// always seen it. It is nil if the name is no token in lower case.
func (s *Section) addName(name string) []byte {
	b := s.addText(name)
	begins := true
	for i, c := range b {
		if !lowerToken[c] {
			return nil
		}
		if begins && c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
		begins = c == '-'
	}
	if len(b) > len(websocketNames) && string(b[:len(websocketNames)]) == websocketNames {
		b[len("Sec-Web")] = 'S'
	}
	if len(b) == 0 {
		return nil
	}
	return b
}

// trimBlanks drops blanks around a value, as HTTP/1.1 does. RFC 9113, 8.2.1 has such a message
// malformed, but texts of users get there: a gRPC status whose message ends in a blank must not
// become a reset stream.
func trimBlanks(v string) string {
	for len(v) > 0 && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	return v
}

// fail keeps the first reason why the section is malformed.
func (s *Section) fail(rule error) {
	if s.malformed == nil {
		s.malformed = asMalformed(rule)
	}
}

func asMalformed(rule error) error { return &MalformedError{rule: rule.(*mezu.Error)} }

// refuse keeps the first reason to answer a section with an error.
func (s *Section) refuse(err error) {
	if s.refusal == nil {
		s.refusal = err
	}
}

// TooLarge reports whether the section is larger than MaxHead, as RFC 9113, 6.5.2 counts it, or
// has more than MaxFields.
func (s *Section) TooLarge() bool { return s.tooLarge }

// Content is how many bytes of DATA must come, if more may follow the section; negative if any
// number may. A body of another length is malformed (RFC 9113, 8.1.1). It is known of a request
// when all fields are in, of a response after Response.
func (s *Section) Content() int64 {
	switch {
	case s.kind == SectionResponse:
		return s.content
	case s.hasLength && string(s.pseudo[pseudoMethod]) != "CONNECT": // whose DATA is no content
		return s.Length
	}
	return -1
}

// Trailer is what the section of a trailer becomes, without what may not stand there. Its
// errors are of the body: it can't be finished.
func (s *Section) Trailer() ([]Field, error) {
	switch {
	case s.malformed != nil:
		return nil, brokenTrailer(s.malformed)
	case s.tooLarge:
		return nil, errTrailerTooLarge
	case s.refusal != nil:
		return nil, brokenTrailer(s.refusal)
	}
	kept := s.Fields[:0]
	for i := range s.Fields {
		if f := s.Fields[i]; mayTrail(f.Name) {
			kept = append(kept, f)
		}
	}
	s.Fields = kept
	return kept, nil
}
