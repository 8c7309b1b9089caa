package mezu_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestRoute_Validate(t *testing.T) {
	five, no := 5, false
	for name, r := range map[string]mezu.Route{
		"exact":  {Exact: "/health"},
		"prefix": {Prefix: "/"},
		"regexp": {Regexp: "/users/[0-9]+", Priority: -7},
		"slash":  {Prefix: "/a%2Fb", EncodedSlashes: true},
		"full": {
			Name: "full", Prefix: "/api/", Methods: []string{"GET", "M-SEARCH"}, Headers: map[string]string{"X-Beta": "1", "Accept": ""}, Upstream: "h2c://app:1",
			Auth: mezu.AuthRequired, AuthMethods: []string{"session", "bearer", "service_account", "basic"}, Roles: []string{"staff"}, Permissions: []string{"a.b"},
			AnyPermissions: []string{"c_d-e"}, CORS: &mezu.CORS{AllowOrigins: []string{"*"}}, RateLimit: &mezu.RateLimit{Requests: 1, Per: mezu.Duration(time.Second), By: "user"},
			WAF: mezu.WAFBlock, AllowIPs: []string{"192.0.2.0/24", "::1"}, DenyIPs: []string{"192.0.2.1"}, HostHeader: "app.internal:8080", WebSocket: &no, StripPrefix: "/api",
			Redirect: &mezu.Redirect{To: "/x", Status: 308}, Retries: &five, MaxBody: 1, Timeout: 1, IdleTimeout: 1,
			RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-A": "b"}, Remove: []string{"X-C"}}, ResponseHeaders: &mezu.HeaderEdits{},
		},
	} {
		accepted(t, name, r.Validate())
	}
	auth := func(r mezu.Route) mezu.Route { r.Prefix, r.Auth = "/", mezu.AuthRequired; return r }
	pre := func(r mezu.Route) mezu.Route { r.Prefix = "/"; return r }
	six, minus := 6, -1
	for _, c := range []struct {
		field string
		route mezu.Route
	}{
		{"", mezu.Route{}}, {"", mezu.Route{Exact: "/a", Prefix: "/a"}}, {"", mezu.Route{Exact: "/a", Regexp: "/a"}}, {"name", pre(mezu.Route{Name: "A"})},
		{"exact", mezu.Route{Exact: "a"}}, {"prefix", mezu.Route{Prefix: "/a//b"}}, {"prefix", mezu.Route{Prefix: "/a/../b"}}, {"exact", mezu.Route{Exact: "/%61"}},
		{"exact", mezu.Route{Exact: "/a%2fb", EncodedSlashes: true}}, {"exact", mezu.Route{Exact: "/a%2Fb"}}, {"exact", mezu.Route{Exact: "/a b"}}, {"exact", mezu.Route{Exact: "/a?b"}},
		{"prefix", mezu.Route{Prefix: "/é"}}, {"prefix", mezu.Route{Prefix: "/" + long(1024)}}, {"exact", mezu.Route{Exact: "/.mezu/probe"}}, {"prefix", mezu.Route{Prefix: "/.mezu/"}},
		{"regexp", mezu.Route{Regexp: "/("}}, {"regexp", mezu.Route{Regexp: "/a)|(/b"}}, {"regexp", mezu.Route{Regexp: "/" + long(1024)}}, {"regexp", mezu.Route{Regexp: "/.{1000}.{1000}.{1000}.{1000}.{1000}"}},
		{"regexp", mezu.Route{Regexp: `/(?=a)`}}, {"regexp", mezu.Route{Regexp: strings.Repeat("(", 500) + strings.Repeat(")", 500) + "{1001}"}},
		{"priority", mezu.Route{Prefix: "/", Priority: 1}}, {"priority", mezu.Route{Regexp: "/", Priority: mezu.MaxPriority + 1}}, {"priority", mezu.Route{Regexp: "/", Priority: -mezu.MaxPriority - 1}},
		{"methods", pre(mezu.Route{Methods: []string{"get"}})}, {"methods", pre(mezu.Route{Methods: []string{"GET", "GET"}})}, {"methods", pre(mezu.Route{Methods: []string{"TRACE"}})},
		{"methods", pre(mezu.Route{Methods: make([]string, 17)})}, {"headers", pre(mezu.Route{Headers: map[string]string{"a b": "c"}})}, {"headers", pre(mezu.Route{Headers: map[string]string{"A": "c\n"}})},
		{"headers", pre(mezu.Route{Headers: map[string]string{"A": " c"}})}, {"headers", pre(mezu.Route{Headers: map[string]string{"A": "1", "a": "2"}})}, {"headers", pre(mezu.Route{Headers: map[string]string{"A": long(1025)}})},
		{"headers", pre(mezu.Route{Headers: map[string]string{"X-Forwarded-For": "1"}})}, {"headers", pre(mezu.Route{Headers: map[string]string{"x_mezu_user": "1"}})},
		{"auth", pre(mezu.Route{Auth: "yes"})}, {"auth_methods", auth(mezu.Route{AuthMethods: []string{"cookie"}})}, {"auth_methods", auth(mezu.Route{AuthMethods: []string{"webhook:"}})}, {"auth_methods", auth(mezu.Route{AuthMethods: []string{}})},
		{"roles", pre(mezu.Route{Roles: []string{"a"}})}, {"roles", pre(mezu.Route{Auth: mezu.AuthOptional, Roles: []string{"a"}})}, {"roles", auth(mezu.Route{Roles: []string{}})}, {"roles", auth(mezu.Route{Roles: []string{"A"}})},
		{"permissions", pre(mezu.Route{Permissions: []string{"a"}})}, {"permissions", auth(mezu.Route{Permissions: []string{""}})}, {"any_permissions", auth(mezu.Route{AnyPermissions: []string{long(65)}})},
		{"any_permissions", pre(mezu.Route{AnyPermissions: []string{"a"}})}, {"permissions", auth(mezu.Route{Permissions: make([]string, 101)})},
		{"allow_ips[1]", pre(mezu.Route{AllowIPs: []string{"::1", "localhost"}})}, {"deny_ips[0]", pre(mezu.Route{DenyIPs: []string{"192.0.2.0/33"}})}, {"allow_ips", pre(mezu.Route{AllowIPs: []string{}})}, {"deny_ips", pre(mezu.Route{DenyIPs: make([]string, 1001)})},
		{"rate_limit", pre(mezu.Route{RateLimit: &mezu.RateLimit{Requests: 0, Per: mezu.Duration(time.Second), By: "ip"}})}, {"rate_limit", pre(mezu.Route{RateLimit: &mezu.RateLimit{Requests: 1, By: "ip"}})},
		{"rate_limit.by", pre(mezu.Route{RateLimit: &mezu.RateLimit{Requests: 1, Per: mezu.Duration(time.Second)}})}, {"cors.allow_origins", pre(mezu.Route{CORS: &mezu.CORS{}})}, {"waf", pre(mezu.Route{WAF: "on"})},
		{"upstream", pre(mezu.Route{Upstream: "app"})}, {"host_header", pre(mezu.Route{HostHeader: "a b"})}, {"strip_prefix", pre(mezu.Route{StripPrefix: "api"})},
		{"redirect.to", pre(mezu.Route{Redirect: &mezu.Redirect{}})}, {"redirect.to", pre(mezu.Route{Redirect: &mezu.Redirect{To: "/\r\nX: y"}})}, {"redirect.status", pre(mezu.Route{Redirect: &mezu.Redirect{To: "/", Status: 200}})},
		{"retries", pre(mezu.Route{Retries: &six})}, {"retries", pre(mezu.Route{Retries: &minus})}, {"max_body", pre(mezu.Route{MaxBody: -1})}, {"timeout", pre(mezu.Route{Timeout: -1})}, {"idle_timeout", pre(mezu.Route{IdleTimeout: -1})},
		{"request_headers.set", pre(mezu.Route{RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-Mezu-User-Id": "x"}}})}, {"request_headers.set", pre(mezu.Route{RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X_Mezu_User": "x"}}})},
		{"response_headers.set", pre(mezu.Route{ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"A": "b\n"}}})}, {"request_headers.remove", pre(mezu.Route{RequestHeaders: &mezu.HeaderEdits{Remove: []string{"X-Forwarded-For"}}})},
	} {
		refused(t, fmt.Sprintf("%.200v", c.route), c.route.Validate(), c.field)
	}
}

func TestRoute_Identity(t *testing.T) {
	a := mezu.Route{Prefix: "/", Methods: []string{"GET", "PUT"}, Headers: map[string]string{"A": "1", "B": "2"}}
	b := mezu.Route{Prefix: "/", Methods: []string{"PUT", "GET"}, Headers: map[string]string{"b": "2", "a": "1"}, Upstream: "app:1"}
	if a.Identity() != b.Identity() || a.Methods[0] != "GET" || b.Methods[0] != "PUT" {
		t.Error("the order of methods and headers is no part of the identity")
	}
	b.Name = "named"
	if a.Identity() == b.Identity() || b.Label() != "named" || a.Label() != "prefix /" {
		t.Error("a name is the identity")
	}
	if x, y := (&mezu.Route{Exact: "/"}), (&mezu.Route{Regexp: "/"}); x.Identity() == y.Identity() || x.Mode() != mezu.MatchExact || y.Mode() != mezu.MatchRegexp || y.Value() != "/" {
		t.Error("the mode is part of the identity")
	}
}

func TestValidateRoutes(t *testing.T) {
	accepted(t, "none", mezu.ValidateRoutes(t.Context(), "routes", nil))
	accepted(t, "methods and headers apart", mezu.ValidateRoutes(t.Context(), "routes", []mezu.Route{
		{Prefix: "/"}, {Exact: "/"}, {Regexp: "/"}, {Prefix: "/", Methods: []string{"GET"}}, {Prefix: "/", Methods: []string{"GET", "PUT"}}, {Prefix: "/", Headers: map[string]string{"A": "1"}}, {Prefix: "/", Headers: map[string]string{"A": "2"}},
	}))
	for name, routes := range map[string][]mezu.Route{
		"invalid":             {{Prefix: "/"}, {Prefix: "x"}},
		"same name":           {{Name: "a", Prefix: "/"}, {Name: "a", Prefix: "/b"}},
		"same match":          {{Prefix: "/", Methods: []string{"GET", "PUT"}}, {Prefix: "/", Methods: []string{"PUT", "GET"}}},
		"same match by name":  {{Name: "a", Prefix: "/"}, {Name: "b", Prefix: "/"}},
		"same header, case":   {{Prefix: "/", Headers: map[string]string{"A": "1"}}, {Prefix: "/", Headers: map[string]string{"a": "1"}}},
		"pattern, priorities": {{Regexp: "/", Priority: 1}, {Regexp: "/", Priority: 2}},
	} {
		field := "routes[1]"
		if name == "invalid" {
			field = "routes[1].prefix"
		}
		refused(t, name, mezu.ValidateRoutes(t.Context(), "routes", routes), field)
	}
	refused(t, "too many", mezu.ValidateRoutes(t.Context(), "x.routes", make([]mezu.Route, mezu.MaxRoutes+1)), "x.routes")
	var greedy, usual []mezu.Route
	for i := range 200 {
		greedy = append(greedy, mezu.Route{Regexp: fmt.Sprintf("/%d.{1000}.{1000}.{1000}", i)})
	}
	refused(t, "patterns of 600,000 steps", mezu.ValidateRoutes(t.Context(), "routes", greedy), "routes[174].regexp")
	for i := range mezu.MaxRoutes {
		usual = append(usual, mezu.Route{Regexp: fmt.Sprintf("/tenants/%d/users/[0-9]+/[a-z-]*", i)})
	}
	accepted(t, "10,000 usual patterns", mezu.ValidateRoutes(t.Context(), "routes", usual))
}

// TestRow8_SpansAreBounded: the error names the field, what it has and the limit.
func TestRow8_SpansAreBounded(t *testing.T) {
	many := make([]string, mezu.MaxRouteEdits+1)
	set := map[string]string{}
	var origins, methods []string
	for i := range many {
		many[i] = fmt.Sprintf("X-%d", i)
		set[many[i]] = "1"
		origins = append(origins, fmt.Sprintf("https://a%d.example", i))
		methods = append(methods, strings.Repeat("X", i%mezu.MaxMethodLength+1))
	}
	day := mezu.Duration(24 * time.Hour)
	cors := func(c mezu.CORS) mezu.Route {
		if c.AllowOrigins == nil {
			c.AllowOrigins = []string{"*"}
		}
		return mezu.Route{CORS: &c}
	}
	long := strings.Repeat("x", mezu.MaxRouteHeaderLen+1)
	for _, c := range []struct {
		field, says string
		over, at    mezu.Route
	}{
		{"timeout", "is at most 1h, not 2540400h", mezu.Route{Timeout: mezu.Duration(2540400 * time.Hour)}, mezu.Route{Timeout: mezu.MaxTimeout}},
		{"timeout", "is at most 1h, not 1h0m0.000000001s", mezu.Route{Timeout: mezu.MaxTimeout + 1}, mezu.Route{}},
		{"idle_timeout", "is at most 24h, not 25h", mezu.Route{IdleTimeout: mezu.Duration(25 * time.Hour)}, mezu.Route{IdleTimeout: day}},
		{"max_body", "is at most 1024 GiB, not 2048 GiB", mezu.Route{MaxBody: 2 * mezu.MaxBodyLimit}, mezu.Route{MaxBody: mezu.MaxBodyLimit}},
		{"cors.max_age", "is at most 24h, not 24h30m", cors(mezu.CORS{MaxAge: day + mezu.Duration(30*time.Minute)}), cors(mezu.CORS{MaxAge: day})},
		{"cors.allow_origins", "is at most 64, not 65", cors(mezu.CORS{AllowOrigins: origins}), cors(mezu.CORS{AllowOrigins: origins[1:]})},
		{"cors.allow_methods", "is at most 64", cors(mezu.CORS{AllowMethods: methods}), cors(mezu.CORS{AllowMethods: methods[1:]})},
		{"cors.allow_headers[0]", "is at most 1024 bytes", cors(mezu.CORS{AllowHeaders: []string{long}}), cors(mezu.CORS{AllowHeaders: []string{long[1:]}})},
		{"cors.expose_headers", "is at most 64", cors(mezu.CORS{ExposeHeaders: many}), cors(mezu.CORS{ExposeHeaders: many[1:]})},
		{"rate_limit.per", "is at most 24h", mezu.Route{RateLimit: &mezu.RateLimit{Requests: 1, Per: day + 1, By: "ip"}}, mezu.Route{RateLimit: &mezu.RateLimit{Requests: 1, Per: day, By: "ip"}}},
		{"rate_limit.requests", "is at most 1000000", mezu.Route{RateLimit: &mezu.RateLimit{Requests: mezu.MaxRateRequests + 1, Per: day, By: "ip"}}, mezu.Route{RateLimit: &mezu.RateLimit{Requests: mezu.MaxRateRequests, Per: day, By: "ip"}}},
		{"strip_prefix", "is at most 1024 bytes", mezu.Route{StripPrefix: "/" + long}, mezu.Route{StripPrefix: "/x"}},
		{"redirect.to", "is at most 1024 bytes", mezu.Route{Redirect: &mezu.Redirect{To: "/" + long}}, mezu.Route{Redirect: &mezu.Redirect{To: "/x"}}},
		{"request_headers.set", "is at most 64", mezu.Route{RequestHeaders: &mezu.HeaderEdits{Set: set}}, mezu.Route{RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X": "1"}}}},
		{"request_headers.set", "is at most 1024 bytes", mezu.Route{RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X": long}}}, mezu.Route{}},
		{"response_headers.remove", "is at most 64", mezu.Route{ResponseHeaders: &mezu.HeaderEdits{Remove: many}}, mezu.Route{ResponseHeaders: &mezu.HeaderEdits{Remove: many[1:]}}},
	} {
		c.over.Prefix, c.at.Prefix = "/", "/"
		err := c.over.Validate()
		refused(t, c.field, err, c.field)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.field, err, c.says)
		}
		accepted(t, c.field, c.at.Validate())
		// Stored, it is no reason to refuse a change of another route, and shown.
		stored := []mezu.Route{c.over, {Prefix: "/x/"}}
		accepted(t, c.field, mezu.ValidateRouteAmong(t.Context(), "routes", stored, 1))
		if !slices.ContainsFunc(mezu.Warnings(t.Context(), stored), func(w string) bool { return strings.Contains(w, c.field+" is at most") }) {
			t.Errorf("%s: %q", c.field, mezu.Warnings(t.Context(), stored))
		}
	}
}

func TestCompilePattern_Anchored(t *testing.T) {
	for pattern, want := range map[string][2]string{ // matches, does not
		"/a|/b": {"/b", "/bx"}, "/a": {"/a", "/a\n"}, "(?m)/a$": {"/a", "/a\n/b"}, "/.*": {"/x/y", "x/"}, "(?i)/a": {"/A", "/b"}, "(?s)/.": {"/x", "/xy"},
	} {
		re, err := mezu.CompilePattern(pattern)
		if err != nil || !re.Matches(want[0]) || re.Matches(want[1]) {
			t.Errorf("%s: %v, %q %q", pattern, err, want[0], want[1])
		}
	}
}

func TestR8_Warnings(t *testing.T) {
	protected := mezu.Route{Prefix: "/admin/", Auth: mezu.AuthRequired}
	for _, c := range []struct {
		name   string
		routes []mezu.Route
		want   string // "" for no warning
	}{
		{"bare prefix", []mezu.Route{{Prefix: "/api"}}, "prefix /api also matches /apix; write /api/ to match below it only"},
		{"whole prefix", []mezu.Route{{Prefix: "/api/"}, {Prefix: "/"}}, ""},
		{"unenforced", []mezu.Route{{Name: "r", Exact: "/", Auth: mezu.AuthRequired, AuthMethods: []string{"bearer"}}}, "r: auth_methods is not enforced by this version; the route answers 503 route_unavailable"},
		{"narrow auth methods", []mezu.Route{{Exact: "/", AuthMethods: []string{"basic"}}}, "exact /: auth_methods is not enforced by this version; the route answers 503 route_unavailable"},
		{"shadow", []mezu.Route{protected, {Regexp: "/.*"}}, "public regexp /.* can shadow protected prefix /admin/"},
		{"shadow below", []mezu.Route{protected, {Regexp: "/admin/users/[0-9]+"}}, "public regexp /admin/users/[0-9]+ can shadow protected prefix /admin/"},
		{"shadow by case", []mezu.Route{protected, {Regexp: "(?i)/ADMIN/x"}}, "public regexp (?i)/ADMIN/x can shadow protected prefix /admin/"},
		{"shadow by optional auth", []mezu.Route{protected, {Regexp: "/a.+", Auth: mezu.AuthOptional}}, "public regexp /a.+ can shadow protected prefix /admin/"},
		{"just the prefix", []mezu.Route{protected, {Regexp: "/admin/"}}, "public regexp /admin/ can shadow protected prefix /admin/"},
		{"beside", []mezu.Route{protected, {Regexp: "/admin[0-9]/.*"}, {Regexp: "/admin"}, {Regexp: "/users/.*"}}, ""},
		{"protected regexp", []mezu.Route{protected, {Regexp: "/.*", Auth: mezu.AuthRequired}}, ""},
		{"public prefix", []mezu.Route{{Prefix: "/admin/"}, {Regexp: "/.*"}}, ""},
	} {
		got := mezu.Warnings(t.Context(), c.routes)
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A remark about one route is one of those about all that concern it.
func TestRoute_Warnings(t *testing.T) {
	all := []mezu.Route{{Prefix: "/admin/", Auth: mezu.AuthRequired}, {Exact: "/x", AuthMethods: []string{"basic"}}, {Prefix: "/other/", Auth: mezu.AuthRequired}, {Regexp: "/admin/.*"}, {Exact: "/admin/y"}}
	for i, want := range [][]string{
		{"public regexp /admin/.* can shadow protected prefix /admin/"},
		{"exact /x: auth_methods is not enforced by this version; the route answers 503 route_unavailable"},
		nil,
		{"public regexp /admin/.* can shadow protected prefix /admin/"},
		nil,
	} {
		if got := all[i].Warnings(t.Context(), all); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", all[i].Label(), got, want)
		}
	}
}

// TestRoute_Fields: every key of a route in mezu.yaml is a field.
func TestRoute_Fields(t *testing.T) {
	has := map[string]bool{}
	for f := range reflect.TypeFor[mezu.Route]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		has[name] = true
	}
	for _, key := range strings.Fields(`exact prefix regexp name methods headers priority upstream auth auth_methods permissions roles cors rate_limit waf
		encoded_slashes host_header websocket strip_prefix redirect retries allow_ips deny_ips max_body timeout idle_timeout request_headers response_headers`) {
		if !has[key] {
			t.Errorf("a route has no field %q", key)
		}
	}
}

// TestWarnings_AreBounded: ten thousand routes of which each pair is worth a
// remark, or none is, are answered all the same.
func TestWarnings_AreBounded(t *testing.T) {
	var shadowing, apart []mezu.Route
	for i := range mezu.MaxRoutes / 2 {
		shadowing = append(shadowing, mezu.Route{Prefix: fmt.Sprintf("/p%d/", i), Auth: mezu.AuthRequired}, mezu.Route{Regexp: fmt.Sprintf("/.*%d", i)})
		apart = append(apart, mezu.Route{Prefix: fmt.Sprintf("/common/start/p%d/", i), Auth: mezu.AuthRequired}, mezu.Route{Regexp: fmt.Sprintf("/common/start/r%d", i)})
	}
	if got := mezu.Warnings(t.Context(), shadowing); len(got) != mezu.MaxWarnings+1 || got[mezu.MaxWarnings] != "there are more remarks than these" {
		t.Errorf("%d remarks", len(got))
	}
	if got := mezu.Warnings(t.Context(), apart); len(got) != 1 || !strings.Contains(got[0], "too many routes") {
		t.Errorf("%q", got)
	}
}

func TestParseIPRange(t *testing.T) {
	for s, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "192.0.2.77/24": "192.0.2.0/24", "::1": "::1/128", "2001:db8::1/32": "2001:db8::/32", "::ffff:192.0.2.1": "192.0.2.1/32",
		"::ffff:192.0.2.77/120": "192.0.2.0/24", "::ffff:0:0/96": "0.0.0.0/0", "0.0.0.0/0": "0.0.0.0/0", "::/0": "::/0",
	} {
		if p, err := mezu.ParseIPRange(s); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v", s, p, err)
		}
	}
	for _, s := range []string{"", "a", "192.0.2", "192.0.2.1/33", "192.0.2.1/-1", "::1/129", "fe80::1%eth0", "fe80::1%eth0/64", "192.0.2.1 ", "192.0.2.01", "::ffff:192.0.2.1/90", "1.2.3.4-5"} {
		if p, err := mezu.ParseIPRange(s); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	}
}

func FuzzRoute(f *testing.F) {
	for _, s := range []string{
		`{"exact":"/a"}`, `{"prefix":"/a/","auth":"required","roles":["staff"]}`, `{"regexp":"/u/[0-9]+","priority":10,"methods":["GET"]}`, `{"prefix":"/","max_body":"16MiB","timeout":"1s"}`,
		`{"prefix":"/","allow_ips":["::ffff:1.2.3.4/120"],"headers":{"A":"b"}}`, `{"regexp":"(a{1000}){2}"}`, `{"prefix":"/","upstream":"unix:/x"}`, `{"prefix":null,"exact":"/%2F","encoded_slashes":true}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r mezu.Route
		if json.Unmarshal(data, &r) != nil || r.Validate() != nil {
			return
		}
		encoded, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("a valid route does not encode: %v", err)
		}
		var again mezu.Route
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Fatalf("%s does not decode: %v", encoded, err)
		}
		if err := again.Validate(); err != nil {
			t.Fatalf("%s became invalid: %v", encoded, err)
		}
		if again.Identity() != r.Identity() || !slices.Equal(again.Unenforced(), r.Unenforced()) || (again.Auth == mezu.AuthRequired) != (r.Auth == mezu.AuthRequired) ||
			len(again.Roles) != len(r.Roles) || len(again.AllowIPs) != len(r.AllowIPs) {
			t.Fatalf("%s is another route than %s", encoded, data)
		}
		mezu.Warnings(t.Context(), []mezu.Route{r, {Prefix: "/a/", Auth: mezu.AuthRequired}})
	})
}
