// Package manifest reads mezu.yaml, the declarative file of a project: strictly and in
// bounded memory. Its errors have the line and column in the file, also those that a control
// plane found.
//
// What may not live here: the rules of what a file may say, which are the domain's
// (mezu.Manifest), and what an apply does. It imports the domain, strictjson, namedfile and
// logo; cli and cmd/mezu import it.
//
// The file is YAML 1.2 without everything that readers interpret differently. A plain scalar
// is a boolean (true, false), a number as in JSON, or else text. Anchors, aliases, merge
// keys, tags, null and a second document are refused.
package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/logo"
	"github.com/mezusphere/mezu/namedfile"
	"github.com/mezusphere/mezu/strictjson"
)

// MaxSize is the largest body of a request that applies a file. Reading takes as much memory
// as the file, what strictjson allows for its values, and a few hundred kilobytes.
const MaxSize = 16 << 20

// File is one file that was read.
type File struct {
	Name     string
	Manifest mezu.Manifest
	// Tunnels are those of this machine, by name. They are no part of the manifest.
	Tunnels map[string]Tunnel
	// Warnings are remarks about what is valid but perhaps not meant.
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

// At is where it is wrong.
func (e *Error) At() (file string, line, column int) { return e.File, e.Line, e.Column }

// Unwrap gives what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Read reads the file at path, and the logos that it names; errors use name for it. It may be
// a pipe: then Read waits for the writer until ctx ends.
func Read(ctx context.Context, path, name string) (*File, error) {
	f, err := ReadAlone(ctx, path, name)
	if err == nil {
		err = f.TakeLogos(filepath.Dir(path))
	}
	return f, err
}

// ReadAlone is Read for who needs no logos: those stay the names of their files.
func ReadAlone(ctx context.Context, path, name string) (*File, error) {
	data, err := namedfile.ReadPipe(ctx, path, MaxSize+1)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return Parse(ctx, name, data)
}

// TakeLogos puts the images in place of the files of logos, whose paths are relative to dir.
// They are encoded here as the control plane encodes them: whatever file somebody else's
// manifest names, nothing but the pixels of an image leaves the machine.
func (f *File) TakeLogos(dir string) error {
	found := &findings{}
	for _, name := range slices.Sorted(maps.Keys(f.Manifest.Directories)) {
		d := f.Manifest.Directories[name]
		path, ok := d.Brand.LogoFile()
		if !ok {
			continue
		}
		if path = filepath.FromSlash(path); !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		image, err := logo.Read(path)
		if err != nil {
			found.addRule(f, unread("directories."+name+".brand.logo", d.Brand.Logo, err))
			continue
		}
		d.Brand.SetLogo(image)
		f.Manifest.Directories[name] = d
	}
	if len(found.errors) > 0 {
		return found.error(f.Name)
	}
	return nil
}

// unread is the error about a file that can't be read or is no logo.
func unread(field, path string, err error) error {
	out := &mezu.Error{Code: mezu.CodeInvalid, Field: field, Detail: path + ": " + err.Error(), Cause: err}
	var e *mezu.Error
	var at *fs.PathError
	switch {
	case errors.As(err, &e):
		out.Detail, out.Hint = path+": "+e.Detail, e.Hint
	case errors.As(err, &at):
		out.Detail = path + ": " + at.Err.Error()
	}
	return out
}

// Parse reads and validates the text of a file. The result keeps the text. Its error is an
// *Error around a *mezu.Error, or *Errors if there are several.
func Parse(ctx context.Context, name string, data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, errorAt(name, data, MaxSize, mezu.Errorf(mezu.CodeInvalid, "the file has more than %d bytes; a manifest of one project is smaller", MaxSize))
	}
	f := &File{Name: name, data: data}
	s := newSource(data)
	defer s.stop()
	var said document
	found := &findings{}
	read := strictjson.Options{Forbidden: forbidden, Length: len(data), Fault: func(err error) bool {
		return found.add(s.locate(name, err))
	}}
	if err := strictjson.Read(ctx, s, read, &said); err != nil {
		found.add(s.locate(name, err))
		return nil, found.error(name)
	}
	f.Manifest, f.Tunnels = said.Manifest, said.Tunnels
	f.Manifest.Complete()
	for _, err := range checkTunnels(f.Tunnels) {
		found.addRule(f, err)
	}
	warnings, err := f.Manifest.Judge(ctx)
	if err == nil && len(found.errors) == 0 {
		f.Warnings = warnings
		return f, nil
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		faults := f.Manifest.Faults(ctx, maxErrors)
		found.more = found.more || len(faults) == maxErrors
		for _, fault := range faults {
			found.addRule(f, fault)
		}
		if len(found.errors) == 0 {
			return nil, f.locate(err)
		}
	}
	return nil, found.error(name)
}

// forbidden are the fields that a manifest can't set.
func forbidden(t reflect.Type, field string) bool {
	return t == reflect.TypeFor[mezu.Route]() && mezu.ServerField("route", field)
}

// Explain adds line and column to an error that a control plane gave about a field of the
// manifest. In the request to apply the file, the manifest is the field "manifest". Other
// errors are returned unchanged.
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
	return f.locate(&c)
}

// locate adds line and column to an error about one of the file's fields.
func (f *File) locate(err error) error {
	var e *mezu.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	at, value := find(f.data, c.Field)
	return errorAt(f.Name, f.data, at, hinted(&c, value))
}

// hinted adds a hint to an error about text that was read as a number or a boolean.
func hinted(e *mezu.Error, value strictjson.Kind) *mezu.Error {
	typed := value == strictjson.Number || value == strictjson.True || value == strictjson.False
	if e.Hint == "" && typed && strings.HasSuffix(e.Detail, "does not fit here") {
		e.Hint = "text that looks like a number or a boolean stands in quotes"
	}
	return e
}
