package mezu

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkShortCut holds the short cut of CanonicalPath equal to the long way: it is
// taken for exactly the paths without escapes that are canonical already.
func checkShortCut(t interface{ Fatalf(string, ...any) }, raw string) {
	long, err := canonicalise(raw)
	canonical := err == nil && long.Path == raw && !strings.Contains(raw, "%")
	if plainPath(raw) != canonical {
		t.Fatalf("%q: short cut %v, long way %q, %v", raw, plainPath(raw), long.Path, err)
	}
	if canonical && long.EncodedSlash {
		t.Fatalf("%q: an encoded slash where there is no escape", raw)
	}
}

func TestCanonicalPath_ShortCutEqualsLongWay(t *testing.T) {
	// Every path of up to six of the bytes that matter.
	const bytes = "/.a%\\\x80"
	var all func(raw string, left int)
	all = func(raw string, left int) {
		checkShortCut(t, raw)
		for i := 0; left > 0 && i < len(bytes); i++ {
			all(raw+bytes[i:i+1], left-1)
		}
	}
	all("/", 6)
	for c := range 256 { // every byte at every kind of place
		for _, around := range []string{"/\x00", "/a\x00", "/\x00a", "/a/\x00/b", "/.\x00", "/a.\x00."} {
			checkShortCut(t, strings.ReplaceAll(around, "\x00", string([]byte{byte(c)})))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		checkShortCut(t, "/"+rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z./%2eFf]*`)).Draw(t, "rest"))
	})
}

func FuzzCanonicalPath_ShortCut(f *testing.F) {
	for _, s := range []string{"", "a", ".", "..", "./", "...", ".a", "a//", "%2e", "a?b", "a#b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rest string) { checkShortCut(t, "/"+rest) })
}
