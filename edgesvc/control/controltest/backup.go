package controltest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
)

// Backup writes a backup of the installation into a file.
func (in *Installation) Backup(op *api.Client) string {
	in.T.Helper()
	var b bytes.Buffer
	n, err := op.Backup(in.T.Context(), &b)
	if err != nil || n != int64(b.Len()) {
		in.T.Fatal(n, err)
	}
	path := filepath.Join(in.T.TempDir(), "backup")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		in.T.Fatal(err)
	}
	return path
}

// Restored is an installation that was put back from a file into a directory of its
// own, not started.
func (in *Installation) Restored(path string, live bool) *Installation {
	in.T.Helper()
	r := New(in.T)
	r.Clock = in.Clock
	key, err := os.ReadFile(filepath.Join(in.Dir, "seal.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(r.Dir, "seal.key"), key, 0o600)
	}
	if err != nil {
		in.T.Fatal(err)
	}
	got, err := control.Restore(in.T.Context(), control.Config{StateDir: r.Dir, Now: in.Clock.Now}, OpenFile(in.T, path), live)
	if err != nil || got.Records < 20 || got.Program != "test" {
		in.T.Fatalf("%+v, %v", got, err)
	}
	return r
}

// OpenFile opens a backup until the test ends.
func OpenFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
