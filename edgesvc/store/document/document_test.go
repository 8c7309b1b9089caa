package document_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/document"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func open(t *testing.T) store.Store {
	t.Helper()
	st, err := badger.Open(badger.Options{Dir: t.TempDir(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

func chunks(t *testing.T, st store.Store) []store.Record {
	t.Helper()
	var all []store.Record
	for token := ""; ; {
		page, err := st.List(t.Context(), "", token, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Records...)
		if token = page.Next; token == "" {
			return all
		}
	}
}

func mustPut(t *testing.T, st store.Store, data []byte, now time.Time) document.Ref {
	t.Helper()
	ref, err := document.TestOnlyPut(t.Context(), st, data, now)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestPutGet(t *testing.T) {
	st := open(t)
	for _, size := range []int{0, 1, document.MaxChunk - 1, document.MaxChunk, document.MaxChunk + 1, document.MaxSize} {
		data := noise(size, uint64(size))
		ref, err := document.Put(t.Context(), st, data)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(ref)
		if err != nil {
			t.Fatal(err)
		}
		var back document.Ref
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		got, err := document.Get(t.Context(), st, back)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
		}
	}
	if _, err := document.Put(t.Context(), st, make([]byte, document.MaxSize+1)); !errors.Is(err, document.ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

func TestPutWritesWhatIsMissing(t *testing.T) {
	st, now := open(t), time.Now()
	data := noise(3*document.MaxChunk, 1)
	mustPut(t, st, data, now)
	data[document.MaxChunk]++
	mustPut(t, st, data, now)
	records := chunks(t, st)
	if len(records) != 4 {
		t.Errorf("%d chunks; want the second of three once more", len(records))
	}
	for _, r := range records {
		if r.Revision != 1 {
			t.Errorf("%s was written %d times", r.Key, r.Revision)
		}
	}
}

func TestGetRefusesDamage(t *testing.T) {
	st, now := open(t), time.Now()
	data := noise(2*document.MaxChunk, 1)
	ref := mustPut(t, st, data, now)
	bad := map[string]document.Ref{
		"size":      {Size: ref.Size - 1, Chunks: ref.Chunks},
		"negative":  {Size: -1},
		"huge":      {Size: document.MaxSize + 1, Chunks: make([]string, 33)},
		"fewer":     {Size: ref.Size, Chunks: ref.Chunks[:1]},
		"more":      {Size: ref.Size, Chunks: append(ref.Chunks[:2:2], ref.Chunks[0])},
		"elsewhere": {Size: ref.Size, Chunks: []string{ref.Chunks[0], "../other"}},
	}
	for name, ref := range bad {
		if _, err := document.Get(t.Context(), st, ref); !errors.Is(err, document.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	swapped := document.Ref{Size: ref.Size, Chunks: []string{ref.Chunks[1], ref.Chunks[0]}}
	if got, err := document.Get(t.Context(), st, swapped); err != nil || bytes.Equal(got, data) {
		t.Errorf("another order is another document: %v", err)
	}
	key := "chunk/" + ref.Chunks[1]
	for name, op := range map[string]store.Op{
		"changed": {Key: key, Value: append(make([]byte, 8), data[:document.MaxChunk]...)},
		"short":   {Key: key, Value: []byte("x")},
		"missing": {Key: key, Delete: true},
	} {
		if _, err := st.Commit(t.Context(), store.Txn{Ops: []store.Op{op}}); err != nil {
			t.Fatal(err)
		}
		if _, err := document.Get(t.Context(), st, ref); !errors.Is(err, document.ErrDamaged) {
			t.Errorf("%s chunk: %v", name, err)
		}
		// Put mends it.
		mustPut(t, st, data, now)
		if got, err := document.Get(t.Context(), st, ref); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s chunk, put again: %v", name, err)
		}
	}
}

func TestSweep(t *testing.T) {
	st, now := open(t), time.Now()
	kept, dropped := noise(2*document.MaxChunk, 1), noise(3*document.MaxChunk, 2)
	copy(dropped, kept[:document.MaxChunk]) // shares a chunk
	ref := mustPut(t, st, kept, now)
	mustPut(t, st, dropped, now)
	live := func(_ context.Context, keep func(document.Ref)) error {
		keep(ref)
		return nil
	}
	for _, c := range []struct {
		age, minAge time.Duration
		want        int
	}{
		{0, 0, 0},
		{document.TestOnlyMinSweepAge, 0, 0}, // in the same second
		{document.TestOnlyMinSweepAge + 2*time.Second, 24 * time.Hour, 0},
		{document.TestOnlyMinSweepAge + 2*time.Second, 0, 2},
		{1000 * time.Hour, 0, 0},
	} {
		n, err := document.TestOnlySweep(t.Context(), st, live, c.minAge, now.Truncate(time.Second).Add(c.age))
		if err != nil || n != c.want {
			t.Errorf("age %v, minimum %v: %d deleted, %v; want %d", c.age, c.minAge, n, err, c.want)
		}
	}
	if got, err := document.Get(t.Context(), st, ref); err != nil || !bytes.Equal(got, kept) {
		t.Errorf("live document: %v", err)
	}
	broken := errors.New("broken")
	_, err := document.TestOnlySweep(t.Context(), st, func(context.Context, func(document.Ref)) error { return broken }, 0, now.Add(1000*time.Hour))
	if !errors.Is(err, broken) || len(chunks(t, st)) != 2 {
		t.Errorf("live failed: %v, %d chunks", err, len(chunks(t, st)))
	}
}

// A document put while Sweep runs is whole, although its chunks lay there unused
// for long.
func TestSweepSparesWhatIsPutMeanwhile(t *testing.T) {
	st, now := open(t), time.Now()
	data := noise(4*document.MaxChunk, 1)
	ref := mustPut(t, st, data, now)
	later := now.Add(document.TestOnlyMinSweepAge + time.Minute)
	n, err := document.TestOnlySweep(t.Context(), st, func(context.Context, func(document.Ref)) error {
		// After Sweep has listed the chunks, before it deletes them.
		mustPut(t, st, data, later)
		return nil
	}, 0, later)
	if err != nil || n != 0 {
		t.Errorf("%d deleted, %v", n, err)
	}
	if _, err := document.Get(t.Context(), st, ref); err != nil {
		t.Error(err)
	}
	// Nor does a sweep right after it, before the caller's record.
	n, err = document.TestOnlySweep(t.Context(), st, func(context.Context, func(document.Ref)) error { return nil }, 0, later.Add(document.PutToCommit))
	if err != nil || n != 0 {
		t.Errorf("%d deleted, %v", n, err)
	}
}

// A chunk that is almost old enough to be renewed is still safe for PutToCommit.
func TestUnrenewedChunkOutlivesPutToCommit(t *testing.T) {
	st, now := open(t), time.Now()
	data := noise(10, 1)
	mustPut(t, st, data, now)
	again := now.Add(document.TestOnlyRefreshAfter - 2*time.Second)
	mustPut(t, st, data, again)
	if r := chunks(t, st)[0]; r.Revision != 1 {
		t.Fatalf("renewed early: revision %d", r.Revision)
	}
	n, err := document.TestOnlySweep(t.Context(), st, func(context.Context, func(document.Ref)) error { return nil }, 0, again.Add(document.PutToCommit))
	if err != nil || n != 0 {
		t.Errorf("%d deleted, %v", n, err)
	}
}

func TestPutConcurrently(t *testing.T) {
	st, data := open(t), noise(4*document.MaxChunk, 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := document.Put(t.Context(), st, data); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(chunks(t, st)); n != 4 {
		t.Errorf("%d chunks", n)
	}
}
