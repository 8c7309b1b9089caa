package main

import (
	"strings"
	"testing"
)

// TestTargetsOfADeveloper: what a Warpgate that runs says of its targets is what mezu routes test
// judges by, and mezu warpgates show shows. Those of mezu.yaml may come yet, which is said.
func TestTargetsOfADeveloper(t *testing.T) {
	r := start(t, t.TempDir(), "127.0.0.1:9")
	var out string
	until(t, "it says where it forwards", func() bool {
		_, ids, _ := r.mezu("warpgates", "list", "-o", "name")
		_, out, _ = r.mezu("warpgates", "show", strings.TrimSpace(ids))
		return strings.Contains(out, "127.0.0.1:9\n") && strings.Contains(out, "…")
	})
	if code, out, talk := r.mezu("routes", "test", "GET", "/", "-o", "json"); code != 0 || !strings.Contains(out, `"forwards": "yes"`) || talk != "" {
		t.Errorf("%d %s%s\n", code, out, talk)
	}
	if code, _, talk := r.mezu("routes", "create", "--exact", "/else", "--upstream", "127.0.0.1:10"); code != 0 {
		t.Fatal(talk)
	}
	if code, out, talk := r.mezu("routes", "test", "GET", "/else", "-o", "json"); code != 0 || !strings.Contains(out, `"forwards": "unknown"`) || talk == "" {
		t.Errorf("%d %s%s\n", code, out, talk)
	}
}
