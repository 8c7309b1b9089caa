package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = io.WriteString(f, text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestC2_TailOfALog: what was written before is not shown, and what is shown is safe.
func TestC2_TailOfALog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if got := openTail(path).last(); got != "" {
		t.Errorf("no file: %q", got)
	}
	write(t, path, "old 1\nold 2\n")
	end := openTail(path)
	if got := end.last(); got != "" {
		t.Errorf("nothing new: %q", got)
	}
	write(t, path, "new\x1b[31m\nlast\n")
	if got := end.last(); got != "new\\x1b[31m\nlast" {
		t.Errorf("%q", got)
	}
	for i := range 20 {
		write(t, path, fmt.Sprintln("line", i))
	}
	if got := end.last(); got != "line 15\nline 16\nline 17\nline 18\nline 19" {
		t.Errorf("%q", got)
	}
	if err := os.Rename(path, path+olderLog); err != nil {
		t.Fatal(err)
	}
	write(t, path, "of the next file\n")
	if got := end.last(); got != "of the next file" {
		t.Errorf("a new file: %q", got)
	}
}

// TestReadLog: both files are one log, of which the last MiB is read from the beginning of a
// line on.
func TestReadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path+olderLog, strings.Repeat("older line\n", local.MaxLog/11+100))
	write(t, path, "present\n")
	data, end, err := readLog(path, local.MaxLog)
	if err != nil || end != 8 || len(data) > local.MaxLog || len(data) < local.MaxLog-100 || !strings.HasPrefix(string(data), "older line\n") || !strings.HasSuffix(string(data), "older line\npresent\n") {
		t.Errorf("%d bytes, end %d, %v", len(data), end, err)
	}
}

// TestFollow: lines come as they are written, over the change of files.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "before\n")
	ctx, cancel := context.WithCancel(t.Context())
	var shown testkit.Buffer
	ended := make(chan error, 1)
	go func() { ended <- follow(ctx, path, 7, &cleanWriter{to: &shown}) }()
	write(t, path, "one\nhalf")
	await(t, &shown, "one\n")
	write(t, path, " two\n")
	if err := os.Rename(path, path+olderLog); err != nil {
		t.Fatal(err)
	}
	write(t, path, "three\n")
	await(t, &shown, "one\nhalf two\nthree\n")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
