package atomicfile_test

import (
	"os"
	"testing"

	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/testkit"
)

// A directory on a full disk can be used: what is there is read.
func TestEnsureDirFull(t *testing.T) {
	dir := t.TempDir()
	testkit.Disk(t, dir, 64<<10)
	testkit.Fill(t, dir, 0)
	if err := atomicfile.EnsureDir(dir); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}
