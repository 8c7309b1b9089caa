package strictjson

import (
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
)

// Kind is the kind of a token.
type Kind uint8

// Kinds of tokens.
const (
	ObjectBegin Kind = iota + 1
	ObjectEnd
	ListBegin
	ListEnd
	Key
	String
	Number // its text is a number of JSON
	True
	False
	Null
	// Refused is a value that the source understands but doesn't accept. Its text says
	// why.
	Refused
	// End comes after the value.
	End
)

// Token is one part of a text. Text is valid until the next call of Next.
type Token struct {
	Kind Kind
	Text []byte
}

// Source gives the tokens of a text. They follow the grammar: after a Key comes a value,
// every object and list that begins also ends, and the text is one value.
type Source interface {
	Next() (Token, error)
	// Offset is how many bytes of the text have been read.
	Offset() int
}

// readSize is how much of a text is read at once.
const readSize = 16 << 10

// Scanner gives the tokens of JSON (RFC 8259). It looks at each byte once.
type Scanner struct {
	most     int // bytes of a text value
	r        io.Reader
	buf      []byte
	pos, end int
	read     int // bytes before buf
	failed   error

	nesting []byte // '{' and '['
	state   state
	text    []byte
	half    rune // the first half of a surrogate pair of \u escapes; zero if there is none
	steps   int  // bytes looked at, for tests
}

// state is what may come next.
type state uint8

const (
	wantFirst state = iota // the value
	wantValue
	wantValueOrEnd
	wantKey
	wantKeyOrEnd
	wantCommaOrEnd
	wantNothing
)

// NewScanner reads from r.
func NewScanner(r io.Reader) *Scanner { return &Scanner{r: r, most: MaxString} }

// Offset implements Source.
func (s *Scanner) Offset() int { return s.read + s.pos }

func malformed(format string, args ...any) error {
	return mezu.Invalid("", "is not JSON: "+format, args...)
}

// errEarly is the error for a text that is cut off.
func errEarly() error { return mezu.Invalid("", "the JSON ends early") }

// fill reads more if the buffer is empty. It reports whether there is a further byte.
func (s *Scanner) fill() bool {
	for s.pos == s.end && s.failed == nil {
		if s.buf == nil {
			s.buf = make([]byte, readSize)
		}
		s.read += s.end
		var err error
		s.pos = 0
		s.end, err = s.r.Read(s.buf)
		s.failed = err
	}
	return s.pos < s.end
}

// broken is the error when there is no further byte.
func (s *Scanner) broken(atEnd error) error {
	if errors.Is(s.failed, io.EOF) {
		return atEnd
	}
	return s.failed
}

// next gives the next byte that is not white space.
func (s *Scanner) next() (c byte, ok bool) {
	for s.fill() {
		c = s.buf[s.pos]
		s.pos++
		s.steps++
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, true
		}
	}
	return 0, false
}

// Next implements Source.
func (s *Scanner) Next() (Token, error) {
	for {
		c, ok := s.next()
		if !ok {
			switch {
			case s.state == wantNothing && errors.Is(s.failed, io.EOF):
				return Token{Kind: End}, nil
			case s.state == wantFirst:
				return Token{}, s.broken(mezu.Invalid("", "a JSON body is required"))
			}
			return Token{}, s.broken(errEarly())
		}
		switch s.state {
		case wantFirst:
			if s.Offset() == 1 && c == byteOrderMark[0] && s.skips(byteOrderMark[1:]) {
				continue
			}
		case wantNothing:
			return Token{}, mezu.Invalid("", "something follows the JSON value")
		case wantCommaOrEnd:
			if c == ',' {
				s.state = wantValue
				if s.inObject() {
					s.state = wantKey
				}
				continue
			}
			return s.close(c)
		case wantKey, wantKeyOrEnd:
			if c == '"' {
				return s.key()
			}
			if s.state == wantKeyOrEnd && c == '}' {
				return s.close(c)
			}
			return Token{}, malformed("a key stands in quotes, not %q", rune(c))
		case wantValueOrEnd:
			if c == ']' {
				return s.close(c)
			}
		}
		return s.value(c)
	}
}

// byteOrderMark may come before a text and is ignored (RFC 8259, 8.1). Editors and shells
// write it.
const byteOrderMark = "\ufeff"

// skips skips these bytes if they come next.
func (s *Scanner) skips(bytes string) bool {
	for i := range len(bytes) {
		if !s.fill() || s.buf[s.pos] != bytes[i] {
			return false
		}
		s.pos++
		s.steps++
	}
	return true
}

func (s *Scanner) inObject() bool { return len(s.nesting) > 0 && s.nesting[len(s.nesting)-1] == '{' }

// close ends an object or a list.
func (s *Scanner) close(c byte) (Token, error) {
	kind, want := ListEnd, byte(']')
	if s.inObject() {
		kind, want = ObjectEnd, '}'
	}
	if c != want {
		return Token{}, malformed("',' or %q is expected, not %q", rune(want), rune(c))
	}
	s.nesting = s.nesting[:len(s.nesting)-1]
	s.after()
	return Token{Kind: kind}, nil
}

// after is the state after a value.
func (s *Scanner) after() {
	s.state = wantCommaOrEnd
	if len(s.nesting) == 0 {
		s.state = wantNothing
	}
}

func (s *Scanner) key() (Token, error) {
	if err := s.string(MaxKey, "a key"); err != nil {
		return Token{}, err
	}
	c, ok := s.next()
	if !ok {
		return Token{}, s.broken(errEarly())
	}
	if c != ':' {
		return Token{}, malformed("':' is expected after a key, not %q", rune(c))
	}
	s.state = wantValue
	return Token{Kind: Key, Text: s.text}, nil
}

func (s *Scanner) value(c byte) (Token, error) {
	switch c {
	case '{', '[':
		if len(s.nesting) > MaxDepth {
			return Token{}, mezu.Invalid("", "is nested more than %d deep", MaxDepth)
		}
		s.nesting = append(s.nesting, c)
		if c == '{' {
			s.state = wantKeyOrEnd
			return Token{Kind: ObjectBegin}, nil
		}
		s.state = wantValueOrEnd
		return Token{Kind: ListBegin}, nil
	case '"':
		if err := s.string(s.most, "a text"); err != nil {
			return Token{}, err
		}
		s.after()
		return Token{Kind: String, Text: s.text}, nil
	}
	if err := s.word(c); err != nil {
		return Token{}, err
	}
	s.after()
	switch string(s.text) {
	case "true":
		return Token{Kind: True}, nil
	case "false":
		return Token{Kind: False}, nil
	case "null":
		return Token{Kind: Null}, nil
	}
	if !IsNumber(s.text) {
		return Token{}, malformed("%q is no value", s.text)
	}
	return Token{Kind: Number, Text: s.text}, nil
}

// word reads a number, true, false or null, whose first byte is c.
func (s *Scanner) word(c byte) error {
	s.text = append(s.text[:0], c)
	for s.fill() && isWord(s.buf[s.pos]) {
		s.text = append(s.text, s.buf[s.pos])
		s.pos++
		s.steps++
		if len(s.text) > maxNumber {
			return mezu.Invalid("", "a number has at most %d digits", maxNumber)
		}
	}
	if s.pos == s.end && !errors.Is(s.failed, io.EOF) {
		return s.failed
	}
	return nil
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '+' || c == '-' || c == '.'
}

// IsNumber reports whether a text is a number as JSON writes it.
func IsNumber(text []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(text) && '0' <= text[n] && text[n] <= '9' {
			n++
		}
		text = text[n:]
		return n > 0
	}
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	if len(text) > 1 && text[0] == '0' && '0' <= text[1] && text[1] <= '9' || !digits() {
		return false
	}
	if len(text) > 0 && text[0] == '.' {
		if text = text[1:]; !digits() {
			return false
		}
	}
	if len(text) > 0 && (text[0] == 'e' || text[0] == 'E') {
		text = text[1:]
		if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
			text = text[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(text) == 0
}

// string reads the text from after a quotation mark to the closing one into s.text.
func (s *Scanner) string(most int, what string) error {
	s.text, s.half = s.text[:0], 0
	for s.fill() {
		begin := s.pos
		for s.pos < s.end && s.buf[s.pos] != '"' && s.buf[s.pos] != '\\' && s.buf[s.pos] >= ' ' {
			s.pos++
		}
		if part := s.buf[begin:s.pos]; len(part) > 0 {
			s.endPair()
			s.steps += len(part)
			s.text = append(s.text, part...)
		}
		if len(s.text) > most {
			return mezu.Invalid("", "%s has at most %d bytes", what, most)
		}
		if s.pos == s.end {
			continue
		}
		c := s.buf[s.pos]
		s.pos++
		s.steps++
		switch c {
		case '"':
			s.endPair()
			if !utf8.Valid(s.text) {
				return mezu.Invalid("", "the body is not UTF-8")
			}
			return nil
		case '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default:
			return malformed("a text has the control character %q; write it as an escape", rune(c))
		}
	}
	return s.broken(errEarly())
}

// endPair gives up waiting for the second half of a surrogate pair. A half alone becomes
// U+FFFD, as in encoding/json.
func (s *Scanner) endPair() {
	if s.half != 0 {
		s.text = utf8.AppendRune(s.text, utf8.RuneError)
	}
	s.half = 0
}

// byte gives the next byte of a string.
func (s *Scanner) byte() (byte, error) {
	if !s.fill() {
		return 0, s.broken(errEarly())
	}
	c := s.buf[s.pos]
	s.pos++
	s.steps++
	return c, nil
}

// escapes are the escapes of one character after a backslash.
const (
	escapeNames  = `"\/bfnrt`
	escapeValues = "\"\\/\b\f\n\r\t"
)

// escape reads the rest of an escape, after its backslash.
func (s *Scanner) escape() error {
	c, err := s.byte()
	if err != nil {
		return err
	}
	for i := range len(escapeNames) {
		if c == escapeNames[i] {
			s.endPair()
			s.text = append(s.text, escapeValues[i])
			return nil
		}
	}
	if c != 'u' {
		return malformed("there is no escape \\%c", rune(c))
	}
	r, err := s.hex()
	if err != nil {
		return err
	}
	if pair := utf16.DecodeRune(s.half, r); pair != utf8.RuneError {
		r, s.half = pair, 0
	}
	s.endPair()
	if utf16.IsSurrogate(r) {
		s.half = r
		return nil
	}
	s.text = utf8.AppendRune(s.text, r)
	return nil
}

// hex reads four hexadecimal digits.
func (s *Scanner) hex() (rune, error) {
	var r rune
	for range 4 {
		c, err := s.byte()
		if err != nil {
			return 0, err
		}
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, malformed("\\u has four hexadecimal digits")
		}
	}
	return r, nil
}
