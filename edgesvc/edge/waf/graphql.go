package waf

import (
	"encoding/json"
	"regexp"
	"strings"
)

// graphQL takes a GraphQL document apart (GraphQL specification, October 2021, 2.1), and reports
// whether a JSON value is one. Its words and signs look like attacks. In a document whose grammar is
// right none of them can be one: what it carries is in its strings and comments, which are judged,
// and in variables, which are other values.
func (p *parsed) graphQL(name, text string) bool {
	last := strings.LastIndexByte(name, '.')
	if name[last+1:] != "query" || strings.Count(name, ".") > 2 {
		return false
	}
	carried, ok := graphQLTexts(text)
	if !ok {
		return false
	}
	for _, c := range carried {
		p.add(name, c)
	}
	return true
}

// graphQLTexts are the strings and comments of a GraphQL document. ok is false if the text is none,
// or one that nests deeper than is looked at.
func graphQLTexts(s string) (texts []string, ok bool) {
	r := graphQLReader{s: s}
	for r.next() != 0 {
		if !r.definition() {
			return nil, false
		}
		ok = true
	}
	return r.texts, ok && r.i == len(s)
}

// graphQLReader reads a GraphQL document by its grammar. Its methods read one thing each, and report
// whether it was there and whole.
type graphQLReader struct {
	s     string
	i     int // what is read
	depth int
	texts []string
}

// next is the next byte that means something, zero at the end. Comments are read on the way there.
func (r *graphQLReader) next() byte {
	for r.i < len(r.s) {
		switch c := r.s[r.i]; c {
		case ' ', '\t', '\r', '\n', ',':
			r.i++
		case '#':
			end := strings.IndexAny(r.s[r.i:], "\r\n")
			if end < 0 {
				end = len(r.s) - r.i
			}
			r.texts = append(r.texts, r.s[r.i:r.i+end])
			r.i += end
		default:
			return c
		}
	}
	return 0
}

// sign reads a sign if it is next.
func (r *graphQLReader) sign(text string) bool {
	r.next()
	if !strings.HasPrefix(r.s[r.i:], text) {
		return false
	}
	r.i += len(text)
	return true
}

// word reads a name or a number, empty if none is next.
func (r *graphQLReader) word(more string) string {
	r.next()
	from := r.i
	for ; r.i < len(r.s); r.i++ {
		c := r.s[r.i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && strings.IndexByte(more, c) < 0 {
			break
		}
	}
	return r.s[from:r.i]
}

// name reads a name.
func (r *graphQLReader) name() bool {
	w := r.word("")
	return w != "" && (w[0] < '0' || w[0] > '9')
}

// list reads what is between two signs, one thing at least.
func (r *graphQLReader) list(begin, end string, one func() bool) bool {
	if r.depth++; r.depth > MaxDepth || !r.sign(begin) {
		return false
	}
	for n := 0; ; n++ {
		if n > 0 && r.sign(end) {
			r.depth--
			return true
		}
		if !one() {
			return false
		}
	}
}

func (r *graphQLReader) definition() bool {
	if r.next() == '{' {
		return r.selections()
	}
	switch r.word("") {
	case "query", "mutation", "subscription":
		if c := r.next(); c != '{' && c != '(' && c != '@' && !r.name() {
			return false
		}
		if r.next() == '(' && !r.list("(", ")", r.variable) {
			return false
		}
	case "fragment":
		if !r.name() || r.word("") != "on" || !r.name() {
			return false
		}
	default:
		return false
	}
	return r.directives() && r.selections()
}

func (r *graphQLReader) selections() bool { return r.list("{", "}", r.selection) }

func (r *graphQLReader) selection() bool {
	if r.sign("...") {
		switch c := r.next(); {
		case c == '{' || c == '@':
			return r.directives() && r.selections()
		case r.word("") != "on":
			return r.directives()
		}
		return r.name() && r.directives() && r.selections()
	}
	if !r.name() || r.sign(":") && !r.name() || !r.arguments() || !r.directives() {
		return false
	}
	return r.next() != '{' || r.selections()
}

func (r *graphQLReader) arguments() bool { return r.next() != '(' || r.list("(", ")", r.member) }

func (r *graphQLReader) directives() bool {
	for r.sign("@") {
		if !r.name() || !r.arguments() {
			return false
		}
	}
	return true
}

// member is a name and its value.
func (r *graphQLReader) member() bool { return r.name() && r.sign(":") && r.value() }

// variable is a variable as an operation declares it.
func (r *graphQLReader) variable() bool {
	if !r.sign("$") || !r.name() || !r.sign(":") || !r.kind() || r.sign("=") && !r.value() {
		return false
	}
	return r.directives()
}

// kind is the type of a variable.
func (r *graphQLReader) kind() bool {
	if r.next() == '[' {
		n := 0
		if !r.list("[", "]", func() bool { n++; return n == 1 && r.kind() }) {
			return false
		}
	} else if !r.name() {
		return false
	}
	r.sign("!")
	return true
}

func (r *graphQLReader) value() bool {
	switch c := r.next(); {
	case c == '"':
		text, n := graphQLString(r.s[r.i:])
		r.texts = append(r.texts, text)
		r.i += n
		return n > 0
	case c == '$':
		return r.sign("$") && r.name()
	case c == '[':
		begun := r.i
		if r.i++; r.sign("]") {
			return true
		}
		r.i = begun
		return r.list("[", "]", r.value)
	case c == '{':
		begun := r.i
		if r.i++; r.sign("}") {
			return true
		}
		r.i = begun
		return r.list("{", "}", r.member)
	case c == '-' || c >= '0' && c <= '9':
		return graphQLNumber.MatchString(r.word("+-."))
	}
	return r.name()
}

// graphQLNumber is a number (2.9.1 and 2.9.2).
var graphQLNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// graphQLString reads the string at the beginning of a text; n is its length, zero if it has no end.
func graphQLString(s string) (text string, n int) {
	if rest, is := strings.CutPrefix(s, `"""`); is {
		end := strings.Index(rest, `"""`)
		if end < 0 {
			return "", 0
		}
		return rest[:end], end + 6
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n', '\r':
			return "", 0
		case '"':
			if json.Unmarshal([]byte(s[:i+1]), &text) != nil {
				return "", 0
			}
			return text, i + 1
		}
	}
	return "", 0
}
