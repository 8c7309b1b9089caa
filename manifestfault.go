package mezu

import (
	"context"
	"errors"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// maxFaultsOfOne bounds the rounds in which one record is judged again without what was wrong
// with it. No record has as many fields.
const maxFaultsOfOne = 64

// Faults are all that is wrong with a manifest, at most so many, where Validate tells the first
// alone. What follows from another fault is left out, as that a route has no match because its
// match is none. If there are none of those that a manifest has part by part, there is what
// Judge says.
func (m *Manifest) Faults(ctx context.Context, most int) []error {
	f := &faults{most: most}
	for _, n := range []struct{ field, name string }{{"organization", m.Organization}, {"project", m.Project}} {
		if n.name != "" {
			f.add(ValidateName(n.field, n.name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Roles)) {
		r := m.Roles[name]
		f.add(validateGrantName("roles."+name, name))
		f.of("roles."+name, &r, func() error { return r.validate() })
	}
	for _, name := range slices.Sorted(maps.Keys(m.Directories)) {
		f.ofDirectory(name, m.Directories[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Environments)) {
		if f.full() || look(ctx, 0) != nil {
			break
		}
		f.ofEnvironment(ctx, name, m.Environments[name])
	}
	if len(f.out) == 0 {
		f.add(m.Validate(ctx))
	}
	return f.out
}

// faults collects errors.
type faults struct {
	most int
	out  []error
}

func (f *faults) full() bool { return len(f.out) >= f.most }

func (f *faults) add(err error) {
	if err != nil && !f.full() {
		f.out = append(f.out, err)
	}
}

func (f *faults) ofDirectory(name string, m ManifestDirectory) {
	at := "directories." + name
	if err := ValidateName(at, name); err != nil {
		f.add(err)
		name = "x"
	}
	d := m.Directory(name)
	f.of(at, &d, d.Validate)
	f.add(Below(at, m.Brand.validateLogo("brand.logo")))
}

func (f *faults) ofEnvironment(ctx context.Context, name string, m ManifestEnvironment) {
	at := "environments." + name
	if err := ValidateName(at, name); err != nil {
		f.add(err)
		name = "x"
	}
	e := m.Environment(name)
	f.of(at, &e, e.Validate)
	if len(m.Routes) > MaxRoutes {
		f.add(Invalid(at+".routes", "at most %d routes, not %d", MaxRoutes, len(m.Routes)))
		return
	}
	before := len(f.out)
	same := sameRoutes{routes: m.Routes, seed: maphash.MakeSeed(), names: map[string]int32{}, matches: map[uint64]int32{}}
	for i := range m.Routes {
		if f.full() || look(ctx, i) != nil {
			return
		}
		r := m.Routes[i]
		here := indexed(at+".routes", i)
		told := len(f.out)
		f.of(here, &r, r.Validate)
		if len(f.out) > told {
			continue
		}
		if j, detail, hint := same.add(i); detail != "" {
			f.add(&Error{Code: CodeConflict, Field: here, Detail: detail + indexed(at+".routes", j), Hint: hint})
		}
	}
	if len(f.out) == before {
		f.add(Below(at, ValidateRoutes(ctx, "routes", m.Routes)))
	}
}

// of adds all that is wrong with one record, to whose fields the errors of validate are
// relative. What is found is mended, and the record judged again.
func (f *faults) of(at string, record any, validate func() error) {
	seen := map[string]bool{}
	note := func(e *Error) bool {
		key := e.Field + "\x00" + e.Detail
		if seen[key] {
			return false
		}
		seen[key] = true
		f.add(Below(at, e))
		return true
	}
	for n := 0; n < maxFaultsOfOne && !f.full(); n++ {
		var e *Error
		err := validate()
		switch {
		case err == nil:
			return
		case !errors.As(err, &e):
			f.add(err)
			return
		case n > 0 && e.Field == "":
			return // of the record as a whole: perhaps because of what was mended
		}
		all := reflect.ValueOf(record).Elem()
		if !note(e) { // it is wrong without a value too, beside what stands around it
			around := strings.LastIndexByte(e.Field, '.')
			if around < 0 || !fieldOf(all, e.Field[:around]).IsValid() {
				return
			}
			fieldOf(all, e.Field[:around]).SetZero()
			continue
		}
		v := fieldOf(all, e.Field)
		if !v.IsValid() {
			return
		}
		each(v, func() {
			var one *Error
			if errors.As(validate(), &one) && one.Field == e.Field {
				note(one)
			}
		})
		mend(record, e.Field, v)
	}
}

// fieldOf is the field of a struct with this path, or the field around it that is no struct;
// invalid if there is none.
func fieldOf(v reflect.Value, path string) reflect.Value {
	for path != "" {
		for v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}
			}
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return v
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		name := path[:end]
		path = strings.TrimLeft(path[end:], ".")
		found := slices.IndexFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return f.IsExported() && tag == name
		})
		if found < 0 {
			return reflect.Value{}
		}
		v = v.FieldByIndex(reflect.VisibleFields(v.Type())[found].Index)
	}
	return v
}

// each calls try with each element of a list or mapping alone in its place.
func each(v reflect.Value, try func()) {
	all := reflect.ValueOf(v.Interface())
	switch v.Kind() {
	case reflect.Slice:
		for i := range min(all.Len(), maxFaultsOfOne) {
			v.Set(all.Slice3(i, i+1, i+1))
			try()
		}
	case reflect.Map:
		if all.Len() > maxFaultsOfOne {
			return
		}
		for it := all.MapRange(); it.Next(); {
			one := reflect.MakeMap(v.Type())
			one.SetMapIndex(it.Key(), it.Value())
			v.Set(one)
			try()
		}
	}
}

// mend takes a value that is wrong out of a record. A route keeps what the rules of its other
// fields ask for: its match, and auth: required, which roles need.
func mend(record any, field string, v reflect.Value) {
	_, route := record.(*Route)
	switch {
	case route && (field == string(MatchExact) || field == string(MatchPrefix) || field == string(MatchRegexp)):
		v.SetString("/")
	case route && field == "auth":
		v.SetString(string(AuthRequired))
	default:
		v.SetZero()
	}
}
