package mask

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
)

// maxInner is how deep JSON in strings of JSON is masked. What lies deeper is searched as text.
const maxInner = 2

// scan is a walk over JSON. It keeps no stack, so that no depth of nesting costs anything.
type scan struct {
	edit[[]byte]
	at    int
	inner int
	// loose says that something was no JSON.
	loose bool
	depth int
	// named is the depth of an object of which a member has said that another one's value is
	// secret: {"name": "password", "value": "…"}; negative if there is none.
	named int
}

// maskJSON masks JSON, one value or many, that may be cut or broken.
func maskJSON(body []byte, inner int) ([]byte, int) {
	s := scan{edit: edit[[]byte]{in: body}, inner: inner, named: -1}
	s.values()
	out, n := s.result()
	if !s.loose {
		return out, n
	}
	out, more := maskLoose(out)
	return out, n + more
}

func (s *scan) values() {
	for s.at < len(s.in) {
		switch c := s.in[s.at]; c {
		case '"':
			s.text()
			continue
		case '{', '[':
			s.depth++
		case '}', ']':
			if s.named == s.depth {
				s.named = -1
			}
			s.depth--
		case ' ', '\t', '\r', '\n', ',', ':', '-', '+', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'E':
		default:
			// The letters of the three words, and of exponents.
			if c < 'a' || c > 'u' {
				s.loose = true
			} else {
				s.word()
				continue
			}
		}
		s.at++
	}
}

// word passes over letters.
func (s *scan) word() {
	from := s.at
	for s.at < len(s.in) && s.in[s.at] >= 'a' && s.in[s.at] <= 'z' {
		s.at++
	}
	switch string(s.in[from:s.at]) {
	case "true", "false", "null", "e":
	default:
		s.loose = s.loose || s.at < len(s.in)
	}
}

// text is a string: the name of a member, with its value if that is secret, or a value.
func (s *scan) text() {
	from := s.at + 1
	to, escaped := s.endOfText(from)
	s.at = min(to+1, len(s.in))
	if to == len(s.in) { // cut
		s.content(from, to, escaped)
		return
	}
	colon := s.blanks(s.at)
	if colon >= len(s.in) || s.in[colon] != ':' {
		s.content(from, to, escaped)
		return
	}
	var buf [maxName]byte
	name := s.in[from:to]
	secret := false
	if escaped {
		var ok bool
		if name, ok = unescape(name, buf[:0]); !ok {
			secret = true
		}
	}
	s.at = s.blanks(colon + 1)
	switch {
	case secret || isName(name):
		s.hideValue(name)
	case s.named == s.depth && isValueName(name):
		s.hideValue(name)
	case isNameName(name) && s.at < len(s.in) && s.in[s.at] == '"':
		s.member()
	default: // a name can be a secret itself
		s.content(from, to, escaped)
	}
}

// member is the value of a member that names another one.
func (s *scan) member() {
	from := s.at + 1
	to, escaped := s.endOfText(from)
	s.at = min(to+1, len(s.in))
	var buf [maxName]byte
	name := s.in[from:to]
	if escaped {
		var ok bool
		if name, ok = unescape(name, buf[:0]); !ok {
			return
		}
	}
	if len(name) <= maxName && isName(name) {
		s.named = s.depth
		return
	}
	if s.named == s.depth {
		s.named = -1
	}
	s.content(from, to, escaped)
}

// isNameName and isValueName tell the members of lists of names and values.
func isNameName(name []byte) bool {
	switch string(name) {
	case "name", "Name", "key", "Key", "field", "header", "param", "n", "k":
		return true
	}
	return false
}

func isValueName(name []byte) bool {
	switch string(name) {
	case "value", "Value", "values", "content", "v", "stringValue", "data":
		return true
	}
	return false
}

// blanks is where what is behind blanks begins.
func (s *scan) blanks(at int) int {
	for at < len(s.in) && (s.in[at] == ' ' || s.in[at] == '\t' || s.in[at] == '\r' || s.in[at] == '\n') {
		at++
	}
	return at
}

// endOfText is where the quote is that ends a string, or the end, and whether it has escapes.
func (s *scan) endOfText(at int) (end int, escaped bool) {
	for at < len(s.in) {
		switch s.in[at] {
		case '"':
			return at, escaped
		case '\\':
			escaped = true
			at++
		}
		at++
	}
	return len(s.in), escaped
}

// hideValue masks the value at s.at as a whole.
func (s *scan) hideValue(name []byte) {
	if s.at >= len(s.in) {
		return
	}
	from := s.at
	switch c := s.in[s.at]; {
	case c == '"':
		to, _ := s.endOfText(from + 1)
		s.at = min(to+1, len(s.in))
		s.hide(from+1, to, "")
	case c == '{' || c == '[':
		s.skip()
		if !isEmptyList(s.in[from:s.at]) {
			s.hide(from, s.at, `"`)
		}
	default:
		for s.at < len(s.in) && !isEndOfValue(s.in[s.at]) {
			s.at++
		}
		value := s.in[from:s.at]
		if isPlural(name) && isNumber(value) {
			return
		}
		s.hide(from, s.at, `"`)
	}
}

func isEndOfValue(c byte) bool {
	return c <= ' ' || c == ',' || c == '}' || c == ']' || c == '"' || c == ':' || c == '{' || c == '['
}

func isNumber(value []byte) bool {
	for _, c := range value {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return false
		}
	}
	return true
}

// isEmptyList reports whether there is nothing in an object or a list.
func isEmptyList(value []byte) bool {
	for _, c := range value[1:] {
		if c > ' ' && c != '}' && c != ']' {
			return false
		}
	}
	return true
}

// skip passes over an object or a list, to its end or that of the text.
func (s *scan) skip() {
	depth := 0
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case '"':
			to, _ := s.endOfText(s.at + 1)
			s.at = min(to+1, len(s.in))
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
		if depth == 0 {
			return
		}
	}
}

// content masks what is secret in a string: by its shape, and by the names in it if it holds JSON
// or other text with names.
func (s *scan) content(from, to int, isEscaped bool) {
	value := s.in[from:to]
	if !isEscaped && isPlain(value) {
		return
	}
	plain, ok := value, true
	if isEscaped {
		plain, ok = unescape(value, nil)
	}
	if !isEscaped || !ok { // as it is; or cut, or broken
		if masked, n := maskLoose(value); n > 0 {
			s.replace(from, to, string(masked))
			s.n += n
		}
		return
	}
	masked, n := maskInner(plain, s.inner)
	if n > 0 {
		s.replace(from, to, string(appendEscaped(nil, masked)))
		s.n += n
	}
}

// isPlain reports whether nothing can be secret in a string: most are.
func isPlain(value []byte) bool {
	if len(value) >= mezu.KeyLength {
		return false
	}
	for _, c := range value {
		if classes[c]&(isAnchor|isSign) != 0 {
			return false
		}
	}
	return true
}

// maskInner masks the text of a string.
func maskInner(plain []byte, inner int) ([]byte, int) {
	if inner < maxInner && beginsJSON(plain) {
		return maskJSON(plain, inner+1)
	}
	return maskLoose(plain)
}

// beginsJSON reports whether a text begins as an object or a list.
func beginsJSON(body []byte) bool {
	trimmed := bytes.TrimLeft(body, " \t\r\n\ufeff")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[')
}

// unescape undoes the escapes of a string. It fails where one is broken.
func unescape(in, out []byte) ([]byte, bool) {
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		i++
		if i == len(in) {
			return out, false
		}
		switch c := in[i]; c {
		case '"', '\\', '/', '\'':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := unit(in, i+1)
			if !ok {
				return out, false
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if i+2 < len(in) && in[i+1] == '\\' && in[i+2] == 'u' {
					low, ok = unit(in, i+3)
				}
				if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
					r = pair
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return out, false
		}
	}
	return out, true
}

// unit reads four hexadecimal digits.
func unit(in []byte, at int) (rune, bool) {
	if at+4 > len(in) {
		return 0, false
	}
	var out rune
	for _, c := range in[at : at+4] {
		d := unhex(c)
		if d < 0 {
			return 0, false
		}
		out = out<<4 | rune(d)
	}
	return out, true
}

// appendEscaped writes the content of a string. Bytes that are no UTF-8 stay.
func appendEscaped(out, in []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range in {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c == '\t':
			out = append(out, '\\', 't')
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return out
}
