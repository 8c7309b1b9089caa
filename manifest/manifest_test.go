package manifest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/manifest"
)

// full is the file of the contract, with every field of a route.
const full = `
organization: acme
project: shop
directories:
  customers: {signup: open, domains: [acme.example], password: {min_length: 15}, mfa: optional, require: [name, display_name], terms: {url: "https://acme.example/terms", version: "1"}, session: {idle: 12h, absolute: 7d}, brand: {name: Acme, color: "#0b5fff"}}
environments:
  production:
    enabled: true
    directory: customers
    waf: off            # off | detect | block
    routes:
      - {exact: /health}
      - prefix: /api/
        upstream: localhost:8080
        auth: required    # none | optional | required
        auth_methods: [session, bearer, service_account]
        permissions: [orders.read]
        roles: [staff]
        cors: {allow_origins: ["https://app.example.com"], allow_methods: [GET, POST], allow_headers: [Content-Type], allow_credentials: true, max_age: 10m}
        rate_limit: {requests: 100, burst: 20, per: 1m, by: user}   # user | ip | key
      - {regexp: "/users/[0-9]+", methods: [GET], priority: 10, auth: required}
      - {prefix: /, upstream: "localhost:3000"}
      - name: all
        exact: /all
        headers: {X-Version: "2"}
        encoded_slashes: false
        host_header: shop.internal
        websocket: true
        strip_prefix: /all
        redirect: {to: /other, status: 302}
        retries: 2
        allow_ips: [10.0.0.0/8]
        deny_ips:
        - 10.1.0.0/16
        max_body: 16MiB
        timeout: 30s
        idle_timeout: 1h
        request_headers: {set: {X-A: b}, remove: [X-B]}
        response_headers: {set: {X-A: b}, remove: [X-B]}
        waf: block
  staging: {}
roles:
  staff: {permissions: [orders.read]}
`

func TestParse(t *testing.T) {
	f, err := manifest.Parse(t.Context(), "mezu.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	m := f.Manifest
	if m.Organization != "acme" || m.Project != "shop" || len(m.Environments) != 2 || !reflect.DeepEqual(m.Roles["staff"].Permissions, []string{"orders.read"}) {
		t.Fatalf("%+v", m)
	}
	e := m.Environments["production"]
	if !*e.Enabled || e.WAF != mezu.WAFOff || e.Directory != "customers" || len(e.Routes) != 5 {
		t.Errorf("%+v", e)
	}
	if api := e.Routes[1]; api.CORS.MaxAge != mezu.Duration(10*time.Minute) || !api.CORS.AllowCredentials || api.RateLimit.Per != mezu.Duration(time.Minute) || api.RateLimit.Requests != 100 || api.RateLimit.Burst != 20 {
		t.Errorf("%+v", api)
	}
	if all := e.Routes[4]; all.MaxBody != 16<<20 || *all.Retries != 2 || all.Headers["X-Version"] != "2" || all.DenyIPs[0] != "10.1.0.0/16" || all.Redirect.Status != 302 {
		t.Errorf("%+v", all)
	}
	if d := m.Directories["customers"]; d.Signup != mezu.SignupOpen || d.Password.MinLength != 15 || d.Domains[0] != "acme.example" || len(d.Require) != 2 ||
		d.Terms.Version != "1" || d.Session.Absolute != mezu.Duration(168*time.Hour) || d.Brand.Color != "#0b5fff" {
		t.Errorf("%+v", d)
	}
	for _, empty := range []string{"", "\n", "# nothing\n", "---\n", "{}", "\ufeffproject: shop\n"} {
		if _, err := manifest.Parse(t.Context(), "mezu.yaml", []byte(empty)); err != nil && empty != "---\n" {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// TestFields holds the manifest's structs equal to what a client may set of the
// entities, so that a new field is not forgotten here.
func TestFields(t *testing.T) {
	for _, c := range []struct {
		kind            string
		entity, written reflect.Type
		others          []string
	}{
		{"environment", reflect.TypeFor[mezu.Environment](), reflect.TypeFor[mezu.ManifestEnvironment](), []string{"directory", "routes", "webhooks"}},
		{"directory", reflect.TypeFor[mezu.Directory](), reflect.TypeFor[mezu.ManifestDirectory](), nil},
	} {
		want := map[string]bool{}
		for f := range c.entity.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && name != "name" && !mezu.ServerField(c.kind, name) {
				want[name] = true
			}
		}
		for _, name := range c.others {
			want[name] = true
		}
		got := map[string]bool{}
		for f := range c.written.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			got[name] = true
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", c.kind, got, want)
		}
	}
}

func TestC7_ErrorsHaveAPlace(t *testing.T) {
	for _, c := range []struct{ name, text, at, field, detail string }{
		{"unknown key", "project: shop\nprojekt: x\n", "2:1", "projekt", "not a field"},
		{"unknown key of a route", "environments:\n  production:\n    routes:\n      - prefix: /\n        upstrem: x\n", "5:9", "environments.production.routes[0].upstrem", "not a field"},
		{"duplicate key", "project: a\nroles: {}\nproject: b\n", "3:1", "project", "is given twice"},
		{"duplicate key in a flow", "roles: {a: {permissions: []}, a: {permissions: []}}\n", "1:31", "roles.a", "is given twice"},
		{"wrong type", "environments: [a]\n", "1:1", "environments", "a list does not fit"},
		{"number for text", "environments:\n  production:\n    routes: [{prefix: /, upstream: 8080}]\n", "3:26", "environments.production.routes[0].upstream", "in quotes"},
		{"boolean for text", "project: true\n", "1:1", "project", "in quotes"},
		{"text for a number", "environments: {a: {routes: [{prefix: /, retries: many}]}}\n", "1:41", "environments.a.routes[0].retries", "a string does not fit"},
		{"yes is text", "environments: {a: {enabled: yes}}\n", "1:20", "environments.a.enabled", "a string does not fit"},
		{"bad duration", "environments: {a: {routes: [{prefix: /, timeout: soon}]}}\n", "1:41", "environments.a.routes[0].timeout", "time span"},
		{"bad size", "environments: {a: {routes: [{prefix: /, max_body: 3 MB}]}}\n", "1:41", "environments.a.routes[0].max_body", "size"},
		{"no value", "environments:\n  staging:\n", "2:11", "environments.staging", "has no value"},
		{"null", "roles: ~\n", "1:8", "roles", "has no value"},
		{"server field", "environments: {a: {routes: [{prefix: /, id: rte_x}]}}\n", "1:41", "environments.a.routes[0].id", "set by the server"},
		{"endpoint", "environments: {a: {endpoint: x}}\n", "1:20", "environments.a.endpoint", "not a field"},
		{"bad name", "environments:\n  Production: {}\n", "2:3", "environments.Production", "a name has only"},
		{"rule of a route", "environments:\n  a:\n    routes:\n    - {exact: /ok}\n    - {prefix: api}\n", "5:8", "environments.a.routes[1].prefix", "starts with"},
		{"rule of two routes", "environments:\n  a:\n    routes:\n    - {exact: /ok}\n    - {exact: /ok}\n", "5:7", "environments.a.routes[1]", "the same route"},
		{"rule of a role", "roles:\n  a.b: {permissions: [x, Y]}\n", "2:9", "roles.a.b.permissions", "has only a-z"},
		{"rule of a directory", "directories:\n  users: {password: {min_length: 3}}\n", "2:22", "directories.users.password.min_length", "between"},
		{"unknown key of a brand", "directories:\n  users:\n    brand: {colour: red}\n", "3:13", "directories.users.brand.colour", "not a field"},
		{"colour without quotes", "directories:\n  users:\n    brand: {color: red}\n", "3:13", "directories.users.brand.color", "#rrggbb"},
		{"number for a version", "directories:\n  users:\n    terms: {url: https://a.example/, version: 1}\n", "3:38", "directories.users.terms.version", "in quotes"},
		{"rule of sessions", "directories:\n  users: {session: {idle: 8d}}\n", "2:21", "directories.users.session.idle", "at most session.absolute"},
		{"too many to require", "directories:\n  users: {require: [name, name, name]}\n", "2:33", "directories.users.require", "more than 2"},
		{"anchor", "roles:\n  a: &x {permissions: [y]}\n", "2:6", "roles.a", "anchors"},
		{"alias", "roles:\n  a: {permissions: [y]}\n  b: *x\n", "3:6", "roles.b", "anchors"},
		{"merge key", "roles:\n  <<: {a: {permissions: []}}\n", "2:3", "roles", "merge keys"},
		{"tag", "project: !!str shop\n", "1:10", "project", "tags"},
		{"key of a list", "? [a]\n: b\n", "1:1", "", "plain text"},
		{"second document", "project: a\n---\nproject: b\n", "2:1", "", "second document"},
		{"not YAML", "environments: {e: {routes: [\nroles: {}\n", "2:1", "environments.e.routes[0]", "a string does not fit"},
		{"tab", "roles:\n\ta: b\n", "2:1", "", "not YAML"},
		{"not UTF-8", "project: \xff\n", "1:10", "", "not YAML"},
		{"not UTF-8 below", "project: ü\nroles: ü\xff\n", "2:9", "", "not YAML"},
		{"two colons", "project: a: b\n", "1:11", "", "mapping values"},
		{"indented key", "project: a\n  roles: {}\n", "2:8", "", "mapping values"},
		{"key too far left", "environments:\n  a:\n    routes:\n    - {prefix: /, upstream: \"localhost:80\"}\n   - {exact: /x}\n", "5:4", "", "a key is expected"},
		{"list in a mapping", "project: a\n- b\n", "2:1", "", "a key is expected"},
		{"at sign", "project: @a\n", "1:10", "", "cannot start"},
		{"no colon", "project: a\nroles\nenvironments: {}\n", "2:1", "", "a key has a ':'"},
		{"bracket that closes nothing", "project: a\nroles: ]\n", "2:8", "", "a value is expected"},
		{"other bracket", "project: a\nroles: {a: {}]\n", "2:14", "", "',' or '}'"},
		{"two commas", "roles:\n  a: {permissions: [x,\n    y,,\n    z]}\n", "3:7", "", "a value or"},
		{"quote that is not closed", "project: a\nroles: \"x\nenvironments: {}\n", "2:8", "", "does not end"},
		{"escape", "project: a\nroles: \"\\q\"\n", "2:9", "", "escape"},
		{"control character", "project: a\nroles: a\x01b\n", "2:9", "", "control characters"},
		{"deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), "1:1", "", "a list does not fit"},
		{"deeper", strings.Repeat("- ", 20000) + "x", "1:1", "", "a list does not fit"},
		{"a list", "- a\n", "1:1", "", "a list does not fit"},
		{"text", "shop\n", "1:1", "", "does not fit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := manifest.Parse(t.Context(), "dir/mezu.yaml", []byte(c.text))
			var at *manifest.Error
			var e *mezu.Error
			if f != nil || !errors.As(err, &at) || !errors.As(err, &e) || e.Code != mezu.CodeInvalid && e.Code != mezu.CodeConflict {
				t.Fatalf("%v", err)
			}
			if c.field != "" && e.Field != c.field || !strings.HasPrefix(at.Error(), "dir/mezu.yaml:"+c.at+": ") || !strings.Contains(at.Error(), c.detail) {
				t.Errorf("%v\nfield %q, want %q at %s, %q", err, e.Field, c.field, c.at, c.detail)
			}
		})
	}
}

// hostile are texts that cost as much as their size lets them, each of about n bytes.
func hostile(n int) map[string]string {
	bomb := "roles:\n  a: &a {permissions: [x,x,x,x,x,x,x,x,x]}\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += fmt.Sprintf("  %c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	many := func(head, part, tail string) string { return head + strings.Repeat(part, n/len(part)) + tail }
	var routes strings.Builder
	routes.WriteString("environments:\n")
	for e := range 2 {
		fmt.Fprintf(&routes, "  e%d:\n    routes:\n", e)
		for i := range mezu.MaxRoutes {
			fmt.Fprintf(&routes, "    - {exact: /some/path/%d, methods: [GET, POST], upstream: \"localhost:%d\", timeout: 30s}\n", i, 1+i)
		}
	}
	return map[string]string{
		"alias bomb":              bomb,
		"a full manifest":         routes.String(),
		"nodes":                   many("a: [", "1,", "]"),
		"empty routes":            many("environments: {e: {routes: [", "{},", "]}}"),
		"empty routes, block":     many("environments:\n  e:\n    routes:\n", "    - {}\n", ""),
		"empty environments":      many("environments: {", "e: {},", "}"),
		"deep flow":               many("", "[", ""),
		"deep mappings":           many("", "{a: ", ""),
		"deep blocks":             many("", "- ", "x"),
		"one long text":           many("project: ", "a", ""),
		"a long key":              many("environments: {", "k", ": {}}"),
		"a long key in quotes":    many("environments: {\"", "k", "\": {}}"),
		"a long key above a list": "environments: {" + strings.Repeat("k", n/2) + ": [" + strings.Repeat("a,", n/4) + "]}",
		"quotation":               many("project: \"", "\\u0061", "\""),
		"folded lines":            many("project: a\n", " a\n", ""),
		"lines of a block":        many("project: |\n", " a\n", ""),
		"empty lines":             many("project: |\n", "\n", " a\n"),
		"empty lines outside":     many("project: a", "\n", "roles: {}"),
		"comments":                many("project: a\n", "# c\n", "roles: {}"),
		"indentation":             many("project: a\n", " ", "roles: {}"),
		"permissions":             many("roles: {a: {permissions: [", "a,", "]}}"),
		"text without end":        many("project: '", "''", ""),
		"many lists":              many("environments: {e: {routes: [", "{methods: [], allow_ips: [], headers: {}, cors: {}, redirect: {}},", "]}}"),
	}
}

// Row 2 of the attacks: a file takes at most ten times its size.
func TestC7_BoundedMemory(t *testing.T) {
	for name, text := range hostile(1 << 20) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f, err := manifest.Parse(t.Context(), "mezu.yaml", []byte(text))
			if err == nil {
				runtime.GC() // of what is taken, what is held counts
				runtime.ReadMemStats(&after)
				if got := after.HeapAlloc - before.HeapAlloc; after.HeapAlloc > before.HeapAlloc && got > uint64(10*len(text)) {
					t.Errorf("%d bytes hold %d", len(text), got)
				}
				runtime.KeepAlive(f)
			}
			runtime.ReadMemStats(&after)
			if (err == nil) != (name == "a full manifest" || name == "empty lines outside" || name == "comments") || err != nil && !strings.HasPrefix(err.Error(), "mezu.yaml") {
				t.Errorf("%.300v", err)
			}
			// All that was ever allocated, the text included, is more than what is held
			// at once.
			if got := after.TotalAlloc - before.TotalAlloc; err != nil && got > uint64(10*max(len(text), 2<<20)) {
				t.Errorf("%d bytes take %d", len(text), got)
			}
		})
	}
	if _, err := manifest.Parse(t.Context(), "mezu.yaml", make([]byte, manifest.MaxSize+1)); err == nil || !strings.Contains(err.Error(), "more than 16777216 bytes") {
		t.Errorf("%.300v", err)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mezu.yaml")
	if _, err := manifest.Read(t.Context(), path, "mezu.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	// A sparse file costs no disk, and is not read to its end.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Read(t.Context(), path, "mezu.yaml"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("100 MB: %v", err)
	}
}

func TestExplain(t *testing.T) {
	f, err := manifest.Parse(t.Context(), "mezu.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"manifest.environments.production.routes[2].regexp":                 "mezu.yaml:21:10: ",
		"manifest.environments.production.routes[1].rate_limit.by":          "mezu.yaml:20:",
		"manifest.environments.production.routes[1].cors.expose_headers[3]": "mezu.yaml:19:9: ", // not there: what is around it
		"manifest.environments.production":                                  "mezu.yaml:7:3: ",
		"manifest.environments":                                             "mezu.yaml:6:1: ",
		"manifest":                                                          "mezu.yaml:2:1: is wrong",
		"If-Match":                                                          "If-Match: ", // of no file
	} {
		err := f.Explain(mezu.Invalid(field, "is wrong"))
		if !strings.HasPrefix(err.Error(), want) || mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := f.Explain(mezu.Invalid("manifest.environments.production.directory", "is nowhere")); err.Error() != "mezu.yaml:9:5: environments.production.directory: is nowhere" {
		t.Errorf("from a control plane: %v", err)
	}
	plain := mezu.Errorf(mezu.CodeForbidden, "no")
	if got := f.Explain(plain); got != error(plain) {
		t.Errorf("%v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	for _, s := range []string{"", "a", "- a", "project: a\nproject: b", "roles: {a: &x {}, b: *x}", "a: !!binary aGk=", "? a\n: b", "a: |\n  b\n", "\xff", "a: [", "'", "\"\\ud800\"", "%YAML 1.1\n---\na: b", "a: 1e999", "roles:\n  <<: 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := manifest.Parse(t.Context(), "f", data)
		if err != nil {
			var at *manifest.Error
			var e *mezu.Error
			if file != nil || !errors.As(err, &at) || !errors.As(err, &e) || at.Line < 1 || at.Column < 1 {
				t.Fatalf("%+v with %v", file, err)
			}
			return
		}
		// What was read, written as JSON, which is YAML too, reads the same.
		text, err := json.Marshal(file.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		again, err := manifest.Parse(t.Context(), "f", text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if changes := again.Manifest.Changes(&file.Manifest, true); len(changes) > 0 {
			t.Fatalf("%s: %+v", text, changes)
		}
	})
}

// All errors are told at once, but not without end, and none that follows from another.
func TestParse_AllErrors(t *testing.T) {
	var all *manifest.Errors
	if _, err := manifest.Parse(t.Context(), "f", []byte("roles:\n"+strings.Repeat("  x: {permissions: 5}\n", 1000))); !errors.As(err, &all) || len(all.All) != 50 || !all.More {
		t.Errorf("%d errors", len(all.All))
	}
	// As many as are looked for, of which some follow from what could not be read: how many there are is not known.
	text := "roles: {"
	for i := range 60 {
		text += fmt.Sprintf("A%d: {permissions: [x]}, ", i)
	}
	if _, err := manifest.Parse(t.Context(), "f", []byte(text+"}")); !errors.As(err, &all) || len(all.All) != 50 || all.Summary() != "f has at least 50 errors" {
		t.Errorf("%v", err)
	}
	if _, err := manifest.Parse(t.Context(), "f", []byte(text+"A0: 5}")); !errors.As(err, &all) || !all.More {
		t.Errorf("%v", err)
	}
	for text, want := range map[string][]string{
		"environments: {a: {routes: [{prefx: /}, {prefix: /, prefix: /a}, {}]}}":                            {"a.routes[0].prefx", "a.routes[1].prefix", "a.routes[2]: a route has exactly one"},
		"environments: {a: {routes: [{prefix: /, auth: x, roles: [a], any_permissions: [\"A\", \"B\"]}]}}":  {"[0].auth: is one of", "any_permissions: a role or permission has only a-z, 0-9, '.', '_' and '-', not \"A\"", "not \"B\""},
		"environments: {a: {routes: [{regexp: \"(\", priority: 2, headers: {\"a b\": x, \"c\": \" y\"}}]}}": {"regexp: ", "\"a b\" is not a header", "the value of \"c\" can never match"},
		"environments: {a: {routes: [{prefix: /}, {prefix: /}, {prefix: /}]}}":                              {"[1]: is the same route as environments.a.routes[0]", "[2]: is the same route as environments.a.routes[0]"},
		"environments: {A: {waf: x}}": {"environments.A: a name has only", "environments.A.waf: is one of"},
		"directories: {d: {terms: {url: x}, session: {idle: 9000h}, brand: {color: red}}, e: {mfa: x}}": {"d.terms.version", "d.session", "d.brand.color", "e.mfa"},
	} {
		_, err := manifest.Parse(t.Context(), "f", []byte(text))
		if !errors.As(err, &all) || len(all.All) != len(want) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: no %q in %v", text, w, err)
			}
		}
	}
}
