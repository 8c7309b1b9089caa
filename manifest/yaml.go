package manifest

import (
	"strconv"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

// parser gives the tokens of a text in the YAML of manifests, one after the other, without
// building a tree. It looks at every byte a few times at most.
//
// It accepts YAML 1.2 without directives, anchors, aliases, tags, merge keys, null, explicit
// keys («? »), pairs in lists («[a: b]») and keys of more than one line. Each of these is
// refused with an error that names it.
type parser struct {
	data []byte
	pos  int
	// lineStart is the offset of the beginning of the line of pos, first that of the first
	// thing in the line.
	lineStart, first int
	depth            int
	// text is the text of the scalar that was read last. broken says that it has more than
	// one line.
	text   []byte
	broken bool
	yield  func(token) bool
	steps  int // bytes looked at, for tests
}

// token is a token with the offset at which it begins.
type token struct {
	strictjson.Token
	at int
}

// stopped ends the parsing when the reader wants no further token.
type stopped struct{}

// Error implements error.
func (stopped) Error() string { return "nobody reads on" }

// fault is an error at an offset of the text.
type fault struct {
	at  int
	err error
}

// Error implements error.
func (f *fault) Error() string { return f.err.Error() }

func faulty(at int, format string, args ...any) error {
	return &fault{at, mezu.Invalid("", "is not YAML: "+format, args...)}
}

const (
	noValue    = "has no value; write one ({} for an entry with defaults), or leave the key out"
	plainKey   = "a key is plain text; anchors, tags and merge keys are not taken"
	noAnchors  = "anchors and aliases are not taken; write the value where it is needed"
	expectKey  = "a key is expected here, as far to the right as the one above"
	colonAgain = "mapping values are not allowed here: a text with «: » in it stands in quotes"
)

// tokens passes all tokens to yield. Its error is a *fault, stopped, or nil.
func (p *parser) tokens() error {
	if err := p.check(); err != nil {
		return err
	}
	if len(p.data) >= len(bom) && string(p.data[:len(bom)]) == bom {
		p.pos, p.lineStart = len(bom), len(bom)
	}
	if err := p.skip(false); err != nil {
		return err
	}
	if p.pos < len(p.data) && p.data[p.pos] == '%' && p.pos == p.lineStart {
		return faulty(p.pos, "directives are not taken; leave the line out")
	}
	inline := false
	if p.marker("---") {
		p.advance(len("---"))
		if err := p.skip(false); err != nil {
			return err
		}
		inline = p.first != p.pos
	}
	if p.pos == len(p.data) || p.marker("---") || p.marker("...") {
		if err := p.emit(strictjson.ObjectBegin, p.pos); err != nil {
			return err
		}
		if err := p.emit(strictjson.ObjectEnd, p.pos); err != nil {
			return err
		}
	} else if err := p.node(-1, inline); err != nil {
		return err
	}
	return p.end()
}

const bom = "\ufeff"

// end checks what follows the document.
func (p *parser) end() error {
	if err := p.skip(false); err != nil {
		return err
	}
	if p.marker("...") {
		p.advance(len("..."))
		if err := p.skip(false); err != nil {
			return err
		}
	}
	switch {
	case p.pos == len(p.data):
		return p.emit(strictjson.End, p.pos)
	case p.marker("---"):
		return &fault{p.pos, mezu.Invalid("", "a second document begins; a file has one")}
	}
	return faulty(p.pos, "%s", expectKey)
}

// check refuses bytes that are not text.
func (p *parser) check() error {
	for i := 0; i < len(p.data); {
		c := p.data[i]
		if ' ' <= c && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		if c == '\r' && i+1 < len(p.data) && p.data[i+1] == '\n' {
			i += 2
			continue
		}
		r, size := utf8.DecodeRune(p.data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return faulty(i, "the text is not UTF-8")
		case r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return faulty(i, "control characters are not allowed")
		}
		i += size
	}
	p.steps += len(p.data)
	return nil
}

func (p *parser) emit(kind strictjson.Kind, at int) error {
	t := token{strictjson.Token{Kind: kind}, at}
	switch kind {
	case strictjson.Key, strictjson.String, strictjson.Number:
		t.Text = p.text
	}
	return p.give(t)
}

func (p *parser) refuse(at int, why string) error {
	if err := p.give(token{strictjson.Token{Kind: strictjson.Refused, Text: []byte(why)}, at}); err != nil {
		return err
	}
	return faulty(at, "%s", why) // in case the reader goes on
}

func (p *parser) give(t token) error {
	p.steps++
	if !p.yield(t) {
		return stopped{}
	}
	return nil
}

func (p *parser) advance(n int) {
	p.pos += n
	p.steps += n
}

// lineEnd is the length of the line end at i, zero if there is none.
func (p *parser) lineEnd(i int) int {
	switch {
	case i < len(p.data) && p.data[i] == '\n':
		return 1
	case i+1 < len(p.data) && p.data[i] == '\r' && p.data[i+1] == '\n':
		return 2
	}
	return 0
}

// newline reads a line end.
func (p *parser) newline() {
	p.advance(p.lineEnd(p.pos))
	p.lineStart = p.pos
}

// ends reports whether the text, a line or a word ends at i.
func (p *parser) ends(i int) bool {
	return i >= len(p.data) || p.data[i] == ' ' || p.data[i] == '\t' || p.lineEnd(i) > 0
}

func (p *parser) column() int { return p.pos - p.lineStart }

// indicator reports whether c is an indicator here, and not a part of a word.
func (p *parser) indicator(c byte) bool {
	return p.pos < len(p.data) && p.data[p.pos] == c && p.ends(p.pos+1)
}

// marker reports whether the given marker of a document is here.
func (p *parser) marker(mark string) bool {
	return p.pos == p.lineStart && p.pos+len(mark) <= len(p.data) && string(p.data[p.pos:p.pos+len(mark)]) == mark && p.ends(p.pos+len(mark))
}

// atEnd reports whether the document ends here.
func (p *parser) atEnd() bool {
	return p.pos == len(p.data) || p.marker("---") || p.marker("...")
}

// skip goes to the next thing that is neither white space nor a comment. Outside of brackets
// it refuses a tab as indentation.
func (p *parser) skip(flow bool) error {
	fresh, tab := p.pos == p.lineStart, -1
	blank := fresh || p.pos > 0 && p.ends(p.pos-1)
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		switch {
		case c == ' ' || c == '\t':
			if c == '\t' && tab < 0 {
				tab = p.pos
			}
			p.advance(1)
			blank = true
		case p.lineEnd(p.pos) > 0:
			p.newline()
			fresh, blank, tab = true, true, -1
		case c == '#' && blank:
			for p.pos < len(p.data) && p.lineEnd(p.pos) == 0 {
				p.advance(1)
			}
		default:
			if fresh {
				p.first = p.pos
			}
			if fresh && tab >= 0 && !flow {
				return faulty(tab, "a tab can't indent; use spaces")
			}
			return nil
		}
	}
	return nil
}

// node reads the value that begins here, inside a collection whose entries are indented by
// parent. inline says that the value is on the same line as its key, where only a collection
// in brackets can begin.
func (p *parser) node(parent int, inline bool) error {
	at := p.pos
	switch c := p.data[p.pos]; {
	case p.indicator('-'):
		if inline {
			return faulty(at, "a list begins on a line of its own")
		}
		return p.sequence()
	case p.indicator('?'):
		return p.refuse(at, plainKey)
	case c == '{' || c == '[':
		if err := p.flow(); err != nil {
			return err
		}
		return p.noKey(at)
	case c == '|' || c == '>':
		return p.blockScalar(parent)
	case c == '"' || c == '\'':
		if err := p.quoted(); err != nil {
			return err
		}
		if p.colonFollows() {
			return p.keyed(at, inline)
		}
		return p.emit(strictjson.String, at)
	}
	if err := p.begins(false); err != nil {
		return err
	}
	p.text, p.broken = p.text[:0], false
	if err := p.plainLine(false); err != nil {
		return err
	}
	if p.colonFollows() {
		return p.keyed(at, inline)
	}
	if err := p.plainRest(parent); err != nil {
		return err
	}
	return p.plain(at)
}

// keyed begins a mapping whose first key, at the offset at, was just read.
func (p *parser) keyed(at int, inline bool) error {
	if inline {
		return p.stray()
	}
	p.pos = at
	return p.mapping()
}

// stray refuses a colon that comes where no key can be.
func (p *parser) stray() error {
	for p.data[p.pos] != ':' {
		p.advance(1)
	}
	return faulty(p.pos, "%s", colonAgain)
}

// noKey refuses a collection in brackets as a key.
func (p *parser) noKey(at int) error {
	if p.colonFollows() {
		return p.refuse(at, plainKey)
	}
	return nil
}

// colonFollows reports whether what was just read is a key.
func (p *parser) colonFollows() bool {
	i := p.pos
	for i < len(p.data) && (p.data[i] == ' ' || p.data[i] == '\t') {
		i++
		p.steps++
	}
	return i < len(p.data) && p.data[i] == ':' && p.ends(i+1)
}

// deeper counts the depth when a collection begins.
func (p *parser) deeper(kind strictjson.Kind) error {
	if p.depth++; p.depth > strictjson.MaxDepth+1 {
		return p.refuse(p.pos, "is nested more than "+strconv.Itoa(strictjson.MaxDepth)+" deep")
	}
	return p.emit(kind, p.pos)
}

func (p *parser) ended(kind strictjson.Kind) error {
	p.depth--
	return p.emit(kind, p.pos)
}

// more goes to what follows an entry of a collection that is indented by column. It reports
// whether that is a further entry, which is one with the same indentation.
func (p *parser) more(column int) (bool, error) {
	if err := p.skip(false); err != nil || p.atEnd() {
		return false, err
	}
	switch {
	case p.first != p.pos:
		return false, faulty(p.pos, "nothing may follow a value in its line; a text with «: » or « #» in it stands in quotes")
	case p.column() > column:
		return false, faulty(p.pos, "%s", expectKey)
	}
	return p.column() == column, nil
}

func (p *parser) mapping() error {
	column := p.column()
	if err := p.deeper(strictjson.ObjectBegin); err != nil {
		return err
	}
	for {
		if err := p.key(false); err != nil {
			return err
		}
		if err := p.value(column); err != nil {
			return err
		}
		if again, err := p.more(column); err != nil || !again {
			if err != nil {
				return err
			}
			return p.ended(strictjson.ObjectEnd)
		}
	}
}

// key reads a key and the colon after it.
func (p *parser) key(flow bool) error {
	at := p.pos
	c := p.data[p.pos]
	switch {
	case c == '"' || c == '\'':
		if err := p.quoted(); err != nil {
			return err
		}
	case p.indicator('-') && !flow:
		return faulty(at, "%s, not an entry of a list", expectKey)
	case c == '{' || c == '[' || c == '&' || c == '!' || p.indicator('?'):
		return p.refuse(at, plainKey)
	default:
		if err := p.begins(flow); err != nil {
			return err
		}
		p.text, p.broken = p.text[:0], false
		if err := p.plainLine(flow); err != nil {
			return err
		}
		if string(p.text) == "<<" {
			return p.refuse(at, plainKey)
		}
	}
	switch {
	case p.broken:
		return faulty(at, "a key stands in one line")
	case len(p.text) > strictjson.MaxKey:
		return faulty(at, "a key has at most %d bytes", strictjson.MaxKey)
	case flow:
		return p.emit(strictjson.Key, at)
	case !p.colonFollows():
		return faulty(at, "a key has a ':' and a blank behind it")
	}
	if err := p.emit(strictjson.Key, at); err != nil {
		return err
	}
	for p.data[p.pos] != ':' {
		p.advance(1)
	}
	p.advance(1)
	return nil
}

// value reads the value of a key of a mapping that is indented by column.
func (p *parser) value(column int) error {
	at := p.pos
	if err := p.skip(false); err != nil {
		return err
	}
	switch {
	case p.atEnd():
	case p.first != p.pos:
		return p.node(column, true)
	case p.column() > column:
		return p.node(column, false)
	case p.column() == column && p.indicator('-'):
		return p.sequence()
	}
	return p.refuse(at, noValue)
}

func (p *parser) sequence() error {
	column := p.column()
	if err := p.deeper(strictjson.ListBegin); err != nil {
		return err
	}
	for {
		p.advance(1) // the dash
		at := p.pos
		if err := p.skip(false); err != nil {
			return err
		}
		if p.atEnd() || p.first == p.pos && p.column() <= column {
			return p.refuse(at, noValue)
		}
		for i := at; i < p.pos && p.first != p.pos; i++ {
			if p.data[i] == '\t' {
				return faulty(i, "a tab can't indent; use spaces")
			}
		}
		if err := p.node(column, false); err != nil {
			return err
		}
		again, err := p.more(column)
		if err != nil {
			return err
		}
		if !again || !p.indicator('-') {
			return p.ended(strictjson.ListEnd)
		}
	}
}

// flow reads a collection in brackets.
func (p *parser) flow() error {
	at, kind, last := p.pos, strictjson.ListBegin, byte(']')
	if p.data[p.pos] == '{' {
		kind, last = strictjson.ObjectBegin, '}'
	}
	if err := p.deeper(kind); err != nil {
		return err
	}
	p.advance(1)
	for {
		c, err := p.inFlow(at)
		if err != nil {
			return err
		}
		if c == last {
			p.advance(1)
			return p.ended(kind + 1)
		}
		if c == ',' || c == ']' || c == '}' {
			return faulty(p.pos, "a value or %q is expected, not %q", rune(last), rune(c))
		}
		if last == '}' {
			err = p.pair(at)
		} else {
			err = p.flowNode()
		}
		if err != nil {
			return err
		}
		if c, err = p.inFlow(at); err != nil {
			return err
		}
		switch c {
		case ',':
			p.advance(1)
		case last:
		case ':':
			return faulty(p.pos, "a pair in a list stands in braces, and a text with «: » in it in quotes")
		default:
			return faulty(p.pos, "',' or %q is expected", rune(last))
		}
	}
}

// inFlow goes to the next thing in brackets that were opened at the offset at.
func (p *parser) inFlow(at int) (byte, error) {
	if err := p.skip(true); err != nil {
		return 0, err
	}
	if p.atEnd() {
		return 0, faulty(at, "this bracket is not closed")
	}
	return p.data[p.pos], nil
}

// pair reads a key and a value in braces.
func (p *parser) pair(at int) error {
	plain := p.data[p.pos] != '"' && p.data[p.pos] != '\''
	if err := p.key(true); err != nil {
		return err
	}
	end := p.pos
	for p.pos < len(p.data) && (p.data[p.pos] == ' ' || p.data[p.pos] == '\t') {
		p.advance(1)
	}
	if p.pos == len(p.data) || p.data[p.pos] != ':' || plain && !p.ends(p.pos+1) && !isFlowMark(p.data[p.pos+1]) {
		return p.refuse(end, noValue)
	}
	p.advance(1)
	end = p.pos
	c, err := p.inFlow(at)
	if err != nil {
		return err
	}
	if c == ',' || c == '}' {
		return p.refuse(end, noValue)
	}
	return p.flowNode()
}

func isFlowMark(c byte) bool { return c == ',' || c == '[' || c == ']' || c == '{' || c == '}' }

// flowNode reads a value in brackets.
func (p *parser) flowNode() error {
	at := p.pos
	switch c := p.data[p.pos]; {
	case c == '{' || c == '[':
		return p.flow()
	case c == '"' || c == '\'':
		if err := p.quoted(); err != nil {
			return err
		}
		return p.emit(strictjson.String, at)
	}
	if err := p.begins(true); err != nil {
		return err
	}
	p.text, p.broken = p.text[:0], false
	for {
		if err := p.plainLine(true); err != nil {
			return err
		}
		end, start := p.pos, p.lineStart
		breaks, ok := p.breaks()
		if !ok || p.marker("---") || p.marker("...") || isFlowMark(p.data[p.pos]) || p.data[p.pos] == ':' && (p.ends(p.pos+1) || isFlowMark(p.data[p.pos+1])) {
			p.pos, p.lineStart = end, start
			return p.plain(at)
		}
		p.fold(breaks)
	}
}
