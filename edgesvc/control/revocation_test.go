package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
)

// stated reads the stream of an edge from its beginning and gives the revocations in it,
// and the state that it ends with.
func (in *installation) stated(e *identity, enrolled api.EnrolResponse) (*follower, api.StreamState) {
	in.t.Helper()
	f := newFollower(in.t, enrolled)
	s := open(in.t, in.client("", e.cert), mezu.Position{})
	defer s.Close()
	for {
		ev, err := s.Next()
		if err != nil {
			in.t.Fatal(err)
		}
		if ev.Kind == api.StreamSynced {
			if ev.State == nil {
				in.t.Fatal("the stream does not say what must be there")
			}
			return f, *ev.State
		}
		f.take(ev)
	}
}

// has is the state that a follower has, as an edge counts it.
func (f *follower) has(state api.StreamState) api.StreamState {
	out := api.StreamState{At: state.At, Keyset: state.Keyset, Edges: f.edges.Position}
	for env, b := range f.bundles {
		if !b.Removed {
			out.Bundles.CountBundle(env, b.Position, 1)
		}
	}
	a := trust.New(nil, nil)
	for _, r := range f.revocations {
		if a.Adds(&r) {
			a.Revoke(&r)
		}
	}
	a.Revocations(state.At, func(r mezu.Revocation) bool {
		if wide, ok := a.Revoked(mezu.RevokeDirectory, f.scopes[r.Subject]); r.Kind != mezu.RevokeUser || !ok || r.NotBefore.After(wide.NotBefore) {
			out.Revocations.CountRevocation(r, 1)
		}
		return true
	})
	return out
}

// Issue 7, row 1: a revocation names whom it is about, several of one subject are one, an
// organization's are bounded without keeping anybody in, and the answer to a registration
// does not grow with them. Row 14: the stream says what must be there.
func TestRow1Revocations(t *testing.T) {
	in := &installation{t: t, dir: t.TempDir(), clock: &clock{}, log: &testkit.Buffer{}, notice: &testkit.Buffer{}, quotas: control.Quotas{"revocations": 3, "certificates": 4}}
	in.start()
	t.Cleanup(func() { in.stop() })
	op := in.operator()
	p := in.pool(op)
	e, enrolled := in.enrol(op, "edge-1")
	gone, _ := in.enrol(op, "edge-2")
	call[any](t, op, api.OpDeleteEdge, nil, gone.id)
	_, key := p.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	call[any](t, op, api.OpDeleteWarpgate, nil, p.path(w.id)...)
	var users []mezu.User
	for i := range 6 {
		users = append(users, call[mezu.User](t, op, api.OpCreateUser, account(fmt.Sprintf("u%d@example.com", i)), p.in()...))
	}
	directory := call[mezu.Directory](t, op, api.OpGetDirectory, nil, p.in()...).ID
	suspend := func(u mezu.User) {
		t.Helper()
		call[any](t, op, api.OpUpdateUser, map[string]any{"status": "suspended"}, p.in(u.ID)...)
	}
	for range 3 {
		suspend(users[0])
		call[any](t, op, api.OpUpdateUser, map[string]any{"status": "active"}, p.in(users[0].ID)...)
	}
	suspend(users[1])

	f, state := in.stated(e, enrolled)
	scopes := map[string]string{}
	for _, r := range f.revocations {
		scopes[r.Subject] = r.Scope
	}
	want := map[string]string{trust.Serial(gone.cert.Leaf): "", trust.Serial(w.cert.Leaf): p.environment.ID, users[0].ID: directory, users[1].ID: directory}
	if len(f.revocations) != len(want) || fmt.Sprint(scopes) != fmt.Sprint(want) {
		t.Fatalf("revocations are about %v, want %v", scopes, want)
	}
	if f.has(state) != state {
		t.Errorf("the stream says %+v, there is %+v", state, f.has(state))
	}
	_, answer := in.register(key, "")
	if r, err := f.anchor.OpenRevocation(answer.Revocations[0]); err != nil || len(answer.Revocations) != 1 || r.Subject != trust.Serial(gone.cert.Leaf) {
		t.Errorf("the answer to a registration has %d revocations, %+v, %v", len(answer.Revocations), r, err)
	}

	// The fourth user is over the quota: with him all sessions of the directory end.
	suspend(users[2])
	suspend(users[3])
	f, state = in.stated(e, enrolled)
	grant := mezu.Grant{User: users[5].ID, Directory: directory, IssuedAt: time.Now().Add(-time.Second)}
	for _, r := range f.revocations {
		f.anchor.Revoke(&r)
	}
	if _, own := f.anchor.Revoked(mezu.RevokeUser, users[3].ID); own || !f.anchor.GrantRevoked(&grant) {
		t.Errorf("ended one by one: %v, with all: %v", own, f.anchor.GrantRevoked(&grant))
	}
	if f.has(state) != state {
		t.Errorf("the stream says %+v, there is %+v", state, f.has(state))
	}
	grant.IssuedAt = time.Now().Add(time.Second)
	if f.anchor.GrantRevoked(&grant) {
		t.Error("a later session is ended too")
	}
	// There is room for others again.
	suspend(users[4])
	f, state = in.stated(e, enrolled)
	if !f.revoked[users[4].ID] || f.has(state) != state {
		t.Errorf("the next is ended: %v; the stream says %+v, there is %+v", f.revoked[users[4].ID], state, f.has(state))
	}

	// Certificates are refused where they are issued, not where they are ended.
	in.register(key, "")
	in.register(key, "")
	refusal := refused(t, mezu.CodeConflict, in.client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: newIdentity(t).csr})
	if refusal.Hint == "" || !strings.Contains(refusal.Detail, "the quota of certificates is 4") {
		t.Errorf("%+v", refusal)
	}
}
