package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// What --wait waited for is in force at once: the next request gets it.
func TestApplyWait(t *testing.T) {
	p := newTunneller(t, start(t, t.TempDir()), nil)
	p.env["MEZU_PROJECT"] = "waited" // the services of mezu dev would not outlive a --prune of theirs
	file := filepath.Join(t.TempDir(), "mezu.yaml")
	for _, path := range []string{"/one", "/two"} {
		text := "project: waited\nenvironments:\n  staging:\n    routes:\n      - {prefix: /, redirect: {to: \"https://example.com" + path + "\", status: 302}}\n"
		if path == "/one" {
			text += "  gone: {}\n" // which the second time removes
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, talk := p.mezu("apply", "-f", file, "--wait", "--prune")
		if code != 0 || !regexp.MustCompile(`(?m)^(✓|ok) \S+/waited/staging is in force: 1 edge, 0 Warpgates \(`).MatchString(talk) {
			t.Fatalf("code %d, %s%s", code, out, talk)
		}
	}
	for _, args := range [][]string{
		{"routes", "create", "more", "--exact", "/more", "-e", "staging", "--wait"},
		{"routes", "update", "more", "--exact", "/most", "-e", "staging", "--wait"},
		{"routes", "delete", "more", "-e", "staging", "--wait", "--yes"},
	} {
		if code, out, talk := p.mezu(args...); code != 0 || !regexp.MustCompile(`waited/staging is in force: 1 edge`).MatchString(talk) {
			t.Errorf("%v: code %d, %s%s", args, code, out, talk)
		}
	}
}
