package mask

import (
	"bytes"
	"strings"
)

// maskLoose masks a text of unknown grammar: values of secret names, as JSON, forms, headers, XML,
// HTML, YAML, settings and programs write them, and what looks like a secret.
func maskLoose(body []byte) ([]byte, int) {
	l := loose{edit: edit[[]byte]{in: body}}
	l.names()
	out, n := l.result()
	e := edit[[]byte]{in: out}
	hideShapes(&e, 0, len(out))
	out, more := e.result()
	return out, n + more
}

// loose is a walk over a text of unknown grammar. Each step looks back at most maxName bytes, and
// ahead only over what it passes.
type loose struct {
	edit[[]byte]
	at    int
	floor int // names don't begin before it: it is in a value
}

// names masks values of secret names.
func (l *loose) names() {
	for l.at < len(l.in) {
		i := l.at
		l.at++
		if classes[l.in[i]]&isSign == 0 {
			continue
		}
		switch l.in[i] {
		case '<':
			l.tag(i)
		case '=':
			l.equals(i)
		case ':':
			l.colon(i)
		}
	}
}

// name is what stands before a sign.
type name struct {
	text      []byte
	quoted    bool
	lineStart bool // nothing else is before it in its line
	param     bool // it is one of a query
}

// nameBefore finds the name before i.
func (l *loose) nameBefore(i int) (name, bool) {
	end := i
	for end > l.floor && i-end < maxName && (l.in[end-1] == ' ' || l.in[end-1] == '\t') {
		end--
	}
	if end == l.floor {
		return name{}, false
	}
	if q := l.in[end-1]; q == '"' || q == '\'' || q == '`' {
		end--
		for end > l.floor && l.in[end-1] == '\\' {
			end--
		}
		begin := bytes.LastIndexByte(l.in[max(l.floor, end-maxName-1):end], q)
		if begin < 0 {
			return name{}, false
		}
		begin += max(l.floor, end-maxName-1) + 1
		return name{text: l.in[begin:end], quoted: true}, begin < end
	}
	begin := end
	for begin > l.floor && end-begin <= maxName && isNameByte(l.in[begin-1]) {
		begin--
	}
	n := name{text: l.in[begin:end]}
	for begin > l.floor && i-begin <= 2*maxName && strings.IndexByte(" \t-#;", l.in[begin-1]) >= 0 {
		begin--
	}
	n.lineStart = begin == 0 || l.in[begin-1] == '\n' || l.in[begin-1] == '\r'
	n.param = begin > 0 && (l.in[begin-1] == '?' || l.in[begin-1] == '&')
	return n, len(n.text) > 0
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-[]%$", c) >= 0 || c >= 0x80
}

// equals masks the value behind an equals sign.
func (l *loose) equals(i int) {
	if i+1 < len(l.in) && l.in[i+1] == '=' || i > 0 && strings.IndexByte("=!<>", l.in[i-1]) >= 0 {
		return // a comparison
	}
	n, ok := l.nameBefore(i)
	if !ok || !isName(n.text) && !(n.param && isQueryName(n.text)) {
		return
	}
	at := i + 1
	if at < len(l.in) && l.in[at] == '>' { // of Ruby and PHP
		at++
	}
	at = l.blanks(at)
	if l.quoted(at) {
		return
	}
	end := at
	for end < len(l.in) && !l.endsBare(end, n.lineStart) {
		end++
	}
	l.value(n.text, at, end, "")
}

// endsBare reports whether a value without quotes ends at a place. One of a line of settings has
// almost anything in it.
func (l *loose) endsBare(at int, line bool) bool {
	switch c := l.in[at]; {
	case c <= ' ' || c == '&' || c == '<':
		return true
	case line:
		return false
	case c == '\\':
		return at+1 < len(l.in) && l.in[at+1] == '"'
	default:
		return strings.IndexByte("\"'`;,>)}]|#", c) >= 0
	}
}

// colon masks the value behind a colon.
func (l *loose) colon(i int) {
	if i+2 < len(l.in) && l.in[i+1] == '/' && l.in[i+2] == '/' {
		return // of an address
	}
	n, ok := l.nameBefore(i)
	if !ok || !isName(n.text) {
		return
	}
	at := l.blanks(i + 1)
	if l.quoted(at) || at == len(l.in) {
		return
	}
	end := at
	switch c := l.in[at]; {
	case n.quoted && (c == '{' || c == '['):
		l.value(n.text, at, l.endOfList(at), `"`)
	case n.quoted:
		for end < len(l.in) && !isEndOfValue(l.in[end]) {
			end++
		}
		l.value(n.text, at, end, `"`)
	case n.lineStart:
		end = l.endOfLine(at)
		if c == '|' || c == '>' { // a block of YAML
			for end+1 < len(l.in) && (l.in[end+1] == ' ' || l.in[end+1] == '\t') {
				end = l.endOfLine(end + 1)
			}
		}
		for end > at && l.in[end-1] <= ' ' {
			end--
		}
		l.value(n.text, at, end, "")
	}
}

// endOfLine is where a line ends.
func (l *loose) endOfLine(at int) int {
	if i := bytes.IndexByte(l.in[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(l.in)
}

// endOfList is where an object or a list ends.
func (l *loose) endOfList(at int) int {
	s := scan{edit: edit[[]byte]{in: l.in}, at: at}
	s.skip()
	return s.at
}

// blanks is where what is behind blanks of a line begins.
func (l *loose) blanks(at int) int {
	for at < len(l.in) && (l.in[at] == ' ' || l.in[at] == '\t') {
		at++
	}
	return at
}

// quoted masks the value in quotes at a place, if there is one. The quotes may be escaped, as often
// as JSON lies in strings of JSON.
func (l *loose) quoted(at int) bool {
	open := l.backslashes(at)
	from := at + open
	if from >= len(l.in) || strings.IndexByte("\"'`", l.in[from]) < 0 {
		return false
	}
	q := l.in[from]
	from++
	end := from
	for end < len(l.in) {
		n := l.backslashes(end)
		closes := n <= open // of the same kind as the first one
		if open == 0 {
			closes = n%2 == 0
		}
		if stop := end + n; stop < len(l.in) && l.in[stop] == q && closes {
			if open == 0 {
				end = stop
			}
			break
		}
		end = min(end+n+1, len(l.in))
	}
	l.hide(from, end, "")
	l.at = min(end+open+1, len(l.in))
	l.floor = end
	return true
}

// backslashes is how many there are at a place.
func (l *loose) backslashes(at int) int {
	n := 0
	for at+n < len(l.in) && l.in[at+n] == '\\' {
		n++
	}
	return n
}

// value masks a value without quotes.
func (l *loose) value(name []byte, from, to int, quote string) {
	if isPlural(name) && isNumber(l.in[from:to]) {
		return
	}
	l.hide(from, to, quote)
	l.at, l.floor = max(l.at, to), max(l.at, to)
}

// tag masks what is in an element of a secret name, and values of the attributes of an element
// that are.
func (l *loose) tag(i int) {
	begin := i + 1
	end := begin
	for end < len(l.in) && (isNameByte(l.in[end]) || l.in[end] == ':') {
		end++
	}
	if end == begin {
		return
	}
	stop := bytes.IndexAny(l.in[end:], "<>")
	if stop < 0 || l.in[end+stop] == '<' {
		return
	}
	stop += end
	full := l.in[begin:end]
	local := full[bytes.LastIndexByte(full, ':')+1:]
	if isName(local) && l.in[stop-1] != '/' {
		to := len(l.in)
		for at := stop + 1; ; {
			n := bytes.Index(l.in[at:], full)
			if n < 0 {
				break
			}
			if at += n; l.in[at-1] == '/' && l.in[at-2] == '<' {
				to = at - 2
				break
			}
			at += len(full)
		}
		if len(bytes.TrimSpace(l.in[stop+1:to])) > 0 {
			l.hide(stop+1, to, "")
		}
		l.at, l.floor = to, to
		return
	}
	if l.secretTag(end, stop) {
		l.attributes(end, stop, func(name []byte, from, to int) {
			if strings.EqualFold(string(name), "value") || strings.EqualFold(string(name), "content") || isName(name) {
				l.hide(from, to, "")
			}
		})
		l.at, l.floor = stop, stop
	}
}

// secretTag reports whether an attribute says that the value of another one is secret: those of a
// form's field, of a setting.
func (l *loose) secretTag(from, to int) bool {
	secret := false
	l.attributes(from, to, func(name []byte, from, to int) {
		switch strings.ToLower(string(name)) {
		case "name", "key", "id", "property", "type":
			secret = secret || isName(l.in[from:to])
		}
	})
	return secret
}

// attributes calls each with the attributes of an element.
func (l *loose) attributes(at, stop int, each func(name []byte, from, to int)) {
	for at < stop {
		eq := bytes.IndexByte(l.in[at:stop], '=')
		if eq < 0 {
			return
		}
		eq += at
		begin := eq
		for begin > at && isNameByte(l.in[begin-1]) {
			begin--
		}
		from := min(l.blanks(eq+1), stop)
		to := from
		if from < stop && (l.in[from] == '"' || l.in[from] == '\'') {
			from++
			n := bytes.IndexByte(l.in[from:stop], l.in[from-1])
			if n < 0 {
				n = stop - from
			}
			to = from + n
		} else {
			for to < stop && l.in[to] > ' ' {
				to++
			}
		}
		each(l.in[begin:eq], from, to)
		at = to + 1
	}
}
