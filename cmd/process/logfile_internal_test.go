package process

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// openSmallLog opens a log of small files.
func openSmallLog(t *testing.T, path string, max int64) *LogFile {
	t.Helper()
	l, err := OpenLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.max = max
	t.Cleanup(func() { l.Close() })
	return l
}

// TestLogFileRotates: there are never more than two files, neither is larger than it may be,
// and the last lines are there in order, over restarts too.
func TestLogFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	const lines, max = 500, 1000
	for half := range 2 {
		l := openSmallLog(t, path, max)
		for i := range lines / 2 {
			fmt.Fprintf(l, "line %d\n", half*lines/2+i)
		}
		l.Close()
		fmt.Fprintln(l, "after the end")
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	var text string
	for _, name := range []string{path + olderLog, path} {
		data, err := os.ReadFile(name)
		if err != nil || len(data) > max {
			t.Errorf("%s has %d bytes, %v", name, len(data), err)
		}
		info, err := os.Stat(name)
		if err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		text += string(data)
	}
	got := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range got {
		if want := fmt.Sprintf("line %d", lines-len(got)+i); line != want {
			t.Fatalf("%q, want %q", line, want)
		}
	}
}
