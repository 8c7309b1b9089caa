// Package manifest reads mezu.yaml, the declarative file of a project: strictly, in
// bounded memory, and with the line and column of whatever is wrong in it, be it found
// here or by a control plane that judged what the file says.
//
// What may not live here: the rules of what a file may say, which are the domain's
// (mezu.Manifest), and what becomes of it. It imports the domain and strictjson; cli and
// cmd/mezu import it.
//
// The file is YAML 1.2 without what lets a reader guess: a plain scalar is a boolean
// (true, false), a number as JSON writes it, or else text; anchors, aliases, merge keys,
// tags, null and a second document are refused.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

// Limits of a file. The reader takes some 200 bytes for each node and fifty
// nanoseconds for each byte, so that both ends of a file's cost are bounded: a file at
// every limit takes less than a GiB, one with the routes of an environment at theirs a
// tenth of that.
const (
	// MaxSize is that of a request that applies it.
	MaxSize = 16 << 20
	// MaxMarks bounds the marks (comma, colon, bracket, brace, dash, line end) of
	// which every node but the first has one beside it.
	MaxMarks = 4 << 20
)

// File is one file that was read.
type File struct {
	Name     string
	Manifest mezu.Manifest
	root     *yaml.Node
}

// Error says where in a file something is wrong. Line and Column count from 1, columns
// in characters.
type Error struct {
	File         string
	Line, Column int
	Err          error
}

// Error is FILE:LINE:COLUMN: and what is wrong.
func (e *Error) Error() string {
	return e.File + ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column) + ": " + e.Err.Error()
}

// Unwrap gives what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Read reads the file at path; name is what errors call it.
func Read(path, name string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return Parse(name, data)
}

// Parse reads and judges the text of a file. Its errors are an *Error around a
// *mezu.Error.
func Parse(name string, data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, tooLarge(name, data, MaxSize, "has more than "+strconv.Itoa(MaxSize)+" bytes")
	}
	if at := excess(data); at >= 0 {
		return nil, tooLarge(name, data, at, "has more than "+strconv.Itoa(MaxMarks)+" values and keys")
	}
	f := &File{Name: name}
	var err error
	if f.root, err = parse(name, data); err != nil {
		return nil, err
	}
	w := writer{name: name}
	if err := w.value(f.root, "", 0); err != nil {
		return nil, err
	}
	if err := strictjson.Decode(w.out.Bytes(), forbidden, &f.Manifest); err != nil {
		return nil, f.place(err)
	}
	f.Manifest.Complete()
	if err := f.Manifest.Validate(); err != nil {
		return nil, f.place(err)
	}
	return f, nil
}

func tooLarge(name string, data []byte, at int, detail string) error {
	return placed(name, data, at, mezu.Errorf(mezu.CodeInvalid, "the file %s; a manifest of one project is smaller", detail))
}

// excess is where the text has more marks than MaxMarks, or -1.
func excess(data []byte) int {
	marks := 0
	for i, c := range data {
		switch c {
		case ',', ':', '[', '{', '-', '\n':
			if marks++; marks > MaxMarks {
				return i
			}
		}
	}
	return -1
}

// forbidden are the fields that a manifest can't set.
func forbidden(t reflect.Type, field string) bool {
	return t == reflect.TypeFor[mezu.Route]() && mezu.ServerField("route", field)
}

// parse gives the one value of the text. An empty text is an empty mapping.
func parse(name string, data []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}, nil
	}
	if err != nil {
		return nil, syntax(name, data, err)
	}
	var second yaml.Node
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, syntax(name, data, err)
	}
	return nil, wrong(name, &second, "", "a second document begins; a file has one")
}

func wrong(name string, n *yaml.Node, field, detail string) error {
	return &Error{File: name, Line: n.Line, Column: n.Column, Err: mezu.Invalid(field, "%s", detail)}
}

// writer turns nodes into the JSON that means the same.
type writer struct {
	name string
	out  bytes.Buffer
}

// number is a number of JSON.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func (w *writer) value(n *yaml.Node, path string, depth int) error {
	switch {
	case depth > strictjson.MaxDepth:
		return wrong(w.name, n, path, "is nested more than "+strconv.Itoa(strictjson.MaxDepth)+" deep")
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return wrong(w.name, n, path, "anchors and aliases are not taken; write the value where it is needed")
	case n.Style&yaml.TaggedStyle != 0:
		return wrong(w.name, n, path, "tags such as "+n.Tag+" are not taken")
	}
	switch n.Kind {
	case yaml.MappingNode:
		return w.mapping(n, path, depth)
	case yaml.SequenceNode:
		return w.sequence(n, path, depth)
	}
	return w.scalar(n, path)
}

func (w *writer) mapping(n *yaml.Node, path string, depth int) error {
	seen := make(map[string]int, len(n.Content)/2)
	w.out.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 || key.Tag == "!!merge" {
			return wrong(w.name, key, path, "a key is plain text; anchors, tags and merge keys are not taken")
		}
		here := key.Value
		if path != "" {
			here = path + "." + key.Value
		}
		if line, twice := seen[key.Value]; twice {
			return wrong(w.name, key, here, "is given twice, first in line "+strconv.Itoa(line))
		}
		seen[key.Value] = key.Line
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.text(key.Value); err != nil {
			return err
		}
		w.out.WriteByte(':')
		if err := w.value(value, here, depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

func (w *writer) sequence(n *yaml.Node, path string, depth int) error {
	w.out.WriteByte('[')
	for i, item := range n.Content {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.value(item, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return nil
}

func (w *writer) scalar(n *yaml.Node, path string) error {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return w.text(n.Value)
	}
	switch {
	case n.Value == "" || n.Tag == "!!null":
		return wrong(w.name, n, path, "has no value; write one ({} for an entry with defaults), or leave the key out")
	case n.Value == "true", n.Value == "false", number.MatchString(n.Value):
		w.out.WriteString(n.Value)
		return nil
	}
	return w.text(n.Value)
}

func (w *writer) text(s string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding text: %w", err)
	}
	w.out.Write(data)
	return nil
}

// Explain adds the place in the file to an answer of a control plane about a field of
// the manifest, which a request to apply it holds as "manifest". Other errors pass
// unchanged.
func (f *File) Explain(err error) error {
	var e *mezu.Error
	if !errors.As(err, &e) {
		return err
	}
	field, ok := strings.CutPrefix(e.Field, "manifest.")
	if !ok && e.Field != "manifest" {
		return err
	}
	c := *e
	c.Field = field
	if !ok {
		c.Field = ""
	}
	return f.place(&c)
}

// place adds the place in the file to an error about one of its fields.
func (f *File) place(err error) error {
	var e *mezu.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	at, value := f.walk(c.Field)
	if c.Hint == "" && strings.HasSuffix(c.Detail, "does not fit here") && looksTyped(value) {
		c.Hint = "text that looks like a number or a boolean stands in quotes"
	}
	return &Error{File: f.Name, Line: at.Line, Column: at.Column, Err: &c}
}

// looksTyped reports whether a plain scalar was taken for a number or a boolean.
func looksTyped(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.Style == 0 && (n.Value == "true" || n.Value == "false" || number.MatchString(n.Value))
}

// walk follows a field's path: at is the node at which the field stands, its key in a
// mapping, or the innermost one around it that there is; value is the field's, nil if there is none. Keys may hold dots, so the
// longest that fits is taken.
func (f *File) walk(field string) (at, value *yaml.Node) {
	at, value = f.root, f.root
	if field == "" {
		return at, value
	}
	for field != "" {
		key, next, rest := step(value, field)
		if next == nil {
			return at, nil
		}
		at, value, field = key, next, rest
	}
	return at, value
}

// step takes the first part of a path: "[3]…" in a sequence, "key…" in a mapping.
func step(n *yaml.Node, field string) (at, value *yaml.Node, rest string) {
	switch n.Kind {
	case yaml.SequenceNode:
		index, rest, ok := strings.Cut(strings.TrimPrefix(field, "["), "]")
		i, err := strconv.Atoi(index)
		if !ok || err != nil || i < 0 || i >= len(n.Content) {
			return nil, nil, ""
		}
		return n.Content[i], n.Content[i], strings.TrimPrefix(rest, ".")
	case yaml.MappingNode:
		best := -1
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i].Value
			if after, ok := strings.CutPrefix(field, k); ok && (after == "" || after[0] == '.' || after[0] == '[') && (best < 0 || len(k) > len(n.Content[best].Value)) {
				best = i
			}
		}
		if best < 0 {
			return nil, nil, ""
		}
		return n.Content[best], n.Content[best+1], strings.TrimPrefix(field[len(n.Content[best].Value):], ".")
	}
	return nil, nil, ""
}
