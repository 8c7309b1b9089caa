package snapshot_test

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
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/restore"
	"github.com/mezusphere/mezu/edgesvc/control/team"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/testkit"
)

// opened opens the store of an installation that doesn't run.
func openedStore(in *controltest.Installation) map[string]store.Record {
	in.T.Helper()
	db, err := badger.Open(badger.Options{Dir: filepath.Join(in.Dir, "store"), Ballast: -1})
	if err != nil {
		in.T.Fatal(err)
	}
	defer db.Close()
	return recordsOf(in, db)
}

// recordsOf gives all that a driver holds, opened.
func recordsOf(in *controltest.Installation, db store.Store) map[string]store.Record {
	in.T.Helper()
	s, err := sealed.Open(in.T.Context(), db, sealed.Options{Wrapper: seal.NewWrapper(filepath.Join(in.Dir, "seal.key")), Plain: format.Plain})
	if err != nil {
		in.T.Fatal(err)
	}
	out := map[string]store.Record{}
	for token := ""; ; {
		page, err := s.List(in.T.Context(), "", token, store.MaxPage)
		if err != nil {
			in.T.Fatal(err)
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
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	in.JoinToken(op)
	e, _ := in.Enrol(op, "edge-1")
	env := controltest.Call[mezu.Environment](t, op, api.OpGetEnvironment, nil, x.Path()...)
	controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{{Warpgate: w.ID, Environment: env.ID, Connected: true}}})
	invitation := in.Invite(op, "acme", "late@acme.example", mezu.RoleViewer)
	in.Write("session/"+mezu.NewID(mezu.PrefixDirectory, in.Clock.Now())+"/usr/ses", map[string]any{"id": "ses"})
	path := in.Backup(op)
	was := recordsOf(in, in.Driver)
	ends := func(key string) bool {
		return slices.ContainsFunc([]string{"live/", "presence/", "held/", "invit", "outbox/", "mailbox/", "token/", "session/"}, func(p string) bool { return strings.HasPrefix(key, p) })
	}
	for _, live := range []bool{false, true} {
		r := in.Restored(path, live)
		now := openedStore(r)
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
		want := map[bool]string{false: "0 0 0 0 1 0", true: "1 1 1 1 2 1"}[live]
		if got := fmt.Sprint(count["presence/"], count["held/"], count["invitation/"], count["outbox/"], count["token/"], count["session/"]); got != want {
			t.Errorf("live %v: presence, held, invitations, mail, tokens, sessions: %s, want %s", live, got, want)
		}
	}
	r := in.Restored(path, false)
	r.Start()
	defer r.Stop()
	controltest.Refused(t, mezu.CodeUnauthenticated, r.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: invitation.Code, Email: "late@acme.example"})
	state := controltest.Call[api.RoutesState](t, r.Client(token, nil), api.OpListRoutes, nil, x.Path()...)
	if state.Position.Epoch < 1_000_000 {
		t.Errorf("the restored installation is at %s", state.Position)
	}
}

// Decision 6: an edge that resumes finds the restored installation in a higher epoch,
// gets all of it, and takes nothing from the one before any more.
func TestS6_EdgesFollowTheRestored(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	e, _ := in.Enrol(op, "edge-1")
	path := in.Backup(op)
	// Changes that the backup doesn't have, and the edge does.
	after := controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/late"}}}, x.Path()...)
	in.Stop()
	r := in.Restored(path, false)
	r.Start()
	defer r.Stop()
	if _, err := r.Client("", e.Cert).Stream(t.Context(), after.Position); mezu.CodeOf(err) != mezu.CodePreconditionFailed {
		t.Fatalf("resuming in another epoch: %v", err)
	}
	s, err := r.Client("", e.Cert).Stream(t.Context(), mezu.Position{})
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
	key, err := os.ReadFile(filepath.Join(in.Dir, "offline", "trust-root.pem"))
	if err != nil || len(key) == 0 {
		t.Fatal(err)
	}
	testkit.CopyDir(t, filepath.Join(in.Dir, "offline"), filepath.Join(r.Dir, "offline"))
	if status := r.RotateKeys(r.Client(token, nil), api.RotateSigning); status.KeysetVersion < 1_000_000 {
		t.Errorf("keyset %d after a restore", status.KeysetVersion)
	}
}

// What a restore can't do it says, with the next step, and leaves everything as it
// was.
func TestRestore_Refuses(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	path := in.Backup(op)
	try := func(what string, want mezu.Code, part string, cfg control.Config, path string) {
		t.Helper()
		_, err := control.Restore(t.Context(), cfg, controltest.OpenFile(t, path), false)
		var e *mezu.Error
		if !errors.As(err, &e) || e.Code != want || e.Hint == "" || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", what, err)
		}
	}
	here := control.Config{StateDir: in.Dir}
	try("a running control plane", mezu.CodeConflict, "in use by another process", here, path)
	in.Stop()
	before := openedStore(in)
	try("a store in use", mezu.CodeConflict, "not empty", here, path)
	if after := openedStore(in); len(after) != len(before) {
		t.Errorf("%d records after a refusal, %d before", len(after), len(before))
	}
	key := filepath.Join(in.Dir, "seal.key")
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
		_, err := control.Restore(t.Context(), empty, controltest.OpenFile(t, bad), false)
		if mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := control.Restore(t.Context(), empty, controltest.OpenFile(t, path), false); err != nil {
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
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	ana, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleAdmin)
	anaToken := in.Secret(controltest.Call[api.TokenCreated](t, ana, api.OpCreateToken, map[string]any{"name": "laptop"}).Secret)
	_, old := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(old, "")
	path := in.Backup(op)
	x.Rotate("gate", map[string]any{"overlap": "0s"})
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(w.ID)...)
	controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	in.Stop()

	r := in.Restored(path, false)
	r.Start()
	defer r.Stop()
	op = r.Client(token, nil)
	back := func() map[string]error {
		_, renewed := api.Invoke[any](t.Context(), r.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
		_, read := api.Invoke[any](t.Context(), r.Client(anaToken, nil), api.OpGetOrganization, nil, "acme")
		_, registered := api.Invoke[any](t.Context(), r.Client(old, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR})
		return map[string]error{"Warpgate": renewed, "member": read, "key": registered}
	}
	for what, err := range back() {
		if err != nil {
			t.Errorf("the %s is not back: %v", what, err)
		}
	}
	x.Owner = op
	x.In = r
	x.Rotate("gate", map[string]any{"overlap": "0s"})
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(w.ID)...)
	controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", "ana@acme.example")
	for what, err := range back() {
		if err == nil {
			t.Errorf("the %s is back after it was ended anew", what)
		}
	}
}

// A restore leaves invitations out, and they count no more.
func TestS6_InvitationsAfterARestore(t *testing.T) {
	t.Parallel()
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	in.Tenant(op, "acme")
	for i := range team.MaxInvitations {
		in.Invite(op, "acme", fmt.Sprintf("u%d@acme.example", i), mezu.RoleViewer)
	}
	r := in.Restored(in.Backup(op), false)
	r.Start()
	defer r.Stop()
	r.Invite(r.Client(token, nil), "acme", "new@acme.example", mezu.RoleViewer)
}

// S6: what lives under a lease is in no backup, and a restored store has none of it:
// without its end a lease would be held for ever, and nobody would sweep.
func TestS6_NothingLeasedComesBack(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	in.JoinToken(op)
	e, _ := in.Enrol(op, "edge-1")
	controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{Full: true})
	controltest.Eventually(t, "the first sweep", func() bool { return len(in.Keys("meta/done/sweep")) == 1 && len(in.Keys("meta/lead/")) == 0 })
	var path string
	held := election.Lease{Store: in.Store, Name: "sweep", Holder: "the one before"}
	if ran, err := held.Run(t.Context(), func(context.Context, *election.Fenced) error {
		if offices, edges := in.Keys("meta/lead/"), in.Keys("live/"); len(offices) != 1 || len(edges) != 1 {
			t.Errorf("held and live: %v, %v", offices, edges)
		}
		path = in.Backup(op)
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
	if _, err := in.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: "meta/lead/sweep", Value: []byte(`{"holder":"the one before"}`)}}}); err != nil {
		t.Fatal(err)
	}
	if err := backup.Write(t.Context(), file, backup.Source{Store: in.Driver, Wrapper: seal.NewWrapper(filepath.Join(in.Dir, "seal.key")),
		Leave: func(string) bool { return false }, Mark: "meta/backup", Header: backup.Header{Format: format.Current, Program: "test"}}); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{"a backup": path, "an early one": early} {
		for _, live := range []bool{false, true} {
			r := in.Restored(path, live)
			for key := range openedStore(r) {
				if restore.Leased(key) {
					t.Errorf("%s, live %v: %s came back", what, live, key)
				}
			}
			db, err := badger.Open(badger.Options{Dir: filepath.Join(r.Dir, "store"), Ballast: -1})
			if err != nil {
				t.Fatal(err)
			}
			last, err := db.Get(t.Context(), "meta/done/sweep")
			if err != nil {
				t.Fatal(err)
			}
			r.Driver, r.Clock = db, &controltest.Clock{Shift: time.Hour}
			r.TLSTime = r.Clock.Now
			r.Start()
			controltest.Eventually(t, "a sweep after "+what, func() bool {
				now, err := db.Get(t.Context(), "meta/done/sweep")
				return err == nil && now.Revision > last.Revision
			})
			r.Stop()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
