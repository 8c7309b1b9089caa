//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// TestLogFileOfAFullDisk: whoever writes goes on, and what is missing is said where it is
// missing.
func TestLogFileOfAFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	testkit.Disk(t, dir, 256<<10)
	path := filepath.Join(dir, "log")
	l := openSmallLog(t, path, MaxLogFile)
	fmt.Fprintln(l, "before")
	ballast := testkit.Fill(t, dir, 4<<10)
	line := strings.Repeat("x", 1000)
	for range 20 {
		if _, err := fmt.Fprintln(l, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, "after")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if n := len(got); got[0] != "before" || got[n-1] != "after" || !strings.Contains(got[n-2], "could not be written") || n > 20 {
		t.Errorf("%d lines, the last ones %q", n, got[max(0, n-3):])
	}
}

// TestLogFileComesLater: a log that could not be opened is tried again.
func TestLogFileComesLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	l, err := OpenLogFile(filepath.Join(dir, "log"))
	if err == nil {
		t.Fatal("there is no such folder")
	}
	defer l.Close()
	fmt.Fprintln(l, "lost")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, "kept")
	data, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || !strings.Contains(string(data), "lines=1\nkept\n") {
		t.Errorf("%q, %v", data, err)
	}
}
