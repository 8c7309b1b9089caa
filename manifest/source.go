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

// source gives the tokens of a text to strictjson, and knows where each is in the text.
type source struct {
	parser *parser
	next   func() (token, bool)
	stop   func()
	failed error
	last   token
	// key is the offset of the key whose value is being read, or -1.
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

// locate adds line and column to an error of reading: those of the key or entry whose value
// is wrong, or those where the text is not YAML.
func (s *source) locate(name string, err error) error {
	var f *fault
	if errors.As(err, &f) {
		return errorAt(name, s.parser.data, f.at, f.err)
	}
	var e *mezu.Error
	if !errors.As(err, &e) {
		return err
	}
	at := s.last.at
	if s.key >= 0 && s.last.Kind != strictjson.Refused {
		at = s.key
	}
	return errorAt(name, s.parser.data, at, hinted(e, s.last.Kind))
}

// errorAt is an error at an offset of the text.
func errorAt(name string, data []byte, at int, err error) error {
	at = min(at, len(data))
	begin := bytes.LastIndexByte(data[:at], '\n') + 1
	if begin == 0 && bytes.HasPrefix(data, []byte(bom)) {
		begin = min(len(bom), at)
	}
	return &Error{File: name, Line: 1 + bytes.Count(data[:at], []byte("\n")), Column: 1 + utf8.RuneCount(data[begin:at]), Err: err}
}

// find gives the offset of the field with this path: that of its key, or of the innermost
// field around it that exists. value is the kind of the field's value, zero if there is no
// such field. Since keys may contain dots, a path can be read in several ways; the one that
// leads furthest counts.
func find(data []byte, field string) (at int, value strictjson.Kind) {
	s := newSource(data)
	defer s.stop()
	l := locator{source: s, best: -1}
	if t, err := s.Next(); err == nil {
		l.value(t.Kind, s.last.at, field, 0, true)
	}
	return l.at, l.kind
}

// locator goes through a text once.
type locator struct {
	*source
	best, at int
	kind     strictjson.Kind
}

// value goes through a value of this kind, whose key or entry is at the offset at. field is
// the rest of the path below it, done how many bytes of the path came before. on says
// whether the value is on the path at all.
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
