package strictjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

type routes struct {
	Routes []mezu.Route `json:"routes"`
}

func forbidden(t reflect.Type, field string) bool {
	return t == reflect.TypeFor[mezu.Route]() && mezu.ServerField("route", field)
}

func TestDecode_RefusesAndNames(t *testing.T) {
	for _, c := range []struct{ name, body, field string }{
		{"empty", ``, ""},
		{"cut", `{"routes":[`, ""},
		{"trailing", `{"routes":[]}{}`, ""},
		{"duplicate", `{"routes":[{"prefix":"/a","prefix":"/b"}]}`, "routes[0].prefix"},
		{"unknown", `{"routes":[{"prefix":"/"},{"prefx":"/b"}]}`, "routes[1].prefx"},
		{"other case", `{"Routes":[]}`, "Routes"},
		{"server field", `{"routes":[{"prefix":"/","id":"x"}]}`, "routes[0].id"},
		{"wrong type", `{"routes":[{"prefix":7}]}`, "routes[0].prefix"},
		{"object for list", `{"routes":{}}`, "routes"},
		{"list for object", `{"routes":[{"headers":[]}]}`, "routes[0].headers"},
		{"bad duration", `{"routes":[{"prefix":"/","timeout":"soon"}]}`, "routes[0].timeout"},
		{"bad size", `{"routes":[{"prefix":"/","max_body":"4 parsecs"}]}`, "routes[0].max_body"},
		{"null", `{"routes":[{"prefix":null}]}`, "routes[0].prefix"},
		{"overflow", `{"routes":[{"prefix":"/","priority":1e400}]}`, "routes[0].priority"},
		{"not UTF-8", "{\"routes\":[{\"prefix\":\"\xff\"}]}", ""},
		{"deep", `{"routes":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "routes[0]"},
		{"a bare word", `nonsense`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var into routes
			err := strictjson.Decode([]byte(c.body), forbidden, &into)
			var e *mezu.Error
			if !errors.As(err, &e) || e.Code != mezu.CodeInvalid || e.Field != c.field {
				t.Fatalf("got %#v, want invalid in %q", err, c.field)
			}
		})
	}
}

func TestDecode_Accepts(t *testing.T) {
	var into routes
	body := `{"routes":[{"prefix":"/","timeout":"10s","max_body":"1MiB","headers":{"X-A":"b"},"websocket":false}]}`
	if err := strictjson.Decode([]byte(body), forbidden, &into); err != nil {
		t.Fatal(err)
	}
	r := into.Routes[0]
	if r.MaxBody != 1<<20 || r.Headers["X-A"] != "b" || r.AllowsWebSocket() || r.Timeout != mezu.Duration(10e9) {
		t.Fatalf("decoded %+v", r)
	}
}

// The examples of RFC 7396, appendix A, that concern objects.
func TestPatch_RFC7396(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		var target any
		if err := json.Unmarshal([]byte(c.target), &target); err != nil {
			t.Fatal(err)
		}
		if err := strictjson.Patch([]byte(c.patch), &target); err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(target); string(got) != c.want {
			t.Errorf("%s patched with %s is %s, want %s", c.target, c.patch, got, c.want)
		}
	}
}

func TestCheckPatch(t *testing.T) {
	var p mezu.Project
	for body, want := range map[string]string{
		`[]`:                          "",
		`{"nmae":"x"}`:                "nmae",
		`{"roles":{"a":{"perms":1}}}`: "roles.a.perms",
	} {
		var e *mezu.Error
		if err := strictjson.CheckPatch([]byte(body), nil, &p); !errors.As(err, &e) || e.Field != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	if err := strictjson.CheckPatch([]byte(`{"roles":{"a":null},"display_name":null}`), nil, &p); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"routes":[{"prefix":"/","timeout":"10s"}]}`))
	f.Add([]byte(`{"routes":[{"prefix":"/","prefix":"/"}]} x`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, lax routes
		if strictjson.Decode(data, forbidden, &strict) != nil {
			return
		}
		if err := json.Unmarshal(data, &lax); err != nil {
			t.Fatalf("%q was accepted and is not JSON of that type: %v", data, err)
		}
		if !reflect.DeepEqual(strict, lax) {
			t.Fatalf("%q decodes differently", data)
		}
	})
}

// A patch that passes leaves what it doesn't name, and done again changes nothing.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{`{}`, `{"display_name":"x"}`, `{"roles":{"a":null}}`, `{"roles":{"b":{"permissions":["x"]}}}`, `{"roles":null}`, `{"name":"y","name":"z"}`, `{"display_name":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		base := mezu.Project{Name: "shop", DisplayName: "Shop", Roles: map[string]mezu.ProjectRole{"a": {Permissions: []string{"p"}}, "c": {}}}
		if strictjson.CheckPatch(patch, nil, &base) != nil {
			return
		}
		once := base
		if strictjson.Patch(patch, &once) != nil {
			if !reflect.DeepEqual(once, base) {
				t.Fatalf("%q failed and changed %+v", patch, once)
			}
			return
		}
		var named map[string]any
		if err := json.Unmarshal(patch, &named); err != nil {
			t.Fatalf("%q passed and is no object: %v", patch, err)
		}
		if _, ok := named["display_name"]; !ok && once.DisplayName != base.DisplayName {
			t.Fatalf("%q changed the display name", patch)
		}
		if _, ok := named["roles"]; !ok && !reflect.DeepEqual(once.Roles, base.Roles) {
			t.Fatalf("%q changed the roles", patch)
		}
		twice := once
		if err := strictjson.Patch(patch, &twice); err != nil || !reflect.DeepEqual(twice, once) {
			t.Fatalf("%q done again: %+v, then %+v, %v", patch, once, twice, err)
		}
	})
}
