package fleet_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/trust"
)

// renew asks for a certificate by the one in use, and uses it then.
func renew(in *controltest.Installation, w *controltest.Identity) error {
	in.T.Helper()
	out, err := api.Invoke[api.RegisterResponse](in.T.Context(), in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	if err == nil {
		w.Take(in.T, out.Certificates, out.Warpgate)
	}
	return err
}

// Row 17: what was revoked since the backup comes back with a restore, until an edge that
// holds the revocation hands it up. From then on it is ended here as well, and the other
// edges are told.
func TestRow17HandedUpRevocations(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	p := in.Pool(op)
	e, enrolled := in.Enrol(op, "edge-1")
	other, _ := in.Enrol(op, "edge-2")
	removed, _ := in.Enrol(op, "edge-3")
	_, key := p.Account("gate", mezu.PermWarpgateRegister)
	gone, _ := in.Register(key, "")
	quick, _ := in.Register(key, "") // renews before anybody hands up
	stays, _ := in.Register(key, "")
	usr := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("ana@acme.example"), p.InProject()...)
	late := controltest.Call[mezu.User](t, op, api.OpCreateOrganizationUser, controltest.UserBody("bea@acme.example"), p.Wide()...)
	path := in.Backup(op)
	for _, w := range []*controltest.Identity{gone, quick} {
		controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, p.Path(w.ID)...)
	}
	controltest.Call[any](t, op, api.OpDeleteEdge, nil, removed.ID)
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"status": "suspended"}, p.InProject(usr.ID)...)
	controltest.Call[any](t, op, api.OpDeleteOrganizationUser, nil, p.Wide(late.ID)...)
	before, _ := in.Stated(e, enrolled)
	if len(before.Signed) != 5 {
		t.Fatalf("%d revocations", len(before.Signed))
	}
	in.Stop()

	r := in.Restored(path, false)
	r.Start()
	defer r.Stop()
	op = r.Client(token, nil)
	stolen := *quick
	for range 20 { // more than a Warpgate may have certificates
		if err := renew(r, &stolen); err != nil {
			t.Fatalf("before it is known: %v", err)
		}
	}
	if err := renew(r, stays); err != nil {
		t.Fatal(err)
	}
	// Two edges hand up the same at once.
	var wg sync.WaitGroup
	for _, by := range []*controltest.Identity{e, other} {
		wg.Go(func() { r.HandUp(by, before.Signed...) })
	}
	wg.Wait()

	for what, w := range map[string]*controltest.Identity{"of the backup": gone, "renewed since": &stolen, "renewed since, as it was": quick} {
		if err := renew(r, w); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("a revoked Warpgate, %s, renews: %v", what, err)
		}
		refusal := controltest.Refused(t, mezu.CodeForbidden, r.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR, Warpgate: w.ID})
		if refusal.Hint == "" {
			t.Errorf("it is refused without a next step: %+v", refusal)
		}
		if shown := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, p.Path(w.ID)...); shown.Status != mezu.WarpgateRevoked {
			t.Errorf("%s: shown as %q", what, shown.Status)
		}
	}
	if err := renew(r, stays); err != nil {
		t.Errorf("a Warpgate that nobody revoked: %v", err)
	}
	if shown := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, p.Path(stays.ID)...); shown.Status != mezu.WarpgateDisconnected {
		t.Errorf("it is shown as %q", shown.Status)
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, r.Client("", removed.Cert), api.OpEdgeReport, api.EdgeReport{})
	if list := controltest.Call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil); len(list.Items) != 2 {
		t.Errorf("edges: %+v", list.Items)
	}

	// Both sides say the same: another edge, of an empty disk, is told of all.
	after, state := r.Stated(other, enrolled)
	for _, was := range before.Revocations {
		i := slices.IndexFunc(after.Revocations, func(is mezu.Revocation) bool {
			return is.Kind == was.Kind && is.Subject == was.Subject && is.Scope == was.Scope && is.NotBefore.Equal(was.NotBefore) && is.Until.Equal(was.Until)
		})
		if i < 0 {
			t.Errorf("the stream does not say %+v", was)
		} else if after.Revocations[i].Position.Epoch == was.Position.Epoch {
			t.Errorf("%+v is said in the epoch before", was)
		}
	}
	if after.Has(state) != state {
		t.Errorf("the stream says %+v, there is %+v", state, after.Has(state))
	}
	if again := r.HandUp(other, before.Signed...); again != (api.RevocationsTaken{}) {
		t.Errorf("what is known was taken again: %+v", again)
	}
	log := controltest.Call[api.AuditList](t, op, api.OpListAudit, nil, p.Org)
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
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, p.Path(gone.ID)...)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetWarpgate, nil, p.Path(gone.ID)...)
}

// Row 17: an edge that lies costs itself its call, and ends nothing.
func TestRow17HandedUpLies(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	e, enrolled := in.Enrol(op, "edge-1")
	_, key := p.Account("gate", mezu.PermWarpgateRegister)
	gone, _ := in.Register(key, "")
	alive, _ := in.Register(key, "")
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, p.Path(gone.ID)...)
	told, was := in.Stated(e, enrolled)
	good := told.Signed[0]
	altered := good
	altered.Payload = bytes.Replace(good.Payload, []byte(told.Revocations[0].Subject), []byte(trust.Serial(alive.Cert.Leaf)), 1)
	foreign := controltest.Install(t)
	foreignOp := foreign.Operator()
	fp := foreign.Pool(foreignOp)
	fe, fenrolled := foreign.Enrol(foreignOp, "edge-1")
	_, fkey := fp.Account("gate", mezu.PermWarpgateRegister)
	fw, _ := foreign.Register(fkey, "")
	controltest.Call[any](t, foreignOp, api.OpDeleteWarpgate, nil, fp.Path(fw.ID)...)
	ftold, _ := foreign.Stated(fe, fenrolled)
	stranger := ftold.Signed[0]
	renamed := stranger
	renamed.KeyID = good.KeyID
	other := good
	other.Purpose = mezu.PurposeBundle
	other.Payload = altered.Payload
	text := good
	text.Payload = []byte(`{"kind":"certificate","subject":"../../org/acme","until":"2100-01-01T00:00:00Z"}`)

	for what, doc := range map[string]mezu.Signed{"altered bytes": altered, "another installation's": stranger, "under our key's name": renamed, "another purpose": other, "a subject that is a path": text} {
		if got := in.HandUp(e, doc); got != (api.RevocationsTaken{Refused: 1}) {
			t.Errorf("%s: %+v", what, got)
		}
		if got := in.HandUp(e, doc, good); got != (api.RevocationsTaken{Refused: 1}) {
			t.Errorf("%s, beside what is known: %+v", what, got)
		}
	}
	garbage := slices.Repeat([]mezu.Signed{altered}, 5)
	if refusal := controltest.Refused(t, mezu.CodeInvalid, in.Client("", e.Cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: garbage}); refusal.Field != "revocations" {
		t.Errorf("%+v", refusal)
	}
	many := slices.Repeat([]mezu.Signed{good}, api.MaxEdgeRevocations+1)
	for what, docs := range map[string][]mezu.Signed{"none": {}, "too many": many} {
		if refusal := controltest.Refused(t, mezu.CodeInvalid, in.Client("", e.Cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: docs}); !strings.HasPrefix(refusal.Field, "revocations") {
			t.Errorf("%s: %+v", what, refusal)
		}
	}
	// Warpgates and people hand up nothing.
	controltest.Refused(t, mezu.CodeForbidden, in.Client("", alive.Cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: []mezu.Signed{good}})
	controltest.Refused(t, mezu.CodeForbidden, op, api.OpEdgeRevocations, api.EdgeRevocations{Revocations: []mezu.Signed{good}})
	if err := renew(in, alive); err != nil {
		t.Errorf("a lie ended a Warpgate: %v", err)
	}
	if _, now := in.Stated(e, enrolled); now.Revocations != was.Revocations {
		t.Errorf("there are %+v now, there were %+v", now.Revocations, was.Revocations)
	}
}

// Row 17: what names an environment or a directory that the restored store does not have
// is taken all the same.
func TestRow17HandedUpOfTheUnknown(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	p := in.Pool(op)
	e, enrolled := in.Enrol(op, "edge-1")
	path := in.Backup(op)
	controltest.Call[any](t, op, api.OpCreateEnvironment, map[string]any{"name": "late"}, p.Org, p.Prj)
	controltest.Call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "late"}, p.Org, p.Prj)
	_, key := p.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "late")
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, p.Org, p.Prj, "late", w.ID)
	var users []mezu.User
	for i := range 20 {
		users = append(users, controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody(fmt.Sprintf("u%d@acme.example", i)), p.Org, p.Prj, "late"))
		controltest.Call[any](t, op, api.OpDeleteUser, nil, p.Org, p.Prj, "late", users[i].ID)
	}
	before, _ := in.Stated(e, enrolled)
	in.Stop()
	r := in.Restored(path, false)
	r.Start()
	defer r.Stop()
	if got := r.HandUp(e, before.Signed...); got.Taken != 21 || got.Refused != 0 {
		t.Errorf("%+v", got)
	}
	after, state := r.Stated(e, enrolled)
	if after.Has(state) != state || !after.Revoked[trust.Serial(w.Cert.Leaf)] || !after.Revoked[users[19].ID] {
		t.Errorf("the stream says %+v, there is %+v", state, after.Has(state))
	}
	if again := r.HandUp(e, before.Signed...); again != (api.RevocationsTaken{}) {
		t.Errorf("again: %+v", again)
	}
}

// Row 17: what is past its end is neither taken nor refused.
func TestRow17HandedUpEnded(t *testing.T) {
	in := controltest.InstallWithStore(t)
	in.TLSTime = in.Clock.Now
	token := in.OperatorToken()
	op := in.Client(token, nil)
	p := in.Pool(op)
	_, key := p.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	usr := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("ana@acme.example"), p.InProject()...)
	in.Clock.Advance(2 * 24 * time.Hour)
	e, enrolled := in.Enrol(op, "edge-1")
	path := in.Backup(op)
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, p.Path(w.ID)...)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, p.InProject(usr.ID)...)
	before, _ := in.Stated(e, enrolled)
	in.Stop()
	in.Clock.Advance(mezu.LeafLife - 24*time.Hour)
	r := in.Restored(path, false)
	r.TLSTime = in.Clock.Now
	r.Start()
	defer r.Stop()
	if got := r.HandUp(e, before.Signed...); len(before.Signed) != 2 || got != (api.RevocationsTaken{Taken: 1}) {
		t.Errorf("of %d: %+v", len(before.Signed), got)
	}
}
