package control_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/service"
)

// redeem is what a person without a token does.
func (in *installation) redeem(code, email string) error {
	_, err := api.Invoke[api.RedeemResponse](in.t.Context(), in.client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: email})
	return err
}

func TestInvitations(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	in.tenant(op, "acme")
	made := in.invite(op, "acme", "Ana@acme.example", mezu.RoleDeveloper)
	if made.Email != "ana@acme.example" || !strings.HasSuffix(made.Link, "#code="+made.Code) || made.ExpiresAt.Sub(made.CreatedAt) != mezu.InvitationLife || made.InvitedBy == "" {
		t.Errorf("made %+v", made)
	}
	if strings.Contains(made.Link, "ana") {
		t.Error("the link gives the address away that it is bound to")
	}
	shown := call[mezu.Invitation](t, op, api.OpGetInvitation, nil, "acme", made.ID)
	if shown != made.Invitation {
		t.Errorf("shown %+v, made %+v", shown, made.Invitation)
	}
	if all := call[api.List[mezu.Invitation]](t, op, api.OpListInvitations, nil, "acme"); len(all.Items) != 1 || all.Items[0] != shown {
		t.Errorf("listed %+v", all.Items)
	}
	if mails := in.keys("outbox/"); len(mails) != 1 || !strings.HasSuffix(mails[0], made.ID) {
		t.Errorf("mails owed: %v", mails)
	}
	if e := refused(t, mezu.CodeConflict, op, api.OpCreateInvitation, map[string]any{"email": "ANA@acme.example", "role": "viewer"}, "acme"); e.Field != "email" {
		t.Errorf("invited twice: %+v", e)
	}
	out := call[api.RedeemResponse](t, in.client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: made.Code, Email: "ana@ACME.example"})
	if out.Token == "" || out.Member.Role != mezu.RoleDeveloper || out.ExpiresAt.IsZero() {
		t.Errorf("redeemed: %+v", out)
	}
	ana := in.client(in.secret(out.Token), nil)
	if self := call[api.Self](t, ana, api.OpSelf, nil); self.ID != out.Member.Person || self.Kind != "member" {
		t.Errorf("self: %+v", self)
	}
	call[mezu.Project](t, ana, api.OpCreateProject, map[string]any{"name": "hers"}, "acme")
	for _, prefix := range []string{"invitation/", "invite/", "outbox/", "id/inv_"} {
		if left := in.keys(prefix); len(left) != 0 {
			t.Errorf("left of a redeemed invitation: %v", left)
		}
	}
	if code := mezu.CodeOf(in.redeem(made.Code, "ana@acme.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("redeemed again: %q", code)
	}
	if e := refused(t, mezu.CodeConflict, op, api.OpCreateInvitation, map[string]any{"email": "ana@acme.example", "role": "viewer"}, "acme"); e.Field != "email" {
		t.Errorf("invited as a member: %+v", e)
	}
}

// A person who is known joins as himself, and nobody else does in his name.
func TestInvitations_KnownPerson(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	in.tenant(op, "other")
	ana, member := in.join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	bob, _ := in.join(op, "acme", "bob@acme.example", mezu.RoleViewer)
	code := in.invite(op, "other", "ana@acme.example", mezu.RoleAdmin).Code
	body := api.RedeemRequest{Code: code, Email: "ana@acme.example"}
	if e := refused(t, mezu.CodeUnauthenticated, in.client("", nil), api.OpRedeemInvitation, body); !strings.Contains(e.Hint, "token") {
		t.Errorf("anonymous: %+v", e)
	}
	refused(t, mezu.CodeUnauthenticated, bob, api.OpRedeemInvitation, body)
	refused(t, mezu.CodeUnauthenticated, in.client(mezu.NewToken(mezu.TokenBearer), nil), api.OpRedeemInvitation, body)
	out := call[api.RedeemResponse](t, ana, api.OpRedeemInvitation, body)
	if out.Token != "" || out.Member.Person != member.Person || out.Member.Organization != "other" {
		t.Errorf("joined: %+v", out)
	}
	if own := call[api.List[mezu.Organization]](t, ana, api.OpListOrganizations, nil); len(own.Items) != 2 {
		t.Errorf("her organizations: %+v", own.Items)
	}
}

// A4: a wrong address is refused as a wrong code is, and counted.
func TestA4_InvitationForAnotherAddress(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	code := in.invite(op, "acme", "ana@acme.example", mezu.RoleOwner).Code
	answer := func(code, email string) string {
		t.Helper()
		body, _ := json.Marshal(api.RedeemRequest{Code: code, Email: email})
		status, _, text := in.raw("POST", api.OpRedeemInvitation.Path, "", "application/json", string(body))
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
	spare := in.invite(op, "acme", "bob@acme.example", mezu.RoleViewer).Code
	answer(code, "eve@acme.example")
	if got := answer(code, "ana@acme.example"); got != wrong {
		t.Errorf("a void invitation: %s", got)
	}
	if err := in.redeem(spare, "bob@acme.example"); err != nil {
		t.Errorf("another invitation: %v", err)
	}
	// A void one is replaced.
	if err := in.redeem(in.invite(op, "acme", "ana@acme.example", mezu.RoleViewer).Code, "ana@acme.example"); err != nil {
		t.Error(err)
	}
}

func TestInvitations_End(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	in.tenant(op, "acme")
	admin, member := in.join(op, "acme", "admin@acme.example", mezu.RoleAdmin)
	late := in.invite(op, "acme", "late@acme.example", mezu.RoleViewer)
	gone := in.invite(op, "acme", "gone@acme.example", mezu.RoleViewer)
	call[any](t, op, api.OpDeleteInvitation, nil, "acme", gone.ID)
	refused(t, mezu.CodeNotFound, op, api.OpGetInvitation, nil, "acme", gone.ID)
	if code := mezu.CodeOf(in.redeem(gone.Code, "gone@acme.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("withdrawn: %q", code)
	}
	// Who was removed has left no way back in.
	back := in.invite(admin, "acme", "admin@home.example", mezu.RoleAdmin)
	call[any](t, op, api.OpDeleteMember, nil, "acme", member.ID)
	if code := mezu.CodeOf(in.redeem(back.Code, "admin@home.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("invited by somebody removed: %q", code)
	}
	in.clock.advance(mezu.InvitationLife)
	if code := mezu.CodeOf(in.redeem(late.Code, "late@acme.example")); code != mezu.CodeUnauthenticated {
		t.Errorf("ended: %q", code)
	}
	in.invite(op, "acme", "late@acme.example", mezu.RoleViewer) // in its place
	in.clock.advance(mezu.InvitationLife + time.Minute)
	in.restart() // which sweeps
	eventually(t, "ended invitations and their mails to go", func() bool {
		return len(in.keys("invitation/"))+len(in.keys("invite/"))+len(in.keys("outbox/"))+len(in.keys("id/inv_")) == 0
	})
}

// Of several who redeem at once exactly one comes in, new or known.
func TestInvitations_RedeemedAtOnce(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	in.tenant(op, "other")
	code := in.invite(op, "acme", "ana@acme.example", mezu.RoleViewer).Code
	got := atOnce(8, func(int) error { return in.redeem(code, "ana@acme.example") })
	if got[""] != 1 || got[mezu.CodeUnauthenticated] != 7 {
		t.Errorf("outcomes: %v", got)
	}
	if all := call[api.List[mezu.Member]](t, op, api.OpListMembers, nil, "acme"); len(all.Items) != 2 {
		t.Errorf("members: %+v", all.Items)
	}
	// Two invitations of two organizations make one person, not two.
	codes := []string{in.invite(op, "acme", "bob@acme.example", mezu.RoleViewer).Code, in.invite(op, "other", "bob@acme.example", mezu.RoleViewer).Code}
	got = atOnce(2, func(i int) error { return in.redeem(codes[i], "bob@acme.example") })
	if got[""] != 1 || got[mezu.CodeUnauthenticated] != 1 {
		t.Errorf("outcomes: %v", got)
	}
}

// The same Idempotency-Key gives the same code and the same token again.
func TestInvitations_Repeated(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
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
	do(in.client("", nil), api.OpRedeemInvitation, redeem, &joined)
	do(in.client("", nil), api.OpRedeemInvitation, redeem, &rejoined)
	if joined != rejoined || joined.Token == "" {
		t.Errorf("%+v and %+v", joined, rejoined)
	}
	// Another body under the same key is another request.
	err := in.client("", nil).Do(t.Context(), api.Call{Operation: api.OpRedeemInvitation, Body: api.RedeemRequest{Code: made.Code, Email: "eve@acme.example"}, IdempotencyKey: key}, nil)
	if mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("another body: %v", err)
	}
}

func TestInvitations_BadInput(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	for field, body := range map[string]map[string]any{
		"email": {"email": "no address", "role": "viewer"},
		"role":  {"email": "a@acme.example", "role": "king"},
	} {
		if e := refused(t, mezu.CodeInvalid, op, api.OpCreateInvitation, body, "acme"); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	if e := refused(t, mezu.CodeInvalid, in.client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: "x"}); e.Field != "email" {
		t.Errorf("no address: %+v", e)
	}
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	refused(t, mezu.CodeForbidden, in.client(key, nil), api.OpRedeemInvitation, api.RedeemRequest{Code: "x", Email: "a@b.example"})
}

// The limit on open invitations holds for those made at once, and those that ended
// make room.
func TestInvitations_Limit(t *testing.T) {
	t.Parallel()
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	invite := func(i int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpCreateInvitation, map[string]any{"email": fmt.Sprintf("p%d@acme.example", i), "role": "viewer"}, "acme")
		return err
	}
	for i := range service.MaxInvitations - 2 {
		if err := invite(i); err != nil {
			t.Fatal(err)
		}
	}
	got := atOnce(5, func(i int) error { return invite(service.MaxInvitations + i) })
	if got[""] != 2 || got[mezu.CodeConflict] != 3 {
		t.Errorf("outcomes: %v", got)
	}
	first := call[api.List[mezu.Invitation]](t, op, api.OpListInvitations, nil, "acme").Items[0]
	call[any](t, op, api.OpDeleteInvitation, nil, "acme", first.ID)
	if err := invite(-1); err != nil {
		t.Errorf("after one was withdrawn: %v", err)
	}
	in.clock.advance(mezu.InvitationLife + time.Minute)
	if err := invite(-2); err != nil {
		t.Errorf("after all have ended: %v", err)
	}
}
