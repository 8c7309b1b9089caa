package mezu

import (
	"reflect"
	"strings"
	"testing"
)

// TestServerFields: a table of names is right for as long as the structs have
// fields of these names.
func TestServerFields(t *testing.T) {
	records := map[string]any{
		"organization": Organization{}, "project": Project{}, "environment": Environment{}, "route": Route{}, "webhook": Webhook{}, "service_account": ServiceAccount{},
		"warpgate": Warpgate{}, "edge": Edge{}, "member": Member{}, "invitation": Invitation{}, "token": Token{}, "directory": Directory{}, "brand": Brand{}, "user": User{},
	}
	// Returned once beside a service account, never a field of it.
	beside := map[string]string{"service_account": "key"}
	for kind, record := range records {
		has := jsonFields(reflect.TypeOf(record))
		fields, listed := serverFields[kind]
		if !listed {
			t.Errorf("%s is not listed", kind)
		}
		if has["id"] { // part of a record has no meta of its own
			fields = append(fields, metaFields...)
		}
		for _, f := range fields {
			if !has[f] && beside[kind] != f {
				t.Errorf("%s has no field %q", kind, f)
			}
			if !ServerField(kind, f) {
				t.Errorf("%s.%s is not the server's", kind, f)
			}
		}
		if has["key"] {
			t.Errorf("%s has a field for a secret", kind)
		}
		if ServerField(kind, "name") || ServerField(kind, "") {
			t.Errorf("%s: a client may set its name", kind)
		}
	}
	for kind := range serverFields {
		if _, known := records[kind]; !known {
			t.Errorf("no record of kind %q", kind)
		}
	}
	if meta := jsonFields(reflect.TypeOf(Meta{})); len(meta) != len(metaFields) {
		t.Errorf("Meta has %v, listed are %v", meta, metaFields)
	}
}

// jsonFields are the names by which encoding/json knows the fields of a struct.
func jsonFields(s reflect.Type) map[string]bool {
	out := map[string]bool{}
	for i := range s.NumField() {
		f := s.Field(i)
		if f.Anonymous {
			for name := range jsonFields(f.Type) {
				out[name] = true
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out[name] = true
	}
	return out
}

func TestAt(t *testing.T) {
	for _, c := range []struct{ parent, field, want string }{{"routes[2]", "prefix", "routes[2].prefix"}, {"routes[2]", "", "routes[2]"}, {"routes", "[2].prefix", "routes[2].prefix"}} {
		inner := Invalid(c.field, "x")
		if err := at(c.parent, inner).(*Error); err.Field != c.want || inner.Field != c.field {
			t.Errorf("%q at %q: %q, inner now %q", c.field, c.parent, err.Field, inner.Field)
		}
	}
	if at("x", nil) != nil {
		t.Error("no error became one")
	}
}
