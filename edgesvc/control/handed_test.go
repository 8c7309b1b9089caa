package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/trust"
)

// handUp hands up what an edge holds.
func (in *installation) handUp(e *identity, docs ...mezu.Signed) api.RevocationsTaken {
	in.t.Helper()
	return call[api.RevocationsTaken](in.t, in.client("", e.cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: docs})
}

// lostRevocation takes a revocation out of the store, as a restore does, and gives it.
func (in *installation) lostRevocation(e *identity) mezu.Signed {
	in.t.Helper()
	s := open(in.t, in.client("", e.cert), mezu.Position{})
	defer s.Close()
	for {
		ev, err := s.Next()
		if err != nil {
			in.t.Fatal(err)
		}
		var r mezu.Revocation
		if ev.Kind != api.StreamRevocation {
			continue
		}
		if err := json.Unmarshal(ev.Signed.Payload, &r); err != nil {
			in.t.Fatal(err)
		}
		key := "stream/revocation/certificate/" + r.Scope + "/" + r.Subject
		if _, err := in.store.Commit(in.t.Context(), store.Txn{Ops: []store.Op{{Key: key, Delete: true}}}); err != nil {
			in.t.Fatal(err)
		}
		return ev.Signed
	}
}

// renew asks for a certificate by the one in use, and uses it then.
func (in *installation) renew(w *identity) error {
	in.t.Helper()
	out, err := api.Invoke[api.RegisterResponse](in.t.Context(), in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	if err == nil {
		w.take(in.t, out.Certificates, out.Warpgate)
	}
	return err
}

// Row 17: what was revoked since the backup comes back with a restore, until an edge that
// holds the revocation hands it up. From then on it is ended here as well, and the other
// edges are told.
func TestRow17HandedUpRevocations(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	p := in.pool(op)
	e, enrolled := in.enrol(op, "edge-1")
	other, _ := in.enrol(op, "edge-2")
	removed, _ := in.enrol(op, "edge-3")
	_, key := p.account("gate", mezu.PermWarpgateRegister)
	gone, _ := in.register(key, "")
	quick, _ := in.register(key, "") // renews before anybody hands up
	stays, _ := in.register(key, "")
	usr := call[mezu.User](t, op, api.OpCreateUser, account("ana@acme.example"), p.in()...)
	late := call[mezu.User](t, op, api.OpCreateOrganizationUser, account("bea@acme.example"), p.wide()...)
	path := in.backup(op)
	for _, w := range []*identity{gone, quick} {
		call[any](t, op, api.OpDeleteWarpgate, nil, p.path(w.id)...)
	}
	call[any](t, op, api.OpDeleteEdge, nil, removed.id)
	call[any](t, op, api.OpUpdateUser, map[string]any{"status": "suspended"}, p.in(usr.ID)...)
	call[any](t, op, api.OpDeleteOrganizationUser, nil, p.wide(late.ID)...)
	before, _ := in.stated(e, enrolled)
	if len(before.signed) != 5 {
		t.Fatalf("%d revocations", len(before.signed))
	}
	in.stop()

	r := in.restored(path, false)
	r.start()
	defer r.stop()
	op = r.client(token, nil)
	stolen := *quick
	for range 20 { // more than a Warpgate may have certificates
		if err := r.renew(&stolen); err != nil {
			t.Fatalf("before it is known: %v", err)
		}
	}
	if err := r.renew(stays); err != nil {
		t.Fatal(err)
	}
	// Two edges hand up the same at once.
	var wg sync.WaitGroup
	for _, by := range []*identity{e, other} {
		wg.Go(func() { r.handUp(by, before.signed...) })
	}
	wg.Wait()

	for what, w := range map[string]*identity{"of the backup": gone, "renewed since": &stolen, "renewed since, as it was": quick} {
		if err := r.renew(w); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("a revoked Warpgate, %s, renews: %v", what, err)
		}
		refusal := refused(t, mezu.CodeForbidden, r.client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.csr, Warpgate: w.id})
		if refusal.Hint == "" {
			t.Errorf("it is refused without a next step: %+v", refusal)
		}
		if shown := call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, p.path(w.id)...); shown.Status != mezu.WarpgateRevoked {
			t.Errorf("%s: shown as %q", what, shown.Status)
		}
	}
	if err := r.renew(stays); err != nil {
		t.Errorf("a Warpgate that nobody revoked: %v", err)
	}
	if shown := call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, p.path(stays.id)...); shown.Status != mezu.WarpgateDisconnected {
		t.Errorf("it is shown as %q", shown.Status)
	}
	refused(t, mezu.CodeUnauthenticated, r.client("", removed.cert), api.OpEdgeReport, api.EdgeReport{})
	if list := call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil); len(list.Items) != 2 {
		t.Errorf("edges: %+v", list.Items)
	}

	// Both sides say the same: another edge, of an empty disk, is told of all.
	after, state := r.stated(other, enrolled)
	for _, was := range before.revocations {
		i := slices.IndexFunc(after.revocations, func(is mezu.Revocation) bool {
			return is.Kind == was.Kind && is.Subject == was.Subject && is.Scope == was.Scope && is.NotBefore.Equal(was.NotBefore) && is.Until.Equal(was.Until)
		})
		if i < 0 {
			t.Errorf("the stream does not say %+v", was)
		} else if after.revocations[i].Position.Epoch == was.Position.Epoch {
			t.Errorf("%+v is said in the epoch before", was)
		}
	}
	if after.has(state) != state {
		t.Errorf("the stream says %+v, there is %+v", state, after.has(state))
	}
	if again := r.handUp(other, before.signed...); again != (api.RevocationsTaken{}) {
		t.Errorf("what is known was taken again: %+v", again)
	}
	log := call[api.AuditList](t, op, api.OpListAudit, nil, p.org)
	shown := 0
	for _, rec := range log.Items {
		if rec.Operation == api.OpEdgeRevocations.ID && strings.Contains(string(rec.After), `"revoked"`) {
			shown++
		}
	}
	if shown != 2 {
		t.Errorf("the audit log tells of %d revoked Warpgates", shown)
	}
	// Whoever has read it removes it.
	call[any](t, op, api.OpDeleteWarpgate, nil, p.path(gone.id)...)
	refused(t, mezu.CodeNotFound, op, api.OpGetWarpgate, nil, p.path(gone.id)...)
}

// Row 17: an edge that lies costs itself its call, and ends nothing.
func TestRow17HandedUpLies(t *testing.T) {
	in := install(t)
	op := in.operator()
	p := in.pool(op)
	e, enrolled := in.enrol(op, "edge-1")
	_, key := p.account("gate", mezu.PermWarpgateRegister)
	gone, _ := in.register(key, "")
	alive, _ := in.register(key, "")
	call[any](t, op, api.OpDeleteWarpgate, nil, p.path(gone.id)...)
	told, was := in.stated(e, enrolled)
	good := told.signed[0]
	altered := good
	altered.Payload = bytes.Replace(good.Payload, []byte(told.revocations[0].Subject), []byte(trust.Serial(alive.cert.Leaf)), 1)
	foreign := install(t)
	foreignOp := foreign.operator()
	fp := foreign.pool(foreignOp)
	fe, fenrolled := foreign.enrol(foreignOp, "edge-1")
	_, fkey := fp.account("gate", mezu.PermWarpgateRegister)
	fw, _ := foreign.register(fkey, "")
	call[any](t, foreignOp, api.OpDeleteWarpgate, nil, fp.path(fw.id)...)
	ftold, _ := foreign.stated(fe, fenrolled)
	stranger := ftold.signed[0]
	renamed := stranger
	renamed.KeyID = good.KeyID
	other := good
	other.Purpose = mezu.PurposeBundle
	other.Payload = altered.Payload
	text := good
	text.Payload = []byte(`{"kind":"certificate","subject":"../../org/acme","until":"2100-01-01T00:00:00Z"}`)

	for what, doc := range map[string]mezu.Signed{"altered bytes": altered, "another installation's": stranger, "under our key's name": renamed, "another purpose": other, "a subject that is a path": text} {
		if got := in.handUp(e, doc); got != (api.RevocationsTaken{Refused: 1}) {
			t.Errorf("%s: %+v", what, got)
		}
		if got := in.handUp(e, doc, good); got != (api.RevocationsTaken{Refused: 1}) {
			t.Errorf("%s, beside what is known: %+v", what, got)
		}
	}
	garbage := slices.Repeat([]mezu.Signed{altered}, 5)
	if refusal := refused(t, mezu.CodeInvalid, in.client("", e.cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: garbage}); refusal.Field != "revocations" {
		t.Errorf("%+v", refusal)
	}
	many := slices.Repeat([]mezu.Signed{good}, api.MaxEdgeRevocations+1)
	for what, docs := range map[string][]mezu.Signed{"none": {}, "too many": many} {
		if refusal := refused(t, mezu.CodeInvalid, in.client("", e.cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: docs}); !strings.HasPrefix(refusal.Field, "revocations") {
			t.Errorf("%s: %+v", what, refusal)
		}
	}
	// Warpgates and people hand up nothing.
	refused(t, mezu.CodeForbidden, in.client("", alive.cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: []mezu.Signed{good}})
	refused(t, mezu.CodeForbidden, op, api.OpEdgeRevocations, api.EdgeRevocations{Revocations: []mezu.Signed{good}})
	if err := in.renew(alive); err != nil {
		t.Errorf("a lie ended a Warpgate: %v", err)
	}
	if _, now := in.stated(e, enrolled); now.Revocations != was.Revocations {
		t.Errorf("there are %+v now, there were %+v", now.Revocations, was.Revocations)
	}
}

// Row 17: what names an environment or a directory that the restored store does not have
// is taken all the same.
func TestRow17HandedUpOfTheUnknown(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	p := in.pool(op)
	e, enrolled := in.enrol(op, "edge-1")
	path := in.backup(op)
	call[any](t, op, api.OpCreateEnvironment, map[string]any{"name": "late"}, p.org, p.prj)
	call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "late"}, p.org, p.prj)
	_, key := p.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "late")
	call[any](t, op, api.OpDeleteWarpgate, nil, p.org, p.prj, "late", w.id)
	var users []mezu.User
	for i := range 20 {
		users = append(users, call[mezu.User](t, op, api.OpCreateUser, account(fmt.Sprintf("u%d@acme.example", i)), p.org, p.prj, "late"))
		call[any](t, op, api.OpDeleteUser, nil, p.org, p.prj, "late", users[i].ID)
	}
	before, _ := in.stated(e, enrolled)
	in.stop()
	r := in.restored(path, false)
	r.start()
	defer r.stop()
	if got := r.handUp(e, before.signed...); got.Taken != 21 || got.Refused != 0 {
		t.Errorf("%+v", got)
	}
	after, state := r.stated(e, enrolled)
	if after.has(state) != state || !after.revoked[trust.Serial(w.cert.Leaf)] || !after.revoked[users[19].ID] {
		t.Errorf("the stream says %+v, there is %+v", state, after.has(state))
	}
	if again := r.handUp(e, before.signed...); again != (api.RevocationsTaken{}) {
		t.Errorf("again: %+v", again)
	}
}

// Row 17: what is past its end is neither taken nor refused.
func TestRow17HandedUpEnded(t *testing.T) {
	in := withStore(t)
	in.tlsTime = in.clock.now
	token := in.operatorToken()
	op := in.client(token, nil)
	p := in.pool(op)
	_, key := p.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	usr := call[mezu.User](t, op, api.OpCreateUser, account("ana@acme.example"), p.in()...)
	in.clock.advance(2 * 24 * time.Hour)
	e, enrolled := in.enrol(op, "edge-1")
	path := in.backup(op)
	call[any](t, op, api.OpDeleteWarpgate, nil, p.path(w.id)...)
	call[any](t, op, api.OpDeleteUser, nil, p.in(usr.ID)...)
	before, _ := in.stated(e, enrolled)
	in.stop()
	in.clock.advance(mezu.LeafLife - 24*time.Hour)
	r := in.restored(path, false)
	r.tlsTime = in.clock.now
	r.start()
	defer r.stop()
	if got := r.handUp(e, before.signed...); len(before.signed) != 2 || got != (api.RevocationsTaken{Taken: 1}) {
		t.Errorf("of %d: %+v", len(before.signed), got)
	}
}
