package mezu_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu"
)

func TestCanonicalPath(t *testing.T) {
	for raw, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "/a/b.c": "/a/b.c", "/.a": "/.a", "/..a": "/..a", "/...": "/...", "/a.": "/a.",
		"/.well-known/x": "/.well-known/x", "/a/.": "/a/", "/a/..": "/", "/a/../": "/", "/..": "/", "/../../a": "/a", "/a/b/../..": "/",
		"/a//": "/a/", "/a/b/..": "/a/", "/%7Ea%2D%5f": "/~a-_", "/%e2%82%ac": "/%E2%82%AC", "/€": "/%E2%82%AC", "/%3a%3A": "/%3A%3A", "/:": "/:",
		"/%25%34%31": "/%2541", "/%252e%252e/a": "/%252e%252e/a", "/a%20b": "/a%20b", "/a+b": "/a+b", "/%2B": "/%2B",
		"/a|b^\"<>`{}": "/a|b^\"<>`{}", "/~": "/~", "/!$&'()*+,;=:@": "/!$&'()*+,;=:@",
	} {
		got, err := mezu.CanonicalPath(raw)
		if err != nil || got != (mezu.Path{Path: want}) {
			t.Errorf("%q: %+v, %v, want %q", raw, got, err, want)
		}
	}
}

func TestR1_CanonicalPath(t *testing.T) {
	for _, raw := range []string{"//admin", "///admin", "/./admin", "/public/../admin", "/public/%2e%2e/admin", "/public/.%2E/admin", "/.//admin", "/%2e/admin", "/public/x/..//.././admin"} {
		if got, err := mezu.CanonicalPath(raw); err != nil || got.Path != "/admin" {
			t.Errorf("%q: %q, %v", raw, got.Path, err)
		}
	}
}

func TestR2_EncodedSlashes(t *testing.T) {
	for _, raw := range []string{
		"/public%2f..%2fadmin", "/public%2F%2e%2e%2Fadmin", "/public/..%2fadmin", "/a%5c..%5cb", "/a%5C.", "/%2F.", "/a\\admin",
		"/a%2Fb/../c", "/a%2F../../b", "/./a%2Fb", "/..%2F", "/a/%2e%5c",
	} {
		if got, err := mezu.CanonicalPath(raw); mezu.CodeOf(err) != mezu.CodeNotCanonical {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
	for raw, want := range map[string]string{"/a%2fb": "/a%2Fb", "/a%5cadmin": "/a%5Cadmin", "//a%2F%2f": "/a%2F%2F", "/a%2F..b": "/a%2F..b", "/a%2F...": "/a%2F..."} {
		if got, err := mezu.CanonicalPath(raw); err != nil || got != (mezu.Path{Path: want, EncodedSlash: true}) {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
}

func TestR4_SemicolonsArePathData(t *testing.T) {
	for raw, want := range map[string]string{"/public;/../admin": "/admin", "/admin;x=1": "/admin;x=1", "/admin;.css": "/admin;.css", "/a/..;/b": "/a/..;/b", "/a%3b": "/a%3B"} {
		if got, err := mezu.CanonicalPath(raw); err != nil || got.Path != want {
			t.Errorf("%q: %q, %v", raw, got.Path, err)
		}
	}
}

func TestR5_NoCanonicalForm(t *testing.T) {
	for _, raw := range []string{
		"/%00", "/%0a", "/%0d", "/%ff", "/%c0%ae", "/%u002e", "/%", "/%2", "/%zz", "/a%", "/%1f", "/%7f", "/%ed%a0%80", "/%f4%90%80%80", "/%80",
		"/\x00", "/\n", "/\r", "/\t", "/ ", "/\x7f", "/\xff", "/\xc0\xae", "/a?b", "/a#b", "", "a", "*", "http://a/",
	} {
		if got, err := mezu.CanonicalPath(raw); mezu.CodeOf(err) != mezu.CodeNotCanonical {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
}

func TestCanonicalPath_AllocatesNothing(t *testing.T) {
	for _, raw := range []string{"/", "/api/v1/users/77", "/.well-known/acme", "/a/b.c/d..e/"} {
		if n := testing.AllocsPerRun(100, func() { mezu.CanonicalPath(raw) }); n != 0 {
			t.Errorf("%s: %v allocations", raw, n)
		}
	}
}

// checkPath holds what is true of every path.
func checkPath(t interface{ Fatalf(string, ...any) }, raw string) {
	p, err := mezu.CanonicalPath(raw)
	if err != nil {
		if mezu.CodeOf(err) != mezu.CodeNotCanonical || p != (mezu.Path{}) {
			t.Fatalf("%q: %+v with %v", raw, p, err)
		}
		return
	}
	if again, err := mezu.CanonicalPath(p.Path); err != nil || again != p {
		t.Fatalf("%q: canonical form %+v becomes %+v, %v", raw, p, again, err)
	}
	if p.Path[0] != '/' || strings.Contains(p.Path, "//") || strings.Contains(p.Path+"/", "/./") || strings.Contains(p.Path+"/", "/../") {
		t.Fatalf("%q: %q has an empty or a dot segment", raw, p.Path)
	}
	if p.EncodedSlash != (strings.Contains(p.Path, "%2F") || strings.Contains(p.Path, "%5C")) {
		t.Fatalf("%q: %+v", raw, p)
	}
	for i := 0; i < len(p.Path); i++ {
		if c := p.Path[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '?' || c == '#' {
			t.Fatalf("%q: %q holds %q", raw, p.Path, c)
		}
	}
	if !utf8.ValidString(raw) && !strings.Contains(raw, "%") {
		t.Fatalf("%q is not UTF-8 and passed as %q", raw, p.Path)
	}
}

func TestCanonicalPath_Idempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom([]string{"/", "//", ".", "..", "%2e", "%2F", "%5c", "%25", "%41", "é", "%C3%A9", ";", "a"}), rapid.String())).Draw(t, "parts")
		checkPath(t, "/"+strings.Join(parts, ""))
	})
}

func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "//a", "/./a", "/../a", "/%2e%2e/a", "/a%2f..%2fb", "/a%5Cb", "/%c0%ae", "/%00", "/%u002e", "/%252e", "/é", "/a;b", "", "a", "/%", "/a%2F../../b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) { checkPath(t, raw) })
}

// N10: only what is its own canonical path is returned to.
func TestN10_ReturnPath(t *testing.T) {
	for _, good := range []string{"/", "/a/b?x=1&y=%20", "/a?", "/caf%C3%A9", "/.mezu/account", "/a?next=https://x.example/"} {
		if got := mezu.ReturnPath(good); got != good {
			t.Errorf("%q returns to %q", good, got)
		}
	}
	for _, bad := range []string{
		"", "a", "//evil.example", `/\evil.example`, "/%09/evil.example", "/\t/evil.example", " /", "/ ", "https://evil.example/", "/a#b", "/a/../b", "/%2e%2e/b",
		"///", "/a\r\nSet-Cookie: x", "/?a b", "/?a\"b", `/?\`, "@evil.example", "/.mezu/login", "/.mezu", "/.mezu/logout?x", "/\x00", "/%00", "/é", "javascript:alert(1)",
		"/" + strings.Repeat("a", mezu.MaxReturnPath), "/%5Cevil.example/..",
	} {
		if got := mezu.ReturnPath(bad); got != "/" {
			t.Errorf("%q returns to %q", bad, got)
		}
	}
}

// What is returned to is on the same host for whoever reads it.
func FuzzReturnPath(f *testing.F) {
	for _, s := range []string{"/", "//evil", `/\evil`, "/a?b#c", "/%2f%2fevil", "/.mezu/account"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://app.example.com/")
	f.Fuzz(func(t *testing.T, to string) {
		got := mezu.ReturnPath(to)
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || u.User != nil || u.Fragment != "" || mezu.ReturnPath(got) != got {
			t.Errorf("%q returns to %q: %v %v", to, got, u, err)
		}
	})
}
