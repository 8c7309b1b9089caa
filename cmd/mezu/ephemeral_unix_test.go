//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestRemoveAbandoned: the next run removes what killed ones left, and nothing else.
func TestRemoveAbandoned(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	made := func() (string, func() error) {
		dir, remove, err := makeEphemeral()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "control", "offline"), 0o700); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(dir), remove
	}
	running, stop := made()
	ended, end := made()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	// One that was killed has its folder and a lock that nobody holds.
	name := func(s string) string { return filepath.Join(tmp, s) }
	for _, dir := range []string{"mezu-dev-killed/control", "mezu-dev-older", "other-killed", "elsewhere"} {
		if err := os.MkdirAll(name(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"mezu-dev-killed/lock", "mezu-dev-killed/control/key", "other-killed/lock", "elsewhere/lock"} {
		if err := os.WriteFile(name(file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(name("elsewhere"), name("mezu-dev-link")); err != nil {
		t.Fatal(err)
	}
	list := func() (names []string) {
		entries, err := os.ReadDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	before := list()
	if removeAbandoned(time.Now()); !slices.Equal(list(), before) || slices.Contains(before, ended) {
		t.Errorf("of young ones %q were left of %q", list(), before)
	}
	removeAbandoned(time.Now().Add(2 * ephemeralYouth))
	want := []string{"elsewhere", "mezu-dev-link", "mezu-dev-older", "other-killed", running}
	slices.Sort(want)
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
