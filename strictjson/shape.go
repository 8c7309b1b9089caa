package strictjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/mezusphere/mezu"
)

// shape is what is known of a type: how its values are read.
type shape struct {
	fields    map[string]*field // of a struct
	readsText bool              // encoding.TextUnmarshaler
	readsJSON bool              // json.Unmarshaler
}

// field is one field of a struct.
type field struct {
	name  string
	index []int
	bit   int
	most  int
	// said: most comes from Bounded.
	said bool
	// forbidden: a client may not send it.
	forbidden bool
}

// maxFields bounds the fields that a struct may have.
const maxFields = 128

// shapeOf gives the shape of a type, which it finds out once for each decoder.
func (d *decoder) shapeOf(t reflect.Type) *shape {
	if sh := d.shapes[t]; sh != nil {
		return sh
	}
	p := reflect.PointerTo(t)
	sh := &shape{readsJSON: p.Implements(reflect.TypeFor[json.Unmarshaler]()), readsText: p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())}
	if t.Kind() == reflect.Struct && !sh.readsJSON && !sh.readsText {
		sh.fields = map[string]*field{}
		d.fieldsOf(t, t, nil, sh.fields)
	}
	if d.shapes == nil {
		d.shapes = map[reflect.Type]*shape{}
	}
	d.shapes[t] = sh
	return sh
}

// fieldsOf adds the fields of a struct by their JSON names, including those of embedded
// structs; outer is the outermost struct. Names must match exactly, whereas encoding/json
// would accept any case.
func (d *decoder) fieldsOf(outer, t reflect.Type, at []int, into map[string]*field) {
	bounded, _ := reflect.Zero(t).Interface().(Bounded)
	var embedded []reflect.StructField
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			embedded = append(embedded, f)
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if into[name] != nil {
			continue // a field of an outer struct hides it
		}
		most, said := MaxItems, bounded != nil && bounded.MaxItems(name) > 0
		if said {
			most = bounded.MaxItems(name)
		}
		into[name] = &field{name: name, said: said, index: append(at[:len(at):len(at)], f.Index...), bit: len(into), most: most, forbidden: d.o.Forbidden != nil && d.o.Forbidden(outer, name)}
	}
	for _, f := range embedded {
		d.fieldsOf(outer, f.Type, append(at[:len(at):len(at)], f.Index...), into)
	}
}

// check is CheckType for the type of the field at where.
func (d *decoder) check(t reflect.Type, where string) error {
	if d.shapes[t] != nil {
		return nil // it has been checked, or is being checked
	}
	sh := d.shapeOf(t)
	if sh.readsJSON || sh.readsText {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.check(t.Elem(), where)
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Struct:
	default:
		return mezu.Errorf(mezu.CodeInternal, "%s is a %s, which no body is read into", where, t)
	}
	if len(sh.fields) > maxFields {
		return mezu.Errorf(mezu.CodeInternal, "%s has more than %d fields", where, maxFields)
	}
	for name, f := range sh.fields {
		of, here := t.FieldByIndex(f.index).Type, where+"."+name
		switch kind := of.Kind(); {
		case kind == reflect.Slice && of.Elem().Kind() == reflect.Uint8:
			continue
		case kind == reflect.Slice, kind == reflect.Map && of.Key().Kind() == reflect.String:
			if !f.said {
				return mezu.Errorf(mezu.CodeInternal, "%s has no bound: %s.MaxItems says it", here, t)
			}
			of = of.Elem()
		}
		if err := d.check(of, here); err != nil {
			return err
		}
	}
	return nil
}
