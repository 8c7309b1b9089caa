package team_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// roleOf reads the role of a member, by id or address.
func roleOf(t *testing.T, c *api.Client, org, ref string) mezu.Role {
	t.Helper()
	return controltest.Call[mezu.Member](t, c, api.OpGetMember, nil, org, ref).Role
}

func TestMembers(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	ana, member := in.Join(op, "acme", "Ana@Acme.example", mezu.RoleDeveloper)
	if member.Email != "ana@acme.example" || member.Organization != "acme" || member.Role != mezu.RoleDeveloper {
		t.Errorf("joined as %+v", member)
	}
	all := controltest.Call[api.List[mezu.Member]](t, ana, api.OpListMembers, nil, "acme")
	if len(all.Items) != 2 {
		t.Fatalf("members: %+v", all.Items)
	}
	for _, ref := range []string{member.ID, member.Person, "ANA@acme.example"} {
		if got := controltest.Call[mezu.Member](t, op, api.OpGetMember, nil, "acme", ref); got.ID != member.ID || got.Email != "ana@acme.example" || got.Revision != 1 {
			t.Errorf("by %s: %+v", ref, got)
		}
	}
	for _, ref := range []string{"nobody", "nobody@acme.example", mezu.PrefixMember + "_x", mezu.NewID(mezu.PrefixPerson, in.Clock.Now()), mezu.NewID(mezu.PrefixMember, in.Clock.Now())} {
		controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetMember, nil, "acme", ref)
	}
	changed := controltest.Call[mezu.Member](t, op, api.OpUpdateMember, map[string]any{"role": "viewer"}, "acme", member.ID)
	if changed.Role != mezu.RoleViewer || changed.Email != "ana@acme.example" || changed.Revision != 2 {
		t.Errorf("changed: %+v", changed)
	}
	// What a role no longer allows ends at once, with the same token.
	controltest.Refused(t, mezu.CodeForbidden, ana, api.OpCreateProject, map[string]any{"name": "x"}, "acme")
	controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	controltest.Refused(t, mezu.CodeNotFound, ana, api.OpGetOrganization, nil, "acme")
	if own := controltest.Call[api.List[mezu.Organization]](t, ana, api.OpListOrganizations, nil); len(own.Items) != 0 {
		t.Errorf("a removed member lists %+v", own.Items)
	}
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpDeleteMember, nil, "acme", member.ID)
}

// Everybody reads and ends his own membership, whatever the role.
func TestMembers_Oneself(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	bill, member := in.Join(op, "acme", "bill@acme.example", mezu.RoleBilling)
	if got := controltest.Call[mezu.Member](t, bill, api.OpGetMember, nil, "acme", "bill@acme.example"); got.ID != member.ID {
		t.Errorf("own membership: %+v", got)
	}
	controltest.Refused(t, mezu.CodeForbidden, bill, api.OpListMembers, nil, "acme")
	controltest.Refused(t, mezu.CodeForbidden, bill, api.OpUpdateMember, map[string]any{"role": "owner"}, "acme", member.ID)
	in.Leave(bill, "acme")
	controltest.Refused(t, mezu.CodeNotFound, bill, api.OpGetOrganization, nil, "acme")
}

// A4: an administrator neither makes, changes nor removes an owner.
func TestA4_AdminIsNoOwner(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	admin, self := in.Join(op, "acme", "admin@acme.example", mezu.RoleAdmin)
	_, dev := in.Join(op, "acme", "dev@acme.example", mezu.RoleDeveloper)
	_, owner := in.Join(op, "acme", "owner@acme.example", mezu.RoleOwner)
	invited := in.Invite(op, "acme", "next@acme.example", mezu.RoleOwner)
	forbidden := func(o api.Operation, body any, params ...string) {
		t.Helper()
		if e := controltest.Refused(t, mezu.CodeForbidden, admin, o, body, params...); e.Field != "role" {
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
	controltest.Call[mezu.Member](t, admin, api.OpUpdateMember, map[string]any{"role": "admin"}, "acme", dev.ID)
	controltest.Call[any](t, admin, api.OpDeleteMember, nil, "acme", dev.ID)
}

// A3: what only the server sets is refused in a body, not ignored.
func TestA3_MemberMassAssignment(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	_, member := in.Join(op, "acme", "a@acme.example", mezu.RoleViewer)
	for _, field := range []string{"id", "revision", "created_at", "updated_at", "organization", "person", "email", "owner"} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateMember, map[string]any{field: "x"}, "acme", member.ID); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	for _, field := range []string{"id", "revision", "created_at", "updated_at", "organization", "invited_by", "expires_at", "code", "code_hash", "attempts", "in"} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateInvitation, map[string]any{"email": "b@acme.example", "role": "viewer", field: "x"}, "acme"); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
}

// A4: the last owner can't leave, be demoted or removed.
func TestA4_LastOwner(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	in.Join(op, "acme", "admin@acme.example", mezu.RoleAdmin)
	self := controltest.Call[api.Self](t, op, api.OpSelf, nil).ID
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteMember, nil, "acme", self)
	controltest.Refused(t, mezu.CodeConflict, op, api.OpUpdateMember, map[string]any{"role": "admin"}, "acme", self)
	if roleOf(t, op, "acme", self) != mezu.RoleOwner {
		t.Error("the last owner is none")
	}
	second, member := in.Join(op, "acme", "owner@acme.example", mezu.RoleOwner)
	controltest.Call[mezu.Member](t, op, api.OpUpdateMember, map[string]any{"role": "admin"}, "acme", self)
	controltest.Refused(t, mezu.CodeConflict, second, api.OpDeleteMember, nil, "acme", member.ID)
	controltest.Call[mezu.Member](t, second, api.OpUpdateMember, map[string]any{"role": "owner"}, "acme", self)
	in.Leave(second, "acme")
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteMember, nil, "acme", self)
}

// A4: of owners who leave, demote and remove each other at once, one stays.
func TestA4_OwnersLeaveAtOnce(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	for _, org := range []string{"acme-1", "acme-2", "acme-3", "acme-4"} {
		in.Tenant(op, org)
		owners := []*api.Client{op}
		ids := []string{controltest.Call[api.Self](t, op, api.OpSelf, nil).ID}
		for _, name := range []string{"b", "c"} {
			c, m := in.Join(op, org, name+"@"+org+".example", mezu.RoleOwner)
			owners, ids = append(owners, c), append(ids, m.Person)
		}
		controltest.AtOnce(6, func(i int) error {
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
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	_, member := in.Join(op, "acme", "a@acme.example", mezu.RoleViewer)
	roles := []mezu.Role{mezu.RoleAdmin, mezu.RoleDeveloper, mezu.RoleBilling, mezu.RoleOwner}
	got := controltest.AtOnce(len(roles), func(i int) error {
		return op.Do(t.Context(), api.Call{Operation: api.OpUpdateMember, Params: []string{"acme", member.ID}, Body: map[string]any{"role": roles[i]}, IfMatch: member.Revision}, nil)
	})
	if got[""] != 1 || got[mezu.CodePreconditionFailed] != len(roles)-1 {
		t.Errorf("outcomes: %v", got)
	}
}

// T2: a member who was removed leaves no Warpgate behind and no token that lets one
// in.
func TestT2_RemovedMembersWarpgates(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	dev, member := in.Join(op, "acme", "dev@acme.example", mezu.RoleDeveloper)
	enrol := func() (*controltest.Identity, string) {
		w := controltest.NewIdentity(t)
		token := controltest.Call[api.JoinTokenResponse](t, dev, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: controltest.SPKI(t, w.CSR)}, x.Path()...).Token
		return w, in.Secret(token)
	}
	w, token := enrol()
	out := controltest.Call[api.RegisterResponse](t, in.Client(token, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR})
	w.Take(t, out.Certificates, out.Warpgate)
	late, unused := enrol()
	controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(out.Warpgate)...)
	controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetWarpgate, nil, x.Path(out.Warpgate)...)
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(unused, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: late.CSR})
}

// K3: what belongs to another organization is not found by its own id.
func TestK3_AnotherOrganizationsMembers(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	in.Tenant(op, "other")
	owner, _ := in.Join(op, "other", "o@other.example", mezu.RoleOwner)
	_, member := in.Join(op, "acme", "a@acme.example", mezu.RoleViewer)
	invited := in.Invite(op, "acme", "b@acme.example", mezu.RoleViewer)
	for _, ref := range []string{member.ID, member.Person, member.Email} {
		controltest.Refused(t, mezu.CodeNotFound, owner, api.OpGetMember, nil, "other", ref)
		controltest.Refused(t, mezu.CodeNotFound, owner, api.OpUpdateMember, map[string]any{"role": "viewer"}, "other", ref)
		controltest.Refused(t, mezu.CodeNotFound, owner, api.OpDeleteMember, nil, "other", ref)
		controltest.Refused(t, mezu.CodeNotFound, owner, api.OpGetMember, nil, "acme", ref)
	}
	controltest.Refused(t, mezu.CodeNotFound, owner, api.OpGetInvitation, nil, "other", invited.ID)
	controltest.Refused(t, mezu.CodeNotFound, owner, api.OpDeleteInvitation, nil, "other", invited.ID)
	controltest.Refused(t, mezu.CodeNotFound, owner, api.OpListMembers, nil, "acme")
	controltest.Refused(t, mezu.CodeNotFound, owner, api.OpListInvitations, nil, "acme")
	// Nor does a page token of theirs open anything.
	in.Join(op, "other", "p@other.example", mezu.RoleViewer)
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
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	controltest.Call[mezu.Organization](t, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	ana, _ := in.Join(op, "acme", "a@acme.example", mezu.RoleDeveloper)
	code := in.Invite(op, "acme", "b@acme.example", mezu.RoleViewer).Code
	controltest.Call[any](t, op, api.OpDeleteOrganization, nil, "acme")
	controltest.Call[mezu.Organization](t, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	if own := controltest.Call[api.List[mezu.Organization]](t, ana, api.OpListOrganizations, nil); len(own.Items) != 0 {
		t.Errorf("a member of the deleted organization lists %+v", own.Items)
	}
	controltest.Refused(t, mezu.CodeNotFound, ana, api.OpGetOrganization, nil, "acme")
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: "b@acme.example"})
	for _, prefix := range []string{"invitation/", "invite/", "outbox/", "pending/"} {
		if keys := in.Keys(prefix); len(keys) != 0 {
			t.Errorf("left: %v", keys)
		}
	}
	if keys := in.Keys("member/"); len(keys) != 1 {
		t.Errorf("memberships: %v", keys)
	}
}
