package testkit

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// extent is a part of a file that holds data. What lies between extents is a hole: zeros
// that take no room.
type extent struct{ from, to int64 }

// Sparse makes a file of a size that takes no room, and the folders above it, for their owner
// alone. As the ballast of a store it spares the tests the wait for one another's gigabytes,
// where no disk is to be filled.
func Sparse(t *testing.T, path string, size int64) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err == nil {
		err = os.Truncate(path, size)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// CopyFile copies a file, as its owner's alone, and the folders above it. Holes stay holes,
// and the kernel copies the rest: an engine's logs and the image of a disk are mostly holes,
// and what a program reads itself costs the race detector a look at each byte. The copy of a program
// can be run at once, as what WriteProgram writes.
func CopyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := copyFile(from, to); err != nil {
		t.Fatal(err)
	}
}

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	parts, err := extents(r, info.Size())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, e := range parts {
		if _, err := r.Seek(e.from, io.SeekStart); err != nil {
			return err
		}
		if _, err := w.Seek(e.from, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(w, r, e.to-e.from); err != nil {
			return err
		}
	}
	if err := w.Truncate(info.Size()); err != nil {
		return err
	}
	return w.Close()
}

// ReadData is a file without the hole at its end.
func ReadData(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	parts, err := extents(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	if len(parts) > 0 {
		b = make([]byte, parts[len(parts)-1].to)
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}
