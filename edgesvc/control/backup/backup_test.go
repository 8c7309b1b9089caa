package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/backup"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// The members of an embedded cluster leave connections behind, as in the driver's own
// tests.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"))
}

const (
	markKey   = "meta/backup"
	markerKey = "meta/restoring"
)

func newStore(t testing.TB) store.Store {
	t.Helper()
	db, err := badger.Open(badger.Options{Dir: t.TempDir(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newKey(t testing.TB) *seal.File {
	t.Helper()
	f := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	if err := f.Create(); err != nil {
		t.Fatal(err)
	}
	return f
}

func put(t testing.TB, s store.Store, ops ...store.Op) store.Position {
	t.Helper()
	pos, err := s.Commit(context.Background(), store.Txn{Ops: ops})
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func source(s store.Store, w seal.Wrapper) backup.Source {
	return backup.Source{Store: s, Wrapper: w, Mark: markKey, Leave: func(key string) bool { return strings.HasPrefix(key, "live/") },
		Header: backup.Header{Format: 2, Program: "v-test", MadeAt: time.Unix(1_700_000_000, 0).UTC()}}
}

func target(s store.Store, w seal.Wrapper) backup.Target {
	return backup.Target{Store: s, Wrapper: w, Format: 2, Marker: markerKey,
		Finish: func(context.Context, backup.Header) ([]store.Op, error) { return nil, nil }}
}

func write(t testing.TB, s backup.Source) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := backup.Write(t.Context(), &b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stateOf is a record's value, by its digest, and its revision.
func stateOf(value []byte, revision uint64) string {
	return fmt.Sprintf("%d bytes %x@%d", len(value), sha256.Sum256(value), revision)
}

// state is what each record holds.
func state(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for token := ""; ; {
		page, err := s.List(context.Background(), "", token, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			out[r.Key] = stateOf(r.Value, r.Revision)
		}
		if token = page.Next; token == "" {
			return out
		}
	}
}

func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%q is %s, not %s", k, got[k], v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%q is there too", k)
		}
	}
}

// S6: what is restored equals what was there, record by record with revisions: of
// stores made at random, with records of all sizes.
func TestS6_RestoreEquals(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		from, to, key := newStore(t), newStore(t), newKey(t)
		put(t, from, store.Op{Key: "live/x", Value: []byte("under a lease")})
		for range 20 + rnd.IntN(200) {
			op := store.Op{Key: fmt.Sprintf("%c/%d", 'a'+rnd.IntN(20), rnd.IntN(30)), Delete: rnd.IntN(4) == 0}
			if !op.Delete {
				op.Value = bytes.Repeat([]byte{byte(rnd.Uint32())}, []int{0, 1, 100, 5000, 70_000, store.MaxTxnBytes - 64}[rnd.IntN(5+rnd.IntN(2))])
			}
			put(t, from, op)
		}
		file := write(t, source(from, key))
		want := state(t, from)
		delete(want, "live/x")
		h, err := backup.Restore(t.Context(), bytes.NewReader(file), target(to, key))
		if err != nil || h.Program != "v-test" || h.Format != 2 {
			t.Fatal(h, err)
		}
		same(t, state(t, to), want)
	}
}

// S6: a backup of a store that is written meanwhile is one state that existed, that
// of the marker.
func TestS6_OneStateUnderLoad(t *testing.T) {
	t.Parallel()
	oneStateUnderLoad(t, newStore(t), func() store.Store { return newStore(t) })
}

func oneStateUnderLoad(t *testing.T, from store.Store, newTarget func() store.Store) {
	t.Helper()
	key := newKey(t)
	for i := 0; i < 3000; i += 50 { // several pages
		var ops []store.Op
		for j := range 50 {
			ops = append(ops, store.Op{Key: fmt.Sprintf("k/%05d", i+j), Value: []byte("0")})
		}
		put(t, from, ops...)
	}
	// The watched history is the truth that the backup is compared with.
	first, err := from.List(t.Context(), "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	model := state(t, from)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range uint64(3) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(w, 66))
			for i := 0; ctx.Err() == nil; i++ {
				var ops []store.Op
				for _, n := range rnd.Perm(3200)[:1+rnd.IntN(5)] {
					ops = append(ops, store.Op{Key: fmt.Sprintf("k/%05d", n), Delete: rnd.IntN(3) == 0, Value: fmt.Appendf(nil, "%d/%d", w, i)})
				}
				if _, err := from.Commit(context.Background(), store.Txn{Ops: ops}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var files [][]byte
	for range 3 {
		files = append(files, write(t, source(from, key)))
	}
	stop()
	wg.Wait()
	w, err := from.Watch(t.Context(), "", first.Position)
	if err != nil {
		t.Fatal(err)
	}
	var at []map[string]string
	for e := range w.Events() {
		for _, ch := range e.Changes {
			if ch.Deleted {
				delete(model, ch.Key)
				continue
			}
			model[ch.Key] = stateOf(ch.Value, ch.Revision)
			if ch.Key == markKey {
				at = append(at, maps.Clone(model))
			}
		}
		if len(at) == len(files) {
			break
		}
	}
	for i, file := range files {
		to := newTarget()
		if _, err := backup.Restore(t.Context(), bytes.NewReader(file), target(to, key)); err != nil {
			t.Fatal(err)
		}
		same(t, state(t, to), at[i])
	}
}

// S8: nothing of the records is readable in the file, and each byte counts: cut,
// changed or longer it is refused before anything is written.
func TestS8_DamagedBackupRefused(t *testing.T) {
	t.Parallel()
	from, key := newStore(t), newKey(t)
	put(t, from, store.Op{Key: "org/visible-name", Value: []byte("the secret")}, store.Op{Key: "b", Value: bytes.Repeat([]byte("x"), 200_000)})
	file := write(t, source(from, key))
	if bytes.Contains(file, []byte("the secret")) || bytes.Contains(file, []byte("visible-name")) {
		t.Error("the file is readable")
	}
	to := newStore(t)
	try := func(what string, file []byte) {
		t.Helper()
		_, err := backup.Restore(t.Context(), bytes.NewReader(file), target(to, key))
		if mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []int{0, 5, 14, 100, len(file) / 2, len(file) - 1, 64<<10 + 16 + bytes.IndexByte(file[14:], '\n') + 15} {
		try(fmt.Sprint("cut at ", n), file[:n])
	}
	for i := 0; i < len(file); i += 1 + len(file)/150 {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		try(fmt.Sprint("changed at ", i), changed)
	}
	try("longer", append(bytes.Clone(file), 0))
	try("twice", append(bytes.Clone(file), file...))
	if got := state(t, to); len(got) != 0 {
		t.Errorf("refused, and yet there are %d records", len(got))
	}
	_, err := backup.Restore(t.Context(), bytes.NewReader(file), target(to, newKey(t)))
	var e *mezu.Error
	if !errors.As(err, &e) || e.Field != "seal_key_file" || e.Hint == "" {
		t.Errorf("another key: %v", err)
	}
	newer := source(from, key)
	newer.Header.Format = 3
	_, err = backup.Restore(t.Context(), bytes.NewReader(write(t, newer)), target(to, key))
	if mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), "format 3") {
		t.Errorf("a newer format: %v", err)
	}
	put(t, to, store.Op{Key: "a"})
	if _, err = backup.Restore(t.Context(), bytes.NewReader(file), target(to, key)); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("a store in use: %v", err)
	}
}

// dying is a store whose process is killed after so many commits.
type dying struct {
	store.Store
	left int
}

var errKilled = errors.New("killed")

func (d *dying) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	if d.left--; d.left < 0 {
		return "", errKilled
	}
	return d.Store.Commit(ctx, txn)
}

// S6: a restore that is killed at any commit leaves the marker, and the next begins
// anew, also with another backup.
func TestS6_RestoreKilledAnywhere(t *testing.T) {
	t.Parallel()
	from, key := newStore(t), newKey(t)
	for i := range 200 {
		put(t, from, store.Op{Key: fmt.Sprint("k/", i), Value: bytes.Repeat([]byte("x"), 10_000)})
	}
	first := write(t, source(from, key))
	for i := range 150 {
		put(t, from, store.Op{Key: fmt.Sprint("k/", i), Delete: true})
	}
	second := write(t, source(from, key))
	want := state(t, from)
	kills := 0
	for n := 0; ; n++ {
		to := newStore(t)
		_, err := backup.Restore(t.Context(), bytes.NewReader(first), target(&dying{to, n}, key))
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		kills++
		if got := state(t, to); n > 0 && got[markerKey] == "" {
			t.Fatalf("killed at commit %d: no marker beside %d records", n, len(got))
		}
		if _, err := backup.Restore(t.Context(), bytes.NewReader(second), target(to, key)); err != nil {
			t.Fatal(err)
		}
		same(t, state(t, to), want)
	}
	if kills < 5 {
		t.Errorf("killed %d times only", kills)
	}
}

// FuzzCheck: whatever a file holds, reading it ends with a word on it.
func FuzzCheck(f *testing.F) {
	from, key := newStore(f), newKey(f)
	put(f, from, store.Op{Key: "a", Value: []byte("x")})
	file := write(f, source(from, key))
	f.Add(file)
	f.Add(file[:len(file)-1])
	f.Add([]byte("mezu-backup-1\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := backup.Check(t.Context(), bytes.NewReader(b), key, 2); err == nil && !bytes.Equal(b, file) {
			t.Error("another file passes")
		}
	})
}
