package mezu_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// TestSayTargets: what is said is read as it was meant, and what doesn't fit is said to be left out.
func TestSayTargets(t *testing.T) {
	parse := func(text string) mezu.Upstream {
		u, err := mezu.ParseUpstream(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	long := parse("unix:/" + strings.Repeat("x", 90))
	for name, c := range map[string]struct {
		upstream mezu.Upstream
		allow    []mezu.Upstream
		more     bool
		told     int
		left     bool
	}{
		"nothing":    {},
		"a few":      {upstream: parse("8080"), allow: []mezu.Upstream{parse("https://api.internal"), parse("h2c://127.0.0.1:1"), parse("unix:/run/x")}, told: 3},
		"and others": {upstream: parse("8080"), more: true, left: true},
		"many":       {allow: slices.Repeat([]mezu.Upstream{parse("1")}, mezu.MaxWarpgateTargets+1), told: mezu.MaxWarpgateTargets, left: true},
		"many bytes": {upstream: long, allow: slices.Repeat([]mezu.Upstream{long}, mezu.MaxWarpgateTargets), told: mezu.MaxWarpgateTargetBytes/len(long.String()) - 1, left: true},
	} {
		said := mezu.SayTargets(c.upstream, c.allow, c.more)
		upstream, allow, err := said.Upstreams()
		if err != nil || upstream != c.upstream || !slices.Equal(allow, c.allow[:c.told]) || said.More != c.left {
			t.Errorf("%s: %+v is read as %v, %d, %v", name, said, upstream, len(allow), err)
		}
	}
	for name, bad := range map[string]mezu.WarpgateTargets{
		"upstream": {Upstream: "ftp://x"}, "allow": {Allow: []string{"x"}},
		"allow has": {Allow: slices.Repeat([]string{"1"}, mezu.MaxWarpgateTargets+1)}, "allow, bytes": {Allow: []string{strings.Repeat("1", mezu.MaxWarpgateTargetBytes+1)}},
	} {
		if _, _, err := bad.Upstreams(); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
