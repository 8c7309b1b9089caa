package manifest

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mezusphere/mezu/strictjson"
)

// This file reads scalars: texts that are plain, quoted, or lines after «|» and «>». Mappings
// and lists are in yaml.go.

// begins refuses a character that no plain text can begin with.
func (p *parser) begins(flow bool) error {
	at := p.pos
	switch c := p.data[p.pos]; c {
	case '&', '*':
		return p.refuse(at, noAnchors)
	case '!':
		return p.refuse(at, "tags such as "+strings.ToValidUTF8(string(p.word()), "")+" are not taken")
	case '%', '@', '`':
		return faulty(at, "a plain text cannot start with %q; put it in quotes", rune(c))
	case ',', ']', '}', '[', '{', '|', '>', '"', '\'', '#':
		return faulty(at, "a value is expected, and %q ends or begins none here", rune(c))
	case '-', '?', ':':
		if p.ends(p.pos+1) || flow && isFlowMark(p.data[p.pos+1]) {
			return faulty(at, "a value is expected, and %q stands alone", rune(c))
		}
	}
	return nil
}

// word is the text from here to the next blank, shortened.
func (p *parser) word() []byte {
	const most = 40
	i := p.pos
	for !p.ends(i) && i < p.pos+most {
		i++
	}
	return p.data[p.pos:i]
}

// plainLine adds the part of a plain text that is on this line.
func (p *parser) plainLine(flow bool) error {
	begin, end := p.pos, p.pos
	for p.pos < len(p.data) && p.lineEnd(p.pos) == 0 {
		c := p.data[p.pos]
		if c == ':' && (p.ends(p.pos+1) || flow && isFlowMark(p.data[p.pos+1])) || flow && isFlowMark(c) || c == '#' && p.pos > begin && p.ends(p.pos-1) {
			break
		}
		p.advance(1)
		if c != ' ' && c != '\t' {
			end = p.pos
		}
	}
	p.text = append(p.text, p.data[begin:end]...)
	p.pos = end
	return p.fits(begin)
}

// fits refuses a text that is too long for any field.
func (p *parser) fits(at int) error {
	if len(p.text) > strictjson.MaxString {
		return faulty(at, "a text has at most %d bytes", strictjson.MaxString)
	}
	return nil
}

// breaks goes to the next line that isn't empty, and counts the line ends. ok is false if a
// plain text ends here: at the end of the file, at a comment, or within the line.
func (p *parser) breaks() (n int, ok bool) {
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; {
		case c == ' ' || c == '\t':
			p.advance(1)
		case p.lineEnd(p.pos) > 0:
			p.newline()
			n++
		default:
			return n, c != '#' && n > 0
		}
	}
	return n, false
}

// fold adds what a number of line ends means in a text: a blank or line ends.
func (p *parser) fold(breaks int) {
	p.broken = true
	if breaks == 1 {
		p.text = append(p.text, ' ')
	}
	for range breaks - 1 {
		p.text = append(p.text, '\n')
	}
}

// plainRest adds the further lines of a plain text. These are indented more than the
// collection around it.
func (p *parser) plainRest(parent int) error {
	for {
		end, start := p.pos, p.lineStart
		breaks, ok := p.breaks()
		if !ok || p.column() <= parent || p.marker("---") || p.marker("...") {
			p.pos, p.lineStart = end, start
			return nil
		}
		for i := p.lineStart; i < p.pos; i++ {
			p.steps++
			if p.data[i] == '\t' && i-p.lineStart <= parent {
				return faulty(i, "a tab can't indent; use spaces")
			}
		}
		p.fold(breaks)
		begin := p.pos
		if err := p.plainLine(false); err != nil {
			return err
		}
		if p.pos == begin || p.colonFollows() {
			return p.stray()
		}
	}
}

// plain gives the token of a plain text: a boolean, number or string.
func (p *parser) plain(at int) error {
	switch string(p.text) {
	case "", "~", "null", "Null", "NULL":
		return p.refuse(at, noValue)
	case "true":
		return p.emit(strictjson.True, at)
	case "false":
		return p.emit(strictjson.False, at)
	}
	if strictjson.IsNumber(p.text) {
		return p.emit(strictjson.Number, at)
	}
	return p.emit(strictjson.String, at)
}

// quoted reads a text in quotation marks.
func (p *parser) quoted() error {
	at, mark := p.pos, p.data[p.pos]
	p.advance(1)
	p.text, p.broken = p.text[:0], false
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		switch {
		case c == mark && mark == '\'' && p.pos+1 < len(p.data) && p.data[p.pos+1] == mark:
			p.text = append(p.text, mark)
			p.advance(2)
		case c == mark:
			p.advance(1)
			return nil
		case c == '\\' && mark == '"':
			if err := p.escape(); err != nil {
				return err
			}
		case p.ends(p.pos):
			if err := p.quotedBlanks(at); err != nil {
				return err
			}
		default:
			p.text = append(p.text, c)
			p.advance(1)
		}
		if err := p.fits(at); err != nil {
			return err
		}
	}
	return faulty(at, "this quotation does not end")
}

// quotedBlanks reads blanks and line ends in a quoted text that began at the offset at.
func (p *parser) quotedBlanks(at int) error {
	begin := p.pos
	for p.pos < len(p.data) && (p.data[p.pos] == ' ' || p.data[p.pos] == '\t') {
		p.advance(1)
	}
	if p.lineEnd(p.pos) == 0 {
		p.text = append(p.text, p.data[begin:p.pos]...)
		return nil
	}
	n, err := p.quotedBreaks(at)
	if err == nil {
		p.fold(n)
	}
	return err
}

// quotedBreaks reads line ends and the blanks around them.
func (p *parser) quotedBreaks(at int) (n int, err error) {
	for p.pos < len(p.data) && p.ends(p.pos) {
		if p.lineEnd(p.pos) == 0 {
			p.advance(1)
			continue
		}
		p.newline()
		n++
		if p.marker("---") || p.marker("...") {
			return n, faulty(at, "this quotation does not end")
		}
	}
	return n, nil
}

// Escapes of one character, and what they mean.
const (
	escapeNames  = "0abtnvfre \"/\\N_LP\t"
	escapeValues = "\x00\a\b\t\n\v\f\r\x1b \"/\\\u0085\u00a0\u2028\u2029\t"
)

// escape reads the escape that a backslash begins.
func (p *parser) escape() error {
	at := p.pos
	p.advance(1)
	if p.pos == len(p.data) {
		return nil
	}
	if p.lineEnd(p.pos) > 0 {
		n, err := p.quotedBreaks(at)
		p.broken = true
		for range n - 1 {
			p.text = append(p.text, '\n')
		}
		return err
	}
	c := p.data[p.pos]
	values := []rune(escapeValues)
	for i := range len(escapeNames) {
		if c == escapeNames[i] {
			p.text = utf8.AppendRune(p.text, values[i])
			p.advance(1)
			return nil
		}
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits == 0 {
		return faulty(at, "there is no such escape; a backslash is written as two, or in single quotes")
	}
	r, err := p.hex(at, digits)
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) && p.pos+1 < len(p.data) && p.data[p.pos] == '\\' && p.data[p.pos+1] == 'u' {
		// Characters beyond four digits are a pair, as in JSON.
		p.advance(1)
		low, err := p.hex(at, 4)
		if err != nil {
			return err
		}
		r = utf16.DecodeRune(r, low)
	}
	if !utf8.ValidRune(r) || r == utf8.RuneError && digits == 4 && utf16.IsSurrogate(r) {
		return faulty(at, "the escape is no character")
	}
	p.text = utf8.AppendRune(p.text, r)
	return nil
}

// hex reads hexadecimal digits after the letter of an escape.
func (p *parser) hex(at, digits int) (rune, error) {
	p.advance(1)
	if p.pos+digits > len(p.data) {
		return 0, faulty(at, "the escape lacks hexadecimal digits")
	}
	n, err := strconv.ParseUint(string(p.data[p.pos:p.pos+digits]), 16, 32)
	if err != nil || n > utf8.MaxRune {
		return 0, faulty(at, "the escape lacks hexadecimal digits")
	}
	p.advance(digits)
	return rune(n), nil
}

// blockScalar reads the lines after «|» or «>», inside a collection whose entries are
// indented by parent.
func (p *parser) blockScalar(parent int) error {
	at, literal := p.pos, p.data[p.pos] == '|'
	p.advance(1)
	chomp, indent := byte(0), 0
	for range 2 {
		if p.pos == len(p.data) {
			break
		}
		switch c := p.data[p.pos]; {
		case (c == '+' || c == '-') && chomp == 0:
			chomp = c
			p.advance(1)
		case '1' <= c && c <= '9' && indent == 0:
			indent = max(parent, 0) + int(c-'0')
			p.advance(1)
		}
	}
	if !p.ends(p.pos) {
		return faulty(p.pos, "nothing but + or - and a digit may stand behind %q", rune(p.data[at]))
	}
	for p.pos < len(p.data) && p.lineEnd(p.pos) == 0 {
		if c := p.data[p.pos]; c == '#' && p.ends(p.pos-1) {
			for p.pos < len(p.data) && p.lineEnd(p.pos) == 0 {
				p.advance(1)
			}
			break
		} else if c != ' ' && c != '\t' {
			return faulty(p.pos, "the text begins in the next line")
		}
		p.advance(1)
	}
	if p.pos < len(p.data) {
		p.newline()
	}
	p.text, p.broken = p.text[:0], true
	if err := p.blockLines(parent, indent, literal, chomp); err != nil {
		return err
	}
	return p.emit(strictjson.String, at)
}

// blockLines reads the lines of a block scalar. In a folded one, a line end between two lines
// without further indentation becomes a blank.
func (p *parser) blockLines(parent, indent int, literal bool, chomp byte) error {
	begin := p.pos
	empty, err := p.emptyLines(parent, &indent)
	if err != nil {
		return err
	}
	broke, further := false, false
	for p.column() == indent && p.pos < len(p.data) && !(indent == 0 && (p.marker("---") || p.marker("..."))) {
		blank := p.data[p.pos] == ' ' || p.data[p.pos] == '\t'
		switch {
		case !broke:
		case literal || further || blank:
			p.text = append(p.text, '\n')
		case empty == 0:
			p.text = append(p.text, ' ')
		}
		for range empty {
			p.text = append(p.text, '\n')
		}
		further, broke = blank, false
		line := p.pos
		for p.pos < len(p.data) && p.lineEnd(p.pos) == 0 {
			p.advance(1)
		}
		p.text = append(p.text, p.data[line:p.pos]...)
		if err := p.fits(begin); err != nil {
			return err
		}
		if p.pos < len(p.data) {
			p.newline()
			broke = true
		}
		if empty, err = p.emptyLines(parent, &indent); err != nil {
			return err
		}
	}
	if broke && chomp != '-' {
		p.text = append(p.text, '\n')
	}
	if chomp == '+' {
		for range empty {
			p.text = append(p.text, '\n')
		}
	}
	// What comes next is the first thing in its line.
	p.first = p.pos
	if p.column() > 0 {
		p.pos = p.lineStart
	}
	return p.fits(begin)
}

// emptyLines counts lines without text, and goes to the indentation of the next line with
// text. If the indentation was not given, that line sets it.
func (p *parser) emptyLines(parent int, indent *int) (n int, err error) {
	most := 0
	for {
		for p.pos < len(p.data) && (*indent == 0 || p.column() < *indent) && p.data[p.pos] == ' ' {
			p.advance(1)
		}
		most = max(most, p.column())
		if p.pos < len(p.data) && (*indent == 0 || p.column() < *indent) && p.data[p.pos] == '\t' {
			return n, faulty(p.pos, "a tab can't indent; use spaces")
		}
		if p.pos == len(p.data) || p.lineEnd(p.pos) == 0 {
			break
		}
		p.newline()
		n++
	}
	if *indent == 0 {
		*indent = max(most, parent+1, 1)
	}
	return n, nil
}
