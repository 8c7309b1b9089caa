package openapi

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// form is what a schema describes: one type has up to three of them.
type form int

const (
	// answer is what the API sends. A client takes fields that it doesn't know, so that
	// later versions can add some.
	answer form = iota
	// body is what the API takes whole. Fields that the server sets are none of it, and
	// unknown ones are refused.
	body
	// patch is a merge patch (RFC 7396) of a body: nothing is required, and null takes
	// away what a body may leave out.
	patch
)

// suffixes tell the forms of one type apart by name. That of a body goes where the type has no
// other form.
var suffixes = [...]string{answer: "", body: "Input", patch: "Patch"}

// refPrefix begins the reference to a schema of the document.
const refPrefix = "#/components/schemas/"

// shape is one schema by its type and form.
type shape struct {
	of   reflect.Type
	form form
}

// Schemas are all schemas of the document. It is huma's registry.
type Schemas struct {
	rules  Rules
	about  comments
	byName map[string]*huma.Schema
	names  map[shape]string
	types  map[string]reflect.Type
	refs   []*huma.Schema
	// texts are the types that are texts, true of those that have a name.
	texts map[reflect.Type]bool
}

// Rules are what the server adds to the types of bodies.
type Rules struct {
	// ServerField reports whether the server alone sets a field of a type, by its JSON name.
	ServerField func(t reflect.Type, field string) bool
	// FixedField reports whether a field is fixed once the record was created.
	FixedField func(t reflect.Type, field string) bool
}

func newSchemas(rules Rules, about comments) *Schemas {
	return &Schemas{rules: rules, about: about, byName: map[string]*huma.Schema{}, names: map[shape]string{}, types: map[string]reflect.Type{}, texts: map[reflect.Type]bool{}}
}

var _ huma.Registry = (*Schemas)(nil)

// Schema implements huma.Registry: it describes an answer.
func (s *Schemas) Schema(t reflect.Type, _ bool, _ string) *huma.Schema { return s.schema(t, answer) }

// SchemaFromRef implements huma.Registry.
func (s *Schemas) SchemaFromRef(ref string) *huma.Schema {
	return s.byName[strings.TrimPrefix(ref, refPrefix)]
}

// TypeFromRef implements huma.Registry.
func (s *Schemas) TypeFromRef(ref string) reflect.Type {
	return s.types[strings.TrimPrefix(ref, refPrefix)]
}

// Map implements huma.Registry.
func (s *Schemas) Map() map[string]*huma.Schema { return s.byName }

// RegisterTypeAlias implements huma.Registry, and does nothing: we have no aliases.
func (*Schemas) RegisterTypeAlias(_, _ reflect.Type) {}

// MarshalJSON writes the schemas by name.
func (s *Schemas) MarshalJSON() ([]byte, error) { return json.Marshal(s.byName) }

// MarshalYAML gives the schemas by name.
func (s *Schemas) MarshalYAML() (any, error) { return s.byName, nil }

// schema describes a type: what has a name in the document by a reference to it.
func (s *Schemas) schema(t reflect.Type, f form) *huma.Schema {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case typeOf[time.Time]():
		return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
	case typeOf[json.RawMessage]():
		return &huma.Schema{}
	case typeOf[mezu.Duration]():
		return s.named(t, answer, func() *huma.Schema { return span() })
	case typeOf[mezu.Size]():
		if f == answer {
			return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: number(0)}
		}
		return s.named(t, answer, func() *huma.Schema { return size() })
	}
	switch t.Kind() {
	case reflect.Interface:
		return &huma.Schema{}
	case reflect.Bool:
		return &huma.Schema{Type: huma.TypeBoolean}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: number(0)}
	case reflect.String:
		s.texts[t] = t.PkgPath() != ""
		if values := s.about.of(t).Values; len(values) > 0 {
			return s.named(t, answer, func() *huma.Schema { return enum(values) })
		}
		return &huma.Schema{Type: huma.TypeString}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &huma.Schema{Type: huma.TypeString, Format: "byte", ContentEncoding: "base64"}
		}
		return &huma.Schema{Type: huma.TypeArray, Items: s.schema(t.Elem(), min(f, body))}
	case reflect.Map:
		of := s.schema(t.Elem(), f)
		if f == patch {
			of = nullable(of)
		}
		return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: of}
	case reflect.Struct:
		return s.object(t, f)
	}
	if reflect.PointerTo(t).Implements(typeOf[encoding.TextUnmarshaler]()) {
		return &huma.Schema{Type: huma.TypeString}
	}
	panic(fmt.Sprintf("no schema for %s", t))
}

// object describes a struct.
func (s *Schemas) object(t reflect.Type, f form) *huma.Schema {
	if t.NumField() == 1 && t.Field(0).Anonymous {
		return s.schema(t.Field(0).Type, f) // the same by another name
	}
	if t == typeOf[mezu.Manifest]() && f == answer {
		f = body // it is exported as it is applied
	}
	return s.named(t, f, func() *huma.Schema {
		out := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, Required: []string{}}
		if f != answer {
			out.AdditionalProperties = false
		}
		for _, field := range fieldsOf(t) {
			if f != answer && s.rules.ServerField(t, field.name) || f == patch && s.rules.FixedField(t, field.name) {
				continue
			}
			of := s.field(field, f)
			if f != answer {
				bound(of, field)
			}
			if f == patch && !field.always {
				of = nullable(of)
			}
			of.Description = cmp.Or(s.about.of(field.owner).Fields[field.name], of.Description)
			out.Properties[field.name] = of
			if f == answer && (field.always || field.owner == typeOf[mezu.Meta]()) || f == body && field.always {
				out.Required = append(out.Required, field.name)
			}
		}
		slices.Sort(out.Required)
		return out
	})
}

// field describes a field: some are plain texts or numbers, whose values are a list elsewhere.
func (s *Schemas) field(f field, form form) *huma.Schema {
	switch {
	case f.owner == typeOf[mezu.AuditActor]() && f.name == "kind":
		return s.schema(typeOf[access.CallerKind](), form)
	case f.owner == typeOf[api.Self]() && f.name == "kind":
		return oneOf(huma.TypeString, access.Member, access.Operator, access.ServiceAccount)
	case f.owner == typeOf[api.EdgePageRequest]() && f.name == "method":
		return oneOf(huma.TypeString, api.PageMethods()...)
	case f.owner == typeOf[mezu.AuditTarget]() && f.name == "kind":
		return oneOf(huma.TypeString, record.Kinds()...)
	case f.owner == typeOf[mezu.Redirect]() && f.name == "status":
		return oneOf(huma.TypeInteger, mezu.RedirectStatuses()...)
	}
	return s.schema(f.of, form)
}

// oneOf is one of several values, of a field alone.
func oneOf[T any](kind string, values ...T) *huma.Schema {
	out := &huma.Schema{Type: kind}
	for _, v := range values {
		out.Enum = append(out.Enum, v)
	}
	return out
}

// named enters a schema into the document, unless it is there, and gives a reference to it.
func (s *Schemas) named(t reflect.Type, f form, describe func() *huma.Schema) *huma.Schema {
	key := shape{t, f}
	name, ok := s.names[key]
	if !ok {
		name = plainName(t) + suffixes[f]
		if of := s.types[name]; of != nil {
			panic(fmt.Sprintf("%s and %s have one name in the document", of, t))
		}
		s.names[key], s.types[name] = name, t
		made := describe()
		if made.Description = s.about.of(t).complete(); t.Name() == "" {
			made.Description = "An object with nothing in it."
		}
		s.byName[name] = made
	}
	ref := &huma.Schema{Ref: refPrefix + name}
	s.refs = append(s.refs, ref)
	return ref
}

// finish gives bodies of which there is no other form their plain names.
func (s *Schemas) finish() {
	renamed := map[string]string{}
	for key, name := range s.names {
		plain := plainName(key.of)
		if key.form != body || s.types[plain] != nil {
			continue
		}
		renamed[refPrefix+name] = refPrefix + plain
		s.names[key] = plain
		s.types[plain], s.byName[plain] = s.types[name], s.byName[name]
		delete(s.types, name)
		delete(s.byName, name)
	}
	for _, ref := range s.refs {
		ref.Ref = cmp.Or(renamed[ref.Ref], ref.Ref)
	}
}

// plainName is a type's name in the document.
func plainName(t reflect.Type) string {
	name, of, generic := strings.Cut(t.Name(), "[")
	switch {
	case name == "" && t.NumField() == 0:
		return "Empty"
	case generic:
		of = strings.TrimSuffix(of, "]")
		return of[strings.LastIndexByte(of, '.')+1:] + name
	case t == typeOf[mezu.Duration]():
		return "Span"
	}
	return name
}

// field is one field of a struct as JSON has it.
type field struct {
	name string
	// owner is the struct that declares it, of several that are embedded.
	owner reflect.Type
	of    reflect.Type
	// always: it is written even when it is empty.
	always bool
}

// fieldsOf lists the fields of a struct, those of embedded structs after its own, which hide
// them.
func fieldsOf(t reflect.Type) []field {
	var out []field
	var embedded []reflect.Type
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			embedded = append(embedded, f.Type)
		case name != "-" && f.IsExported():
			out = append(out, field{cmp.Or(name, f.Name), t, f.Type, !strings.Contains(options, "omit")})
		}
	}
	for _, of := range embedded {
		for _, f := range fieldsOf(of) {
			if !slices.ContainsFunc(out, func(own field) bool { return own.name == f.name }) {
				out = append(out, f)
			}
		}
	}
	return out
}

// bounded is strictjson's: how many entries a list or mapping may have.
type bounded interface{ MaxItems(field string) int }

// bound says how many entries a reader takes.
func bound(of *huma.Schema, f field) {
	b, ok := reflect.Zero(f.owner).Interface().(bounded)
	if !ok {
		return
	}
	most := b.MaxItems(f.name)
	switch {
	case most == 0:
	case of.Type == huma.TypeArray:
		of.MaxItems = &most
	case of.Type == huma.TypeObject:
		of.MaxProperties = &most
	}
}

// nullable lets a value be null, too.
func nullable(of *huma.Schema) *huma.Schema {
	if of.Ref == "" && len(of.Enum) == 0 {
		of.Nullable = true
		return of
	}
	return &huma.Schema{AnyOf: []*huma.Schema{of, {Type: "null"}}}
}

// enum is one of several texts.
func enum(values []value) *huma.Schema {
	out := &huma.Schema{Type: huma.TypeString}
	for _, v := range values {
		out.Enum = append(out.Enum, v.Value)
	}
	return out
}

func number(n float64) *float64 { return &n }

// clock is one number with a unit of package time.
const clock = `([0-9]+(\.[0-9]*)?(h|m|s|ms|us|µs|ns))`

// span is a length of time in Go's notation, with days.
func span() *huma.Schema {
	return &huma.Schema{
		// Weeks, days, and what package time writes; at least one of them.
		Type: huma.TypeString, Pattern: `^(0|[0-9]+w([0-9]+d)?` + clock + `*|[0-9]+d` + clock + `*|` + clock + `+)$`,
		Examples: []any{"30s", "1h30m", "7d"},
	}
}

// size is a number of bytes as a body may have it.
func size() *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeInteger, Format: "int64", Minimum: number(0)},
		{Type: huma.TypeString, Pattern: `^[0-9]+ *(B|KiB|MiB|GiB)?$`, Examples: []any{"16MiB"}},
	}}
}

// Types lists the types that the document describes, for those who look for their comments.
func (s *Schemas) Types() []reflect.Type {
	all := map[reflect.Type]bool{}
	for key := range s.names {
		all[key.of] = true
		if key.of.Kind() == reflect.Struct {
			for _, f := range fieldsOf(key.of) {
				all[f.owner] = true
			}
		}
	}
	for of, named := range s.texts {
		if named {
			all[of] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b reflect.Type) int { return strings.Compare(nameOf(a), nameOf(b)) })
}
