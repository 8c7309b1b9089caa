package control_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/service"
)

func (in *installation) token(c *api.Client, body map[string]any) (api.TokenCreated, *api.Client) {
	in.t.Helper()
	out := call[api.TokenCreated](in.t, c, api.OpCreateToken, body)
	return out, in.client(in.secret(out.Secret), nil)
}

func TestTokens(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	in.tenant(op, "acme")
	ana, _ := in.join(op, "acme", "ana@acme.example", mezu.RoleDeveloper)
	end := in.clock.now().Add(time.Hour).UTC().Truncate(time.Second)
	made, ci := in.token(ana, map[string]any{"name": "CI of Ana", "permissions": []string{"projects.read", "organizations.read"}, "expires_at": end})
	if made.Name != "CI of Ana" || !made.ExpiresAt.Equal(end) || len(made.Permissions) != 2 {
		t.Errorf("made %+v", made.Token)
	}
	all := call[api.List[mezu.Token]](t, ana, api.OpListTokens, nil)
	if len(all.Items) != 2 {
		t.Fatalf("listed %+v", all.Items)
	}
	if got := call[mezu.Token](t, ana, api.OpGetToken, nil, made.ID); got.ID != made.ID || got.Name != made.Name {
		t.Errorf("shown %+v", got)
	}
	// Bounds hold; what the person may beside them does not count.
	call[api.List[mezu.Project]](t, ci, api.OpListProjects, nil, "acme")
	refused(t, mezu.CodeForbidden, ci, api.OpCreateProject, map[string]any{"name": "x"}, "acme")
	refused(t, mezu.CodeForbidden, ci, api.OpListTokens, nil)
	refused(t, mezu.CodeForbidden, ci, api.OpRedeemInvitation, api.RedeemRequest{Code: "x", Email: "ana@acme.example"})
	// K2: revoked, it opens nothing.
	call[any](t, ana, api.OpDeleteToken, nil, made.ID)
	refused(t, mezu.CodeUnauthenticated, ci, api.OpSelf, nil)
	refused(t, mezu.CodeNotFound, ana, api.OpDeleteToken, nil, made.ID)
	// Nobody sees or revokes another's.
	theirs, other := in.token(op, map[string]any{})
	refused(t, mezu.CodeNotFound, ana, api.OpGetToken, nil, theirs.ID)
	refused(t, mezu.CodeNotFound, ana, api.OpDeleteToken, nil, theirs.ID)
	call[api.Self](t, other, api.OpSelf, nil)
	// What is over is not listed, and goes.
	_, short := in.token(ana, map[string]any{"expires_at": in.clock.now().Add(2 * time.Hour)})
	in.clock.advance(3 * time.Hour)
	refused(t, mezu.CodeUnauthenticated, short, api.OpSelf, nil)
	if all := call[api.List[mezu.Token]](t, ana, api.OpListTokens, nil); len(all.Items) != 1 {
		t.Errorf("listed %+v", all.Items)
	}
	before := len(in.keys("tokens/"))
	in.restart()
	eventually(t, "the ended token to go", func() bool { return len(in.keys("tokens/")) == before-1 })
}

// A4: a token with bounds makes none beyond them and none that outlives it.
func TestA4_TokenBeyondItself(t *testing.T) {
	in := install(t)
	op := in.operator()
	_, weak := in.token(op, map[string]any{"permissions": []string{"tokens.write", "projects.read"}, "expires_at": in.clock.now().Add(time.Hour)})
	for _, body := range []map[string]any{{}, {"permissions": []string{"projects.write"}}, {"permissions": []string{"tokens.write", "edges.write"}}} {
		if e := refused(t, mezu.CodeForbidden, weak, api.OpCreateToken, body); e.Field != "permissions" {
			t.Errorf("%v: %+v", body, e)
		}
	}
	if e := refused(t, mezu.CodeInvalid, weak, api.OpCreateToken, map[string]any{"permissions": []string{"projects.read"}, "expires_at": in.clock.now().Add(2 * time.Hour)}); e.Field != "expires_at" {
		t.Errorf("%+v", e)
	}
	heir, _ := in.token(weak, map[string]any{"permissions": []string{"projects.read"}})
	if left := heir.ExpiresAt.Sub(in.clock.now()); left > time.Hour {
		t.Errorf("the heir lasts %s", left)
	}
	for field, body := range map[string]map[string]any{
		"permissions": {"permissions": []string{}}, "expires_at": {"expires_at": in.clock.now().Add(mezu.MaxTokenLife + time.Hour)}, "id": {"id": "tok_x"},
	} {
		if e := refused(t, mezu.CodeInvalid, op, api.OpCreateToken, body); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	refused(t, mezu.CodeInvalid, op, api.OpCreateToken, map[string]any{"permissions": []string{"everything"}})
}

// The limit holds for tokens made at once.
func TestTokens_Limit(t *testing.T) {
	in := install(t)
	op := in.operator()
	for range service.MaxTokens - 3 { // and the one it came with
		call[api.TokenCreated](t, op, api.OpCreateToken, map[string]any{})
	}
	got := atOnce(6, func(int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpCreateToken, map[string]any{})
		return err
	})
	if got[""] != 2 || got[mezu.CodeConflict] != 4 {
		t.Errorf("outcomes: %v", got)
	}
}

// Tokens that have ended count for nothing, also before they are swept.
func TestTokens_EndedMakeRoom(t *testing.T) {
	in := install(t)
	op := in.operator()
	for range service.MaxTokens - 1 { // and the one it came with
		in.token(op, map[string]any{"expires_at": in.clock.now().Add(time.Hour)})
	}
	refused(t, mezu.CodeConflict, op, api.OpCreateToken, map[string]any{})
	in.clock.advance(2 * time.Hour)
	for range service.MaxTokens - 1 {
		in.token(op, map[string]any{})
	}
	refused(t, mezu.CodeConflict, op, api.OpCreateToken, map[string]any{})
}

func TestOperators(t *testing.T) {
	in := install(t)
	code := in.secret(in.bootstrapCode())
	first := call[api.TokenResponse](t, in.client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code, Email: "Root@ops.example"})
	op := in.client(in.secret(first.Token), nil)
	self := call[api.Self](t, op, api.OpSelf, nil)
	if self.Kind != "operator" {
		t.Errorf("self: %+v", self)
	}
	all := call[api.List[mezu.Operator]](t, op, api.OpListOperators, nil)
	if len(all.Items) != 1 || all.Items[0].ID != self.ID || all.Items[0].Email != "root@ops.example" {
		t.Fatalf("operators: %+v", all.Items)
	}
	refused(t, mezu.CodeConflict, op, api.OpDeleteOperator, nil, self.ID)
	in.tenant(op, "acme")
	ana, member := in.join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	refused(t, mezu.CodeForbidden, ana, api.OpListEdges, nil)
	made := call[mezu.Operator](t, op, api.OpCreateOperator, map[string]any{"email": "ANA@acme.example"})
	if made.ID != member.Person || made.Email != "ana@acme.example" {
		t.Errorf("made %+v", made)
	}
	call[any](t, ana, api.OpListEdges, nil) // with the token that she has
	refused(t, mezu.CodeConflict, op, api.OpCreateOperator, map[string]any{"person": made.ID})
	call[any](t, ana, api.OpDeleteOperator, nil, "root@ops.example")
	refused(t, mezu.CodeForbidden, op, api.OpListEdges, nil)
	refused(t, mezu.CodeForbidden, op, api.OpCreateOperator, map[string]any{"person": self.ID})
	// Owner of acme he still is.
	call[mezu.Organization](t, op, api.OpGetOrganization, nil, "acme")
	refused(t, mezu.CodeConflict, ana, api.OpDeleteOperator, nil, made.ID)
	for field, body := range map[string]map[string]any{
		"email": {"email": "nobody@acme.example"}, "person": {"person": mezu.NewID(mezu.PrefixPerson, time.Now())},
	} {
		if e := refused(t, mezu.CodeInvalid, ana, api.OpCreateOperator, body); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	refused(t, mezu.CodeInvalid, ana, api.OpCreateOperator, map[string]any{})
	refused(t, mezu.CodeInvalid, ana, api.OpCreateOperator, map[string]any{"person": self.ID, "email": "root@ops.example"})
	// A restart offers nobody to become operator.
	notice := in.notice.String()
	in.restart()
	if in.notice.String() != notice {
		t.Error("a new bootstrap link")
	}
}

// A4: of two operators who remove each other at once one stays.
func TestA4_OperatorsRemoveEachOther(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	self := call[api.Self](t, op, api.OpSelf, nil).ID
	ana, member := in.join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	call[mezu.Operator](t, op, api.OpCreateOperator, map[string]any{"person": member.Person})
	callers, ids := []*api.Client{op, ana}, []string{self, member.Person}
	got := atOnce(4, func(i int) error {
		_, err := api.Invoke[any](t.Context(), callers[i%2], api.OpDeleteOperator, nil, ids[(i+i/2)%2])
		return err
	})
	if got[""] != 1 {
		t.Errorf("outcomes: %v", got)
	}
}

// Who may create organizations is the installation's setting.
func TestFounding(t *testing.T) {
	in := install(t)
	op := in.operator()
	in.tenant(op, "acme")
	ana, _ := in.join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	refused(t, mezu.CodeForbidden, ana, api.OpCreateOrganization, map[string]any{"name": "hers"})
	in.stop()
	in.membersFound = true
	in.start()
	ana = in.client(in.secrets[len(in.secrets)-1], nil)
	call[mezu.Organization](t, ana, api.OpCreateOrganization, map[string]any{"name": "hers"})
	if got := call[mezu.Member](t, ana, api.OpGetMember, nil, "hers", "ana@acme.example"); got.Role != mezu.RoleOwner {
		t.Errorf("the founder is %+v", got)
	}
	refused(t, mezu.CodeForbidden, in.bounded(ana, mezu.PermOrganizationsRead), api.OpCreateOrganization, map[string]any{"name": "more"})
}

// Row 15 of the attacks: an answer that is kept for its repetition belongs to the
// credential that it was made with, and not to all of the same caller.
func TestOnce_BelongsToTheCredential(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, bounded := in.token(op, map[string]any{"permissions": []string{"tokens.write", "service_accounts.write", "warpgate.register"}})
	const key = "0123456789abcdef0123456789abcdef"
	create := func(c *api.Client, o api.Operation, body map[string]any, out any, params ...string) error {
		return c.Do(t.Context(), api.Call{Operation: o, Params: params, Body: body, IdempotencyKey: key}, out)
	}
	// A token without bounds.
	var made, again, stolen api.TokenCreated
	if err := create(op, api.OpCreateToken, map[string]any{}, &made); err != nil {
		t.Fatal(err)
	}
	in.secret(made.Secret)
	if err := create(bounded, api.OpCreateToken, map[string]any{}, &stolen); mezu.CodeOf(err) != mezu.CodeForbidden || stolen.Secret != "" {
		t.Errorf("a bounded token repeats the creation of an unbounded one: %v", err)
	}
	if err := create(op, api.OpCreateToken, map[string]any{}, &again); err != nil || again.Secret != made.Secret {
		t.Errorf("the same credential again: %v", err)
	}
	// A service account.
	account := map[string]any{"name": "gate", "permissions": []string{"warpgate.register"}}
	var first, second api.ServiceAccountCreated
	if err := create(op, api.OpCreateServiceAccount, account, &first, x.org, x.prj); err != nil {
		t.Fatal(err)
	}
	in.secret(first.Key)
	if err := create(bounded, api.OpCreateServiceAccount, account, &second, x.org, x.prj); mezu.CodeOf(err) != mezu.CodeConflict || second.Key != "" {
		t.Errorf("another token repeats the creation of an account: %v", err)
	}
	// Two tokens of the same bounds are two credentials.
	_, twin := in.token(op, map[string]any{})
	var own api.TokenCreated
	if err := create(twin, api.OpCreateToken, map[string]any{}, &own); err != nil || own.Secret == made.Secret || own.ID == made.ID {
		t.Errorf("a twin gets %q: %v", own.ID, err)
	}
	in.secret(own.Secret)
}
