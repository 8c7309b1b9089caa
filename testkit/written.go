package testkit

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// writeVariable has tests write what they would compare. "make reference" sets it.
const writeVariable = "MEZU_WRITE_REFERENCE"

// Written holds the files of a folder whose names match a pattern against what they should have,
// by name. Under "make reference" it writes them, and removes those that nothing makes any more.
func Written(t testing.TB, dir, pattern string, want map[string]string) {
	t.Helper()
	there, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	writing := os.Getenv(writeVariable) != ""
	stale := func(path, how string) { t.Errorf("%s %s: run make reference and commit what it changes", path, how) }
	for _, path := range there {
		if _, ok := want[filepath.Base(path)]; ok {
			continue
		}
		if !writing {
			stale(path, "is made by nothing any more")
		} else if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		path := filepath.Join(dir, name)
		if writing {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want[name]), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		switch got, err := os.ReadFile(path); {
		case err != nil:
			stale(path, "is missing")
		case string(got) != want[name]:
			stale(path, "is stale")
		}
	}
}
