package team_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// setRole gives a member of acme another role.
func setRole(t *testing.T, c *api.Client, member string, role mezu.Role) {
	t.Helper()
	controltest.Call[mezu.Member](t, c, api.OpUpdateMember, map[string]any{"role": role}, "acme", member)
}

// Row 17: what somebody gave out ends with the right to give it, and does not come back
// when that right does.
func TestRow17DemotedInviter(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	void := func(what, code, email string) {
		t.Helper()
		if got := mezu.CodeOf(in.Redeem(code, email)); got != mezu.CodeUnauthenticated {
			t.Errorf("%s: %q", what, got)
		}
	}
	good := func(what, code, email string) {
		t.Helper()
		if err := in.Redeem(code, email); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	eve, member := in.Join(op, "acme", "eve@acme.example", mezu.RoleOwner)
	owner := in.Invite(eve, "acme", "owner@home.example", mezu.RoleOwner).Code
	admin := in.Invite(eve, "acme", "admin@home.example", mezu.RoleAdmin).Code
	viewer := in.Invite(eve, "acme", "viewer@home.example", mezu.RoleViewer).Code

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
	fresh := in.Invite(eve, "acme", "fresh@home.example", mezu.RoleAdmin).Code
	setRole(t, op, member.ID, mezu.RoleAdmin)
	setRole(t, op, member.ID, mezu.RoleOwner)
	good("one made since, after a promotion", fresh, "fresh@home.example")

	// Removed or gone by oneself, and invited again.
	for i, leave := range []func(){
		func() { controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", "eve@acme.example") },
		func() { in.Leave(eve, "acme") },
	} {
		email := fmt.Sprintf("left%d@home.example", i)
		left := in.Invite(eve, "acme", email, mezu.RoleViewer).Code
		leave()
		body := api.RedeemRequest{Code: in.Invite(op, "acme", "eve@acme.example", mezu.RoleOwner).Code, Email: "eve@acme.example"}
		controltest.Call[api.RedeemResponse](t, eve, api.OpRedeemInvitation, body)
		void("of somebody who left and came back", left, email)
	}
}

// Row 17: an invitation that the build before made names neither the membership nor what
// was lost. It is good while its inviter keeps the right, and no longer.
func TestRow17DemotedInviter_EarlierBuild(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	ana, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleAdmin)
	earlier := func(email string) string {
		t.Helper()
		code := in.Invite(ana, "acme", email, mezu.RoleViewer).Code
		for key, value := range in.Records("invitation/") {
			var rec map[string]any
			if err := json.Unmarshal([]byte(value), &rec); err != nil {
				t.Fatal(err)
			}
			delete(rec, "membership")
			delete(rec, "lost")
			in.Write(key, rec)
		}
		return code
	}
	kept, lost := earlier("kept@home.example"), earlier("lost@home.example")
	if err := in.Redeem(kept, "kept@home.example"); err != nil {
		t.Error(err)
	}
	setRole(t, op, member.ID, mezu.RoleViewer)
	setRole(t, op, member.ID, mezu.RoleAdmin)
	if code := mezu.CodeOf(in.Redeem(lost, "lost@home.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("after a demotion and a promotion: %q", code)
	}
}

// Row 17: an enrolment token of a member, and of an account, ends with the right to let
// Warpgates in.
func TestRow17DemotedEnroller(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	dev, member := in.Join(op, "acme", "dev@acme.example", mezu.RoleDeveloper)
	register := func(c *api.Client, between func()) error {
		t.Helper()
		id := controltest.NewIdentity(t)
		token := controltest.Call[api.JoinTokenResponse](t, c, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: controltest.SPKI(t, id.CSR)}, x.Path()...).Token
		between()
		_, err := api.Invoke[api.RegisterResponse](t.Context(), in.Client(in.Secret(token), nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: id.CSR, Version: "1.0"})
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
		controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
		code := in.Invite(op, "acme", "dev@acme.example", mezu.RoleDeveloper).Code
		controltest.Call[api.RedeemResponse](t, dev, api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: "dev@acme.example"})
	})
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("of a developer who was removed meanwhile: %v", err)
	}
	_, key := x.Account("gate", mezu.PermWarpgateRegister, mezu.PermWarpgatesWrite)
	account := func(permissions ...mezu.Permission) {
		controltest.Call[mezu.ServiceAccount](t, op, api.OpUpdateServiceAccount, map[string]any{"permissions": permissions}, x.Org, x.Prj, "gate")
	}
	err = register(in.Client(key, nil), func() {
		account(mezu.PermWarpgatesWrite)
		account(mezu.PermWarpgateRegister, mezu.PermWarpgatesWrite)
	})
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("of an account that was without the verb meanwhile: %v", err)
	}
	if _, err := api.Invoke[api.RegisterResponse](t.Context(), in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR, Version: "1.0"}); err != nil {
		t.Errorf("by the account itself: %v", err)
	}
}

// Row 17: a join token ends when its operator is removed.
func TestRow17DemotedOperator(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	ana, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, api.OperatorRequest{Person: member.Person})
	token := in.JoinToken(ana)
	controltest.Call[any](t, op, api.OpDeleteOperator, nil, member.Person)
	in.Clock.Advance(time.Second)
	controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, api.OperatorRequest{Person: member.Person})
	id := controltest.NewIdentity(t)
	_, err := api.Invoke[api.EnrolResponse](t.Context(), in.Client(token, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: id.CSR, Name: "edge-a", TunnelAddress: "edge.example:7443", Version: "1.0"})
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("of an operator who was none meanwhile: %v", err)
	}
	in.Enrol(ana, "edge-b")
}
