package mezu_test

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

func TestTarget_Fill(t *testing.T) {
	for _, c := range []struct{ to, path, query, want, wantPath string }{
		{"/new", "/old", "a=b", "/new", "/new"},
		{"{path}", "/old", "", "/old", "/old"},
		{"/new{path}?{query}", "/old/x", "a=b&c", "/new/old/x?a=b&c", "/new/old/x"},
		{"/new{path}?{query}", "/old/x", "", "/new/old/x", "/new/old/x"},
		{"/new?x=1&{query}#top", "/old", "", "/new?x=1#top", "/new"},
		{"/new?{query}&x=1", "/old", "", "/new?x=1", "/new"},
		{"/new?{query}&x=1", "/old", "a", "/new?a&x=1", "/new"},
		{"/new?{query}#top", "/old", "", "/new#top", "/new"},
		{"/login?to={path}", "/a&b=c/%20", "", "/login?to=%2Fa%26b%3Dc%2F%2520", "/login"},
		{"https://new.example", "/old", "a", "https://new.example", "/"},
		{"https://new.example{path}", "/old", "a", "https://new.example/old", "/old"},
		{"https://new.example:8443/{path}", "/old", "", "https://new.example:8443/old", "/old"},
		{"https://new.example?{query}", "/old", "", "https://new.example", "/"},
		{"https://new.example/#{path}", "/a b", "", "https://new.example/#%2Fa+b", "/"},
		// Two slashes never meet, whatever is on both sides.
		{"/{path}", "/evil.example", "", "/evil.example", "/evil.example"},
		{"{path}/x", "/", "", "/x", "/x"},
		{"{path}{path}", "/", "", "/", "/"},
		{"{path}{path}", "/evil.example", "", "/evil.example/evil.example", "/evil.example/evil.example"},
		{"/a//{path}", "/b", "", "/a//b", "/a//b"},
		// What no URL has is escaped.
		{"/new?{query}", "/old", "a=\"<>\xc3\xa4{|}\\", "/new?a=%22%3C%3E%C3%A4%7B%7C%7D%5C", "/new"},
	} {
		target, err := mezu.ParseTarget(c.to)
		if err != nil {
			t.Errorf("%s: %v", c.to, err)
			continue
		}
		if got, path := target.Fill(c.path, c.query); got != c.want || path != c.wantPath {
			t.Errorf("%s with %s?%s: %s with the path %s, not %s with %s", c.to, c.path, c.query, got, path, c.want, c.wantPath)
		}
	}
}

func TestTarget_Refuses(t *testing.T) {
	for _, to := range []string{
		"//evil.example/", "https://", "https:///x", "https:evil.example", "mailto:a@b.example", "javascript:alert(1)", "ftp://a.example/", "x", "?x", "../x", `/\evil.example`, `https://a.example\@b.example/`,
		"https://a@b.example/", "https://a.example:/", "https://a.example:99999/", "https://{path}", "https://{host}/", "https://a.example:{path}", "https://a.example{query}",
		"/{user}", "/{path", "/path}", "/{}", "/{Path}", "/{query}", "/x?a={query}", "/?{query}x", "/x?{query}{path}", "/x?{query}?", "/x#{query}", "/a b", "/ä", "/a\r\nX: y", "/a\x00", "/a\tb", "/<x>", `/"`,
	} {
		if _, err := mezu.ParseTarget(to); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", to, err)
		}
		r := mezu.Route{Prefix: "/", Redirect: &mezu.Redirect{To: to}}
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "redirect.to") {
			t.Errorf("a route to %q: %v", to, err)
		}
	}
}

// Whatever a request has in its path and query, the host that a redirect leads to stays.
func FuzzTarget_KeepsItsHost(f *testing.F) {
	f.Add("/{path}", "//evil.example", "a=b")
	f.Add("https://new.example{path}?{query}", "/%5C/x", "\r\nX: y")
	f.Add("{path}{path}?x={path}&{query}#{path}", "/", "")
	f.Fuzz(func(t *testing.T, to, rawPath, query string) {
		path, err := mezu.CanonicalPath(rawPath)
		target, bad := mezu.ParseTarget(to)
		if err != nil || bad != nil {
			return
		}
		location, _ := target.Fill(path.Path, query)
		rest, ok := strings.CutPrefix(location, target.Origin)
		switch {
		case !ok, target.Origin == "" && (!strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "//")):
			t.Fatalf("%q with %q and %q leads to %q", to, path.Path, query, location)
		case target.Origin != "" && rest != "" && strings.IndexByte("/?#", rest[0]) < 0:
			t.Fatalf("%q with %q and %q leads to %q", to, path.Path, query, location)
		case !mezu.ValidHeaderValue(location) || strings.Contains(location, "\t"):
			t.Fatalf("%q with %q and %q gives %q", to, path.Path, query, location)
		}
	})
}
