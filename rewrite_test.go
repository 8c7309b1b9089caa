package mezu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// A prefix is cut off where a segment ends, and nowhere else.
func TestRoute_Sent(t *testing.T) {
	for _, c := range []struct{ strip, path, want string }{
		{"/a", "/a", "/"}, {"/a", "/a/", "/"}, {"/a", "/a/b", "/b"}, {"/a/", "/a/b", "/b"}, {"/a/", "/a", "/"}, {"/a", "/ab", "/ab"}, {"/a/", "/ab", "/ab"},
		{"/a/b", "/a/b/c/", "/c/"}, {"/a/b", "/a/bc", "/a/bc"}, {"/a", "/b/a", "/b/a"}, {"/a", "/a/a", "/a"}, {"/a", "/A/b", "/A/b"},
		{"/a", "/a%2Fb", "/a%2Fb"}, {"/a%2Fb", "/a%2Fb/c", "/c"}, {"/a", "/a/b%2Fc", "/b%2Fc"}, {"", "/a", "/a"}, {"/api", "/api./admin", "/api./admin"},
	} {
		if got := (&mezu.Route{StripPrefix: c.strip}).Sent(c.path); got != c.want {
			t.Errorf("%s without %s is %s, not %s", c.path, c.strip, got, c.want)
		}
	}
}

// What a route asks to have rewritten is refused with the name of the field.
func TestRewrite_Refuses(t *testing.T) {
	edits := func(set map[string]string, remove ...string) *mezu.HeaderEdits {
		return &mezu.HeaderEdits{Set: set, Remove: remove}
	}
	strip := func(prefix string) mezu.Route { return mezu.Route{StripPrefix: prefix} }
	type refusal struct {
		field string
		route mezu.Route
	}
	all := []refusal{
		{"strip_prefix", strip("/")}, {"strip_prefix", strip("/a//b")}, {"strip_prefix", strip("/a/../b")}, {"strip_prefix", strip("/%61")}, {"strip_prefix", strip("/a%2Fb")},
		{"strip_prefix", strip("/.mezu")}, {"strip_prefix", strip("/.mezu/x")}, {"strip_prefix", strip("/a b")}, {"strip_prefix", strip("/a?b")},
		{"request_headers.set", mezu.Route{RequestHeaders: edits(map[string]string{"Cookie": "a=b"})}}, {"response_headers.set", mezu.Route{ResponseHeaders: edits(map[string]string{"set-cookie": "a=b"})}},
		{"request_headers.set", mezu.Route{RequestHeaders: edits(map[string]string{"X-A": "1", "x-a": "2"})}}, {"request_headers.set", mezu.Route{RequestHeaders: edits(map[string]string{"X-A": " 1"})}},
		{"request_headers.set", mezu.Route{RequestHeaders: edits(map[string]string{"X-A": "1\r\nX-B: 2"})}}, {"response_headers.set", mezu.Route{ResponseHeaders: edits(map[string]string{"X-A": "1\n"})}},
		{"response_headers.set", mezu.Route{ResponseHeaders: edits(map[string]string{"X-A": "1\x00"})}}, {"request_headers.set", mezu.Route{RequestHeaders: edits(map[string]string{"": "x"})}},
		{"response_headers.set", mezu.Route{ResponseHeaders: edits(map[string]string{"Access-Control-Allow-Origin": "*"}), CORS: &mezu.CORS{AllowOrigins: []string{"*"}}}},
		{"response_headers.remove", mezu.Route{ResponseHeaders: edits(nil, "access-control-max-age"), CORS: &mezu.CORS{AllowOrigins: []string{"*"}}}},
	}
	for _, name := range []string{
		"Host", "host", "Content-Length", "content_length", "Transfer-Encoding", "Transfer.Encoding", "Trailer", "TE", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate",
		"Upgrade", "HTTP2-Settings", "Expect", "X-Request-Id", "X_Request_Id", "Sec-WebSocket-Key", "Sec-WebSocket-Accept", "Sec-WebSocket-Version",
		"X-Mezu-User-Id", "X_Mezu_User", "X-Forwarded-For", "X-Forwarded-Prefix", "Forwarded", "X-Real-Ip", "X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-Url", ":path", "a b", "x\r\ny",
	} {
		all = append(all,
			refusal{"request_headers.set", mezu.Route{RequestHeaders: edits(map[string]string{name: "x"})}}, refusal{"request_headers.remove", mezu.Route{RequestHeaders: edits(nil, name)}},
			refusal{"response_headers.set", mezu.Route{ResponseHeaders: edits(map[string]string{name: "x"})}}, refusal{"response_headers.remove", mezu.Route{ResponseHeaders: edits(nil, name)}})
	}
	for _, c := range all {
		c.route.Prefix = "/"
		refused(t, c.field, c.route.Validate(), c.field)
	}
	accepted(t, "edits", (&mezu.Route{Prefix: "/a", StripPrefix: "/a/", EncodedSlashes: true, RequestHeaders: edits(map[string]string{"Authorization": "Basic eDp5", "X-A": ""}, "Cookie", "X-A"),
		ResponseHeaders: edits(map[string]string{"Strict-Transport-Security": "max-age=1", "Access-Control-Allow-Origin": "*", "Location": "/x"}, "Set-Cookie", "Server")}).Validate())
}

// What has no effect is told.
func TestRewrite_Warnings(t *testing.T) {
	for _, c := range []struct {
		route mezu.Route
		want  string
	}{
		{mezu.Route{Prefix: "/b/", StripPrefix: "/a"}, "is no beginning of a path"}, {mezu.Route{Exact: "/ab", StripPrefix: "/a"}, "is no beginning of a path"},
		{mezu.Route{Prefix: "/", StripPrefix: "/a"}, ""}, {mezu.Route{Prefix: "/a/b/", StripPrefix: "/a"}, ""}, {mezu.Route{Prefix: "/a/", StripPrefix: "/a/"}, ""}, {mezu.Route{Regexp: "/a/.*", StripPrefix: "/a"}, ""},
		{mezu.Route{Prefix: "/a/", StripPrefix: "/a", Respond: &mezu.Respond{}}, "strip_prefix has no effect beside respond"},
		{mezu.Route{Prefix: "/a/", RequestHeaders: &mezu.HeaderEdits{}, Redirect: &mezu.Redirect{To: "/x"}}, "request_headers has no effect"},
	} {
		got := strings.Join(mezu.Warnings(t.Context(), []mezu.Route{c.route}), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %q, not %q", c.route.Label(), c.route.StripPrefix, got, c.want)
		}
	}
}

// Whoever cuts a prefix off is told of the routes behind it that ask for more.
func TestR9_WarningsNameBothRoutes(t *testing.T) {
	cut := mezu.Route{Name: "cut", Prefix: "/cut/", StripPrefix: "/cut"}
	for _, c := range []struct {
		cut, behind mezu.Route
		told        bool
	}{
		{cut, mezu.Route{Prefix: "/admin/", Auth: mezu.AuthRequired}, true}, {cut, mezu.Route{Exact: "/admin", AllowIPs: []string{"10.0.0.0/8"}}, true}, {cut, mezu.Route{Regexp: "/n/[0-9]+", Auth: mezu.AuthRequired}, true},
		{cut, mezu.Route{Exact: "/gone", Respond: &mezu.Respond{}}, true}, {cut, mezu.Route{Exact: "/get", Methods: []string{"GET"}}, true}, {cut, mezu.Route{Exact: "/gold", Headers: map[string]string{"X-Tier": "gold"}}, true},
		{cut, mezu.Route{Prefix: "/open/"}, false}, {cut, mezu.Route{Prefix: "/admin/", Auth: mezu.AuthRequired, Upstream: "localhost:1"}, false},
		{mezu.Route{Prefix: "/cut/a/", StripPrefix: "/cut"}, mezu.Route{Prefix: "/admin/", Auth: mezu.AuthRequired}, false}, {mezu.Route{Prefix: "/cut/a/", StripPrefix: "/cut"}, mezu.Route{Prefix: "/a", Auth: mezu.AuthRequired}, true},
		{mezu.Route{Exact: "/cut/a", StripPrefix: "/cut"}, mezu.Route{Prefix: "/a/b", Auth: mezu.AuthRequired}, false}, {mezu.Route{Exact: "/cut/a", StripPrefix: "/cut"}, mezu.Route{Exact: "/a", Auth: mezu.AuthRequired}, true},
		{mezu.Route{Regexp: "/cut/.*", StripPrefix: "/cut"}, mezu.Route{Exact: "/a", Auth: mezu.AuthRequired}, true}, {mezu.Route{Prefix: "/cut/", StripPrefix: "/cut", Redirect: &mezu.Redirect{To: "/x"}}, mezu.Route{Exact: "/a", Auth: mezu.AuthRequired}, false},
		{mezu.Route{Prefix: "/cut/", StripPrefix: "/cut", Auth: mezu.AuthRequired}, mezu.Route{Exact: "/a", Auth: mezu.AuthRequired}, false}, {mezu.Route{Prefix: "/cut/", StripPrefix: "/cut", Auth: mezu.AuthRequired}, mezu.Route{Exact: "/a", Auth: mezu.AuthRequired, Roles: []string{"staff"}}, true},
	} {
		all := []mezu.Route{c.cut, c.behind}
		want := c.cut.Label() + ": strip_prefix /cut leads to paths of " + c.behind.Label() + ", which has to let a request pass, too"
		for _, got := range [][]string{mezu.Warnings(t.Context(), all), all[0].Warnings(t.Context(), all), all[1].Warnings(t.Context(), all)} {
			if told := slices.Contains(got, want); told != c.told {
				t.Errorf("%s and %s: %q", c.cut.Label(), c.behind.Label(), got)
			}
		}
	}
}

// Redirects that lead back to themselves are refused when they are written, also by way of others.
func TestRedirect_Loops(t *testing.T) {
	to := func(r mezu.Route, target string, status int) mezu.Route {
		r.Redirect = &mezu.Redirect{To: target, Status: status}
		return r
	}
	post := []string{"POST"}
	gold := map[string]string{"X-Tier": "gold"}
	for _, c := range []struct {
		name   string
		loops  bool
		routes []mezu.Route
	}{
		{"to itself", true, []mezu.Route{to(mezu.Route{Exact: "/a"}, "/a", 0)}},
		{"to itself with a query", true, []mezu.Route{to(mezu.Route{Exact: "/a"}, "/a?x=1", 0)}},
		{"to itself in another form", true, []mezu.Route{to(mezu.Route{Exact: "/a"}, "/b/../%61", 0)}},
		{"to another", false, []mezu.Route{to(mezu.Route{Exact: "/a"}, "/b", 0)}},
		{"below itself", true, []mezu.Route{to(mezu.Route{Prefix: "/"}, "/new{path}", 0)}},
		{"out of itself", false, []mezu.Route{to(mezu.Route{Prefix: "/old/"}, "/new{path}", 0)}},
		{"to another's place", false, []mezu.Route{to(mezu.Route{Prefix: "/"}, "/new{path}", 0), {Prefix: "/new/"}}},
		{"cut off", false, []mezu.Route{to(mezu.Route{Prefix: "/old/", StripPrefix: "/old"}, "{path}", 0)}},
		{"in a ring", true, []mezu.Route{to(mezu.Route{Exact: "/a"}, "/b", 0), to(mezu.Route{Exact: "/b"}, "/c", 0), to(mezu.Route{Prefix: "/c"}, "/a", 0)}},
		{"into a ring that is another's", true, []mezu.Route{to(mezu.Route{Exact: "/x"}, "/a", 0), to(mezu.Route{Exact: "/a"}, "/b", 0), to(mezu.Route{Exact: "/b"}, "/a", 0)}},
		{"by a regexp", true, []mezu.Route{to(mezu.Route{Exact: "/a"}, "/b/7", 0), to(mezu.Route{Regexp: "/b/[0-9]+"}, "/a", 0)}},
		{"of a regexp", true, []mezu.Route{to(mezu.Route{Regexp: "/b/[0-9]+"}, "/b/7", 0)}},
		{"past a regexp", false, []mezu.Route{to(mezu.Route{Prefix: "/"}, "/b/7", 0), {Regexp: "/b/[0-9]+"}}},
		{"a form that was sent", false, []mezu.Route{to(mezu.Route{Exact: "/form", Methods: post}, "/form", 303), {Exact: "/form", Methods: []string{"GET"}}}},
		{"a form that is sent again", true, []mezu.Route{to(mezu.Route{Exact: "/form", Methods: post}, "/form", 307), {Exact: "/form", Methods: []string{"GET"}}}},
		{"with its header", true, []mezu.Route{to(mezu.Route{Exact: "/a", Headers: gold}, "/a", 0), {Exact: "/a"}}},
		{"for who sends a header", true, []mezu.Route{to(mezu.Route{Exact: "/a"}, "/b", 0), to(mezu.Route{Exact: "/b", Headers: gold}, "/a", 0), {Exact: "/b"}}},
		{"to another host", false, []mezu.Route{to(mezu.Route{Exact: "/a"}, "https://a.example/a", 0)}},
		{"to the edge's own", false, []mezu.Route{to(mezu.Route{Prefix: "/"}, "/.mezu/account", 0)}},
	} {
		err := mezu.ValidateRoutes(t.Context(), "routes", c.routes)
		if (err != nil) != c.loops || err != nil && !strings.Contains(err.Error(), "redirect.to") {
			t.Errorf("%s: %v", c.name, err)
		}
		last := len(c.routes) - 1
		one := mezu.ValidateRouteAmong(t.Context(), "routes", c.routes, last)
		if c.routes[last].Redirect != nil && (one != nil) != c.loops {
			t.Errorf("%s, the last alone: %v", c.name, one)
		}
	}
}

// The search for loops ends however many routes there are: it gives up looking for what costs much.
func TestRedirect_LoopsAreSearchedForWithinBounds(t *testing.T) {
	var routes []mezu.Route
	for i := range mezu.MaxRoutes - 2 {
		routes = append(routes, mezu.Route{Exact: fmt.Sprintf("/%d", i), Redirect: &mezu.Redirect{To: "/" + strings.Repeat("x", 1000) + "{path}"}})
	}
	routes = append(routes, mezu.Route{Prefix: "/late/", Redirect: &mezu.Redirect{To: "/late/x"}})
	accepted(t, "a loop that comes late", mezu.ValidateRoutes(t.Context(), "routes", routes))
	accepted(t, "others", mezu.ValidateRouteAmong(t.Context(), "routes", routes, 0))
	refused(t, "alone", mezu.ValidateRouteAmong(t.Context(), "routes", routes, len(routes)-1), "redirect.to")
}
