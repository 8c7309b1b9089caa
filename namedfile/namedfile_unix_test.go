//go:build unix

package namedfile_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/namedfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestNotAFile: what stands in a file's place is refused by its name, at once.
func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	if err := syscall.Mkfifo(name("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", name("sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, want := range map[string]string{name("fifo"): "pipe", name("dir"): "a directory", name("sock"): "a socket", "/dev/zero": "a device"} {
		_, opened := namedfile.Open(path)
		_, read := namedfile.Read(path, 10)
		_, piped := namedfile.ReadPipe(t.Context(), path, 10)
		for _, err := range []error{opened, read, piped} {
			if mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), path+" is ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if _, err := namedfile.Read(name("none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestFile: a file is read as far as asked for.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for max, want := range map[int64]string{100: "content", 4: "cont"} {
		read, err := namedfile.Read(path, max)
		piped, errPiped := namedfile.ReadPipe(t.Context(), path, max)
		if string(read) != want || string(piped) != want || err != nil || errPiped != nil {
			t.Errorf("%d: %q, %v, %q, %v", max, read, err, piped, errPiped)
		}
	}
}

// TestPipe: what somebody writes to a pipe is read; for what he doesn't write nobody
// waits longer than he wants to.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := namedfile.ReadPipe(ctx, path, 100)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if _, err := writer.WriteString("secret"); err != nil {
		t.Fatal(err)
	}
	got, err := namedfile.ReadPipe(t.Context(), path, 6)
	if string(got) != "secret" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
