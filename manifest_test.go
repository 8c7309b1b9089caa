package mezu_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

func ptr[T any](v T) *T { return &v }

// shown is a list of changes on one line each.
func shown(changes []mezu.Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s %s", c.Action, c.Path)
		for _, v := range []any{c.Before, c.After} {
			data, err := json.Marshal(v)
			if err != nil {
				panic(err)
			}
			b.WriteString(" " + strings.Replace(string(data), "null", "", 1))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestManifestChanges(t *testing.T) {
	now := &mezu.Manifest{
		Environments: map[string]mezu.ManifestEnvironment{
			"production": {Enabled: ptr(false), WAF: mezu.WAFBlock, Routes: []mezu.Route{
				{Meta: mezu.Meta{ID: "rte_a", Revision: 4}, Prefix: "/"}, {Name: "api", Prefix: "/api/", Upstream: "localhost:1"}, {Exact: "/old"},
			}},
			"left": {},
		},
		Roles:       map[string]mezu.ProjectRole{"staff": {Permissions: []string{"b", "a"}}, "gone": {}},
		Directories: map[string]mezu.ManifestDirectory{"users": {Signup: mezu.SignupOpen}},
	}
	wanted := &mezu.Manifest{
		Environments: map[string]mezu.ManifestEnvironment{
			"production": {Routes: []mezu.Route{{Name: "api", Prefix: "/v2/", Upstream: "localhost:1"}, {Prefix: "/"}, {Exact: "/new"}}},
			"staging":    {Enabled: ptr(false)},
		},
		Roles:       map[string]mezu.ProjectRole{"staff": {Permissions: []string{"a", "b"}}, "new": {Permissions: []string{"x"}}},
		Directories: map[string]mezu.ManifestDirectory{"users": {MFA: mezu.MFAOptional}},
	}
	const want = `update directories.users.signup "open" "invite"
create roles.new  
update roles.new.permissions [] ["x"]
keep roles.gone  
update environments.production.waf "block" "off"
update environments.production.routes[api].prefix "/api/" "/v2/"
create environments.production.routes[exact /new]  {"exact":"/new"}
delete environments.production.routes[exact /old] {"exact":"/old"} 
create environments.staging  
update environments.staging.enabled true false
keep environments.left  
`
	if got := shown(wanted.Changes(now, false)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := shown(wanted.Changes(now, true)); got != strings.ReplaceAll(want, "keep", "delete") {
		t.Errorf("pruned:\n%s", got)
	}
	for _, m := range []*mezu.Manifest{now, wanted} {
		if got := shown(m.Changes(m, true)); got != "" {
			t.Errorf("against itself:\n%s", got)
		}
	}
	if got := shown((&mezu.Manifest{}).Changes(nil, false)); got != "create project  \n" {
		t.Errorf("a new project: %s", got)
	}
}

// What pages and sessions of a directory go by is compared setting by setting, lists as sets
// and spans with their defaults.
func TestManifestChanges_Directory(t *testing.T) {
	const hour = mezu.Duration(time.Hour)
	of := func(d mezu.ManifestDirectory) *mezu.Manifest {
		return &mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{"d": d}}
	}
	all := mezu.ManifestDirectory{
		Signup: mezu.SignupOpen, Domains: []string{"b.example", "a.example"}, MFA: mezu.MFARequired, Password: mezu.PasswordPolicy{MinLength: 8},
		Require: []mezu.ProfileField{"name"}, Terms: mezu.Terms{URL: "https://a.example/", Version: "1"}, Session: mezu.SessionPolicy{Idle: hour, Absolute: 2 * hour},
		Brand: mezu.ManifestBrand{Name: "Acme", Color: "#000000", Logo: "sha256:x"},
	}
	const want = `update directories.d.signup "invite" "open"
update directories.d.domains [] ["a.example","b.example"]
update directories.d.mfa "optional" "required"
update directories.d.password {} {"min_length":8}
update directories.d.require [] ["name"]
update directories.d.terms {} {"url":"https://a.example/","version":"1"}
update directories.d.session.idle "24h0m0s" "1h0m0s"
update directories.d.session.absolute "168h0m0s" "2h0m0s"
update directories.d.brand.name "" "Acme"
update directories.d.brand.color "" "#000000"
update directories.d.brand.logo "" "sha256:x"
`
	if got := shown(of(all).Changes(of(mezu.ManifestDirectory{}), false)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	entity := all.Directory("d")
	if back := entity.Manifest(); !reflect.DeepEqual(back, all) {
		t.Errorf("%+v", back)
	}
	same := all
	same.Domains = []string{"a.example", "b.example"}
	for _, c := range [][2]mezu.ManifestDirectory{{all, same}, {{}, {Session: mezu.SessionPolicy{Idle: 24 * hour, Absolute: 168 * hour}}}} {
		if got := of(c[1]).Changes(of(c[0]), false); len(got) != 0 {
			t.Error(shown(got))
		}
	}
}

func TestManifestValidate(t *testing.T) {
	many := map[string]mezu.ManifestEnvironment{}
	for i := range mezu.MaxManifestEnvironments + 1 {
		many[fmt.Sprintf("e%d", i)] = mezu.ManifestEnvironment{}
	}
	for field, m := range map[string]mezu.Manifest{
		"organization":                      {Organization: "A"},
		"project":                           {Project: "a.b"},
		"environments":                      {Environments: many},
		"environments.A":                    {Environments: map[string]mezu.ManifestEnvironment{"A": {}}},
		"environments.a.waf":                {Environments: map[string]mezu.ManifestEnvironment{"a": {WAF: "on"}}},
		"environments.a.routes[1].prefix":   {Environments: map[string]mezu.ManifestEnvironment{"a": {Routes: []mezu.Route{{Prefix: "/"}, {Prefix: "x"}}}}},
		"directories.a.password.min_length": {Directories: map[string]mezu.ManifestDirectory{"a": {Password: mezu.PasswordPolicy{MinLength: 1}}}},
		"directories.a.domains":             {Directories: map[string]mezu.ManifestDirectory{"a": {Domains: []string{"A.example"}}}},
		"directories.a.terms.version":       {Directories: map[string]mezu.ManifestDirectory{"a": {Terms: mezu.Terms{URL: "https://a.example/"}}}},
		"directories.a.brand.color":         {Directories: map[string]mezu.ManifestDirectory{"a": {Brand: mezu.ManifestBrand{Color: "red"}}}},
		"directories.-":                     {Directories: map[string]mezu.ManifestDirectory{"-": {}}},
		"roles.a b":                         {Roles: map[string]mezu.ProjectRole{"a b": {}}},
	} {
		var e *mezu.Error
		if err := m.Validate(t.Context()); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%v, want one about %s", err, field)
		}
	}
	warned := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{
		"a": {Routes: []mezu.Route{{Prefix: "/x/", AuthMethods: []string{"basic"}}}}, "b": {Routes: []mezu.Route{{Prefix: "/x/"}}},
	}}
	if w, err := warned.Judge(t.Context()); err != nil || len(w) != 1 || !strings.HasPrefix(w[0], "environment a: prefix /x/: auth_methods is not enforced") {
		t.Errorf("%q, %v", w, err)
	}
}

// A logo is a path, an image or a digest, and a manifest has so many of them.
func TestManifest_Logos(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	of := func(logo string) *mezu.Manifest {
		return &mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{"a": {Brand: mezu.ManifestBrand{Logo: logo}}}}
	}
	var sent, known mezu.ManifestBrand
	sent.SetLogo(make([]byte, mezu.MaxLogo))
	known.SetLogoDigest(digest)
	if file, ok, err := sent.LogoImage(); !ok || err != nil || len(file) != mezu.MaxLogo {
		t.Errorf("%v, %v", ok, err)
	}
	if len(sent.Logo) > strictjson.MaxString {
		t.Errorf("no body takes a text of %d bytes", len(sent.Logo))
	}
	for _, text := range []string{"logo.png", "../a b/logö.png", "/etc/logo.png", "./sha256:x", sent.Logo, "data:image/gif;base64,AAAA", known.Logo} {
		m := of(text)
		accepted(t, text, m.Validate(t.Context()))
		brand := m.Directories["a"].Brand
		_, isImage, _ := brand.LogoImage()
		_, isFile := brand.LogoFile()
		got, isDigest := brand.LogoDigest()
		if isImage != strings.HasPrefix(text, "data:") || isDigest != strings.HasPrefix(text, "sha256:") || isFile != (!isImage && !isDigest) {
			t.Errorf("%.30s: %v, %v, %v", text, isImage, isFile, isDigest)
		}
		entity := m.Directories["a"].Directory("a")
		if isDigest && got != digest || entity.Brand.Logo != "" != isDigest {
			t.Errorf("%.30s: %q", text, entity.Brand.Logo)
		}
	}
	entity := mezu.Directory{Name: "a", Brand: mezu.Brand{Logo: digest}}
	if back := entity.Manifest(); back.Brand != known {
		t.Errorf("%+v", back.Brand)
	}
	tooLarge := mezu.ManifestBrand{}
	tooLarge.SetLogo(make([]byte, mezu.MaxLogo+3))
	for _, text := range []string{"a\nb", "a\x00", strings.Repeat("a", 1025), "sha256:", "sha256:" + digest[1:], "sha256:" + strings.ToUpper(digest), "data:", "data:image/png,AAAA",
		"data:text/html;base64,AAAA", "data:image/png;base64,A", "data:image/png;base64,AAAA AAAA", tooLarge.Logo} {
		refused(t, text, of(text).Validate(t.Context()), "directories.a.brand.logo")
	}
	m := mezu.Manifest{Directories: map[string]mezu.ManifestDirectory{"known": {Brand: known}}}
	for i := range mezu.MaxManifestLogos {
		m.Directories[fmt.Sprint("d", i)] = mezu.ManifestDirectory{Brand: mezu.ManifestBrand{Logo: "logo.png"}}
	}
	accepted(t, "as many as are allowed", m.Validate(t.Context()))
	m.Directories["more"] = mezu.ManifestDirectory{Brand: mezu.ManifestBrand{Logo: "logo.png"}}
	refused(t, "one more", m.Validate(t.Context()), "directories")
}

// Row 2 of the attacks: the environments of a manifest share its routes.
func TestManifest_Routes(t *testing.T) {
	m := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{}}
	routes := make([]mezu.Route, mezu.MaxRoutes)
	for i := range routes {
		routes[i].Exact = "/" + strconv.Itoa(i)
	}
	m.Environments["a"], m.Environments["b"] = mezu.ManifestEnvironment{Routes: routes}, mezu.ManifestEnvironment{Routes: routes}
	if err := m.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	m.Environments["c"] = mezu.ManifestEnvironment{Routes: routes[:1]}
	var e *mezu.Error
	if err := m.Validate(t.Context()); !errors.As(err, &e) || e.Field != "environments.c.routes" || e.Hint == "" {
		t.Error(err)
	}
}

// Row 2 of the attacks: judging many routes takes less than a quarter of what they
// themselves take, and saying what would change little more than the list of it.
func TestRow2_RoutesAreJudgedWhereTheyAre(t *testing.T) {
	routes := make([]mezu.Route, mezu.MaxRoutes)
	for i := range routes {
		routes[i] = mezu.Route{Exact: fmt.Sprintf("/some/path/%d", i), Methods: []string{"GET", "POST"}, Upstream: "localhost:8080", AllowIPs: []string{"10.0.0.0/8"}}
	}
	m := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"e": {Routes: routes}}}
	var before, judged, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := m.Judge(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&judged)
	changes := m.Changes(nil, false)
	runtime.ReadMemStats(&after)
	if len(changes) < len(routes) {
		t.Fatalf("%d changes", len(changes))
	}
	own := reflect.TypeFor[mezu.Route]().Size() * uintptr(len(routes))
	if took := judged.TotalAlloc - before.TotalAlloc; took > uint64(own/4) {
		t.Errorf("routes of %d bytes were judged with %d", own, took)
	}
	list := reflect.TypeFor[mezu.Change]().Size()*uintptr(len(changes)) + uintptr(len(changes)*len("environments.e.routes[exact /some/path/1234]"))
	if took := after.TotalAlloc - judged.TotalAlloc; took > uint64(list+list/4) {
		t.Errorf("a list of %d bytes took %d", list, took)
	}
}
