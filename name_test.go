package mezu_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestValidateName(t *testing.T) {
	for _, name := range []string{"a", "7", "a-b", "a--b-c", long(40)} {
		accepted(t, name, mezu.ValidateName("name", name))
	}
	for _, name := range []string{"", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "xn--a", "ab--", long(41), "a\n"} {
		refused(t, name, mezu.ValidateName("projects.x", name), "projects.x")
	}
}

func TestNameFrom(t *testing.T) {
	for text, want := range map[string]string{
		"shop": "shop", "My Shop": "my-shop", "  __a__b  ": "a-b", "Ünïcode": "n-code", "": "fallback", "---": "fallback", "日本": "fallback",
		"xn--a": "xn-a", "ab--cd": "ab-cd", long(50): long(40), long(39) + " b": long(39), "v1.2.3": "v1-2-3",
	} {
		if got := mezu.NameFrom(text, "fallback"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestNewID(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	seen := map[string]bool{}
	for range 1000 {
		id := mezu.NewID(mezu.PrefixWarpgate, at)
		if seen[id] || mezu.ValidateID("id", mezu.PrefixWarpgate, id) != nil {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
		if later := mezu.NewID(mezu.PrefixWarpgate, at.Add(time.Millisecond)); later <= id {
			t.Fatalf("%q of a millisecond later sorts before %q", later, id)
		}
	}
}

func TestValidateID(t *testing.T) {
	const good = "00000000000000000000000001"
	accepted(t, "good", mezu.ValidateID("id", "org", "org_"+good))
	for _, id := range []string{
		"", "org", "org_", good, "prj_" + good, "org" + good, "org_" + good + "0", "org_" + good[1:], "org_" + strings.ToUpper("a"+good[1:]), "org_i" + good[1:],
		"org_" + good[2:] + "\n\n", "org_" + good[:12] + "\r\n" + good[14:], "org_" + good[1:] + "/", "org_org_" + good[4:],
	} {
		refused(t, id, mezu.ValidateID("id", "org", id), "id")
	}
}

func TestEndpointLabel(t *testing.T) {
	if got := mezu.EndpointLabel("acme", "shop", "staging", 0); got != "shop-staging-acme" {
		t.Error(got)
	}
	if got := mezu.EndpointLabel("acme", "shop", mezu.EnvironmentProduction, 0); got != "shop-acme" {
		t.Error(got)
	}
	// The suffix is part of the public address: it may never change.
	if got := mezu.EndpointLabel("acme", "shop", "staging", 1); got != "shop-staging-acme-hs8x9x" {
		t.Error(got)
	}
	if mezu.EndpointLabel("c", "a-b", mezu.EnvironmentProduction, 0) != mezu.EndpointLabel("c", "a", "b", 0) {
		t.Error("this clash is what suffixes are for")
	}
	seen := map[string]bool{}
	for _, names := range [][3]string{{"c", "a-b", "production"}, {"c", "a", "b"}, {long(40), long(40), long(40)}, {long(40), long(40), "production"}} {
		for attempt := 1; attempt < 20; attempt++ {
			label := mezu.EndpointLabel(names[0], names[1], names[2], attempt)
			if seen[label] || !mezu.EndpointFits(label) {
				t.Errorf("attempt %d for %v: %q", attempt, names, label)
			}
			seen[label] = true
		}
	}
	// 63 characters fit, 64 do not.
	just := mezu.EndpointLabel(long(20), long(20), long(21), 0)
	if len(just) != 63 || !mezu.EndpointFits(just) {
		t.Errorf("%d characters: %v", len(just), mezu.EndpointFits(just))
	}
	if over := mezu.EndpointLabel(long(20), long(20), long(22), 0); mezu.EndpointFits(over) {
		t.Errorf("%d characters fit", len(over))
	}
	// No hyphens meet where a long label is cut.
	if got := mezu.EndpointLabel("x", long(40), long(14)+"-"+long(2), 1); strings.Contains(got, "--") || len(got) > 63 {
		t.Error(got)
	}
}

func TestEndpointFits(t *testing.T) {
	for _, label := range []string{"", "www", "api", "mta-sts", "_dmarc", "a.b", "-a", "A", "xn--a", long(64)} {
		if mezu.EndpointFits(label) {
			t.Errorf("%q fits", label)
		}
	}
	if !mezu.ReservedLabel("localhost") || mezu.ReservedLabel("shop-acme") {
		t.Error("reserved labels")
	}
}

// A name that passes is a label that can stand in a path, in an endpoint and in a key;
// any text makes one.
func FuzzValidateName(f *testing.F) {
	for _, s := range []string{"a", "shop-1", "xn--a", "watch", "-a", "a-", "A", "ä", "a.b", "a/b", "a b", strings.Repeat("a", 41)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if made := mezu.NameFrom(s, "fallback"); mezu.ValidateName("", made) != nil || mezu.NameFrom(made, "fallback") != made {
			t.Fatalf("%q makes %q, which is no name or makes another", s, made)
		}
		if mezu.ValidateName("", s) != nil {
			return
		}
		if url.PathEscape(s) != s || s != strings.ToLower(s) || len(s) > mezu.MaxNameLength || strings.ContainsAny(s, "._/ ") || s == "watch" {
			t.Fatalf("%q is a name", s)
		}
		if host, err := mezu.CanonicalHost(s + ".example"); err != nil || host != s+".example" {
			t.Fatalf("%q is no label: %q, %v", s, host, err)
		}
	})
}
