package sealed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/edgesvc/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func plain(key string) bool { return strings.HasPrefix(key, "meta/") }

func keyFile(t testing.TB) *seal.File {
	t.Helper()
	f := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	if err := f.Create(); err != nil {
		t.Fatal(err)
	}
	return f
}

func openInner(t testing.TB, dir string, now func() time.Time) store.Store {
	t.Helper()
	db, err := badger.Open(badger.Options{Dir: dir, Now: now, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func open(t testing.TB, inner store.Store, w seal.Wrapper) *sealed.Store {
	t.Helper()
	s, err := sealed.Open(context.Background(), inner, sealed.Options{Wrapper: w, Plain: plain})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hidden hides the ring's own record, which the suite knows nothing of.
type hidden struct{ store.Store }

func (h hidden) List(ctx context.Context, prefix, token string, limit int) (store.Page, error) {
	page, err := h.Store.List(ctx, prefix, token, limit)
	for i, r := range page.Records {
		if r.Key == sealed.RingKey {
			page.Records = append(page.Records[:i], page.Records[i+1:]...)
			break
		}
	}
	return page, err
}

// The store keeps the contract of the driver below it.
func TestConformance(t *testing.T) {
	storetest.RunLayer(t, func(t *testing.T, now func() time.Time) store.Store {
		return hidden{open(t, openInner(t, t.TempDir(), now), keyFile(t))}
	})
}

func put(t testing.TB, s store.Store, pairs ...string) {
	t.Helper()
	var txn store.Txn
	for i := 0; i < len(pairs); i += 2 {
		txn.Ops = append(txn.Ops, store.Op{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	if _, err := s.Commit(t.Context(), txn); err != nil {
		t.Fatal(err)
	}
}

func value(t testing.TB, s store.Store, key string) string {
	t.Helper()
	rec, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(rec.Value)
}

// all is every record below, as it lies there.
func all(t testing.TB, s store.Store) map[string]store.Record {
	t.Helper()
	out := map[string]store.Record{}
	for token := ""; ; {
		page, err := s.List(t.Context(), "", token, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			out[r.Key] = r
		}
		if token = page.Next; token == "" {
			return out
		}
	}
}

// Nothing but the plain records is readable below, and none may change its place.
func TestS8_SealedBelow(t *testing.T) {
	inner := openInner(t, t.TempDir(), nil)
	s := open(t, inner, keyFile(t))
	put(t, s, "a/1", "the secret", "b", "", "meta/x", "readable")
	for key, r := range all(t, inner) {
		if plain(key) == seal.Sealed(r.Value) || bytes.Contains(r.Value, []byte("secret")) {
			t.Errorf("%s lies there as %q", key, r.Value)
		}
	}
	if value(t, s, "a/1") != "the secret" || value(t, s, "b") != "" || value(t, s, "meta/x") != "readable" {
		t.Error("other values came back")
	}
	moved := all(t, inner)["a/1"].Value
	put(t, inner, "a/2", string(moved), "a/3", "in the clear")
	for _, key := range []string{"a/2", "a/3"} {
		if rec, err := s.Get(t.Context(), key); !errors.Is(err, seal.ErrNotAuthentic) {
			t.Errorf("%s = %q, %v", key, rec.Value, err)
		}
	}
	if _, err := s.List(t.Context(), "a/", "", 0); !errors.Is(err, seal.ErrNotAuthentic) {
		t.Errorf("listing: %v", err)
	}
}

// The key that lies outside is needed, and no other does.
func TestOpenNeedsItsKey(t *testing.T) {
	inner, key := openInner(t, t.TempDir(), nil), keyFile(t)
	put(t, open(t, inner, key), "a", "x")
	_, err := sealed.Open(t.Context(), inner, sealed.Options{Wrapper: keyFile(t), Plain: plain})
	if !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	if value(t, open(t, inner, key), "a") != "x" {
		t.Error("its key does not open it")
	}
}

// Rotations change the keys and nothing that callers see: values, revisions, leases,
// derived keys. Old keys go once nothing is under them.
func TestRotate(t *testing.T) {
	inner, key := openInner(t, t.TempDir(), nil), keyFile(t)
	s, other := open(t, inner, key), open(t, inner, key)
	const n = 100
	for i := range n {
		put(t, s, fmt.Sprintf("r/%03d", i), fmt.Sprint("value ", i))
	}
	put(t, s, "r/007", "value 7")
	put(t, s, "r/big", strings.Repeat("x", sealed.MaxTxnBytes-16))
	lease, err := s.Grant(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: "leased", Value: []byte("x"), Lease: lease}}}); err != nil {
		t.Fatal(err)
	}
	before, derived, status := all(t, s), s.Derive("test"), s.Status()
	page, err := s.List(t.Context(), "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Watch(t.Context(), "", page.Position)
	if err != nil {
		t.Fatal(err)
	}
	old := all(t, inner)
	if _, err := key.Add(); err != nil {
		t.Fatal(err)
	}
	rotated, err := s.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rotated.Active == status.Active || rotated.Old != 1 || len(rotated.WrappedBy) != 1 || rotated.WrappedBy[0] == status.WrappedBy[0] {
		t.Errorf("rotated to %+v from %+v", rotated, status)
	}
	put(t, other, "by another process", "1") // which doesn't know yet
	if sealed, err := s.Maintain(t.Context()); err != nil || sealed != n+2 {
		t.Errorf("sealed %d anew, %v", sealed, err)
	}
	if s.Status().Old != 0 || s.Status().Active != rotated.Active {
		t.Errorf("after: %+v", s.Status())
	}
	if n, err := s.Maintain(t.Context()); n != 0 || err != nil {
		t.Errorf("sealed %d again, %v", n, err)
	}
	for _, st := range []store.Store{s, other, open(t, inner, key)} {
		after := all(t, st)
		if len(after) != len(before)+1 {
			t.Errorf("%d records, before %d", len(after), len(before))
		}
		for k, r := range before {
			if got := after[k]; k != sealed.RingKey && (!bytes.Equal(got.Value, r.Value) || got.Revision != r.Revision) {
				t.Errorf("%s is %.20q@%d, was %.20q@%d", k, got.Value, got.Revision, r.Value, r.Revision)
			}
		}
	}
	for k, r := range all(t, inner) {
		if bytes.Equal(r.Value, old[k].Value) {
			t.Errorf("%s lies there unchanged", k)
		}
	}
	if again := open(t, inner, key); !bytes.Equal(again.Derive("test"), derived) || bytes.Equal(again.Derive("other"), derived) {
		t.Error("derived keys changed")
	}
	// The watch tells of the ring and of the other process, and of no record that is as
	// it was.
	put(t, s, "end", "")
	var seen []string
	for event := range w.Events() {
		for _, ch := range event.Changes {
			seen = append(seen, ch.Key)
		}
		if seen[len(seen)-1] == "end" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "meta/keyring by another process meta/keyring end" {
		t.Errorf("the watch told of %q", got)
	}
	if err := s.Revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "leased"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the record outlived its lease: %v", err)
	}
}

// While keys rotate all the time, writers in two processes lose nothing and readers
// find everything.
func TestRotateUnderLoad(t *testing.T) {
	inner, key := openInner(t, t.TempDir(), nil), keyFile(t)
	stores := []*sealed.Store{open(t, inner, key), open(t, inner, key)}
	ctx := t.Context()
	const writers, each = 4, 60
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := stores[w%2]
			k := fmt.Sprint("counter/", w)
			for i := range each {
				var rev uint64
				if rec, err := s.Get(ctx, k); err == nil {
					rev = rec.Revision
					if string(rec.Value) != fmt.Sprint(i-1) {
						t.Errorf("%s is %q after %d", k, rec.Value, i-1)
					}
				} else if i > 0 {
					t.Error(err)
				}
				_, err := s.Commit(ctx, store.Txn{Checks: []store.Check{{Key: k, Revision: rev}}, Ops: []store.Op{{Key: k, Value: []byte(fmt.Sprint(i))}}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for i := 0; ; i++ {
		if _, err := stores[i%2].Rotate(ctx); err != nil {
			t.Error(err)
		}
		if _, err := stores[(i+1)%2].Maintain(ctx); err != nil && !errors.Is(err, store.ErrConflict) {
			t.Error(err)
		}
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	if _, err := stores[0].Maintain(ctx); err != nil {
		t.Error(err)
	}
	fresh := open(t, inner, key)
	for w := range writers {
		if got := value(t, fresh, fmt.Sprint("counter/", w)); got != fmt.Sprint(each-1) {
			t.Errorf("counter %d is %s", w, got)
		}
	}
}

// A change of a key that is gone is out of the history, for who opens the store anew.
func TestWatchBeforeDroppedKey(t *testing.T) {
	inner, key := openInner(t, t.TempDir(), nil), keyFile(t)
	s := open(t, inner, key)
	page, err := s.List(t.Context(), "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "1")
	if _, err := s.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := open(t, inner, key).Watch(t.Context(), "a", page.Position)
	if err != nil {
		t.Fatal(err)
	}
	for e := range w.Events() {
		t.Errorf("event %+v", e)
	}
	if !errors.Is(w.Err(), store.ErrCompacted) {
		t.Errorf("ended with %v", w.Err())
	}
}

// A store that was not sealed is taken over; interrupted, it goes on where it was.
func TestAdopt(t *testing.T) {
	inner, key := openInner(t, t.TempDir(), nil), keyFile(t)
	put(t, inner, "a", `{"a":1}`, "b", `"old"`, "meta/x", "1")
	put(t, inner, "b", `"text"`)
	s := open(t, inner, key)
	fail := errors.New("interrupted")
	read := func(r store.Record) ([]byte, error) {
		if r.Key == "b" && fail != nil {
			return nil, fail
		}
		return r.Value, nil
	}
	if _, err := s.Adopt(t.Context(), read); !errors.Is(err, fail) {
		t.Fatal(err)
	}
	fail = nil
	put(t, s, "c", "sealed already")
	if n, err := s.Adopt(t.Context(), read); err != nil || n < 1 {
		t.Fatal(n, err)
	}
	if value(t, s, "a") != `{"a":1}` || value(t, s, "b") != `"text"` || value(t, s, "c") != "sealed already" || all(t, s)["b"].Revision != 2 {
		t.Errorf("records %+v", all(t, s))
	}
}

// BenchmarkGet and BenchmarkGetPlain tell what opening costs beside reading.
func BenchmarkGet(b *testing.B)      { benchmarkGet(b, "token/x") }
func BenchmarkGetPlain(b *testing.B) { benchmarkGet(b, "meta/x") }

func benchmarkGet(b *testing.B, key string) {
	s := open(b, openInner(b, b.TempDir(), nil), keyFile(b))
	put(b, s, key, strings.Repeat("x", 400))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}
