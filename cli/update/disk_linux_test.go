package update_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// A disk that is full leaves what was there.
func TestUpdate_FullDisk(t *testing.T) {
	big := append([]byte("#!/bin/sh\necho mezu 1.3.0\nexit\n"), make([]byte, 600<<10)...)
	r := testkit.NewRelease(t, "v1.3.0", big)
	p := updating(t, r)
	testkit.Disk(t, p.path("disk"), 64<<20)
	data, err := os.ReadFile(p.program())
	if err != nil {
		t.Fatal(err)
	}
	program := p.path("disk/mezu")
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Skipf("the program does not fit: %v", err)
	}
	filled := testkit.Fill(t, p.path("disk"), 200<<10)
	p.env = append(p.env, "MEZU_DOWNLOAD="+r.Dir, "MEZU_RELEASE_KEY="+r.Signers)
	out, code := p.run(program, "update")
	if code != 5 || !strings.Contains(out, "nothing was replaced") || !strings.Contains(out, "make room") {
		t.Errorf("code %d, %s", code, out)
	}
	if left, _ := os.ReadDir(p.path("disk")); len(left) != 2 {
		t.Errorf("left %v", left)
	}
	if err := os.Remove(filled); err != nil {
		t.Fatal(err)
	}
	if out, code := p.run(program, "update"); code != 0 {
		t.Errorf("code %d, %s", code, out)
	}
	if out, _ := p.run(program, "version"); out != "mezu 1.3.0\n" {
		t.Error(out)
	}
}

// mountReadOnly has a folder be read-only until the test ends, which root heeds too.
func mountReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
}
