package badger_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/storetest"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		os.Exit(child(job, os.Getenv(childDirEnv)))
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return open(t, badger.Options{Dir: t.TempDir(), Now: now})
	})
}

// open opens a store without a ballast, unless the options have one; it is closed
// with the test, if not before.
func open(t *testing.T, opts badger.Options) *badger.DB {
	t.Helper()
	if opts.Ballast == 0 {
		opts.Ballast = -1
	}
	db, err := badger.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, db) })
	return db
}

func put(key, value string) store.Op { return store.Op{Key: key, Value: []byte(value)} }

func commit(t *testing.T, st store.Store, ops ...store.Op) store.Position {
	t.Helper()
	pos, err := st.Commit(t.Context(), store.Txn{Ops: ops})
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func closeNow(t *testing.T, st store.Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// dump reads all records.
func dump(ctx context.Context, st store.Store) (map[string]string, store.Position, error) {
	all := make(map[string]string)
	var pos store.Position
	for token := ""; ; {
		page, err := st.List(ctx, "", token, store.MaxPage)
		if err != nil {
			return nil, "", err
		}
		for _, r := range page.Records {
			all[r.Key] = fmt.Sprintf("%d %s", r.Revision, r.Value)
		}
		pos = page.Position
		if token = page.Next; token == "" {
			return all, pos, nil
		}
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	first := commit(t, db, put("a", "1"))
	second := commit(t, db, put("a", "2"), put("b", "1"))
	closeNow(t, db)

	db = open(t, badger.Options{Dir: dir})
	all, pos, err := dump(t.Context(), db)
	if err != nil || pos != second || len(all) != 2 || all["a"] != "2 2" {
		t.Errorf("reopened: %v at %q, %v; want position %q", all, pos, err, second)
	}
	third := commit(t, db, put("a", "3"))
	w, err := db.Watch(t.Context(), "", first)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []store.Position{second, third} {
		if e := storetest.Next(t, w); e.Position != want {
			t.Errorf("event at %q; want %q", e.Position, want)
		}
	}
}

// A copy of the store that went its own way gives no meaning to the positions of the
// original, although they have the same numbers.
func TestForkedStore(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	before := commit(t, db, put("a", "1"))
	closeNow(t, db)
	testkit.CopyDir(t, dir, filepath.Join(copied, "store"))
	db = open(t, badger.Options{Dir: dir})
	own := commit(t, db, put("a", "original"))
	fork := open(t, badger.Options{Dir: filepath.Join(copied, "store")})
	commit(t, fork, put("a", "fork"))
	commit(t, fork, put("a", "fork again"))
	if _, err := fork.Watch(t.Context(), "", own); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("position of the original: %v", err)
	}
	w, err := fork.Watch(t.Context(), "", before)
	if err != nil {
		t.Fatalf("position from before the copy: %v", err)
	}
	if e := storetest.Next(t, w); string(e.Changes[0].Value) != "fork" {
		t.Errorf("event %+v", e)
	}
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	if _, err := badger.Open(badger.Options{Dir: dir}); !errors.Is(err, atomicfile.ErrLocked) {
		t.Errorf("second opening: %v", err)
	}
	closeNow(t, db)
	open(t, badger.Options{Dir: dir})
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "store")
	db := open(t, badger.Options{Dir: dir, Ballast: 1 << 20})
	commit(t, db, put("a", "1"))
	storetest.Until(t, "the ballast", func() bool {
		fi, err := os.Stat(filepath.Join(dir, "ballast"))
		return err == nil && fi.Size() == 1<<20
	})
	closeNow(t, db)
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err == nil && fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, fi.Mode())
		}
		if d.Name() == "badger" {
			return fs.SkipDir // the engine's own files are as it makes them
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A lease gets its full ttl again after a restart, and ends after that.
func TestLeaseAfterRestart(t *testing.T) {
	dir, clock := t.TempDir(), testkit.StillClock(time.Now())
	const ttl = 10 * time.Second
	db := open(t, badger.Options{Dir: dir, Now: clock.Now})
	id, err := db.Grant(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, db, store.Op{Key: "a", Value: []byte("1"), Lease: id})
	closeNow(t, db)
	clock.Advance(time.Hour)

	db = open(t, badger.Options{Dir: dir, Now: clock.Now})
	clock.Advance(ttl - 1)
	if err := db.KeepAlive(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	clock.Advance(ttl - 1)
	commit(t, db, store.Op{Key: "b", Value: []byte("1"), Lease: id})
	if _, err := db.Get(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	clock.Advance(1)
	storetest.Until(t, "the records' end", func() bool {
		all, _, err := dump(t.Context(), db)
		return err == nil && len(all) == 0
	})
	// Nothing of the lease is left, and it stays ended.
	if n := db.TestOnlyEngineKeys(); n['l'] != 0 || n['k'] != 0 {
		t.Errorf("engine keeps %v", n)
	}
	closeNow(t, db)
	db = open(t, badger.Options{Dir: dir, Now: clock.Now})
	if err := db.KeepAlive(t.Context(), id); !errors.Is(err, store.ErrLeaseExpired) {
		t.Errorf("ended lease after another restart: %v", err)
	}
}

// The history on disk is bounded, and what is dropped is no longer asked for.
func TestHistoryIsTrimmed(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	const extra = 3500
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for range (store.WatchHistory + extra) / 100 {
				if _, err := db.Commit(context.Background(), store.Txn{Ops: []store.Op{put(fmt.Sprint(i), "v")}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	storetest.Until(t, "trimming", func() bool { n := db.TestOnlyEngineKeys()['c']; return n <= store.WatchHistory+1001 })
	if n := db.TestOnlyEngineKeys()['c']; n <= store.WatchHistory {
		t.Errorf("%d commits kept; want %d at least", n, store.WatchHistory+1)
	}
	_, pos, err := dump(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	closeNow(t, db)
	db = open(t, badger.Options{Dir: dir})
	if _, after, err := dump(t.Context(), db); err != nil || after != pos {
		t.Errorf("reopened at %q, %v; want %q", after, err, pos)
	}
}

// Large commits end the history earlier.
func TestHistoryBytes(t *testing.T) {
	db := open(t, badger.Options{Dir: t.TempDir()})
	_, from, err := dump(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	const n, size = 20, 1000
	db.TestOnlyHistoryBytes(n * size)
	value := strings.Repeat("v", size-1)
	for range n {
		commit(t, db, put("k", value))
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, err := db.Watch(ctx, "", from)
	if err != nil {
		t.Fatalf("within the limit: %v", err)
	}
	for i := range n {
		if e := storetest.Next(t, w); e.Changes[0].Revision != uint64(i+1) {
			t.Fatalf("event %d has revision %d", i, e.Changes[0].Revision)
		}
	}
	cancel()
	commit(t, db, put("k", "v"))
	if _, err := db.Watch(t.Context(), "", from); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("over the limit: %v", err)
	}
}

// S3: after a sync failed no write is accepted until the store is opened anew, and
// none is read whose fate is unknown.
func TestS3FailedSync(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	pos := commit(t, db, put("a", "1"))
	w, err := db.Watch(t.Context(), "", pos)
	if err != nil {
		t.Fatal(err)
	}
	db.TestOnlyFailSync(errors.New("input/output error"))
	for range 3 {
		if _, err := db.Commit(t.Context(), store.Txn{Ops: []store.Op{put("a", "2")}}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("commit: %v", err)
		}
	}
	if _, err := db.Grant(t.Context(), time.Minute); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("grant: %v", err)
	}
	all, now, err := dump(t.Context(), db)
	if err != nil || all["a"] != "1 1" || now != pos {
		t.Errorf("read after the failure: %v at %q, %v", all, now, err)
	}
	select {
	case e := <-w.Events():
		t.Errorf("watched %+v", e)
	default:
	}
	closeNow(t, db)
	db = open(t, badger.Options{Dir: dir})
	// The first of them is there or not; the others are not.
	r, err := db.Get(t.Context(), "a")
	if err != nil || r.Revision > 2 {
		t.Errorf("after reopening: %+v, %v", r, err)
	}
	commit(t, db, put("a", "3"))
}

func TestS7Linearizable(t *testing.T) {
	db := open(t, badger.Options{Dir: t.TempDir()})
	storetest.Linearizable(t, []store.Store{db, db, db}, nil)
}
