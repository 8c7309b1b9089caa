package manifest

import (
	"bytes"
	"errors"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

// source is a text as the tokens that strictjson reads, and where it stands.
type source struct {
	parser *parser
	next   func() (token, bool)
	stop   func()
	failed error
	last   token
	// key is where the key of the value that is read stands, if it has one.
	key int
}

func newSource(data []byte) *source {
	s := &source{parser: &parser{data: data}, key: -1}
	s.next, s.stop = iter.Pull(func(yield func(token) bool) {
		s.parser.yield = yield
		s.failed = s.parser.tokens()
	})
	return s
}

// Next implements strictjson.Source.
func (s *source) Next() (strictjson.Token, error) {
	before := s.last
	t, ok := s.next()
	if !ok {
		return strictjson.Token{}, s.failed
	}
	if s.last, s.key = t, -1; before.Kind == strictjson.Key {
		s.key = before.at
	}
	return t.Token, nil
}

// Offset implements strictjson.Source.
func (s *source) Offset() int { return s.parser.pos }

// place adds the place in the file to an error of the reading: that of a key or an entry
// whose value is wrong, or where the text is no YAML.
func (s *source) place(name string, err error) error {
	var f *fault
	if errors.As(err, &f) {
		return placed(name, s.parser.data, f.at, f.err)
	}
	var e *mezu.Error
	if !errors.As(err, &e) {
		return err
	}
	at := s.last.at
	if s.key >= 0 && s.last.Kind != strictjson.Refused {
		at = s.key
	}
	return placed(name, s.parser.data, at, hinted(e, s.last.Kind))
}

// placed is an error at a byte of the text.
func placed(name string, data []byte, at int, err error) error {
	at = min(at, len(data))
	begin := bytes.LastIndexByte(data[:at], '\n') + 1
	if begin == 0 && bytes.HasPrefix(data, []byte(bom)) {
		begin = min(len(bom), at)
	}
	return &Error{File: name, Line: 1 + bytes.Count(data[:at], []byte("\n")), Column: 1 + utf8.RuneCount(data[begin:at]), Err: err}
}

// locate finds where the field of this path stands: its key in a mapping, or the
// innermost one around it that there is. value is what the field's begins with, zero if
// there is none. Keys may hold dots, so that of several ways the longest counts.
func locate(data []byte, field string) (at int, value strictjson.Kind) {
	s := newSource(data)
	defer s.stop()
	l := locator{source: s, best: -1}
	if t, err := s.Next(); err == nil {
		l.value(t.Kind, s.last.at, field, 0, true)
	}
	return l.at, l.kind
}

// locator walks through a text once.
type locator struct {
	*source
	best, at int
	kind     strictjson.Kind
}

// value goes over a value of this kind, which a key or entry at at has. field
// is what is left of the path below it, of which done bytes are behind; on says that it
// lies on the way.
func (l *locator) value(kind strictjson.Kind, at int, field string, done int, on bool) bool {
	if on && done > l.best {
		l.best, l.at, l.kind = done, at, 0
		if field == "" {
			l.kind = kind
		}
	}
	if kind != strictjson.ObjectBegin && kind != strictjson.ListBegin {
		return true
	}
	for i := 0; ; i++ {
		t, err := l.Next()
		if err != nil {
			return false
		}
		if t.Kind == strictjson.ObjectEnd || t.Kind == strictjson.ListEnd {
			return true
		}
		entry, rest, below := l.last.at, "", false
		if kind == strictjson.ListBegin {
			rest, below = strings.CutPrefix(field, "["+strconv.Itoa(i)+"]")
		} else {
			rest, below = strings.CutPrefix(field, string(t.Text))
			below = below && len(t.Text) > 0 && (rest == "" || rest[0] == '.' || rest[0] == '[')
			if t, err = l.Next(); err != nil {
				return false
			}
		}
		rest = strings.TrimPrefix(rest, ".")
		if !l.value(t.Kind, entry, rest, done+len(field)-len(rest), on && below) {
			return false
		}
	}
}
