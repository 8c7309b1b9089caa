// Package strictjson reads JSON from clients, and what was written as YAML, so that
// what is not understood is refused and named: duplicate keys, unknown fields, fields
// that only the server sets, wrong types, trailing data, invalid UTF-8, too deep
// nesting, more elements than the type allows. It also applies merge patches (RFC 7396).
//
// A text is read token by token, straight into the Go value, without building a tree. The
// first error ends the reading, unless Options.Fault lets it go on. Time is linear in the length of the text, and memory is
// bounded by it (BaseWeight, WeightPerByte).
//
// What may not live here: knowledge of HTTP, of the store, or of files. It imports the
// domain only; the control plane's REST side and manifest import it.
package strictjson

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"reflect"

	"github.com/mezusphere/mezu"
)

// Limits of a text.
const (
	// MaxDepth bounds the nesting. A manifest, the deepest type, needs eight.
	MaxDepth = 32
	// MaxKey bounds a key. The longest keys are names of headers.
	MaxKey = mezu.MaxRouteHeaderLen
	// MaxString bounds a text value. The longest are a signed keyset and a logo in base64.
	MaxString = 384 << 10
	// MaxItems bounds a list or mapping for which Bounded gives no number.
	MaxItems = 1000
	// BaseWeight is how much memory the value of any text may take, however short the text
	// is: enough for the routes of two full environments.
	BaseWeight = 16 << 20
	// WeightPerByte is how much more memory the value may take for each byte of the text. A
	// byte of a string takes one; the rest is for what is around the strings.
	WeightPerByte = 2
)

// maxNumber bounds the digits of a number. No type that we read has as many.
const maxNumber = 128

// Bounded is a struct type with limits for its lists and mappings: how many elements the one
// in a field may have; zero means MaxItems.
type Bounded interface{ MaxItems(field string) int }

// Forbidden reports whether a client may not send a field of a struct type. If nil, all are
// allowed.
type Forbidden func(t reflect.Type, field string) bool

// Options of reading.
type Options struct {
	Forbidden Forbidden
	// Charge, if not nil, is called with the bytes of memory that the value is about to
	// take. If it returns an error, that ends the reading.
	Charge func(bytes int) error
	// Length is how many bytes the text has at most; zero if that isn't known. It only
	// decides how much memory is allocated for a list at a time.
	Length int
	// Fault, if not nil, is told of each value that is wrong by itself: of an unknown field, a
	// field given twice, or of another type. If it returns true, reading goes on behind that
	// value, which stays zero.
	Fault func(error) bool
	// MaxString bounds a text value in the place of the package's MaxString, if it is not zero.
	MaxString int
}

// Decode reads exactly one JSON value into what into, a non-nil pointer, points to. After an
// error that is unchanged. An error is a *mezu.Error with CodeInvalid, which names the field
// if it is about one, or an error of r, of ctx or of Options.Charge.
func Decode(ctx context.Context, r io.Reader, o Options, into any) error {
	s := NewScanner(r)
	s.most = cmp.Or(o.MaxString, MaxString)
	return Read(ctx, s, o, into)
}

// Read is Decode for the tokens of a source.
func Read(ctx context.Context, s Source, o Options, into any) error {
	d := decoder{ctx: ctx, source: s, o: o}
	return d.read(into)
}

// CheckPatch checks a merge patch against the type of target, a pointer: like
// Decode, except that null is allowed everywhere.
func CheckPatch(ctx context.Context, patch []byte, o Options, target any) error {
	if trimmed := bytes.TrimLeft(bytes.TrimPrefix(patch, []byte(byteOrderMark)), " \t\r\n"); len(trimmed) > 0 && trimmed[0] != '{' {
		return mezu.Invalid("", "a merge patch is a JSON object")
	}
	d := decoder{ctx: ctx, source: NewScanner(bytes.NewReader(patch)), o: o, patch: true}
	return d.read(reflect.New(reflect.TypeOf(target).Elem()).Interface())
}

// Patch applies a checked merge patch to target, a pointer, like MergePatch of RFC 7396,
// section 2. Lists, mappings and pointers in target are replaced, not changed in place.
func Patch(patch []byte, target any) error {
	d := decoder{ctx: context.Background(), source: NewScanner(bytes.NewReader(patch)), patch: true}
	return d.read(target)
}

// CheckType returns an error if a type can't be read, or has a list or mapping without a
// limit of its own, which is one that isn't a field of a Bounded or that Bounded gives no
// number for. A server calls it at its start for the types of all bodies.
func CheckType(t reflect.Type) error {
	d := decoder{shapes: map[reflect.Type]*shape{}}
	return d.check(t, t.String())
}
