// Package strictjson reads JSON from clients, and what was written as YAML, so that
// what is not understood is refused and named: duplicate keys, unknown fields, fields
// that only the server sets, wrong types, trailing data, invalid UTF-8, too deep
// nesting, more elements than the type allows. It also applies merge patches (RFC 7396).
//
// A text is read token by token, straight into the value that it is for: no tree is
// built of it, and what is wrong ends the reading where it stands. Time is linear in the
// text, and memory is bounded by it (BaseWeight, WeightPerByte).
//
// What may not live here: knowledge of HTTP, of the store, or of files. It imports the
// domain only; the control plane's REST side and manifest import it.
package strictjson

import (
	"bytes"
	"context"
	"io"
	"reflect"

	"github.com/mezusphere/mezu"
)

// Limits of a text.
const (
	// MaxDepth bounds the nesting: a manifest, the deepest type, needs eight.
	MaxDepth = 32
	// MaxKey bounds a key: the name of a header, the longest, has as many bytes.
	MaxKey = mezu.MaxRouteHeaderLen
	// MaxString bounds a text value: a certificate request, or a signed keyset in
	// base64, with room.
	MaxString = 256 << 10
	// MaxItems bounds a list or mapping of which its type says nothing (see Bounded).
	MaxItems = 1000
	// BaseWeight is how much memory any text may become: the routes of two full
	// environments, however short each is written.
	BaseWeight = 16 << 20
	// WeightPerByte is how much memory each byte of the text may become beyond that.
	// Text takes one byte for one; the rest is for what is around it.
	WeightPerByte = 2
)

// maxNumber bounds the digits of a number: no type that we read holds as many.
const maxNumber = 128

// Bounded is a struct type that says how many elements the list or mapping in one of
// its fields may have; zero is MaxItems.
type Bounded interface{ MaxItems(field string) int }

// Forbidden names the fields of a struct type that a client may not send. If nil,
// all are allowed.
type Forbidden func(t reflect.Type, field string) bool

// Options are what a reading heeds beside the type.
type Options struct {
	Forbidden Forbidden
	// Charge is told of the memory that the value is about to take, and ends the
	// reading with its error. If nil, nobody is told.
	Charge func(bytes int) error
	// Length is how many bytes the text has, or at most has; zero if nobody knows. It
	// decides about nothing but how much room is made for a list at once.
	Length int
}

// Decode reads exactly one JSON value into into, a non-nil pointer, which is left alone
// unless all is well. Its errors are *mezu.Error with CodeInvalid and, where one is to
// blame, the field's path; or those of r, of ctx and of Options.Charge.
func Decode(ctx context.Context, r io.Reader, o Options, into any) error {
	return Read(ctx, NewScanner(r), o, into)
}

// Read is Decode for a text that a source makes tokens of.
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

// Patch applies a checked merge patch to target, a pointer, as MergePatch of RFC 7396,
// section 2, does. What target refers to is not changed, but replaced.
func Patch(patch []byte, target any) error {
	d := decoder{ctx: context.Background(), source: NewScanner(bytes.NewReader(patch)), patch: true}
	return d.read(target)
}

// CheckType reports what of a type can't be read, or is not bounded by the type: a list
// or mapping that is no field of a Bounded, or of which it says nothing. Whoever reads
// bodies asks at its start.
func CheckType(t reflect.Type) error {
	d := decoder{shapes: map[reflect.Type]*shape{}}
	return d.check(t, t.String())
}
