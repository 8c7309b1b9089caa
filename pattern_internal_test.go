package mezu

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
)

// agrees compares a pattern with package regexp on a path.
func agrees(t *testing.T, source string, re *regexp.Regexp, p *Pattern, path string) {
	t.Helper()
	if want := re.MatchString(path); p.Matches(path) != want {
		t.Fatalf("%q matches %q: %v, package regexp says %v (literal %q, lengths %d to %d)", source, path, !want, want, p.Literal, p.table.shortest, p.table.longest)
	}
}

// paths are those that patterns of the tests tell apart.
func samplePaths() []string {
	out := []string{"/", "/a", "/A", "/ab", "/a/b", "/a/b/", "/b", "/a-b", "/a_b", "/a.b", "/%20", "/%2F", "/users/42", "/users/42/x", "/users/", "/aaaa", "/aaaaaaaaaa", "/x.jpg", "/x.png", "/k"}
	return append(out, "/"+strings.Repeat("a", 300), "/"+strings.Repeat("ab/", 100))
}

func TestPattern_MatchesAsRegexpDoes(t *testing.T) {
	for _, source := range []string{
		"/", "/.*", ".*", "", "/a", "/a|/b", "/(a|b)*", "(?i)/a", "(?i)/k", "^/ab$", "(?m)^/a$", "/a\\b.*", "/\\Ba.*", "/a\\B.*", "\\A/a\\z", "/a$b", "/[^/]+", "/[^/]+/[^/]+/?", "/users/[0-9]+",
		"/users/(?P<id>[0-9]+)(/.*)?", "/.{3}", "/.{2,5}", "/.*\\.(jpg|png)", "/(?:a|ab)(?:b|)", "/[[:alpha:]]+", "/\\w+", "/\\W+", "/\\d*", "/\\x61", "/é", "/[à-ÿa]", "a", "/a b", "/\\\\", "/a.*b.*", "(/a)+", "/(a*)*",
		"/(\\ba|b\\b)*", ".*b", "/.*[ab]{2}.", "(?s)/.", "(?U)/a+", "/a??", "$", "^", "\\b", "(?:^|/)a", "/\\pL+", "[^a]*", "/(?i:AB)", "/%2[0F]",
	} {
		re := regexp.MustCompile(`\A(?:` + source + `)\z`)
		p, err := CompilePattern(source)
		if err != nil || p.Refused != nil {
			t.Fatalf("%q: %v, %v", source, err, p.Refused)
		}
		for _, path := range samplePaths() {
			agrees(t, source, re, p, path)
			// A path that begins with the prefix and matches is proof that one can.
			if re.MatchString(path) {
				for _, cut := range []int{0, 1, len(path) / 2, len(path)} {
					if !p.canStartWith(path[:cut]) {
						t.Errorf("%q can't begin with %q", source, path[:cut])
					}
				}
			}
		}
	}
}

func TestPattern_Measures(t *testing.T) {
	for source, want := range map[string]struct {
		literal                  string
		shortest, longest, reads int
	}{
		"/a":              {"/a", 2, 2, 3},
		"/ab|/ac":         {"/a", 3, 3, 4},
		"/a.*":            {"/a", 2, math.MaxInt, 2},
		".*":              {"", 0, math.MaxInt, 0},
		"/users/[0-9]+":   {"/users/", 8, math.MaxInt, math.MaxInt},
		"/users/[0-9]{3}": {"/users/", 10, 10, 11},
		"/u/[0-9]{3}/.*":  {"/u/", 7, math.MaxInt, 7},
		"(?i)/ab":         {"/", 3, 3, 4},
		"/é":              {"", math.MaxInt, 0, 0},
	} {
		p, err := CompilePattern(source)
		if err != nil {
			t.Fatal(err)
		}
		if tb := p.table; p.Literal != want.literal || tb.shortest != want.shortest || tb.longest != want.longest || tb.reads != want.reads {
			t.Errorf("%s: %q, %d to %d, reads %d", source, p.Literal, tb.shortest, tb.longest, tb.reads)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, source := range []string{"/a.*b", "/(a|ab)(c|bcd)", "(?i)/k\\b", "/[^/]{2,4}$", "/.*[ab].{3}"} {
		f.Add(source, "/abc")
	}
	f.Fuzz(func(t *testing.T, source, raw string) {
		p, err := CompilePattern(source)
		if err != nil || p.Refused != nil {
			return
		}
		re := regexp.MustCompile(`\A(?:` + source + `)\z`)
		path, err := CanonicalPath("/" + raw)
		if err != nil {
			return
		}
		agrees(t, source, re, p, path.Path)
	})
}

var sinkPatterns []*Pattern

func BenchmarkCompilePatterns(b *testing.B) {
	var routes []Route
	for i := range MaxRoutes {
		routes = append(routes, Route{Regexp: fmt.Sprintf("/tenants/%d/users/[0-9]+/[a-z-]*", i)})
	}
	for b.Loop() {
		sinkPatterns, _ = CompilePatterns(b.Context(), "", routes)
	}
	entries := 0
	for _, p := range sinkPatterns {
		entries += len(p.table.next)
	}
	b.ReportMetric(float64(entries)/MaxRoutes, "entries/pattern")
}
