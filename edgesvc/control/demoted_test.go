package control_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// setRole gives a member of acme another role.
func setRole(t *testing.T, c *api.Client, member string, role mezu.Role) {
	t.Helper()
	call[mezu.Member](t, c, api.OpUpdateMember, map[string]any{"role": role}, "acme", member)
}

// Row 17: what somebody gave out ends with the right to give it, and does not come back
// when that right does.
func TestRow17DemotedInviter(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	void := func(what, code, email string) {
		t.Helper()
		if got := mezu.CodeOf(in.redeem(code, email)); got != mezu.CodeUnauthenticated {
			t.Errorf("%s: %q", what, got)
		}
	}
	good := func(what, code, email string) {
		t.Helper()
		if err := in.redeem(code, email); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	eve, member := in.join(op, "acme", "eve@acme.example", mezu.RoleOwner)
	owner := in.invite(eve, "acme", "owner@home.example", mezu.RoleOwner).Code
	admin := in.invite(eve, "acme", "admin@home.example", mezu.RoleAdmin).Code
	viewer := in.invite(eve, "acme", "viewer@home.example", mezu.RoleViewer).Code

	// An administrator may give all roles but the owner's: that one alone has ended.
	setRole(t, op, member.ID, mezu.RoleAdmin)
	setRole(t, op, member.ID, mezu.RoleOwner)
	void("an owner's, after owner, admin, owner", owner, "owner@home.example")
	good("a viewer's, after owner, admin, owner", viewer, "viewer@home.example")

	setRole(t, op, member.ID, mezu.RoleViewer)
	setRole(t, op, member.ID, mezu.RoleOwner)
	void("an admin's, after owner, viewer, owner", admin, "admin@home.example")

	// What is given after that is good, a role that stays or rises takes nothing.
	setRole(t, op, member.ID, mezu.RoleAdmin)
	fresh := in.invite(eve, "acme", "fresh@home.example", mezu.RoleAdmin).Code
	setRole(t, op, member.ID, mezu.RoleAdmin)
	setRole(t, op, member.ID, mezu.RoleOwner)
	good("one made since, after a promotion", fresh, "fresh@home.example")

	// Removed or gone by oneself, and invited again.
	for i, leave := range []func(){
		func() { call[any](t, op, api.OpDeleteMember, nil, "acme", "eve@acme.example") },
		func() { in.leave(eve, "acme") },
	} {
		email := fmt.Sprintf("left%d@home.example", i)
		left := in.invite(eve, "acme", email, mezu.RoleViewer).Code
		leave()
		body := api.RedeemRequest{Code: in.invite(op, "acme", "eve@acme.example", mezu.RoleOwner).Code, Email: "eve@acme.example"}
		call[api.RedeemResponse](t, eve, api.OpRedeemInvitation, body)
		void("of somebody who left and came back", left, email)
	}
}

// Row 17: an invitation that the build before made names neither the membership nor what
// was lost. It is good while its inviter keeps the right, and no longer.
func TestRow17DemotedInviter_EarlierBuild(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	in.tenant(op, "acme")
	ana, member := in.join(op, "acme", "ana@acme.example", mezu.RoleAdmin)
	earlier := func(email string) string {
		t.Helper()
		code := in.invite(ana, "acme", email, mezu.RoleViewer).Code
		for key, value := range in.records("invitation/") {
			var rec map[string]any
			if err := json.Unmarshal([]byte(value), &rec); err != nil {
				t.Fatal(err)
			}
			delete(rec, "membership")
			delete(rec, "lost")
			in.write(key, rec)
		}
		return code
	}
	kept, lost := earlier("kept@home.example"), earlier("lost@home.example")
	if err := in.redeem(kept, "kept@home.example"); err != nil {
		t.Error(err)
	}
	setRole(t, op, member.ID, mezu.RoleViewer)
	setRole(t, op, member.ID, mezu.RoleAdmin)
	if code := mezu.CodeOf(in.redeem(lost, "lost@home.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("after a demotion and a promotion: %q", code)
	}
}

// Row 17: an enrolment token of a member, and of an account, ends with the right to let
// Warpgates in.
func TestRow17DemotedEnroller(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	dev, member := in.join(op, "acme", "dev@acme.example", mezu.RoleDeveloper)
	register := func(c *api.Client, between func()) error {
		t.Helper()
		id := newIdentity(t)
		token := call[api.JoinTokenResponse](t, c, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: spki(t, id.csr)}, x.path()...).Token
		between()
		_, err := api.Invoke[api.RegisterResponse](t.Context(), in.client(in.secret(token), nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: id.csr, Version: "1.0"})
		return err
	}
	if err := register(dev, func() {}); err != nil {
		t.Error(err)
	}
	err := register(dev, func() {
		setRole(t, op, member.ID, mezu.RoleViewer)
		setRole(t, op, member.ID, mezu.RoleDeveloper)
	})
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("of a developer who was a viewer meanwhile: %v", err)
	}
	err = register(dev, func() {
		call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
		code := in.invite(op, "acme", "dev@acme.example", mezu.RoleDeveloper).Code
		call[api.RedeemResponse](t, dev, api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: "dev@acme.example"})
	})
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("of a developer who was removed meanwhile: %v", err)
	}
	_, key := x.account("gate", mezu.PermWarpgateRegister, mezu.PermWarpgatesWrite)
	account := func(permissions ...mezu.Permission) {
		call[mezu.ServiceAccount](t, op, api.OpUpdateServiceAccount, map[string]any{"permissions": permissions}, x.org, x.prj, "gate")
	}
	err = register(in.client(key, nil), func() {
		account(mezu.PermWarpgatesWrite)
		account(mezu.PermWarpgateRegister, mezu.PermWarpgatesWrite)
	})
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("of an account that was without the verb meanwhile: %v", err)
	}
	if _, err := api.Invoke[api.RegisterResponse](t.Context(), in.client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: newIdentity(t).csr, Version: "1.0"}); err != nil {
		t.Errorf("by the account itself: %v", err)
	}
}

// Row 17: a join token ends with its operator's office.
func TestRow17DemotedOperator(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	ana, member := in.join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	call[mezu.Operator](t, op, api.OpCreateOperator, api.OperatorRequest{Person: member.Person})
	token := in.joinToken(ana)
	call[any](t, op, api.OpDeleteOperator, nil, member.Person)
	in.clock.advance(time.Second)
	call[mezu.Operator](t, op, api.OpCreateOperator, api.OperatorRequest{Person: member.Person})
	id := newIdentity(t)
	_, err := api.Invoke[api.EnrolResponse](t.Context(), in.client(token, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: id.csr, Name: "edge-a", TunnelAddress: "edge.example:7443", Version: "1.0"})
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("of an operator who was none meanwhile: %v", err)
	}
	in.enrol(ana, "edge-b")
}
