package control_test

import (
	"errors"
	"net/url"
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// roleOf reads the role of a member, by id or address.
func roleOf(t *testing.T, c *api.Client, org, ref string) mezu.Role {
	t.Helper()
	return call[mezu.Member](t, c, api.OpGetMember, nil, org, ref).Role
}

func TestMembers(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	ana, member := in.join(op, "acme", "Ana@Acme.example", mezu.RoleDeveloper)
	if member.Email != "ana@acme.example" || member.Organization != "acme" || member.Role != mezu.RoleDeveloper {
		t.Errorf("joined as %+v", member)
	}
	all := call[api.List[mezu.Member]](t, ana, api.OpListMembers, nil, "acme")
	if len(all.Items) != 2 {
		t.Fatalf("members: %+v", all.Items)
	}
	for _, ref := range []string{member.ID, member.Person, "ANA@acme.example"} {
		if got := call[mezu.Member](t, op, api.OpGetMember, nil, "acme", ref); got.ID != member.ID || got.Email != "ana@acme.example" || got.Revision != 1 {
			t.Errorf("by %s: %+v", ref, got)
		}
	}
	for _, ref := range []string{"nobody", "nobody@acme.example", mezu.PrefixMember + "_x", mezu.NewID(mezu.PrefixPerson, in.clock.now()), mezu.NewID(mezu.PrefixMember, in.clock.now())} {
		refused(t, mezu.CodeNotFound, op, api.OpGetMember, nil, "acme", ref)
	}
	changed := call[mezu.Member](t, op, api.OpUpdateMember, map[string]any{"role": "viewer"}, "acme", member.ID)
	if changed.Role != mezu.RoleViewer || changed.Email != "ana@acme.example" || changed.Revision != 2 {
		t.Errorf("changed: %+v", changed)
	}
	// What a role no longer allows ends at once, with the same token.
	refused(t, mezu.CodeForbidden, ana, api.OpCreateProject, map[string]any{"name": "x"}, "acme")
	call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	refused(t, mezu.CodeNotFound, ana, api.OpGetOrganization, nil, "acme")
	if own := call[api.List[mezu.Organization]](t, ana, api.OpListOrganizations, nil); len(own.Items) != 0 {
		t.Errorf("a removed member lists %+v", own.Items)
	}
	refused(t, mezu.CodeNotFound, op, api.OpDeleteMember, nil, "acme", member.ID)
}

// Everybody reads and ends his own membership, whatever the role.
func TestMembers_Oneself(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	bill, member := in.join(op, "acme", "bill@acme.example", mezu.RoleBilling)
	if got := call[mezu.Member](t, bill, api.OpGetMember, nil, "acme", "bill@acme.example"); got.ID != member.ID {
		t.Errorf("own membership: %+v", got)
	}
	refused(t, mezu.CodeForbidden, bill, api.OpListMembers, nil, "acme")
	refused(t, mezu.CodeForbidden, bill, api.OpUpdateMember, map[string]any{"role": "owner"}, "acme", member.ID)
	in.leave(bill, "acme")
	refused(t, mezu.CodeNotFound, bill, api.OpGetOrganization, nil, "acme")
}

// A4: an administrator neither makes, changes nor removes an owner.
func TestA4_AdminIsNoOwner(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	admin, self := in.join(op, "acme", "admin@acme.example", mezu.RoleAdmin)
	_, dev := in.join(op, "acme", "dev@acme.example", mezu.RoleDeveloper)
	_, owner := in.join(op, "acme", "owner@acme.example", mezu.RoleOwner)
	invited := in.invite(op, "acme", "next@acme.example", mezu.RoleOwner)
	forbidden := func(o api.Operation, body any, params ...string) {
		t.Helper()
		if e := refused(t, mezu.CodeForbidden, admin, o, body, params...); e.Field != "role" {
			t.Errorf("%s: %+v", o.ID, e)
		}
	}
	forbidden(api.OpCreateInvitation, map[string]any{"email": "x@acme.example", "role": "owner"}, "acme")
	forbidden(api.OpUpdateMember, map[string]any{"role": "owner"}, "acme", dev.ID)
	forbidden(api.OpUpdateMember, map[string]any{"role": "owner"}, "acme", self.ID)
	forbidden(api.OpUpdateMember, map[string]any{"role": "viewer"}, "acme", owner.ID)
	forbidden(api.OpDeleteMember, nil, "acme", owner.ID)
	forbidden(api.OpDeleteInvitation, nil, "acme", invited.ID)
	if roleOf(t, op, "acme", owner.ID) != mezu.RoleOwner || roleOf(t, op, "acme", dev.ID) != mezu.RoleDeveloper {
		t.Error("a refused change took effect")
	}
	// What he has himself he gives and takes.
	call[mezu.Member](t, admin, api.OpUpdateMember, map[string]any{"role": "admin"}, "acme", dev.ID)
	call[any](t, admin, api.OpDeleteMember, nil, "acme", dev.ID)
}

// A3: what only the server sets is refused in a body, not ignored.
func TestA3_MemberMassAssignment(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	_, member := in.join(op, "acme", "a@acme.example", mezu.RoleViewer)
	for _, field := range []string{"id", "revision", "created_at", "updated_at", "organization", "person", "email", "owner"} {
		if e := refused(t, mezu.CodeInvalid, op, api.OpUpdateMember, map[string]any{field: "x"}, "acme", member.ID); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	for _, field := range []string{"id", "revision", "created_at", "updated_at", "organization", "invited_by", "expires_at", "code", "code_hash", "attempts", "in"} {
		if e := refused(t, mezu.CodeInvalid, op, api.OpCreateInvitation, map[string]any{"email": "b@acme.example", "role": "viewer", field: "x"}, "acme"); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
}

// A4: the last owner can't leave, be demoted or removed.
func TestA4_LastOwner(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	in.join(op, "acme", "admin@acme.example", mezu.RoleAdmin)
	self := call[api.Self](t, op, api.OpSelf, nil).ID
	refused(t, mezu.CodeConflict, op, api.OpDeleteMember, nil, "acme", self)
	refused(t, mezu.CodeConflict, op, api.OpUpdateMember, map[string]any{"role": "admin"}, "acme", self)
	if roleOf(t, op, "acme", self) != mezu.RoleOwner {
		t.Error("the last owner is none")
	}
	second, member := in.join(op, "acme", "owner@acme.example", mezu.RoleOwner)
	call[mezu.Member](t, op, api.OpUpdateMember, map[string]any{"role": "admin"}, "acme", self)
	refused(t, mezu.CodeConflict, second, api.OpDeleteMember, nil, "acme", member.ID)
	call[mezu.Member](t, second, api.OpUpdateMember, map[string]any{"role": "owner"}, "acme", self)
	in.leave(second, "acme")
	refused(t, mezu.CodeConflict, op, api.OpDeleteMember, nil, "acme", self)
}

// atOnce runs something several times at the same time and counts what became of it
// by code; the empty code is success.
func atOnce(n int, do func(i int) error) map[mezu.Code]int {
	var mu sync.Mutex
	out := map[mezu.Code]int{}
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			err := do(i)
			code := mezu.CodeOf(err)
			var known *mezu.Error
			if err != nil && !errors.As(err, &known) {
				code = mezu.Code(err.Error())
			}
			mu.Lock()
			defer mu.Unlock()
			out[code]++
		})
	}
	close(begin)
	all.Wait()
	return out
}

// A4: of owners who leave, demote and remove each other at once, one stays.
func TestA4_OwnersLeaveAtOnce(t *testing.T) {
	in := install(t)
	op := in.operator()
	for _, org := range []string{"acme-1", "acme-2", "acme-3", "acme-4"} {
		in.tenant(op, org)
		owners := []*api.Client{op}
		ids := []string{call[api.Self](t, op, api.OpSelf, nil).ID}
		for _, name := range []string{"b", "c"} {
			c, m := in.join(op, org, name+"@"+org+".example", mezu.RoleOwner)
			owners, ids = append(owners, c), append(ids, m.Person)
		}
		atOnce(6, func(i int) error {
			self := i % 3
			o, body, target := api.OpDeleteMember, any(nil), ids[self]
			switch {
			case i == 1: // removes the next one
				target = ids[(self+1)%3]
			case i > 2:
				o, body = api.OpUpdateMember, map[string]any{"role": "viewer"}
			}
			_, err := api.Invoke[any](t.Context(), owners[self], o, body, org, target)
			return err
		})
		left := 0
		for _, c := range owners {
			members, err := api.Invoke[api.List[mezu.Member]](t.Context(), c, api.OpListMembers, nil, org)
			if mezu.CodeOf(err) == mezu.CodeNotFound {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			left = 0
			for _, m := range members.Items {
				if m.Role == mezu.RoleOwner {
					left++
				}
			}
		}
		if left < 1 {
			t.Errorf("%s has no owner left", org)
		}
	}
}

// A10: of two who change a member by the same revision one wins.
func TestA10_MemberLostUpdate(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	_, member := in.join(op, "acme", "a@acme.example", mezu.RoleViewer)
	roles := []mezu.Role{mezu.RoleAdmin, mezu.RoleDeveloper, mezu.RoleBilling, mezu.RoleOwner}
	got := atOnce(len(roles), func(i int) error {
		return op.Do(t.Context(), api.Call{Operation: api.OpUpdateMember, Params: []string{"acme", member.ID}, Body: map[string]any{"role": roles[i]}, IfMatch: member.Revision}, nil)
	})
	if got[""] != 1 || got[mezu.CodePreconditionFailed] != len(roles)-1 {
		t.Errorf("outcomes: %v", got)
	}
}

// T2: a member who was removed leaves no Warpgate behind and no token that lets one
// in.
func TestT2_RemovedMembersWarpgates(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	dev, member := in.join(op, "acme", "dev@acme.example", mezu.RoleDeveloper)
	enrol := func() (*identity, string) {
		w := newIdentity(t)
		token := call[api.JoinTokenResponse](t, dev, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: spki(t, w.csr)}, x.path()...).Token
		return w, in.secret(token)
	}
	w, token := enrol()
	out := call[api.RegisterResponse](t, in.client(token, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.csr})
	w.take(t, out.Certificates, out.Warpgate)
	late, unused := enrol()
	call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(out.Warpgate)...)
	call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	refused(t, mezu.CodeNotFound, op, api.OpGetWarpgate, nil, x.path(out.Warpgate)...)
	refused(t, mezu.CodeUnauthenticated, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	refused(t, mezu.CodeUnauthenticated, in.client(unused, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: late.csr})
}

// K3: what belongs to another organization is not found by its own id.
func TestK3_AnotherOrganizationsMembers(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	in.tenant(op, "other")
	owner, _ := in.join(op, "other", "o@other.example", mezu.RoleOwner)
	_, member := in.join(op, "acme", "a@acme.example", mezu.RoleViewer)
	invited := in.invite(op, "acme", "b@acme.example", mezu.RoleViewer)
	for _, ref := range []string{member.ID, member.Person, member.Email} {
		refused(t, mezu.CodeNotFound, owner, api.OpGetMember, nil, "other", ref)
		refused(t, mezu.CodeNotFound, owner, api.OpUpdateMember, map[string]any{"role": "viewer"}, "other", ref)
		refused(t, mezu.CodeNotFound, owner, api.OpDeleteMember, nil, "other", ref)
		refused(t, mezu.CodeNotFound, owner, api.OpGetMember, nil, "acme", ref)
	}
	refused(t, mezu.CodeNotFound, owner, api.OpGetInvitation, nil, "other", invited.ID)
	refused(t, mezu.CodeNotFound, owner, api.OpDeleteInvitation, nil, "other", invited.ID)
	refused(t, mezu.CodeNotFound, owner, api.OpListMembers, nil, "acme")
	refused(t, mezu.CodeNotFound, owner, api.OpListInvitations, nil, "acme")
	// Nor does a page token of theirs open anything.
	in.join(op, "other", "p@other.example", mezu.RoleViewer)
	var page api.List[mezu.Member]
	query := url.Values{"page_size": {"1"}}
	if err := op.Do(t.Context(), api.Call{Operation: api.OpListMembers, Params: []string{"acme"}, Query: query}, &page); err != nil || page.NextPageToken == "" {
		t.Fatalf("%v, %+v", err, page)
	}
	query.Set("page_token", page.NextPageToken)
	err := owner.Do(t.Context(), api.Call{Operation: api.OpListMembers, Params: []string{"other"}, Query: query}, nil)
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != mezu.CodeInvalid || e.Field != "page_token" {
		t.Errorf("another tenant's page token: %v", err)
	}
}

// A deleted organization leaves nothing to its members, not even when somebody
// takes its name.
func TestDeletedOrganization(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	call[mezu.Organization](t, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	ana, _ := in.join(op, "acme", "a@acme.example", mezu.RoleDeveloper)
	code := in.invite(op, "acme", "b@acme.example", mezu.RoleViewer).Code
	call[any](t, op, api.OpDeleteOrganization, nil, "acme")
	call[mezu.Organization](t, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	if own := call[api.List[mezu.Organization]](t, ana, api.OpListOrganizations, nil); len(own.Items) != 0 {
		t.Errorf("a member of the deleted organization lists %+v", own.Items)
	}
	refused(t, mezu.CodeNotFound, ana, api.OpGetOrganization, nil, "acme")
	refused(t, mezu.CodeUnauthenticated, in.client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: "b@acme.example"})
	for _, prefix := range []string{"invitation/", "invite/", "outbox/", "pending/"} {
		if keys := in.keys(prefix); len(keys) != 0 {
			t.Errorf("left: %v", keys)
		}
	}
	if keys := in.keys("member/"); len(keys) != 1 {
		t.Errorf("memberships: %v", keys)
	}
}
