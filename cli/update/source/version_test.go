package source

import (
	"strings"
	"testing"
)

// Versions in the order in which they come.
func TestVersion_Compare(t *testing.T) {
	order := []string{"v0.0.1", "v0.9.10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "v1.0.0-rc.1", "v1.0.0-rc.1-2-g0a1b2c3",
		"v1.0.0", "v1.0.0-3-gabcdef0", "v1.0.0-12-gabcdef0", "1.0.1", "v1.2.0", "v1.10.0", "v2.0.0"}
	for i, a := range order {
		for j, b := range order {
			v, ok := ParseVersion(a)
			w, also := ParseVersion(b)
			if got := v.Compare(w); !ok || !also || sign(got) != sign(i-j) {
				t.Errorf("%s and %s: %d, %v, %v", a, b, got, ok, also)
			}
		}
	}
	if v, _ := ParseVersion("v1.2.3"); v.Compare(func() Version { w, _ := ParseVersion("1.2.3-dirty"); return w }()) != 0 {
		t.Error("what is not committed makes another version")
	}
	for _, none := range []string{"", "devel", "v1", "v1.2", "1.2.3.4", "v01.2.3", "v1.2.3-", "v1.2.3+x", "v1.2.3 ", "v1.2.1000000000", "abcdef0", "v1.2.3-rc..1"} {
		if v, ok := ParseVersion(none); ok {
			t.Errorf("%q is %v", none, v)
		}
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

// A list names each file once, with a whole digest, or is none.
func FuzzParseSums(f *testing.F) {
	f.Add(strings.Repeat("0", 64) + "  mezu.tar.gz\n")
	f.Fuzz(func(t *testing.T, text string) {
		sums, err := parseSums(text)
		if err != nil {
			return
		}
		if len(sums) != strings.Count(strings.TrimSuffix(text, "\n"), "\n")+1 && text != "" {
			t.Errorf("%d of %q", len(sums), text)
		}
		for name, sum := range sums {
			if len(sum) != 64 || name == "" {
				t.Errorf("%q has %q", name, sum)
			}
		}
	})
}
