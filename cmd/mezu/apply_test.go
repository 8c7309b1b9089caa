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
	file := filepath.Join(t.TempDir(), "mezu.yaml")
	for _, path := range []string{"/one", "/two"} {
		text := "project: shop\nenvironments:\n  staging:\n    routes:\n      - {prefix: /, redirect: {to: \"https://example.com" + path + "\", status: 302}}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, talk := p.mezu("apply", "-f", file, "--wait")
		if code != 0 || !regexp.MustCompile(`(?m)^(✓|ok) \S+/shop/staging is in force: 1 edge, 0 Warpgates \(`).MatchString(talk) {
			t.Fatalf("code %d, %s%s", code, out, talk)
		}
	}
	for _, args := range [][]string{
		{"routes", "create", "more", "--exact", "/more", "-p", "shop", "-e", "staging", "--wait"},
		{"routes", "update", "more", "--exact", "/most", "-p", "shop", "-e", "staging", "--wait"},
		{"routes", "delete", "more", "-p", "shop", "-e", "staging", "--wait", "--yes"},
	} {
		if code, out, talk := p.mezu(args...); code != 0 || !regexp.MustCompile(`shop/staging is in force: 1 edge`).MatchString(talk) {
			t.Errorf("%v: code %d, %s%s", args, code, out, talk)
		}
	}
}
