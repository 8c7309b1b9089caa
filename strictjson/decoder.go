package strictjson

import (
	"context"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
)

// decoder reads tokens into a Go value.
type decoder struct {
	ctx    context.Context
	source Source
	o      Options
	patch  bool

	path   []part
	shapes map[reflect.Type]*shape
	slabs  map[reflect.Type]reflect.Value // the free part of each slab of list elements
	texts  *[sharedTexts]string
	weight int
	tokens int
	steps  int // without those of the source, for tests
}

// part is one part of the path to the value that is being read: a key or an index.
type part struct {
	key   string
	index int // if not negative
}

// The context is looked at every so many tokens, some ten microseconds apart.
const tokensPerLook = 256

func (d *decoder) invalid(format string, args ...any) error {
	return mezu.Invalid(d.where(), format, args...)
}

// where is the path as errors show it. It is only put together for an error.
func (d *decoder) where() string {
	var b strings.Builder
	for _, p := range d.path {
		d.steps += len(p.key) + 1
		switch {
		case p.index >= 0:
			b.WriteString("[" + strconv.Itoa(p.index) + "]")
		case b.Len() > 0:
			b.WriteString("." + p.key)
		default:
			b.WriteString(p.key)
		}
	}
	return b.String()
}

// read reads the value of the text into what into points to.
func (d *decoder) read(into any) error {
	target := reflect.ValueOf(into).Elem()
	fresh := reflect.New(target.Type()).Elem()
	if d.patch {
		fresh.Set(target)
	}
	t, err := d.next()
	if err == nil {
		err = d.value(t, fresh, MaxItems)
	}
	if err != nil {
		return err
	}
	if t, err = d.next(); err != nil {
		return err
	}
	if t.Kind != End {
		return mezu.Invalid("", "something follows the value")
	}
	target.Set(fresh)
	return nil
}

func (d *decoder) next() (Token, error) {
	if d.tokens++; d.tokens%tokensPerLook == 0 {
		if err := context.Cause(d.ctx); err != nil {
			return Token{}, err
		}
	}
	d.steps++
	return d.source.Next()
}

// charge counts memory for the value, and fails if it is too much.
func (d *decoder) charge(n int) error {
	if err := d.weigh(n); err != nil {
		return err
	}
	return d.count(n)
}

// weigh bounds the memory by the length of the text.
func (d *decoder) weigh(n int) error {
	if d.weight += n; d.weight > BaseWeight+WeightPerByte*d.source.Offset() {
		return d.invalid("takes more memory than a text of this size may: it has too many short entries; send fewer at once")
	}
	return nil
}

// count passes the memory on to Options.Charge.
func (d *decoder) count(n int) error {
	if d.o.Charge == nil {
		return nil
	}
	return d.o.Charge(n)
}

// pass gives an error about the value that begins with t to Options.Fault. If that lets the
// reading go on, the value is passed over.
func (d *decoder) pass(t Token, fault error) error {
	if d.o.Fault == nil || !d.o.Fault(fault) {
		return fault
	}
	depth := 0
	for {
		switch t.Kind {
		case ObjectBegin, ListBegin:
			depth++
		case ObjectEnd, ListEnd:
			depth--
		case Refused:
			return d.invalid("%s", t.Text)
		case End:
			return fault
		}
		if depth == 0 {
			return nil
		}
		var err error
		if t, err = d.next(); err != nil {
			return err
		}
	}
}

// passField is pass for a key, whose value comes next.
func (d *decoder) passField(fault error) error {
	if d.o.Fault == nil {
		return fault
	}
	t, err := d.next()
	if err != nil {
		return err
	}
	return d.pass(t, fault)
}

// value reads the value that begins with t into v, which holds at most so many elements.
func (d *decoder) value(t Token, v reflect.Value, most int) error {
	switch {
	case t.Kind == Refused:
		return d.invalid("%s", t.Text)
	case t.Kind == Null && d.patch:
		v.SetZero()
		return nil
	case t.Kind == Null:
		return d.pass(t, d.invalid("is null; leave the field out instead"))
	case len(d.path) > MaxDepth:
		return d.invalid("is nested more than %d deep", MaxDepth)
	}
	for v.Kind() == reflect.Pointer {
		if err := d.charge(int(v.Type().Elem().Size())); err != nil {
			return err
		}
		own := reflect.New(v.Type().Elem())
		if d.patch && !v.IsNil() {
			own.Elem().Set(v.Elem())
		}
		v.Set(own)
		v = own.Elem()
	}
	sh := d.shapeOf(v.Type())
	switch t.Kind {
	case ObjectBegin:
		switch {
		case sh.readsText || sh.readsJSON:
		case v.Kind() == reflect.Struct:
			return d.object(v, sh)
		case v.Kind() == reflect.Map:
			return d.mapping(v, most)
		}
		return d.pass(t, d.invalid("an object does not fit here"))
	case ListBegin:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 && !sh.readsText && !sh.readsJSON {
			return d.list(v, most)
		}
		return d.pass(t, d.invalid("a list does not fit here"))
	}
	err := d.scalar(t, v, sh)
	var wrong *mezu.Error
	if errors.As(err, &wrong) {
		v.SetZero()
		return d.pass(t, err)
	}
	return err
}

func (d *decoder) object(v reflect.Value, sh *shape) error {
	var seen [maxFields / 64]uint64
	d.path = append(d.path, part{index: -1})
	last := len(d.path) - 1
	for {
		t, err := d.next()
		if err != nil {
			return err
		}
		if t.Kind == ObjectEnd {
			d.path = d.path[:last]
			return nil
		}
		if t.Kind == Refused {
			d.path = d.path[:last]
			return d.invalid("%s", t.Text)
		}
		f := sh.fields[string(t.Text)]
		if f == nil {
			d.path[last].key = string(t.Text)
			if err := d.passField(d.unknown(string(t.Text), sh)); err != nil {
				return err
			}
			continue
		}
		d.path[last].key = f.name
		bit := uint64(1) << (f.bit % 64)
		var wrong error
		switch {
		case seen[f.bit/64]&bit != 0:
			wrong = d.invalid("is given twice")
		case f.forbidden:
			wrong = d.invalid("is set by the server alone")
		}
		if wrong != nil {
			if err := d.passField(wrong); err != nil {
				return err
			}
			continue
		}
		seen[f.bit/64] |= bit
		if t, err = d.next(); err != nil {
			return err
		}
		into, err := v.FieldByIndexErr(f.index)
		if err != nil {
			return fmt.Errorf("reading %s: %w", f.name, err)
		}
		if err := d.value(t, into, f.most); err != nil {
			return err
		}
	}
}

// unknown is the error about a field that the struct doesn't have, with the one that may be
// meant.
func (d *decoder) unknown(name string, sh *shape) error {
	e := mezu.Invalid(d.where(), "is not a field that this version knows")
	var known []string
	for _, f := range sh.fields {
		if !f.forbidden {
			known = append(known, f.name)
		}
	}
	slices.Sort(known)
	if near := mezu.Nearest(name, known); near != "" {
		e.Hint = "did you mean " + near + "?"
	}
	return e
}

// Sizes of a map of Go's runtime: the map itself, and the group of eight slots that the first
// entry takes. After that count two slots for each entry.
const (
	mapSize   = 56
	mapPlaces = 8
	spare     = 2
)

func (d *decoder) mapping(v reflect.Value, most int) error {
	of := v.Type()
	entry := int(of.Key().Size() + of.Elem().Size())
	if err := d.charge(mapSize); err != nil {
		return err
	}
	out := reflect.MakeMap(of)
	var seen map[string]bool
	if d.patch {
		seen = map[string]bool{}
		for it := v.MapRange(); it.Next(); {
			out.SetMapIndex(it.Key(), it.Value())
		}
	}
	d.path = append(d.path, part{index: -1})
	last := len(d.path) - 1
	for n := 0; ; n++ {
		t, err := d.next()
		if err != nil {
			return err
		}
		if t.Kind == ObjectEnd {
			d.path = d.path[:last]
			v.Set(out)
			return nil
		}
		if t.Kind == Refused || n == most {
			d.path = d.path[:last]
		}
		if t.Kind == Refused {
			return d.invalid("%s", t.Text)
		}
		if n == most {
			return d.invalid("has more than %d entries", most)
		}
		size := len(t.Text) + spare*entry
		if n == 0 {
			size += mapPlaces * entry
		}
		if err := d.charge(size); err != nil {
			return err
		}
		name := d.text(t)
		d.path[last].key = name
		key := reflect.ValueOf(name).Convert(of.Key())
		had := out.MapIndex(key)
		if d.patch && seen[name] || !d.patch && had.IsValid() {
			if err := d.passField(d.invalid("is given twice")); err != nil {
				return err
			}
			continue
		}
		if d.patch {
			seen[name] = true
		}
		if t, err = d.next(); err != nil {
			return err
		}
		if t.Kind == Null && d.patch {
			out.SetMapIndex(key, reflect.Value{})
			continue
		}
		element := reflect.New(of.Elem()).Elem()
		if d.patch && had.IsValid() {
			element.Set(had)
		}
		if err := d.value(t, element, MaxItems); err != nil {
			return err
		}
		out.SetMapIndex(key, element)
	}
}

// Short texts are shared.
const (
	// sharedLength is the longest text that is shared: methods, addresses, names.
	sharedLength = 32
	// sharedTexts is how many texts are remembered. It is a power of two.
	sharedTexts = 256
)

// text is a token's text as a string. If the same text was read a short while ago, that
// string is used again, because one route often has the same values as the next.
func (d *decoder) text(t Token) string {
	if len(t.Text) > sharedLength || d.tokens < sharedTexts { // not worth it at the beginning
		return string(t.Text)
	}
	sum := uint32(2166136261) // FNV-1a; to provoke collisions only costs the sharing
	for _, c := range t.Text {
		sum = (sum ^ uint32(c)) * 16777619
	}
	if d.texts == nil {
		d.texts = new([sharedTexts]string)
	}
	at := &d.texts[(sum^sum>>16)%sharedTexts]
	if *at != string(t.Text) {
		*at = string(t.Text)
	}
	return *at
}

// scalar reads a text, number or boolean.
func (d *decoder) scalar(t Token, v reflect.Value, sh *shape) error {
	switch {
	case sh.readsJSON:
		return d.itself(v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON, literal(t), t)
	case sh.readsText && t.Kind == String:
		return d.itself(v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText, t.Text, t)
	case sh.readsText:
		return d.unfit(t)
	}
	switch v.Kind() {
	case reflect.String:
		if t.Kind != String {
			return d.unfit(t)
		}
		if err := d.charge(len(t.Text)); err != nil {
			return err
		}
		v.SetString(d.text(t))
	case reflect.Bool:
		if t.Kind != True && t.Kind != False {
			return d.unfit(t)
		}
		v.SetBool(t.Kind == True)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(string(t.Text), 10, 64)
		if t.Kind != Number || err != nil || v.OverflowInt(n) {
			return d.unfit(t)
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(string(t.Text), 10, 64)
		if t.Kind != Number || err != nil || v.OverflowUint(n) {
			return d.unfit(t)
		}
		v.SetUint(n)
	case reflect.Slice: // of bytes, since a list of anything else is not a scalar
		if t.Kind != String || v.Type().Elem().Kind() != reflect.Uint8 {
			return d.unfit(t)
		}
		size := base64.StdEncoding.DecodedLen(len(t.Text))
		if err := d.charge(size); err != nil {
			return err
		}
		data := make([]byte, size)
		n, err := base64.StdEncoding.Decode(data, t.Text)
		if err != nil {
			return d.invalid("is bytes in base64")
		}
		v.SetBytes(data[:n])
	default:
		return d.unfit(t)
	}
	return nil
}

// unfit is the error for a value of another type.
func (d *decoder) unfit(t Token) error {
	what := "a boolean"
	switch t.Kind {
	case String:
		what = "a string"
	case Number:
		what = "this number"
	}
	return d.invalid("%s does not fit here", what)
}

// maxLiteral bounds a value that its type reads by itself, such as a span, a size or a time,
// because the errors of those types repeat the value.
const maxLiteral = 128

// itself has a type read its own text.
func (d *decoder) itself(read func([]byte) error, text []byte, t Token) error {
	if len(text) > maxLiteral {
		return d.invalid("has more than %d bytes", maxLiteral)
	}
	err := read(text)
	var known *mezu.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return d.invalid("%s", known.Detail)
	}
	return d.unfit(t)
}

// literal is a token in the notation of JSON.
func literal(t Token) []byte {
	switch t.Kind {
	case True:
		return []byte("true")
	case False:
		return []byte("false")
	case Number:
		return t.Text
	}
	if len(t.Text) > maxLiteral {
		return t.Text // it is refused as too long
	}
	data, _ := json.Marshal(string(t.Text)) // never fails for a string
	return data
}
