//go:build unix

package folder_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu/daemon/folder"
)

// A pipe, a socket and a device are no files, and nobody waits for one. A file that may not be
// read says so.
func TestAttackDevices(t *testing.T) {
	root := site(t)
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "docs", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(root, "s"))
	if err == nil {
		defer l.Close()
	}
	if err := os.Symlink("/dev/zero", filepath.Join(root, "zero")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "index.html")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "index.html"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, folder.Config{Path: root})
	for _, target := range []string{"/pipe", "/docs/pipe", "/s", "/zero", "/", "/index.html"} {
		if resp := get(t, f, "GET", target); resp.StatusCode != 404 {
			t.Errorf("%s: %s", target, resp.Status)
		}
	}
	name := filepath.Join(root, "app.js")
	if err := os.Chmod(name, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Open(name); err != nil { // root may read it
		if resp := get(t, f, "GET", "/app.js"); resp.StatusCode != 403 {
			t.Error(resp.Status)
		}
	}
}
