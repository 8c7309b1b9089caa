package format_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a store of the first format, as the program of that commit wrote it:
// organization, project, environment, routes, service account, edge and Warpgate.
type fixture struct {
	SealKey  string         `json:"seal_key"`
	Operator string         `json:"operator_token"`
	Account  string         `json:"service_account_key"`
	Records  []store.Record `json:"records"`
}

// load gives the first format's records, and puts them with their key in place.
func load(t *testing.T, inner store.Store) (fixture, *seal.File) {
	t.Helper()
	text, err := os.ReadFile("testdata/format1.json")
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(text, &f); err != nil || len(f.Records) < 20 {
		t.Fatalf("%d records: %v", len(f.Records), err)
	}
	key := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	if err := os.WriteFile(key.Path, []byte(f.SealKey), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Records {
		if _, err := inner.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: r.Key, Value: r.Value, Revision: r.Revision}}}); err != nil {
			t.Fatal(err)
		}
	}
	return f, key
}

func newDriver(t *testing.T) store.Store {
	t.Helper()
	db, err := badger.Open(badger.Options{Dir: t.TempDir(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func options(w seal.Wrapper) format.Options { return format.Options{Wrapper: w, Program: "v-test"} }

// records are all of a store.
func records(t *testing.T, s store.Store) map[string]store.Record {
	t.Helper()
	page, err := s.List(t.Context(), "", "", store.MaxPage)
	if err != nil || page.Next != "" {
		t.Fatal(err)
	}
	out := map[string]store.Record{}
	for _, r := range page.Records {
		out[r.Key] = r
	}
	return out
}

// indexed are the records that version 3 adds to the fixture, rewritten those that it
// changes.
var (
	indexed = map[string]string{
		"operator/opr_06h19yqv2a0a3btwq363g00s7w":                              `{"created_at":"2026-11-25T23:12:02.322Z","id":"opr_06h19yqv2a0a3btwq363g00s7w","revision":1,"updated_at":"2026-11-25T23:12:02.322Z"}`,
		"children/installation":                                                `{"operators":1}`,
		"id/mbr_06h19yqv2sx9488qgbpnxnxqyr":                                    `"member/org_06h19yqv2t63hpmrsv17v5ceq4/opr_06h19yqv2a0a3btwq363g00s7w"`,
		"tokens/opr_06h19yqv2a0a3btwq363g00s7w/tok_06h19yqv29j1sn0vkznwagn1mc": `"token/b404597dd12674c2ed4ae1eafa02b1cbe8cfd8969168fd0bb9a740066fd3467c"`,
	}
	rewritten = map[string]string{
		"children/org_06h19yqv2t63hpmrsv17v5ceq4":                              `{"owners":1,"projects":1}`,
		"member/org_06h19yqv2t63hpmrsv17v5ceq4/opr_06h19yqv2a0a3btwq363g00s7w": `{"created_at":"2026-11-25T23:12:02.326Z","id":"mbr_06h19yqv2sx9488qgbpnxnxqyr","organization":"acme","person":"opr_06h19yqv2a0a3btwq363g00s7w","revision":1,"role":"owner","updated_at":"2026-11-25T23:12:02.326Z"}`,
	}
)

// migrated checks that a store holds what the fixture does, sealed.
func migrated(t *testing.T, f fixture, inner store.Store, s *sealed.Store) {
	t.Helper()
	now, below := records(t, s), records(t, inner)
	if len(now) != len(f.Records)+2+len(indexed) {
		t.Errorf("%d records, before %d; the version, the ring and indexes come to them", len(now), len(f.Records))
	}
	for key, want := range indexed {
		if got := string(now[key].Value); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	for _, was := range f.Records {
		got := now[was.Key]
		if got.Revision != was.Revision {
			t.Errorf("%s has revision %d, had %d", was.Key, got.Revision, was.Revision)
		}
		if strings.HasPrefix(was.Key, "ca/") {
			var state struct {
				Keys []any `json:"keys"`
			}
			if err := json.Unmarshal(got.Value, &state); err != nil || len(state.Keys) == 0 {
				t.Errorf("%s is %.20q: %v", was.Key, got.Value, err)
			}
		} else if want, changed := rewritten[was.Key]; changed {
			if string(got.Value) != want {
				t.Errorf("%s is %s, want %s", was.Key, got.Value, want)
			}
		} else if !bytes.Equal(got.Value, was.Value) {
			t.Errorf("%s is %.40q, was %.40q", was.Key, got.Value, was.Value)
		}
		if !format.Plain(was.Key) && !seal.Sealed(below[was.Key].Value) {
			t.Errorf("%s lies in the clear", was.Key)
		}
	}
	if v := string(below["meta/format"].Value); v != `{"version":4,"program":"v-test"}` {
		t.Errorf("the version is %s", v)
	}
}

func TestS6_MigrateFormat1(t *testing.T) {
	inner := newDriver(t)
	f, key := load(t, inner)
	s, err := format.Open(t.Context(), inner, options(key))
	if err != nil {
		t.Fatal(err)
	}
	migrated(t, f, inner, s)
	before := records(t, inner)
	if s, err = format.Open(t.Context(), inner, options(key)); err != nil {
		t.Fatal(err)
	}
	for k, r := range records(t, inner) {
		if !bytes.Equal(r.Value, before[k].Value) || r.Revision != before[k].Revision {
			t.Errorf("opening again changed %s", k)
		}
	}
	migrated(t, f, inner, s)
}

// dying is a store whose process is killed at a commit: before it, or after it and
// before the answer.
type dying struct {
	store.Store
	left  int
	after bool
}

var errKilled = errors.New("killed")

func (d *dying) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	if d.left--; d.left >= 0 {
		return d.Store.Commit(ctx, txn)
	}
	if d.left == -1 && d.after {
		if _, err := d.Store.Commit(ctx, txn); err != nil {
			return "", err
		}
	}
	return "", errKilled
}

// A migration that is killed at any of its commits goes on at the next start.
func TestS6_MigrationKilledAnywhere(t *testing.T) {
	kills := 0
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			inner := newDriver(t)
			f, key := load(t, inner)
			_, err := format.Open(t.Context(), &dying{inner, n, after}, options(key))
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatalf("killed at commit %d: %v", n, err)
			}
			kills++
			s, err := format.Open(t.Context(), inner, options(key))
			if err != nil {
				t.Fatalf("after a kill at commit %d: %v", n, err)
			}
			migrated(t, f, inner, s)
		}
	}
	if kills < 6 {
		t.Errorf("killed %d times only", kills)
	}
}

// Several processes that start at once migrate once.
func TestS6_MigrationConcurrent(t *testing.T) {
	inner := newDriver(t)
	f, key := load(t, inner)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := format.Open(t.Context(), inner, options(key)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := format.Open(t.Context(), inner, options(key))
	if err != nil {
		t.Fatal(err)
	}
	migrated(t, f, inner, s)
}

// A store of a newer program is refused, with both versions and what to do, and
// stays as it is.
func TestS6_NewerStoreRefused(t *testing.T) {
	inner := newDriver(t)
	key := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	if _, err := format.Open(t.Context(), inner, options(key)); err != nil {
		t.Fatal(err)
	}
	put(t, inner, "meta/format", `{"version":5,"program":"v9.9"}`)
	before := records(t, inner)
	_, err := format.Open(t.Context(), inner, options(key))
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != mezu.CodeConflict || e.Hint == "" {
		t.Fatalf("opened: %v", err)
	}
	for _, part := range []string{"format 5", "v9.9", "v-test", "up to 4"} {
		if !strings.Contains(e.Detail, part) {
			t.Errorf("%q does not name %q", e.Detail, part)
		}
	}
	if after := records(t, inner); len(after) != len(before) || after["meta/format"].Revision != before["meta/format"].Revision {
		t.Error("the store changed")
	}
	put(t, inner, "meta/format", "damaged")
	if _, err := format.Open(t.Context(), inner, options(key)); err == nil {
		t.Error("a damaged version opens")
	}
}

func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if _, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: key, Value: []byte(value)}}}); err != nil {
		t.Fatal(err)
	}
}

// Without its key, or half restored, a store is not opened, and no key is made for
// it.
func TestOpenRefuses(t *testing.T) {
	inner := newDriver(t)
	key := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	if _, err := format.Open(t.Context(), inner, options(key)); err != nil {
		t.Fatal(err)
	}
	missing := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	other := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	if err := other.Create(); err != nil {
		t.Fatal(err)
	}
	old := newDriver(t)
	load(t, old)
	for name, c := range map[string]struct {
		inner store.Store
		key   *seal.File
	}{
		"key missing": {inner, missing}, "another key": {inner, other}, "old format, another key": {old, other}, "old format, key missing": {old, missing},
	} {
		_, err := format.Open(t.Context(), c.inner, options(c.key))
		var e *mezu.Error
		if !errors.As(err, &e) || e.Field != "seal_key_file" || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if there, _ := missing.Exists(); there {
		t.Error("a key was made for a store that has another")
	}
	put(t, inner, "meta/restoring", "{}")
	if _, err := format.Open(t.Context(), inner, options(key)); mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), "restore") {
		t.Errorf("half restored: %v", err)
	}
}

// The migration to version 4 has the bundles of directories that ask for a second factor
// published again, by a task as the control plane does it, wherever it is killed.
func TestS6_SecondFactorsArePublished(t *testing.T) {
	const org, project, own, wide, other = "org_00000000000000000000000001", "prj_00000000000000000000000001", "dir_00000000000000000000000001", "dir_00000000000000000000000002", "dir_00000000000000000000000003"
	for n := 0; ; n++ {
		inner := newDriver(t)
		key := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
		s, err := format.Open(t.Context(), inner, options(key))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{
			"id/" + project: `"prj/` + org + `/shop"`, "dir/" + project + "/own": `{"id":"` + own + `","mfa":"required"}`,
			"dir/" + org + "/wide": `{"id":"` + wide + `","mfa":"required"}`, "dir/" + org + "/other": `{"id":"` + other + `","mfa":"optional"}`,
		} {
			put(t, s, k, v)
		}
		put(t, inner, "meta/format", `{"version":3,"program":"v1"}`)
		_, err = format.Open(t.Context(), &dying{inner, n, false}, options(key))
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		killed := err != nil
		if s, err = format.Open(t.Context(), inner, options(key)); err != nil {
			t.Fatal(err)
		}
		page, err := s.List(t.Context(), "pending/", "", 0)
		if err != nil || len(page.Records) != 2 {
			t.Fatalf("killed at commit %d: %d tasks, %v", n, len(page.Records), err)
		}
		for _, r := range page.Records {
			var task record.Task
			if err := json.Unmarshal(r.Value, &task); err != nil || r.Key != record.KeyTask(record.TaskDirectory, task.ID) || task.Organization != org || (task.ID == own) != (task.Project == project) {
				t.Errorf("%s: %+v %v", r.Key, task, err)
			}
		}
		if !killed {
			return
		}
	}
}
