// Package testkit has what the tests of several packages need: a clock that a test
// moves, a buffer that processes and goroutines write while a test reads, disks
// that a test may fill, and a look for programs that tests run.
//
// What lives here: what the tests of two packages or more share and what is not about one
// package. What may not: a double of anything of this project, which belongs beside the
// real one, and an import of this project. Only tests import it.
package testkit

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Buffer is a bytes.Buffer that several goroutines may write and read at once. The zero
// value is empty.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// CopyDir copies a program's directory as "cp -rp" does: nobody but the owner may read
// what is in it.
func CopyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}
