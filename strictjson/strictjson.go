// Package strictjson reads JSON from clients, and what was written as YAML, so that
// what is not understood is refused and named: duplicate keys, unknown fields, fields
// that only the server sets, wrong types, trailing data, invalid UTF-8, too deep
// nesting. It also applies merge patches (RFC 7396).
//
// What may not live here: knowledge of HTTP, of the store, or of files. It imports the
// domain only; the control plane's REST side and manifest import it.
package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
)

// MaxDepth bounds the nesting of a body: routes, the deepest entity, need five.
const MaxDepth = 32

// Forbidden names the fields of a struct type that a client may not send. If nil,
// all are allowed.
type Forbidden func(t reflect.Type, field string) bool

// Decode reads exactly one JSON value into into, a non-nil pointer. Its errors are
// *mezu.Error with CodeInvalid and, where one is to blame, the field's path.
func Decode(data []byte, forbidden Forbidden, into any) error {
	if err := check(data, forbidden, reflect.TypeOf(into).Elem(), false); err != nil {
		return err
	}
	return unmarshal(data, into)
}

// CheckPatch checks a merge patch against the type of target, a pointer: like
// Decode, except that null is allowed everywhere.
func CheckPatch(patch []byte, forbidden Forbidden, target any) error {
	if trimmed := bytes.TrimLeft(patch, " \t\r\n"); len(trimmed) > 0 && trimmed[0] != '{' {
		return mezu.Invalid("", "a merge patch is a JSON object")
	}
	return check(patch, forbidden, reflect.TypeOf(target).Elem(), true)
}

// Patch applies a checked merge patch to target, a pointer, in place.
func Patch(patch []byte, target any) error {
	current, err := json.Marshal(target)
	if err != nil {
		return err
	}
	var base, change any
	if err := decodeNumbers(current, &base); err != nil {
		return err
	}
	if err := decodeNumbers(patch, &change); err != nil {
		return err
	}
	merged, err := json.Marshal(merge(base, change))
	if err != nil {
		return err
	}
	v := reflect.ValueOf(target).Elem()
	fresh := reflect.New(v.Type())
	if err := unmarshal(merged, fresh.Interface()); err != nil {
		return err
	}
	v.Set(fresh.Elem())
	return nil
}

func decodeNumbers(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// merge is the function MergePatch of RFC 7396, section 2.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out, ok := target.(map[string]any)
	if !ok {
		out = map[string]any{}
	}
	for key, value := range changes {
		if value == nil {
			delete(out, key)
			continue
		}
		out[key] = merge(out[key], value)
	}
	return out
}

func unmarshal(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	var wrong *json.UnmarshalTypeError
	var known *mezu.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &wrong):
		return mezu.Invalid(wrong.Field, "a %s does not fit here", wrong.Value)
	}
	return mezu.Invalid("", "is not JSON: %v", err)
}

// check walks the tokens of data beside the type that they will be decoded into.
func check(data []byte, forbidden Forbidden, t reflect.Type, patch bool) error {
	if !utf8.Valid(data) {
		return mezu.Invalid("", "the body is not UTF-8")
	}
	w := walker{dec: json.NewDecoder(bytes.NewReader(data)), forbidden: forbidden, patch: patch}
	w.dec.UseNumber()
	if err := w.value(t, "", 0); err != nil {
		var known *mezu.Error
		if errors.As(err, &known) {
			return known
		}
		if errors.Is(err, io.EOF) {
			return mezu.Invalid("", "a JSON body is required")
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return mezu.Invalid("", "the JSON ends early")
		}
		return mezu.Invalid("", "is not JSON: %v", err)
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return mezu.Invalid("", "something follows the JSON value")
	}
	return nil
}

type walker struct {
	dec       *json.Decoder
	forbidden Forbidden
	patch     bool
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value checks the next value, which will be decoded into t; nil is any type.
func (w *walker) value(t reflect.Type, path string, depth int) error {
	if depth > MaxDepth {
		return mezu.Invalid(path, "is nested more than %d deep", MaxDepth)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return w.object(t, path, depth)
	case json.Delim('['):
		return w.array(t, path, depth)
	}
	return w.scalar(token, t, path)
}

func (w *walker) object(t reflect.Type, path string, depth int) error {
	var fields map[string]reflect.Type
	var element reflect.Type
	if t != nil && !custom(t) {
		switch t.Kind() {
		case reflect.Struct:
			fields = fieldsOf(t)
		case reflect.Map:
			element = t.Elem()
		case reflect.Interface:
		default:
			return mezu.Invalid(path, "an object does not fit here")
		}
	}
	seen := map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return err
		}
		key := token.(string)
		here := join(path, key)
		if seen[key] {
			return mezu.Invalid(here, "is given twice")
		}
		seen[key] = true
		next := element
		if fields != nil {
			var ok bool
			if next, ok = fields[key]; !ok {
				return mezu.Invalid(here, "is not a field that this version knows")
			}
			if w.forbidden != nil && w.forbidden(t, key) {
				return mezu.Invalid(here, "is set by the server alone")
			}
		}
		if err := w.value(next, here, depth+1); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

func (w *walker) array(t reflect.Type, path string, depth int) error {
	var element reflect.Type
	if t != nil && !custom(t) {
		switch {
		case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8, t.Kind() == reflect.Array:
			element = t.Elem()
		case t.Kind() == reflect.Interface:
		default:
			return mezu.Invalid(path, "a list does not fit here")
		}
	}
	for i := 0; w.dec.More(); i++ {
		if err := w.value(element, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

// scalar checks a string, number, boolean or null.
func (w *walker) scalar(token json.Token, t reflect.Type, path string) error {
	if t == nil || t.Kind() == reflect.Interface {
		return nil
	}
	if token == nil {
		if w.patch {
			return nil
		}
		return mezu.Invalid(path, "is null; leave the field out instead")
	}
	literal, err := json.Marshal(token)
	if err != nil {
		return err
	}
	err = json.Unmarshal(literal, reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	var known *mezu.Error
	if errors.As(err, &known) {
		return mezu.Invalid(path, "%s", known.Detail)
	}
	return mezu.Invalid(path, "%s does not fit here", describe(token))
}

func describe(token json.Token) string {
	switch token.(type) {
	case string:
		return "a string"
	case json.Number:
		return "this number"
	}
	return "a boolean"
}

// custom reports whether t decodes itself.
func custom(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// fieldsOf maps the JSON names of a struct, embedded structs included, to the
// types behind them. Names are exact: encoding/json alone would take any case.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			for n, ft := range fieldsOf(embedded) {
				if _, taken := out[n]; !taken {
					out[n] = ft
				}
			}
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		out[name] = f.Type
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
