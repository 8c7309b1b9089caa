package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/trust"
)

// Issue 7, row 1: a revocation names whom it is about, several of one subject are one, an
// organization's are bounded without keeping anybody in, and the answer to a registration
// does not grow with them. Row 14: the stream says what must be there.
func TestRow1Revocations(t *testing.T) {
	in := controltest.New(t)
	in.Quotas = control.Quotas{"revocations": 3, "certificates": 4}
	in.Start()
	t.Cleanup(func() { in.Stop() })
	op := in.Operator()
	p := in.Pool(op)
	e, enrolled := in.Enrol(op, "edge-1")
	gone, _ := in.Enrol(op, "edge-2")
	controltest.Call[any](t, op, api.OpDeleteEdge, nil, gone.ID)
	_, key := p.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, p.Path(w.ID)...)
	var users []mezu.User
	for i := range 6 {
		users = append(users, controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody(fmt.Sprintf("u%d@example.com", i)), p.InProject()...))
	}
	directory := controltest.Call[mezu.Directory](t, op, api.OpGetDirectory, nil, p.InProject()...).ID
	suspend := func(u mezu.User) {
		t.Helper()
		controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"status": "suspended"}, p.InProject(u.ID)...)
	}
	for range 3 {
		suspend(users[0])
		controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"status": "active"}, p.InProject(users[0].ID)...)
	}
	suspend(users[1])

	f, state := in.Stated(e, enrolled)
	scopes := map[string]string{}
	for _, r := range f.Revocations {
		scopes[r.Subject] = r.Scope
	}
	want := map[string]string{trust.Serial(gone.Cert.Leaf): "", trust.Serial(w.Cert.Leaf): p.Environment.ID, users[0].ID: directory, users[1].ID: directory}
	if len(f.Revocations) != len(want) || fmt.Sprint(scopes) != fmt.Sprint(want) {
		t.Fatalf("revocations are about %v, want %v", scopes, want)
	}
	if f.Has(state) != state {
		t.Errorf("the stream says %+v, there is %+v", state, f.Has(state))
	}
	_, answer := in.Register(key, "")
	if r, err := f.Anchor.OpenRevocation(answer.Revocations[0]); err != nil || len(answer.Revocations) != 1 || r.Subject != trust.Serial(gone.Cert.Leaf) {
		t.Errorf("the answer to a registration has %d revocations, %+v, %v", len(answer.Revocations), r, err)
	}

	// The fourth user is over the quota: with him all sessions of the directory end.
	suspend(users[2])
	suspend(users[3])
	f, state = in.Stated(e, enrolled)
	grant := mezu.Grant{User: users[5].ID, Directory: directory, IssuedAt: time.Now().Add(-time.Second)}
	for _, r := range f.Revocations {
		f.Anchor.Revoke(&r)
	}
	if _, own := f.Anchor.Revoked(mezu.RevokeUser, users[3].ID); own || !f.Anchor.GrantRevoked(&grant) {
		t.Errorf("ended one by one: %v, with all: %v", own, f.Anchor.GrantRevoked(&grant))
	}
	if f.Has(state) != state {
		t.Errorf("the stream says %+v, there is %+v", state, f.Has(state))
	}
	grant.IssuedAt = time.Now().Add(3 * time.Minute) // grants that are issued from now on are dated so
	if f.Anchor.GrantRevoked(&grant) {
		t.Error("a later session is ended too")
	}
	// There is room for others again.
	suspend(users[4])
	f, state = in.Stated(e, enrolled)
	if !f.Revoked[users[4].ID] || f.Has(state) != state {
		t.Errorf("the next is ended: %v; the stream says %+v, there is %+v", f.Revoked[users[4].ID], state, f.Has(state))
	}

	// Certificates are refused where they are issued, not where they are ended.
	in.Register(key, "")
	in.Register(key, "")
	refusal := controltest.Refused(t, mezu.CodeConflict, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR})
	if refusal.Hint == "" || !strings.Contains(refusal.Detail, "the quota of certificates is 4") {
		t.Errorf("%+v", refusal)
	}
}
