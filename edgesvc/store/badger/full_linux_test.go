package badger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/storetest"
	"github.com/mezusphere/mezu/testkit"
)

// The disk of these tests, and a store that fits it.
const (
	diskSize    = 96 << 20
	diskMinFree = 32 << 20
	diskBallast = 24 << 20
)

func diskOptions(dir string) badger.Options {
	return badger.Options{Dir: filepath.Join(dir, "store"), MinFree: diskMinFree, Ballast: diskBallast}
}

func hasBallast(dir string) func() bool {
	return func() bool {
		fi, err := os.Stat(filepath.Join(dir, "store", "ballast"))
		var st unix.Stat_t
		return err == nil && fi.Size() == diskBallast &&
			unix.Stat(filepath.Join(dir, "store", "ballast"), &st) == nil && st.Blocks*512 >= diskBallast
	}
}

// S5: writes stop before the disk is full, reads go on, and writes do again when
// there is space.
func TestS5DiskFull(t *testing.T) {
	dir := t.TempDir()
	testkit.Disk(t, dir, diskSize)
	db := open(t, diskOptions(dir))
	storetest.Until(t, "the ballast", hasBallast(dir))
	filler := testkit.Fill(t, dir, diskMinFree+2<<20)
	value := strings.Repeat("v", 64<<10)
	acked := 0
	for {
		_, err := db.Commit(t.Context(), store.Txn{Ops: []store.Op{put(fmt.Sprintf("p/%04d", acked), fmt.Sprint(acked, value))}})
		if err != nil {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Fatal(err)
			}
			break
		}
		if acked++; acked > diskSize/len(value) {
			t.Fatal("the disk never got full")
		}
	}
	t.Logf("full after %d writes", acked)
	if _, err := db.Grant(t.Context(), store.MinLease); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("grant on a full disk: %v", err)
	}
	check := func() {
		t.Helper()
		all, _, err := dump(t.Context(), db)
		if err != nil || len(all) != acked {
			t.Errorf("%d records, %v; want %d", len(all), err, acked)
		}
	}
	check()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	commit(t, db, put(fmt.Sprintf("p/%04d", acked), "v"))
	acked++
	check()
}

// Killed and then left without a byte, the store opens at the price of its ballast,
// serves what was acknowledged, refuses writes, and gets all of it back with space.
func TestS5OpenOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	testkit.Disk(t, dir, diskSize)
	opts := diskOptions(dir)
	db := open(t, opts)
	storetest.Until(t, "the ballast", hasBallast(dir))
	closeNow(t, db)
	acked := writeAndKill(t, opts.Dir, 500, (*os.Process).Kill)
	filler := testkit.Fill(t, dir, 0)

	db = open(t, opts)
	all, _, err := dump(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range acked {
		checkWriter(t, all, i, want)
	}
	if hasBallast(dir)() {
		t.Error("the ballast is still there")
	}
	if _, err := db.Commit(t.Context(), store.Txn{Ops: []store.Op{put("x", "v")}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit on a full disk: %v", err)
	}
	// Killed or closed, it opens again.
	closeNow(t, db)
	db = open(t, opts)
	if again, _, err := dump(t.Context(), db); err != nil || len(again) != len(all) {
		t.Errorf("opened again: %d records, %v; want %d", len(again), err, len(all))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	commit(t, db, put("x", "v"))
	storetest.Until(t, "the ballast", hasBallast(dir))
}

// S5: on a disk without a byte a store is closed in order: nothing is written that the engine
// dies of, it says so, and the next opening has all of it.
func TestS5CloseOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	testkit.Disk(t, dir, diskSize)
	path := filepath.Join(dir, "store")
	var filler string
	code, said := closeAfter(t, path, func() { filler = testkit.Fill(t, dir, 0) })
	for _, want := range []string{endUnwritable + "the disk is full, 0 MiB are free", endRefused + "committing: the disk is full", "closing store " + path + ": the disk is full", "with all that was acknowledged"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in:\n%s", want, said)
		}
	}
	if code != endLeft {
		t.Errorf("ended with %d", code)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	all, _, err := dump(t.Context(), open(t, smallOptions(path)))
	if err != nil || len(all) != endWrites {
		t.Errorf("%d records, %v; want %d", len(all), err, endWrites)
	}
}

// S5: without ballast and without room the store says so, and the process lives: the
// engine would write to a mapped file that has no block, and die of the signal.
func TestS5OpenWithoutBallast(t *testing.T) {
	dir := t.TempDir()
	testkit.Disk(t, dir, diskSize)
	opts := diskOptions(dir)
	opts.Ballast = -1
	closeNow(t, open(t, opts))
	acked := writeAndKill(t, opts.Dir, 500, (*os.Process).Kill)
	filler := testkit.Fill(t, dir, 0)
	if db, err := badger.Open(opts); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "make room") {
		if err == nil {
			closeNow(t, db)
		}
		t.Fatalf("opened on a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	all, _, err := dump(t.Context(), open(t, opts))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range acked {
		checkWriter(t, all, i, want)
	}
}
