package team_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/team"
)

func TestInvitations(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	made := in.Invite(op, "acme", "Ana@acme.example", mezu.RoleDeveloper)
	if made.Email != "ana@acme.example" || !strings.HasSuffix(made.Link, "/invitation#"+made.Code) || made.ExpiresAt.Sub(made.CreatedAt) != mezu.InvitationLife || made.InvitedBy == "" {
		t.Errorf("made %+v", made)
	}
	if strings.Contains(made.Link, "ana") {
		t.Error("the link gives the address away that it is bound to")
	}
	shown := controltest.Call[mezu.Invitation](t, op, api.OpGetInvitation, nil, "acme", made.ID)
	if shown != made.Invitation {
		t.Errorf("shown %+v, made %+v", shown, made.Invitation)
	}
	if all := controltest.Call[api.List[mezu.Invitation]](t, op, api.OpListInvitations, nil, "acme"); len(all.Items) != 1 || all.Items[0] != shown {
		t.Errorf("listed %+v", all.Items)
	}
	if mails := in.Keys("outbox/"); len(mails) != 1 || !strings.HasSuffix(mails[0], made.ID) {
		t.Errorf("mails owed: %v", mails)
	}
	if e := controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateInvitation, map[string]any{"email": "ANA@acme.example", "role": "viewer"}, "acme"); e.Field != "email" {
		t.Errorf("invited twice: %+v", e)
	}
	out := controltest.Call[api.RedeemResponse](t, in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: made.Code, Email: "ana@ACME.example"})
	if out.Token == "" || out.Member.Role != mezu.RoleDeveloper || out.ExpiresAt.IsZero() {
		t.Errorf("redeemed: %+v", out)
	}
	ana := in.Client(in.Secret(out.Token), nil)
	if self := controltest.Call[api.Self](t, ana, api.OpSelf, nil); self.ID != out.Member.Person || self.Kind != "member" {
		t.Errorf("self: %+v", self)
	}
	controltest.Call[mezu.Project](t, ana, api.OpCreateProject, map[string]any{"name": "hers"}, "acme")
	for _, prefix := range []string{"invitation/", "invite/", "outbox/", "id/inv_"} {
		if left := in.Keys(prefix); len(left) != 0 {
			t.Errorf("left of a redeemed invitation: %v", left)
		}
	}
	if code := mezu.CodeOf(in.Redeem(made.Code, "ana@acme.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("redeemed again: %q", code)
	}
	if e := controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateInvitation, map[string]any{"email": "ana@acme.example", "role": "viewer"}, "acme"); e.Field != "email" {
		t.Errorf("invited as a member: %+v", e)
	}
}

// A person who is known joins as himself, and nobody else does in his name.
func TestInvitations_KnownPerson(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	in.Tenant(op, "other")
	ana, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	bob, _ := in.Join(op, "acme", "bob@acme.example", mezu.RoleViewer)
	code := in.Invite(op, "other", "ana@acme.example", mezu.RoleAdmin).Code
	body := api.RedeemRequest{Code: code, Email: "ana@acme.example"}
	if e := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", nil), api.OpRedeemInvitation, body); !strings.Contains(e.Hint, "token") {
		t.Errorf("anonymous: %+v", e)
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, bob, api.OpRedeemInvitation, body)
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(mezu.NewToken(mezu.TokenBearer), nil), api.OpRedeemInvitation, body)
	out := controltest.Call[api.RedeemResponse](t, ana, api.OpRedeemInvitation, body)
	if out.Token != "" || out.Member.Person != member.Person || out.Member.Organization != "other" {
		t.Errorf("joined: %+v", out)
	}
	if own := controltest.Call[api.List[mezu.Organization]](t, ana, api.OpListOrganizations, nil); len(own.Items) != 2 {
		t.Errorf("her organizations: %+v", own.Items)
	}
}

// A4: a wrong address is refused as a wrong code is, and counted.
func TestA4_InvitationForAnotherAddress(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	code := in.Invite(op, "acme", "ana@acme.example", mezu.RoleOwner).Code
	answer := func(code, email string) string {
		t.Helper()
		body, _ := json.Marshal(api.RedeemRequest{Code: code, Email: email})
		status, _, text := in.Raw("POST", api.OpRedeemInvitation.Path, "", "application/json", string(body))
		var p map[string]any
		if err := json.Unmarshal([]byte(text), &p); err != nil || status != 401 {
			t.Fatalf("%d %s", status, text)
		}
		delete(p, "request_id")
		out, _ := json.Marshal(p)
		return string(out)
	}
	wrong := answer(mezu.NewToken(mezu.TokenInvitation), "ana@acme.example")
	for range mezu.MaxInvitationAttempts - 1 {
		if got := answer(code, "eve@acme.example"); got != wrong {
			t.Errorf("a wrong address: %s\na wrong code: %s", got, wrong)
		}
	}
	// The last attempt voids it, also for whom it is for.
	spare := in.Invite(op, "acme", "bob@acme.example", mezu.RoleViewer).Code
	answer(code, "eve@acme.example")
	if got := answer(code, "ana@acme.example"); got != wrong {
		t.Errorf("a void invitation: %s", got)
	}
	if err := in.Redeem(spare, "bob@acme.example"); err != nil {
		t.Errorf("another invitation: %v", err)
	}
	// A void one is replaced.
	if err := in.Redeem(in.Invite(op, "acme", "ana@acme.example", mezu.RoleViewer).Code, "ana@acme.example"); err != nil {
		t.Error(err)
	}
}

func TestInvitations_End(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	admin, member := in.Join(op, "acme", "admin@acme.example", mezu.RoleAdmin)
	late := in.Invite(op, "acme", "late@acme.example", mezu.RoleViewer)
	gone := in.Invite(op, "acme", "gone@acme.example", mezu.RoleViewer)
	controltest.Call[any](t, op, api.OpDeleteInvitation, nil, "acme", gone.ID)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetInvitation, nil, "acme", gone.ID)
	if code := mezu.CodeOf(in.Redeem(gone.Code, "gone@acme.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("withdrawn: %q", code)
	}
	// Who was removed has left no way back in.
	back := in.Invite(admin, "acme", "admin@home.example", mezu.RoleAdmin)
	controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	if code := mezu.CodeOf(in.Redeem(back.Code, "admin@home.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("invited by somebody removed: %q", code)
	}
	in.Clock.Advance(mezu.InvitationLife)
	if code := mezu.CodeOf(in.Redeem(late.Code, "late@acme.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("ended: %q", code)
	}
	in.Invite(op, "acme", "late@acme.example", mezu.RoleViewer) // in its place
	in.Clock.Advance(mezu.InvitationLife + time.Minute)
	in.Restart() // which sweeps
	controltest.Eventually(t, "ended invitations and their mails to go", func() bool {
		return len(in.Keys("invitation/"))+len(in.Keys("invite/"))+len(in.Keys("outbox/"))+len(in.Keys("id/inv_")) == 0
	})
}

// Who loses is told that the code is used up, also when the winner is a member already.
func TestInvitations_RedeemedBetween(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	made := in.Invite(op, "acme", "ana@acme.example", mezu.RoleViewer)
	org := controltest.Call[mezu.Organization](t, op, api.OpGetOrganization, nil, "acme")
	won := false
	other := in.Beside(t.TempDir())
	other.Driver = &controltest.Between{Store: in.Driver, Key: access.KeyMember(org.ID, made.InvitedBy), Do: func() { won = in.Redeem(made.Code, "ana@acme.example") == nil }}
	other.CopyKey(in)
	other.Start()
	defer other.Stop()
	if err := other.Redeem(made.Code, "ana@acme.example"); !won || mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("the other one won: %v; this one: %v", won, err)
	}
}

// Of several who redeem at once exactly one comes in, new or known.
func TestInvitations_RedeemedAtOnce(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	in.Tenant(op, "other")
	code := in.Invite(op, "acme", "ana@acme.example", mezu.RoleViewer).Code
	got := controltest.AtOnce(8, func(int) error { return in.Redeem(code, "ana@acme.example") })
	if got[""] != 1 || got[mezu.CodeUnauthenticated] != 7 {
		t.Errorf("outcomes: %v", got)
	}
	if all := controltest.Call[api.List[mezu.Member]](t, op, api.OpListMembers, nil, "acme"); len(all.Items) != 2 {
		t.Errorf("members: %+v", all.Items)
	}
	// Two invitations of two organizations make one person, not two.
	codes := []string{in.Invite(op, "acme", "bob@acme.example", mezu.RoleViewer).Code, in.Invite(op, "other", "bob@acme.example", mezu.RoleViewer).Code}
	got = controltest.AtOnce(2, func(i int) error { return in.Redeem(codes[i], "bob@acme.example") })
	if got[""] != 1 || got[mezu.CodeUnauthenticated] != 1 {
		t.Errorf("outcomes: %v", got)
	}
}

// The same Idempotency-Key gives the same code and the same token again.
func TestInvitations_Repeated(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	const key = "0123456789abcdef"
	do := func(c *api.Client, o api.Operation, body any, out any, params ...string) {
		t.Helper()
		if err := c.Do(t.Context(), api.Call{Operation: o, Params: params, Body: body, IdempotencyKey: key}, out); err != nil {
			t.Fatal(err)
		}
	}
	var made, again api.InvitationCreated
	body := map[string]any{"email": "ana@acme.example", "role": "viewer"}
	do(op, api.OpCreateInvitation, body, &made, "acme")
	do(op, api.OpCreateInvitation, body, &again, "acme")
	if made != again {
		t.Errorf("%+v and %+v", made, again)
	}
	var joined, rejoined api.RedeemResponse
	redeem := api.RedeemRequest{Code: made.Code, Email: "ana@acme.example"}
	do(in.Client("", nil), api.OpRedeemInvitation, redeem, &joined)
	do(in.Client("", nil), api.OpRedeemInvitation, redeem, &rejoined)
	if joined != rejoined || joined.Token == "" {
		t.Errorf("%+v and %+v", joined, rejoined)
	}
	// Another body under the same key is another request.
	err := in.Client("", nil).Do(t.Context(), api.Call{Operation: api.OpRedeemInvitation, Body: api.RedeemRequest{Code: made.Code, Email: "eve@acme.example"}, IdempotencyKey: key}, nil)
	if mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("another body: %v", err)
	}
}

func TestInvitations_BadInput(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	for field, body := range map[string]map[string]any{
		"email": {"email": "no address", "role": "viewer"},
		"role":  {"email": "a@acme.example", "role": "king"},
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateInvitation, body, "acme"); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	if e := controltest.Refused(t, mezu.CodeInvalid, in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: "x"}); e.Field != "email" {
		t.Errorf("no address: %+v", e)
	}
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	controltest.Refused(t, mezu.CodeForbidden, in.Client(key, nil), api.OpRedeemInvitation, api.RedeemRequest{Code: "x", Email: "a@b.example"})
}

// The limit on open invitations holds for those made at once, and those that ended
// make room.
func TestInvitations_Limit(t *testing.T) {
	t.Parallel()
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	invite := func(i int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpCreateInvitation, map[string]any{"email": fmt.Sprintf("p%d@acme.example", i), "role": "viewer"}, "acme")
		return err
	}
	for i := range team.MaxInvitations - 2 {
		if err := invite(i); err != nil {
			t.Fatal(err)
		}
	}
	got := controltest.AtOnce(5, func(i int) error { return invite(team.MaxInvitations + i) })
	if got[""] != 2 || got[mezu.CodeConflict] != 3 {
		t.Errorf("outcomes: %v", got)
	}
	first := controltest.Call[api.List[mezu.Invitation]](t, op, api.OpListInvitations, nil, "acme").Items[0]
	controltest.Call[any](t, op, api.OpDeleteInvitation, nil, "acme", first.ID)
	if err := invite(-1); err != nil {
		t.Errorf("after one was withdrawn: %v", err)
	}
	in.Clock.Advance(mezu.InvitationLife + time.Minute)
	if err := invite(-2); err != nil {
		t.Errorf("after all have ended: %v", err)
	}
}
