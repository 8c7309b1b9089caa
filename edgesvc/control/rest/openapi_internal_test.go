package rest

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/strictjson"
)

// described binds the API to a service that does nothing.
func described(t *testing.T) *rest {
	t.Helper()
	// Nothing is called: that there is something to call is enough.
	s := &service.Service{}
	hollow(reflect.ValueOf(s).Elem())
	r, err := bind(Config{Service: s, Log: slog.New(slog.DiscardHandler), Version: "test"}, http.NewServeMux())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hollow gives a struct what it embeds, with nothing in it.
func hollow(v reflect.Value) {
	for i := range v.NumField() {
		if f := v.Field(i); v.Type().Field(i).Anonymous && f.Kind() == reflect.Pointer && f.CanSet() {
			f.Set(reflect.New(f.Type().Elem()))
			hollow(f.Elem())
		}
	}
}

// jsonBody is the schema of an operation's body and the Go type that it is read into, nil if
// it has none in JSON.
func (r *rest) jsonBody(op api.Operation) (*huma.MediaType, reflect.Type) {
	if body := r.doc.At(op).RequestBody; body != nil {
		for kind, media := range body.Content {
			if strings.HasSuffix(kind, "json") {
				return media, r.doc.Schemas().TypeFromRef(media.Schema.Ref)
			}
		}
	}
	return nil, nil
}

// read reads a body as the operation does.
func (r *rest) readBody(t *testing.T, op api.Operation, data []byte, of reflect.Type) error {
	options := strictjson.Options{Forbidden: serverField, Length: len(data)}
	if op.Method == http.MethodPatch {
		return strictjson.CheckPatch(t.Context(), data, options, reflect.New(of).Interface())
	}
	return strictjson.Decode(t.Context(), bytes.NewReader(data), options, reflect.New(of).Interface())
}

// sample is a value that a schema describes, with all that it may have.
func (r *rest) sample(s *huma.Schema) any {
	switch {
	case s.Ref != "":
		return r.sample(r.doc.Schemas().SchemaFromRef(s.Ref))
	case len(s.AnyOf) > 0:
		return r.sample(s.AnyOf[0])
	case len(s.OneOf) > 0:
		return r.sample(s.OneOf[0])
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.Examples) > 0:
		return s.Examples[0]
	}
	switch s.Type {
	case huma.TypeArray:
		return []any{r.sample(s.Items)}
	case huma.TypeObject:
		if of, ok := s.AdditionalProperties.(*huma.Schema); ok {
			return map[string]any{"name": r.sample(of)}
		}
		out := map[string]any{}
		for name, of := range s.Properties {
			out[name] = r.sample(of)
		}
		return out
	case huma.TypeBoolean:
		return true
	case huma.TypeInteger:
		return 1
	}
	if s.Format == "date-time" {
		return "2026-01-02T15:04:05Z"
	}
	return "AAAA"
}

// objects are the objects in a value that have fields of their own, and not entries by name.
func objects(v any, schema *huma.Schema, r *rest) []map[string]any {
	switch {
	case schema.Ref != "":
		return objects(v, r.doc.Schemas().SchemaFromRef(schema.Ref), r)
	case len(schema.AnyOf) > 0:
		return objects(v, schema.AnyOf[0], r)
	}
	var out []map[string]any
	switch v := v.(type) {
	case []any:
		for _, below := range v {
			out = append(out, objects(below, schema.Items, r)...)
		}
	case map[string]any:
		if of, ok := schema.AdditionalProperties.(*huma.Schema); ok {
			for _, below := range v {
				out = append(out, objects(below, of, r)...)
			}
			return out
		}
		out = append(out, v)
		for name, below := range v {
			out = append(out, objects(below, schema.Properties[name], r)...)
		}
	}
	return out
}

// What the document says of bodies is what they are read by: everything that it names is
// taken, and nothing else, at no depth.
func TestOpenAPI_StrictBodies(t *testing.T) {
	r := described(t)
	bodies := 0
	for _, op := range api.Operations() {
		media, of := r.jsonBody(op)
		if media == nil {
			continue
		}
		bodies++
		value := r.sample(media.Schema)
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.readBody(t, op, data, of); err != nil {
			t.Errorf("%s refuses what its schema describes: %v\n%s", op.ID, err, data)
		}
		for _, object := range objects(value, media.Schema, r) {
			for _, unknown := range []string{"unknown", "id", "revision"} {
				if object[unknown] != nil {
					continue
				}
				object[unknown] = "x"
				data, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				err = r.readBody(t, op, data, of)
				if e, ok := err.(*mezu.Error); !ok || e.Field != unknown && !strings.HasSuffix(e.Field, "."+unknown) {
					t.Errorf("%s takes %s, which its schema doesn't name: %v\n%s", op.ID, unknown, err, data)
				}
				delete(object, unknown)
			}
		}
	}
	if bodies < 40 {
		t.Errorf("only %d operations have a body", bodies)
	}
}

// Every example of a body is one, by the schema and by its reader.
func TestOpenAPI_Examples(t *testing.T) {
	r := described(t)
	text, err := r.doc.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, op := range api.Operations() {
		media, of := r.jsonBody(op)
		if media == nil || media.Example == nil {
			continue
		}
		examples++
		data := []byte(media.Example.(json.RawMessage))
		if err := r.readBody(t, op, data, of); err != nil {
			t.Errorf("the example of %s is refused: %v", op.ID, err)
		}
		schema, err := compiler.Compile("openapi.json" + media.Schema.Ref)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("the example of %s: %v", op.ID, err)
		}
	}
	if examples < 20 {
		t.Errorf("only %d operations have an example", examples)
	}
}

// A span is what its pattern says: the two agree on what is written as people do.
func TestOpenAPI_Spans(t *testing.T) {
	pattern := regexp.MustCompile(described(t).doc.Schemas().Map()["Span"].Pattern)
	for _, text := range []string{"0", "0s", "30s", "1.5h", "1h30m", "7d", "2w", "1d12h", "2w3d4h5m6.5s", "100ms", "24h0m0s", "", "d", "7", "-1s", "1d1w", "1h1d", "1y", "1 h", "1.5d", "P1D"} {
		_, err := mezu.ParseDuration(text)
		if pattern.MatchString(text) != (err == nil) {
			t.Errorf("%q: the pattern says %v, the reader %v", text, pattern.MatchString(text), err)
		}
	}
}

// Everything that the document names it describes; no patch needs what a creation needs, and
// each says by which credential it is called.
func TestOpenAPI_Described(t *testing.T) {
	r := described(t)
	for _, tag := range r.doc.Tags {
		if tag.Description == "" {
			t.Errorf("nothing is said of the tag %s", tag.Name)
		}
	}
	for _, op := range api.Operations() {
		at := r.doc.At(op)
		if at.Description == "" || len(at.Tags) != 1 || len(at.Security) == 0 {
			t.Errorf("%s has the description %q, tags %q and security %v", op.ID, at.Description, at.Tags, at.Security)
		}
		for _, p := range at.Parameters {
			if p.Description == "" {
				t.Errorf("nothing is said of the parameter %s of %s", p.Name, op.ID)
			}
		}
		for status, response := range at.Responses {
			if response.Ref == "" && response.Description == "" {
				t.Errorf("nothing is said of the answer %s of %s", status, op.ID)
			}
		}
		if media, _ := r.jsonBody(op); media != nil && op.Method == http.MethodPatch {
			if of := r.doc.Schemas().SchemaFromRef(media.Schema.Ref); len(of.Required) > 0 {
				t.Errorf("%s needs %q", op.ID, of.Required)
			}
		}
	}
	for name, schema := range r.doc.Schemas().Map() {
		if schema.Description == "" {
			t.Errorf("nothing is said of %s", name)
		}
		for field, of := range schema.Properties {
			if of.Description == "" {
				t.Errorf("nothing is said of %s.%s", name, field)
			}
		}
	}
	roles := r.doc.Schemas().Map()["Role"]
	if !slices.Equal(roles.Enum, []any{"owner", "admin", "developer", "viewer", "billing"}) {
		t.Errorf("roles are %v", roles.Enum)
	}
	for at, want := range map[string][]any{
		"Redirect.status": {301, 302, 303, 307, 308}, "RedirectInput.status": {301, 302, 303, 307, 308}, "EdgePageRequest.method": {"GET", "HEAD", "POST"},
		"Self.kind": {access.Member, access.Operator, access.ServiceAccount},
	} {
		of, field, _ := strings.Cut(at, ".")
		if got := r.doc.Schemas().Map()[of].Properties[field].Enum; !slices.Equal(got, want) {
			t.Errorf("%s is one of %v", at, got)
		}
	}
	source, err := parser.ParseFile(token.NewFileSet(), "../record/audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []any
	ast.Inspect(source, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Kind") {
			kinds = append(kinds, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	if got := r.doc.Schemas().Map()["AuditTarget"].Properties["kind"].Enum; len(kinds) < 20 || !slices.Equal(got, kinds) {
		t.Errorf("what is audited is one of %v, and not of %v", kinds, got)
	}
	input := r.doc.Schemas().Map()["ProjectInput"]
	if got := slices.Sorted(maps.Keys(input.Properties)); !slices.Equal(got, []string{"display_name", "name", "roles"}) || !slices.Equal(input.Required, []string{"name"}) {
		t.Errorf("the body of a project has %q and needs %q", got, input.Required)
	}
}
