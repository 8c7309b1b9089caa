package testkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk mounts a file system in memory, of so many bytes, on dir until the test ends. It
// makes dir if need be, and skips the test where nothing can be mounted.
func Disk(t *testing.T, dir string, bytes int64) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes)); err != nil {
		t.Skipf("needs the right to mount a file system, to fill it: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
}

// Fill fills the disk of dir but for so many bytes, with the file that it returns. Remove
// that to free the space again.
func Fill(t *testing.T, dir string, leave int64) (file string) {
	t.Helper()
	file = filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := int64(64 << 10); size > 0; {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		free := int64(st.Bavail)*st.Bsize - leave
		if free <= 0 && leave > 0 {
			return file
		}
		if free > 0 {
			size = min(size, free)
		}
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			// Others write too: go on with less until the last byte is taken.
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	return file
}
