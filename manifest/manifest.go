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
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/namedfile"
	"github.com/mezusphere/mezu/strictjson"
)

// MaxSize is that of a request that applies a file. Reading takes the file itself, what
// strictjson lets its values become, and a few hundred kilobytes.
const MaxSize = 16 << 20

// File is one file that was read.
type File struct {
	Name     string
	Manifest mezu.Manifest
	// Warnings are remarks about what is valid and perhaps not meant.
	Warnings []string
	data     []byte
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

// Read reads the file at path; name is what errors call it. It may be a pipe, for whose
// writer Read waits until ctx ends.
func Read(ctx context.Context, path, name string) (*File, error) {
	data, err := namedfile.ReadPipe(ctx, path, MaxSize+1)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return Parse(ctx, name, data)
}

// Parse reads and judges the text of a file, which the result keeps. Its errors are an
// *Error around a *mezu.Error.
func Parse(ctx context.Context, name string, data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, placed(name, data, MaxSize, mezu.Errorf(mezu.CodeInvalid, "the file has more than %d bytes; a manifest of one project is smaller", MaxSize))
	}
	f := &File{Name: name, data: data}
	s := newSource(data)
	defer s.stop()
	if err := strictjson.Read(ctx, s, strictjson.Options{Forbidden: forbidden, Length: len(data)}, &f.Manifest); err != nil {
		return nil, s.place(name, err)
	}
	f.Manifest.Complete()
	warnings, err := f.Manifest.Judge(ctx)
	if err != nil {
		return nil, f.place(err)
	}
	f.Warnings = warnings
	return f, nil
}

// forbidden are the fields that a manifest can't set.
func forbidden(t reflect.Type, field string) bool {
	return t == reflect.TypeFor[mezu.Route]() && mezu.ServerField("route", field)
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
	at, value := locate(f.data, c.Field)
	return placed(f.Name, f.data, at, hinted(&c, value))
}

// hinted says of text that was taken for a number or a boolean what to do.
func hinted(e *mezu.Error, value strictjson.Kind) *mezu.Error {
	typed := value == strictjson.Number || value == strictjson.True || value == strictjson.False
	if e.Hint == "" && typed && strings.HasSuffix(e.Detail, "does not fit here") {
		e.Hint = "text that looks like a number or a boolean stands in quotes"
	}
	return e
}
