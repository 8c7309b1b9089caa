package document_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
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

var owner = document.Owner{Tenant: "org_a", Name: "env_a"}

func mustPut(t *testing.T, st store.Store, data []byte) document.Ref {
	t.Helper()
	ref, err := document.Put(t.Context(), st, owner, 0, data)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func stored(t *testing.T, st store.Store, tenant string) int {
	t.Helper()
	n, _, err := document.Stored(t.Context(), st, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPutGet(t *testing.T) {
	st := open(t)
	for _, size := range []int{0, 1, document.MaxChunk - 1, document.MaxChunk, document.MaxChunk + 1, document.MaxSize} {
		data := noise(size, uint64(size))
		ref := mustPut(t, st, data)
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
	if _, err := document.Put(t.Context(), st, owner, 0, make([]byte, document.MaxSize+1)); !errors.Is(err, document.ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

func TestGetRefusesDamage(t *testing.T) {
	st := open(t)
	data := noise(2*document.MaxChunk, 1)
	ref := mustPut(t, st, data)
	bad := map[string]document.Ref{
		"size":     {Size: ref.Size - 1, Chunks: ref.Chunks, Owner: ref.Owner, ID: ref.ID},
		"negative": {Size: -1},
		"huge":     {Size: document.MaxSize + 1, Chunks: make([]string, 53)},
		"fewer":    {Size: ref.Size, Chunks: ref.Chunks[:1], Owner: ref.Owner, ID: ref.ID},
		"swapped":  {Size: ref.Size, Chunks: []string{ref.Chunks[1], ref.Chunks[0]}, Owner: ref.Owner, ID: ref.ID},
		"another":  {Size: ref.Size, Chunks: ref.Chunks, Owner: ref.Owner, ID: "x"},
		"shared":   {Size: ref.Size, Chunks: ref.Chunks},
	}
	for name, ref := range bad {
		if _, err := document.Get(t.Context(), st, ref); !errors.Is(err, document.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	key := "piece/" + owner.String() + "/" + ref.ID + "/1"
	for name, op := range map[string]store.Op{
		"changed": {Key: key, Value: data[:document.MaxChunk]},
		"short":   {Key: key, Value: []byte("x")},
		"missing": {Key: key, Delete: true},
	} {
		if _, err := st.Commit(t.Context(), store.Txn{Ops: []store.Op{op}}); err != nil {
			t.Fatal(err)
		}
		if _, err := document.Get(t.Context(), st, ref); !errors.Is(err, document.ErrDamaged) {
			t.Errorf("%s chunk: %v", name, err)
		}
	}
}

// Row 5 of the attacks: what a tenant's documents take is counted from the first byte to
// the last, and bounded.
func TestPutCounts(t *testing.T) {
	st := open(t)
	other := document.Owner{Tenant: owner.Tenant, Name: "env_b"}
	const most = 3 * document.MaxChunk
	for i, o := range []document.Owner{owner, other, owner} {
		if _, err := document.Put(t.Context(), st, o, most, noise(document.MaxChunk, uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	before := len(chunks(t, st))
	if _, err := document.Put(t.Context(), st, other, most, []byte("x")); !errors.Is(err, document.ErrFull) {
		t.Errorf("one byte too many: %v", err)
	}
	if n := stored(t, st, owner.Tenant); n != most || len(chunks(t, st)) != before {
		t.Errorf("%d bytes are counted, and what was refused left something", n)
	}
	if _, err := document.Put(t.Context(), st, document.Owner{Tenant: "org_b", Name: "env_c"}, most, []byte("x")); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	if _, err := document.Put(t.Context(), st, document.Owner{}, 1, []byte("xx")); err != nil {
		t.Errorf("the installation: %v", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := document.Put(t.Context(), st, document.Owner{Tenant: "org_c", Name: "env_d"}, 0, noise(document.MaxChunk+1, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := stored(t, st, "org_c"); n != 8*(document.MaxChunk+1) {
		t.Errorf("eight at once count %d bytes", n)
	}
}

// Row 5 of the attacks: a document that nothing refers to is gone, with its bytes in the
// count, once it was seen so for long enough; one that something refers to stays.
func TestTidy(t *testing.T) {
	st := open(t)
	now := time.Now()
	tidier := document.NewTidier(func() time.Time { return now })
	kept, dropped := mustPut(t, st, noise(3*document.MaxChunk, 1)), mustPut(t, st, noise(document.MaxSize, 2))
	referred := []document.Ref{kept, dropped}
	tidy := func() {
		t.Helper()
		err := tidier.Tidy(t.Context(), st, func(_ context.Context, of document.Owner, keep func(document.Ref)) error {
			if of != owner {
				t.Errorf("looked at %v", of)
			}
			for _, ref := range referred {
				keep(ref)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	there := func(ref document.Ref) bool {
		_, err := document.Get(t.Context(), st, ref)
		return err == nil
	}
	tidy() // nobody was named
	if err := tidier.NameAll(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	tidy()
	referred = referred[:1]
	tidier.Name(owner)
	tidy()
	now = now.Add(document.Grace - time.Second)
	tidy()
	if !there(dropped) || !there(kept) {
		t.Fatal("a document went too early")
	}
	// One that is referred to again meanwhile begins anew.
	referred = append(referred, dropped)
	tidy()
	referred = referred[:1]
	tidier.Name(owner)
	now = now.Add(time.Minute)
	tidy()
	if !there(dropped) {
		t.Fatal("a document went that had been referred to")
	}
	now = now.Add(document.Grace)
	tidy()
	if there(dropped) || !there(kept) || stored(t, st, owner.Tenant) != kept.Size || len(chunks(t, st)) != 5 {
		t.Errorf("%d bytes are counted, %d records are left", stored(t, st, owner.Tenant), len(chunks(t, st)))
	}
	referred = nil
	tidier.Name(owner)
	tidy()
	broken := errors.New("broken")
	now = now.Add(document.Grace)
	if err := tidier.Tidy(t.Context(), st, func(context.Context, document.Owner, func(document.Ref)) error { return broken }); !errors.Is(err, broken) || !there(kept) {
		t.Errorf("what is referred to can't be told: %v", err)
	}
	tidy()
	if len(chunks(t, st)) != 0 {
		t.Errorf("%d records are left", len(chunks(t, st)))
	}
}

// Documents of before owners were told apart are read, and go when nothing refers to
// them.
func TestShared(t *testing.T) {
	st, put := open(t), time.Now().Truncate(time.Second)
	var ref document.Ref
	for i := range 2 {
		data := noise(document.MaxChunk, uint64(i))
		sum := sha256.Sum256(data)
		name := hex.EncodeToString(sum[:])
		value := binary.BigEndian.AppendUint64(nil, uint64(put.Unix()))
		if _, err := st.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: "chunk/" + name, Value: append(value, data...)}}}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			ref = document.Ref{Size: len(data), Chunks: []string{name}}
		}
	}
	live := func(_ context.Context, keep func(document.Ref)) error {
		keep(ref)
		return nil
	}
	for want, age := range []time.Duration{document.TestOnlyMinSweepAge, document.TestOnlyMinSweepAge + time.Second} {
		if n, err := document.TestOnlySweepShared(t.Context(), st, live, put.Add(age)); err != nil || n != want {
			t.Errorf("after %v: %d deleted, %v", age, n, err)
		}
	}
	if got, err := document.Get(t.Context(), st, ref); err != nil || !bytes.Equal(got, noise(document.MaxChunk, 0)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
