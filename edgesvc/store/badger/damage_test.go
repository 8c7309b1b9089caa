package badger_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/testkit"
)

// region is some bytes of a file, from an offset on; each of the step is flipped.
type region struct {
	what     string
	from, to int64
	step     int64
}

// tableRegions are what a table consists of, by its own lengths.
func tableRegions(t *testing.T, path string, step int64) []region {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(b))
	sum := size - 4 - int64(binary.BigEndian.Uint32(b[size-4:]))
	index := sum - 4 - int64(binary.BigEndian.Uint32(b[sum-4:sum]))
	if index <= 0 || index >= sum-4 {
		t.Fatalf("%s: index at %d of %d", path, index, size)
	}
	return []region{
		{"blocks", 1, index, max(1, index/step)}, {"first block", 0, 2, 1}, {"end of the last block", index - 8, index, max(1, 8/step)},
		{"index", index, sum - 4, max(1, (sum-4-index)/step)}, {"length of the index", sum - 4, sum, max(1, 6/step)}, {"checksum", sum, size - 4, max(1, 12/step)}, {"length of the checksum", size - 4, size, 1},
	}
}

// Issue 7, row 16: a bit that flipped anywhere in the store is an error that names the
// file, or harmless, and never the end of the process.
func TestRow16FlippedBits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	fillStore(t, db, 0)
	closeNow(t, db) // tables
	db = open(t, badger.Options{Dir: dir})
	fillStore(t, db, 1)
	want, err := digest(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "crashed") // with a log
	testkit.CopyDir(t, dir, crashed)
	closeNow(t, db)
	step := int64(4)
	if os.Getenv(soakEnv) != "" {
		step = 400
	}
	var flips []flipped
	tables := 0
	for _, name := range files(t, crashed) {
		path := filepath.Join(crashed, name)
		n := used(t, path)
		regions := []region{{"all", 0, n, max(1, n/(step/2))}}
		if strings.HasSuffix(name, ".sst") {
			if tables++; tables > 1 && step < 100 {
				continue
			}
			regions = tableRegions(t, path, step)
		}
		for _, r := range regions {
			for at := r.from; at < r.to; at += r.step {
				flips = append(flips, flipped{r.what, name, at})
			}
		}
	}
	var named atomic.Int64
	beside(len(flips), func(i int) {
		if flips[i].check(t, crashed, want) {
			named.Add(1)
		}
	})
	if tables == 0 || named.Load() < 15 {
		t.Errorf("%d of %d damages of %d tables were told", named.Load(), len(flips), tables)
	}
}

// flipped is one bit that flips.
type flipped struct {
	what, name string
	at         int64
}

// check has a child read a copy of the store with that bit flipped, and reports whether
// it was told of it.
func (f flipped) check(t *testing.T, dir, want string) (told bool) {
	got, said, code := dumpCopy(t, dir, func(dir string) error { return flip(filepath.Join(dir, f.name), f.at) })
	where := fmt.Sprintf("%s of %s, byte %d", f.what, f.name, f.at)
	switch {
	case code == 0 && got != want:
		t.Errorf("%s: other records were served", where)
	case code == 0:
		return false
	case code != 3 && code != 5, strings.Contains(said, "panic"):
		t.Errorf("%s: the process ended with %d: %s", where, code, said)
	case strings.HasSuffix(f.name, ".sst") && !strings.Contains(said, filepath.Base(f.name)+" is damaged"):
		t.Errorf("%s: the error doesn't name the file: %s", where, said)
	}
	return true
}
