package audit_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const org = "org_06h1a73ae0aj4kp17p6y6qyrtr"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// errKilled is what a process gets from its store when it is about to be gone.
var errKilled = errors.New("killed")

// faulty is a store whose n-th commit from now on fails: before it does anything, or
// after it did all.
type faulty struct {
	store.Store
	mu    sync.Mutex
	left  int // commits that go through; below zero, all
	after bool
}

func (f *faulty) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	f.mu.Lock()
	fails := f.left == 0
	if f.left >= 0 {
		f.left = max(0, f.left-1)
	}
	after := f.after
	f.after = f.after && !fails // what comes after the end has no effect at all
	f.mu.Unlock()
	if fails && !after {
		return "", errKilled
	}
	position, err := f.Store.Commit(ctx, txn)
	if fails {
		err = errKilled
	}
	return position, err
}

func (f *faulty) fail(at int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.after = at, after
}

// installation is a log over a store and an archive.
type installation struct {
	t     *testing.T
	store *faulty
	dir   string
	root  ed25519.PublicKey
	cfg   audit.Config
	log   *audit.Log
	mu    sync.Mutex
	at    time.Time
}

func (in *installation) now() time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.at
}

func (in *installation) set(at time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.at = at
}

func install(t *testing.T) *installation {
	t.Helper()
	db, err := badger.Open(badger.Options{Dir: filepath.Join(t.TempDir(), "store")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	root, rootKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	end := start.Add(365 * 24 * time.Hour)
	keyset, err := mezu.Sign(mezu.PurposeKeyset, "trust-root", rootKey, mezu.Keyset{Version: 1, NotAfter: end, CARoots: []string{"-"},
		Keys: []mezu.PublicKey{{ID: "audit-1", Purpose: mezu.PurposeAudit, Key: public, NotAfter: end}}})
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{t: t, store: &faulty{Store: db, left: -1}, dir: filepath.Join(t.TempDir(), "archive"), root: root, at: start}
	in.cfg = audit.Config{Store: in.store, Now: in.now, Keyset: func() mezu.Signed { return keyset },
		Sign: func(v any) (mezu.Signed, error) { return mezu.Sign(mezu.PurposeAudit, "audit-1", key, v) }}
	in.restart()
	return in
}

// restart forgets all that was in memory.
func (in *installation) restart() {
	in.t.Helper()
	in.cfg.Archive = archive.New(in.dir, in.root)
	var err error
	if in.log, err = audit.Open(in.t.Context(), in.cfg); err != nil {
		in.t.Fatal(err)
	}
}

// write puts records into the store.
func (in *installation) write(records ...mezu.AuditRecord) {
	in.t.Helper()
	for batch := range slices.Chunk(records, store.MaxOps) {
		var txn store.Txn
		for _, r := range batch {
			value, err := json.Marshal(r)
			if err != nil {
				in.t.Fatal(err)
			}
			txn.Ops = append(txn.Ops, store.Op{Key: audit.Key(r), Value: value})
		}
		if _, err := in.store.Store.Commit(in.t.Context(), txn); err != nil {
			in.t.Fatal(err)
		}
	}
}

// record makes one of a moment.
func record(at time.Time, n int) mezu.AuditRecord {
	pick := func(of ...string) string { return of[n%len(of)] }
	r := mezu.AuditRecord{ID: mezu.NewAuditID(at), Time: at.Truncate(time.Microsecond), Operation: pick("create-project", "update-project", "create-route"), Outcome: mezu.AuditDone,
		Actor:        mezu.AuditActor{Kind: pick("member", "service_account"), ID: pick("mbr_a", "sva_b", "mbr_c", "mbr_d", "mbr_e")},
		Organization: org, Project: pick("prj_a", "prj_b", "", "prj_c"), Target: mezu.AuditTarget{Kind: "project", ID: pick("prj_a", "prj_b", "prj_c"), Name: pick("shop", "blog")},
		After: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
	if n%7 == 0 {
		r.Outcome, r.Code, r.After = mezu.AuditDenied, mezu.CodeForbidden, nil
	}
	if n%11 == 0 {
		r.Organization, r.Project = "", ""
	}
	return r
}

// all pages through a query.
func (in *installation) all(q audit.Query, limit int) (out []mezu.AuditRecord) {
	in.t.Helper()
	for after := ""; ; {
		page, err := in.log.Read(in.t.Context(), q, after, limit)
		if err != nil {
			in.t.Fatal(err)
		}
		if len(page.Damaged) > 0 {
			in.t.Fatal(page.Damaged)
		}
		if len(page.Records) > limit {
			in.t.Fatalf("%d records, %d at most", len(page.Records), limit)
		}
		out = append(out, page.Records...)
		if after = page.Next; after == "" {
			return out
		}
	}
}

// stored counts what the store has of a scope.
func (in *installation) stored(scope string) (n int, oldest time.Time) {
	in.t.Helper()
	for token := ""; ; {
		page, err := in.store.List(in.t.Context(), audit.Prefix(scope), token, store.MaxPage)
		if err != nil {
			in.t.Fatal(err)
		}
		for _, r := range page.Records {
			if n == 0 {
				if oldest, err = mezu.AuditIDTime(r.Key[len(audit.Prefix(scope)):]); err != nil {
					in.t.Fatal(err)
				}
			}
			n++
		}
		if token = page.Next; token == "" {
			return n, oldest
		}
	}
}

func (in *installation) archive() {
	in.t.Helper()
	if err := in.log.Archive(in.t.Context()); err != nil {
		in.t.Fatal(err)
	}
}

// verified checks the archive as it lies there.
func (in *installation) verified() {
	in.t.Helper()
	reports, err := archive.New(in.dir, in.root).Verify()
	if err != nil {
		in.t.Fatal(err)
	}
	for _, r := range reports {
		if len(r.Faults) > 0 {
			in.t.Errorf("%s: %v", r.Scope, r.Faults)
		}
	}
}

func ids(records []mezu.AuditRecord) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = r.ID
	}
	return out
}

// A query answers the same before, while and after records go into the archive, in both
// orders, with whatever filter and page size; compared with a plain list.
func TestQueriesDontSeeTheArchive(t *testing.T) {
	in := install(t)
	random := mathrand.New(mathrand.NewPCG(1, 2))
	var records []mezu.AuditRecord
	for n := range 1200 {
		// Twenty days, most of it in bursts, some of it in the same microsecond.
		at := start.Add(-time.Duration(random.IntN(20*24)) * time.Hour)
		if n%3 == 0 {
			at = at.Add(time.Duration(random.IntN(3600*1e6)) * time.Microsecond)
		}
		records = append(records, record(at, n))
	}
	in.write(records...)
	slices.SortFunc(records, func(a, b mezu.AuditRecord) int { return strings.Compare(a.ID, b.ID) })
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	moment := func() time.Time {
		if random.IntN(2) == 0 {
			return time.Time{}
		}
		return start.Add(-time.Duration(random.IntN(22*24)-24) * time.Hour)
	}
	check := func(when string) {
		t.Helper()
		for range 10 {
			q := audit.Query{Scope: pick(org, org, audit.Installation, "org_00000000000000000000000000"), Project: pick("", "", "prj_a"), Actor: pick("", "", "mbr_a", "member"),
				Operation: pick("", "", "create-route"), Target: pick("", "", "shop", "prj_b", "project"), Outcome: mezu.AuditOutcome(pick("", "", "denied")),
				Since: moment(), Until: moment(), Oldest: random.IntN(2) == 0}
			var want []mezu.AuditRecord
			for _, r := range records {
				if q.Matches(&r) {
					want = append(want, r)
				}
			}
			if !q.Oldest {
				slices.Reverse(want)
			}
			got := in.all(q, 40+random.IntN(400))
			if !slices.Equal(ids(got), ids(want)) {
				t.Fatalf("%s: %+v gives %d records, not %d", when, q, len(got), len(want))
			}
			a, errA := json.Marshal(got)
			b, errB := json.Marshal(want)
			if errA != nil || errB != nil || string(a) != string(b) {
				t.Fatalf("%s: %+v gives other records", when, q)
			}
		}
	}
	check("in the store")
	for _, days := range []int{-10, -3, 0, 4, 9} {
		in.set(start.Add(time.Duration(days) * 24 * time.Hour))
		in.archive()
		n, oldest := in.stored(org)
		if n > 0 && in.now().Sub(oldest) > audit.Life+24*time.Hour {
			t.Errorf("day %d: there are records of %s in the store", days, oldest)
		}
		for _, r := range records {
			if age := in.now().Sub(r.Time); age < audit.Life && audit.ScopeOf(r) == org {
				if _, err := in.store.Get(t.Context(), audit.Key(r)); err != nil {
					t.Fatalf("day %d: a record %s old is not in the store: %v", days, age, err)
				}
			}
		}
		check(fmt.Sprint("day ", days))
		in.restart()
		check(fmt.Sprint("day ", days, ", after a restart"))
	}
	if n, _ := in.stored(org); n != 0 {
		t.Errorf("%d records left in the store", n)
	}
	in.verified()
}

// A process may be killed before or after any of its writes: the next one goes on, and
// meanwhile and afterwards each record is there once.
func TestArchivingIsKillable(t *testing.T) {
	in := install(t)
	var records []mezu.AuditRecord
	day := start
	for kill := 0; ; kill++ {
		// Two segments' worth would take long; some removals are enough to be killed in.
		var fresh []mezu.AuditRecord
		for n := range 150 {
			r := record(day.Add(time.Duration(n)*time.Second), 1)
			fresh = append(fresh, r)
		}
		in.write(fresh...)
		records = append(records, fresh...)
		in.set(day.Add(audit.Life + 25*time.Hour))
		day = day.Add(24 * time.Hour)
		in.store.fail(kill/2, kill%2 == 1)
		err := in.log.Archive(t.Context())
		in.store.fail(-1, false)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		in.restart()
		if got := in.all(audit.Query{Scope: org, Oldest: true}, 77); !slices.Equal(ids(got), ids(records)) {
			t.Fatalf("killed at %d: %d records, not %d", kill, len(got), len(records))
		}
		in.archive()
		if n, _ := in.stored(org); n != 0 {
			t.Fatalf("killed at %d: the next pass left %d in the store", kill, n)
		}
		if got := in.all(audit.Query{Scope: org, Oldest: true}, 77); !slices.Equal(ids(got), ids(records)) {
			t.Fatalf("killed at %d, after the next pass: %d records, not %d", kill, len(got), len(records))
		}
		if err == nil { // there was no such write any more
			if kill < 8 {
				t.Fatalf("only %d points to be killed at", kill)
			}
			break
		}
	}
	in.verified()
	// Every record went into exactly one segment.
	seen := map[string]int{}
	a := archive.New(in.dir, in.root)
	entries, err := a.Index(org, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got, err := a.Read(org, e.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids(got) {
			seen[id]++
		}
	}
	if len(seen) != len(records) || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
		t.Errorf("%d records in the archive, not %d, one of them %d times", len(seen), len(records), slices.Max(slices.Collect(maps.Values(seen))))
	}
}

// Several control planes at once make one chain, and who reads meanwhile sees everything.
func TestArchivingAtOnce(t *testing.T) {
	in := install(t)
	var records []mezu.AuditRecord
	for n := range 400 {
		records = append(records, record(start.Add(time.Duration(n)*time.Minute), 1))
	}
	in.write(records...)
	in.set(start.Add(audit.Life + 48*time.Hour))
	var wg sync.WaitGroup
	for range 4 {
		cfg := in.cfg
		cfg.Archive = archive.New(in.dir, in.root)
		l, err := audit.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := l.Archive(t.Context()); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			page, err := l.Read(t.Context(), audit.Query{Scope: org, Oldest: true}, "", 1000)
			if mezu.CodeOf(err) == mezu.CodeUnavailable {
				return // archived all the time while it read
			}
			if err != nil || !slices.Equal(ids(page.Records), ids(records)) {
				t.Errorf("%d records, %v", len(page.Records), err)
			}
		})
	}
	wg.Wait()
	in.archive()
	in.verified()
	if got := in.all(audit.Query{Scope: org, Oldest: true}, 500); !slices.Equal(ids(got), ids(records)) {
		t.Errorf("%d records", len(got))
	}
}

// More than a segment holds goes into several, in one pass.
func TestManySegments(t *testing.T) {
	in := install(t)
	var records []mezu.AuditRecord
	for n := range archive.MaxRecords + 100 {
		records = append(records, record(start.Add(time.Duration(n)*time.Second), 1))
	}
	in.write(records...)
	in.set(start.Add(audit.Life + 48*time.Hour))
	in.archive()
	entries, err := in.cfg.Archive.Index(org, 0)
	if err != nil || len(entries) != 2 || entries[0].Count != archive.MaxRecords || entries[1].Count != 100 {
		t.Fatalf("%+v %v", entries, err)
	}
	for _, oldest := range []bool{true, false} {
		got := in.all(audit.Query{Scope: org, Oldest: oldest, Since: start.Add(time.Minute)}, 1000)
		if !oldest {
			slices.Reverse(got)
		}
		if !slices.Equal(ids(got), ids(records[60:])) {
			t.Errorf("oldest first %v: %d records", oldest, len(got))
		}
	}
	in.verified()
}

// A damaged segment is named, and what is whole is given; one that is missing at the end
// is named too, because the store knows the head.
func TestDamagedArchive(t *testing.T) {
	in := install(t)
	for day := range 3 {
		for n := range 10 {
			in.write(record(start.Add(time.Duration(day)*24*time.Hour+time.Duration(n)*time.Minute), 1))
		}
		in.set(start.Add(audit.Life + time.Duration(day)*24*time.Hour + 25*time.Hour))
		in.archive()
	}
	path := filepath.Join(in.dir, org, "0000000002.seg")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	in.restart()
	for _, oldest := range []bool{true, false} {
		page, err := in.log.Read(t.Context(), audit.Query{Scope: org, Oldest: oldest}, "", 100)
		if err != nil || len(page.Records) != 20 || len(page.Damaged) != 1 || !strings.Contains(page.Damaged[0].Error(), path) {
			t.Errorf("%d records, damaged %v, %v", len(page.Records), page.Damaged, err)
		}
	}
	page, err := in.log.Read(t.Context(), audit.Query{Scope: org, Until: start.Add(12 * time.Hour)}, "", 100)
	if err != nil || len(page.Records) != 10 || len(page.Damaged) != 0 {
		t.Errorf("around it: %d records, damaged %v, %v", len(page.Records), page.Damaged, err)
	}
	last := filepath.Join(in.dir, org, "0000000003.seg")
	if err := os.Remove(last); err != nil {
		t.Fatal(err)
	}
	in.restart()
	page, err = in.log.Read(t.Context(), audit.Query{Scope: org, Since: start.Add(30 * time.Hour)}, "", 100)
	if err != nil || len(page.Records) != 0 || len(page.Damaged) == 0 || !strings.Contains(fmt.Sprint(page.Damaged), last) {
		t.Errorf("cut off: %d records, damaged %v, %v", len(page.Records), page.Damaged, err)
	}
}
