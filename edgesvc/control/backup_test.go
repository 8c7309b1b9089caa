package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/backup"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/testkit"
)

// backup writes a backup of the installation into a file.
func (in *installation) backup(op *api.Client) string {
	in.t.Helper()
	var b bytes.Buffer
	n, err := op.Backup(in.t.Context(), &b)
	if err != nil || n != int64(b.Len()) {
		in.t.Fatal(n, err)
	}
	path := filepath.Join(in.t.TempDir(), "backup")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		in.t.Fatal(err)
	}
	return path
}

// restored is an installation that was put back from a file into a directory of its
// own, not started.
func (in *installation) restored(path string, live bool) *installation {
	in.t.Helper()
	r := &installation{t: in.t, dir: in.t.TempDir(), clock: in.clock, log: &testkit.Buffer{}, notice: &testkit.Buffer{}}
	key, err := os.ReadFile(filepath.Join(in.dir, "seal.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(r.dir, "seal.key"), key, 0o600)
	}
	if err != nil {
		in.t.Fatal(err)
	}
	got, err := control.Restore(in.t.Context(), control.Config{StateDir: r.dir, Now: in.clock.now}, opened(in.t, path), live)
	if err != nil || got.Records < 20 || got.Program != "test" {
		in.t.Fatalf("%+v, %v", got, err)
	}
	return r
}

// opened opens the store of an installation that doesn't run.
func (in *installation) opened() map[string]store.Record {
	in.t.Helper()
	db, err := badger.Open(badger.Options{Dir: filepath.Join(in.dir, "store"), Ballast: -1})
	if err != nil {
		in.t.Fatal(err)
	}
	defer db.Close()
	return in.recordsOf(db)
}

// recordsOf gives all that a driver holds, opened.
func (in *installation) recordsOf(db store.Store) map[string]store.Record {
	in.t.Helper()
	s, err := sealed.Open(in.t.Context(), db, sealed.Options{Wrapper: seal.NewWrapper(filepath.Join(in.dir, "seal.key")), Plain: format.Plain})
	if err != nil {
		in.t.Fatal(err)
	}
	out := map[string]store.Record{}
	for token := ""; ; {
		page, err := s.List(in.t.Context(), "", token, store.MaxPage)
		if err != nil {
			in.t.Fatal(err)
		}
		for _, r := range page.Records {
			out[r.Key] = r
		}
		if token = page.Next; token == "" {
			return out
		}
	}
}

// S6: a restored installation is the one that was, record by record with revisions,
// but for the epoch and for what went on at the moment.
func TestS6_RestoredInstallation(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	in.joinToken(op)
	e, _ := in.enrol(op, "edge-1")
	env := call[mezu.Environment](t, op, api.OpGetEnvironment, nil, x.path()...)
	call[any](t, in.client("", e.cert), api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{{Warpgate: w.id, Environment: env.ID, Connected: true}}})
	invitation := in.invite(op, "acme", "late@acme.example", mezu.RoleViewer)
	path := in.backup(op)
	was := in.recordsOf(in.driver)
	ends := func(key string) bool {
		return slices.ContainsFunc([]string{"live/", "presence/", "held/", "invit", "outbox/", "token/"}, func(p string) bool { return strings.HasPrefix(key, p) })
	}
	for _, live := range []bool{false, true} {
		r := in.restored(path, live)
		now := r.opened()
		for k, rec := range was {
			got := now[k]
			switch {
			case k == "meta/epoch":
				if got.Revision != rec.Revision+1 || string(got.Value) <= string(rec.Value) {
					t.Errorf("epoch %s@%d after %s@%d", got.Value, got.Revision, rec.Value, rec.Revision)
				}
			case strings.HasPrefix(k, "live/"), !live && ends(k) && got.Revision == 0:
			case !bytes.Equal(got.Value, rec.Value) || got.Revision != rec.Revision:
				t.Errorf("%s is %.40q@%d, was %.40q@%d", k, got.Value, got.Revision, rec.Value, rec.Revision)
			}
		}
		count := map[string]int{}
		for k := range now {
			if was[k].Revision == 0 {
				t.Errorf("%s is new", k)
			}
			count[k[:strings.IndexByte(k, '/')+1]]++
		}
		want := map[bool]string{false: "0 0 0 0 1", true: "1 1 1 1 2"}[live]
		if got := fmt.Sprint(count["presence/"], count["held/"], count["invitation/"], count["outbox/"], count["token/"]); got != want {
			t.Errorf("live %v: presence, held, invitations, mail, tokens: %s, want %s", live, got, want)
		}
	}
	r := in.restored(path, false)
	r.start()
	defer r.stop()
	refused(t, mezu.CodeUnauthenticated, r.client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: invitation.Code, Email: "late@acme.example"})
	state := call[api.RoutesState](t, r.client(token, nil), api.OpListRoutes, nil, x.path()...)
	if state.Position.Epoch < 1_000_000 {
		t.Errorf("the restored installation is at %s", state.Position)
	}
}

// Decision 6: an edge that resumes finds the restored installation in a higher epoch,
// gets all of it, and takes nothing from the one before any more.
func TestS6_EdgesFollowTheRestored(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	x := in.tenant(op, "acme")
	e, _ := in.enrol(op, "edge-1")
	path := in.backup(op)
	// Changes that the backup doesn't have, and the edge does.
	after := call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/late"}}}, x.path()...)
	in.stop()
	r := in.restored(path, false)
	r.start()
	defer r.stop()
	if _, err := r.client("", e.cert).Stream(t.Context(), after.Position); mezu.CodeOf(err) != mezu.CodePreconditionFailed {
		t.Fatalf("resuming in another epoch: %v", err)
	}
	s, err := r.client("", e.cert).Stream(t.Context(), mezu.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	bundles := 0
	for {
		ev, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == api.StreamSynced {
			break
		}
		if ev.Kind == api.StreamBundle {
			bundles++
			if ev.Position.Compare(after.Position) <= 0 || ev.Position.Epoch == after.Position.Epoch {
				t.Errorf("a bundle at %s, and the edge is at %s", ev.Position, after.Position)
			}
		}
	}
	if bundles != 1 {
		t.Errorf("%d bundles", bundles)
	}
	// A rotation goes past every keyset that peers may have seen since the backup.
	key, err := os.ReadFile(filepath.Join(in.dir, "offline", "trust-root.pem"))
	if err != nil || len(key) == 0 {
		t.Fatal(err)
	}
	testkit.CopyDir(t, filepath.Join(in.dir, "offline"), filepath.Join(r.dir, "offline"))
	if status := r.rotate(r.client(token, nil), api.RotateSigning); status.KeysetVersion < 1_000_000 {
		t.Errorf("keyset %d after a restore", status.KeysetVersion)
	}
}

// What a restore can't do it says, with the next step, and leaves everything as it
// was.
func TestRestore_Refuses(t *testing.T) {
	in := install(t)
	op := in.operator()
	path := in.backup(op)
	try := func(what string, want mezu.Code, part string, cfg control.Config, path string) {
		t.Helper()
		_, err := control.Restore(t.Context(), cfg, opened(t, path), false)
		var e *mezu.Error
		if !errors.As(err, &e) || e.Code != want || e.Hint == "" || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", what, err)
		}
	}
	here := control.Config{StateDir: in.dir}
	try("a running control plane", mezu.CodeConflict, "in use by another process", here, path)
	in.stop()
	before := in.opened()
	try("a store in use", mezu.CodeConflict, "not empty", here, path)
	if after := in.opened(); len(after) != len(before) {
		t.Errorf("%d records after a refusal, %d before", len(after), len(before))
	}
	key := filepath.Join(in.dir, "seal.key")
	empty := control.Config{StateDir: filepath.Join(t.TempDir(), "new"), SealKey: key}
	try("without the key", mezu.CodeInvalid, "seal key is missing", control.Config{StateDir: t.TempDir()}, path)
	other := &seal.File{Path: filepath.Join(t.TempDir(), "other.key")}
	if err := other.Create(); err != nil {
		t.Fatal(err)
	}
	try("another key", mezu.CodeInvalid, "seal key", control.Config{StateDir: t.TempDir(), SealKey: other.Path}, path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	for what, content := range map[string][]byte{"cut": file[:len(file)-9], "flipped": flipped(file), "text": []byte("hello"), "empty": nil} {
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := control.Restore(t.Context(), empty, opened(t, bad), false)
		if mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := control.Restore(t.Context(), empty, opened(t, path), false); err != nil {
		t.Errorf("into the directory that refused them: %v", err)
	}
	// The key that is named is the one that the control plane needs then.
	plane, err := control.New(control.Config{StateDir: empty.StateDir, SealKey: key, APIAddr: "127.0.0.1:0", Domain: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if err := plane.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := plane.Close(); err != nil {
		t.Error(err)
	}
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 4
	return b
}

// Row 17: what a restore brings back, and that the commands of docs/operations.md end it.
func TestRow17WhatARestoreBringsBack(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	x := in.tenant(op, "acme")
	ana, member := in.join(op, "acme", "ana@acme.example", mezu.RoleAdmin)
	anaToken := in.secret(call[api.TokenCreated](t, ana, api.OpCreateToken, map[string]any{"name": "laptop"}).Secret)
	_, old := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(old, "")
	path := in.backup(op)
	x.rotate("gate", map[string]any{"overlap": "0s"})
	call[any](t, op, api.OpDeleteWarpgate, nil, x.path(w.id)...)
	call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	in.stop()

	r := in.restored(path, false)
	r.start()
	defer r.stop()
	op = r.client(token, nil)
	back := func() map[string]error {
		_, renewed := api.Invoke[any](t.Context(), r.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
		_, read := api.Invoke[any](t.Context(), r.client(anaToken, nil), api.OpGetOrganization, nil, "acme")
		_, registered := api.Invoke[any](t.Context(), r.client(old, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: newIdentity(t).csr})
		return map[string]error{"Warpgate": renewed, "member": read, "key": registered}
	}
	for what, err := range back() {
		if err != nil {
			t.Errorf("the %s is not back: %v", what, err)
		}
	}
	x.owner = op
	x.in = r
	x.rotate("gate", map[string]any{"overlap": "0s"})
	call[any](t, op, api.OpDeleteWarpgate, nil, x.path(w.id)...)
	call[any](t, op, api.OpDeleteMember, nil, "acme", "ana@acme.example")
	for what, err := range back() {
		if err == nil {
			t.Errorf("the %s is back after it was ended anew", what)
		}
	}
}

// A restore leaves invitations out, and they count no more.
func TestS6_InvitationsAfterARestore(t *testing.T) {
	t.Parallel()
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	in.tenant(op, "acme")
	for i := range service.MaxInvitations {
		in.invite(op, "acme", fmt.Sprintf("u%d@acme.example", i), mezu.RoleViewer)
	}
	r := in.restored(in.backup(op), false)
	r.start()
	defer r.stop()
	r.invite(r.client(token, nil), "acme", "new@acme.example", mezu.RoleViewer)
}

// S6: what lives under a lease is in no backup, and a restored store has none of it:
// without its end a lease would be held for ever, and nobody would sweep.
func TestS6_NothingLeasedComesBack(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	in.joinToken(op)
	e, _ := in.enrol(op, "edge-1")
	call[any](t, in.client("", e.cert), api.OpEdgeReport, api.EdgeReport{Full: true})
	eventually(t, "the first sweep", func() bool { return len(in.keys("meta/done/sweep")) == 1 && len(in.keys("meta/lead/")) == 0 })
	var path string
	held := election.Lease{Store: in.store, Name: "sweep", Holder: "the one before"}
	if ran, err := held.Run(t.Context(), func(context.Context, *election.Fenced) error {
		if offices, edges := in.keys("meta/lead/"), in.keys("live/"); len(offices) != 1 || len(edges) != 1 {
			t.Errorf("held and live: %v, %v", offices, edges)
		}
		path = in.backup(op)
		return nil
	}); err != nil || !ran {
		t.Fatal(ran, err)
	}
	// As an earlier program made it: with all of it, and no lease.
	early := filepath.Join(t.TempDir(), "early")
	file, err := os.Create(early)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := in.store.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: "meta/lead/sweep", Value: []byte(`{"holder":"the one before"}`)}}}); err != nil {
		t.Fatal(err)
	}
	if err := backup.Write(t.Context(), file, backup.Source{Store: in.driver, Wrapper: seal.NewWrapper(filepath.Join(in.dir, "seal.key")),
		Leave: func(string) bool { return false }, Mark: "meta/backup", Header: backup.Header{Format: format.Current, Program: "test"}}); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{"a backup": path, "an early one": early} {
		for _, live := range []bool{false, true} {
			r := in.restored(path, live)
			for key := range r.opened() {
				if service.Leased(key) {
					t.Errorf("%s, live %v: %s came back", what, live, key)
				}
			}
			db, err := badger.Open(badger.Options{Dir: filepath.Join(r.dir, "store"), Ballast: -1})
			if err != nil {
				t.Fatal(err)
			}
			last, err := db.Get(t.Context(), "meta/done/sweep")
			if err != nil {
				t.Fatal(err)
			}
			r.driver, r.clock = db, &clock{shift: time.Hour}
			r.tlsTime = r.clock.now
			r.start()
			eventually(t, "a sweep after "+what, func() bool {
				now, err := db.Get(t.Context(), "meta/done/sweep")
				return err == nil && now.Revision > last.Revision
			})
			r.stop()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// opened opens a backup until the test ends.
func opened(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
