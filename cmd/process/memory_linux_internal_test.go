//go:build linux

package process

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGroupMemory(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a/memory.max", "3000\n")
	write("a/b/memory.max", "max\n")
	write("memory/c/memory.limit_in_bytes", "2000\n")
	write("memory/memory.limit_in_bytes", "9223372036854771712\n")
	for groups, want := range map[string]uint64{
		"0::/a/b\n":                        3000,
		"0::/\n":                           5000,
		"12:cpu:/c\n4:memory:/c\n0::/\n":   2000,
		"":                                 5000,
		"4:memory:/docker/unseen\n0::/a\n": 3000,
		"nonsense\n0:":                     5000,
	} {
		if got := groupMemory(root, groups, 5000); got != want {
			t.Errorf("%q: %d, want %d", groups, got, want)
		}
	}
}

func TestMemory(t *testing.T) {
	if n, ok := memory(); !ok || n < 64<<20 {
		t.Errorf("%d bytes, %v", n, ok)
	}
}
