package team_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/team"
	"github.com/mezusphere/mezu/edgesvc/store"
)

func TestTokens(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	ana, _ := in.Join(op, "acme", "ana@acme.example", mezu.RoleDeveloper)
	end := in.Clock.Now().Add(time.Hour).UTC().Truncate(time.Second)
	made, ci := in.Token(ana, map[string]any{"name": "CI of Ana", "permissions": []string{"projects.read", "organizations.read"}, "expires_at": end})
	if made.Name != "CI of Ana" || !made.ExpiresAt.Equal(end) || len(made.Permissions) != 2 {
		t.Errorf("made %+v", made.Token)
	}
	all := controltest.Call[api.List[mezu.Token]](t, ana, api.OpListTokens, nil)
	if len(all.Items) != 2 {
		t.Fatalf("listed %+v", all.Items)
	}
	if got := controltest.Call[mezu.Token](t, ana, api.OpGetToken, nil, made.ID); got.ID != made.ID || got.Name != made.Name {
		t.Errorf("shown %+v", got)
	}
	// Bounds hold; what the person may beside them does not count.
	controltest.Call[api.List[mezu.Project]](t, ci, api.OpListProjects, nil, "acme")
	controltest.Refused(t, mezu.CodeForbidden, ci, api.OpCreateProject, map[string]any{"name": "x"}, "acme")
	controltest.Refused(t, mezu.CodeForbidden, ci, api.OpListTokens, nil)
	controltest.Refused(t, mezu.CodeForbidden, ci, api.OpRedeemInvitation, api.RedeemRequest{Code: "x", Email: "ana@acme.example"})
	// It tells who has it, and no more than it may read.
	self := controltest.Call[api.Self](t, ci, api.OpSelf, nil)
	if self.Email != "ana@acme.example" || len(self.Organizations) != 1 || self.Organizations[0].Organization != "acme" || self.Organizations[0].Role != mezu.RoleDeveloper || !slices.Equal(self.Organizations[0].Permissions, []mezu.Permission{mezu.PermOrganizationsRead, mezu.PermProjectsRead}) || !self.LoginEndsAt.IsZero() || !self.ExpiresAt.Equal(end) {
		t.Errorf("self %+v", self)
	}
	narrow, less := in.Token(ana, map[string]any{"permissions": []string{"projects.read"}})
	if self := controltest.Call[api.Self](t, less, api.OpSelf, nil); self.Email != "ana@acme.example" || self.Organizations != nil {
		t.Errorf("self %+v", self)
	}
	controltest.Call[any](t, ana, api.OpDeleteToken, nil, narrow.ID)
	// K2: revoked, it opens nothing.
	controltest.Call[any](t, ana, api.OpDeleteToken, nil, made.ID)
	controltest.Refused(t, mezu.CodeUnauthenticated, ci, api.OpSelf, nil)
	controltest.Refused(t, mezu.CodeNotFound, ana, api.OpDeleteToken, nil, made.ID)
	// Nobody sees or revokes another's.
	theirs, other := in.Token(op, map[string]any{})
	controltest.Refused(t, mezu.CodeNotFound, ana, api.OpGetToken, nil, theirs.ID)
	controltest.Refused(t, mezu.CodeNotFound, ana, api.OpDeleteToken, nil, theirs.ID)
	controltest.Call[api.Self](t, other, api.OpSelf, nil)
	// What is over is not listed, and goes.
	_, short := in.Token(ana, map[string]any{"expires_at": in.Clock.Now().Add(2 * time.Hour)})
	in.Clock.Advance(3 * time.Hour)
	controltest.Refused(t, mezu.CodeUnauthenticated, short, api.OpSelf, nil)
	if all := controltest.Call[api.List[mezu.Token]](t, ana, api.OpListTokens, nil); len(all.Items) != 1 {
		t.Errorf("listed %+v", all.Items)
	}
	before := len(in.Keys("tokens/"))
	in.Restart()
	controltest.Eventually(t, "the ended token to go", func() bool { return len(in.Keys("tokens/")) == before-1 })
}

// A4: a token with bounds makes none beyond them and none that outlives it.
func TestA4_TokenBeyondItself(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	_, weak := in.Token(op, map[string]any{"permissions": []string{"tokens.write", "projects.read"}, "expires_at": in.Clock.Now().Add(time.Hour)})
	for _, body := range []map[string]any{{}, {"permissions": []string{"projects.write"}}, {"permissions": []string{"tokens.write", "edges.write"}}} {
		if e := controltest.Refused(t, mezu.CodeForbidden, weak, api.OpCreateToken, body); e.Field != "permissions" {
			t.Errorf("%v: %+v", body, e)
		}
	}
	if e := controltest.Refused(t, mezu.CodeInvalid, weak, api.OpCreateToken, map[string]any{"permissions": []string{"projects.read"}, "expires_at": in.Clock.Now().Add(2 * time.Hour)}); e.Field != "expires_at" {
		t.Errorf("%+v", e)
	}
	heir, _ := in.Token(weak, map[string]any{"permissions": []string{"projects.read"}})
	if left := heir.ExpiresAt.Sub(in.Clock.Now()); left > time.Hour {
		t.Errorf("the heir lasts %s", left)
	}
	for field, body := range map[string]map[string]any{
		"permissions": {"permissions": []string{}}, "expires_at": {"expires_at": in.Clock.Now().Add(mezu.MaxTokenLife + time.Hour)}, "id": {"id": "tok_x"},
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateToken, body); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateToken, map[string]any{"permissions": []string{"everything"}})
}

// The limit holds for tokens made at once.
func TestTokens_Limit(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	for range team.MaxTokens - 3 { // and the one it came with
		controltest.Call[api.TokenCreated](t, op, api.OpCreateToken, map[string]any{})
	}
	got := controltest.AtOnce(6, func(int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpCreateToken, map[string]any{})
		return err
	})
	if got[""] != 2 || got[mezu.CodeConflict] != 4 {
		t.Errorf("outcomes: %v", got)
	}
}

// Tokens that have ended count for nothing, also before they are swept.
func TestTokens_EndedMakeRoom(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	for range team.MaxTokens - 1 { // and the one it came with
		in.Token(op, map[string]any{"expires_at": in.Clock.Now().Add(time.Hour)})
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateToken, map[string]any{})
	in.Clock.Advance(2 * time.Hour)
	for range team.MaxTokens - 1 {
		in.Token(op, map[string]any{})
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateToken, map[string]any{})
}

func TestOperators(t *testing.T) {
	in := controltest.Install(t)
	code := in.Secret(in.BootstrapCode())
	first := controltest.Call[api.TokenResponse](t, in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code, Email: "Root@ops.example"})
	op := in.Client(in.Secret(first.Token), nil)
	self := controltest.Call[api.Self](t, op, api.OpSelf, nil)
	if self.Kind != "operator" {
		t.Errorf("self: %+v", self)
	}
	all := controltest.Call[api.List[mezu.Operator]](t, op, api.OpListOperators, nil)
	if len(all.Items) != 1 || all.Items[0].ID != self.ID || all.Items[0].Email != "root@ops.example" {
		t.Fatalf("operators: %+v", all.Items)
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteOperator, nil, self.ID)
	in.Tenant(op, "acme")
	ana, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	controltest.Refused(t, mezu.CodeForbidden, ana, api.OpListEdges, nil)
	made := controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, map[string]any{"email": "ANA@acme.example"})
	if made.ID != member.Person || made.Email != "ana@acme.example" {
		t.Errorf("made %+v", made)
	}
	controltest.Call[any](t, ana, api.OpListEdges, nil) // with the token that she has
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateOperator, map[string]any{"person": made.ID})
	controltest.Call[any](t, ana, api.OpDeleteOperator, nil, "root@ops.example")
	controltest.Refused(t, mezu.CodeForbidden, op, api.OpListEdges, nil)
	controltest.Refused(t, mezu.CodeForbidden, op, api.OpCreateOperator, map[string]any{"person": self.ID})
	// Owner of acme he still is.
	controltest.Call[mezu.Organization](t, op, api.OpGetOrganization, nil, "acme")
	controltest.Refused(t, mezu.CodeConflict, ana, api.OpDeleteOperator, nil, made.ID)
	for field, body := range map[string]map[string]any{
		"email": {"email": "nobody@acme.example"}, "person": {"person": mezu.NewID(mezu.PrefixPerson, time.Now())},
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, ana, api.OpCreateOperator, body); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
	controltest.Refused(t, mezu.CodeInvalid, ana, api.OpCreateOperator, map[string]any{})
	controltest.Refused(t, mezu.CodeInvalid, ana, api.OpCreateOperator, map[string]any{"person": self.ID, "email": "root@ops.example"})
	// A restart offers nobody to become operator.
	notice := in.Notice.String()
	in.Restart()
	if in.Notice.String() != notice {
		t.Error("a new bootstrap link")
	}
}

// A recovery code is for the person of the record that earlier builds wrote for
// `mezu dev`, as long as they are operator, else for whoever became operator first.
func TestRecoveryCode(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	root := controltest.Call[api.Self](t, op, api.OpSelf, nil).ID
	ana, first := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	_, bob := in.Join(op, "acme", "bob@acme.example", mezu.RoleViewer)
	for _, m := range []mezu.Member{bob, first} { // the younger id earlier
		in.Clock.Advance(time.Second)
		controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, api.OperatorRequest{Person: m.Person})
	}
	names := map[string]string{root: "root", first.Person: "ana", bob.Person: "bob"}
	is := func(what, want string) {
		t.Helper()
		before := in.Audited()
		self := controltest.Call[api.Self](t, in.Client(in.RecoveredToken(), nil), api.OpSelf, nil)
		if names[self.ID] != want {
			t.Errorf("%s: the code is for %q, not %s", what, names[self.ID], want)
		}
		for key, rec := range in.Audited() {
			if _, known := before[key]; !known && rec.Operation == "start-bootstrap-code" && !strings.Contains(string(rec.After), `"operator":"`+self.ID+`"`) {
				t.Errorf("%s: audited as %s", what, rec.After)
			}
		}
	}
	is("no record", "root")
	record := func(id string) {
		t.Helper()
		if _, err := in.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: "meta/developer", Value: []byte(`"` + id + `"`)}}}); err != nil {
			t.Fatal(err)
		}
	}
	record(first.Person)
	is("a record", "ana")
	record(root)
	controltest.Call[any](t, ana, api.OpDeleteOperator, nil, root)
	is("a record of no operator", "bob")
	late, err := in.Plane.BootstrapCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in.Clock.Advance(10*time.Minute + time.Second)
	if _, err := redeem(t, in, late); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("too late: %v", err)
	}
}

// A4: of two operators who remove each other at once one stays.
func TestA4_OperatorsRemoveEachOther(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	self := controltest.Call[api.Self](t, op, api.OpSelf, nil).ID
	ana, member := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, map[string]any{"person": member.Person})
	callers, ids := []*api.Client{op, ana}, []string{self, member.Person}
	got := controltest.AtOnce(4, func(i int) error {
		_, err := api.Invoke[any](t.Context(), callers[i%2], api.OpDeleteOperator, nil, ids[(i+i/2)%2])
		return err
	})
	if got[""] != 1 {
		t.Errorf("outcomes: %v", got)
	}
}

// Who may create organizations is the installation's setting.
func TestFounding(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	ana, _ := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	controltest.Refused(t, mezu.CodeForbidden, ana, api.OpCreateOrganization, map[string]any{"name": "hers"})
	in.Stop()
	in.MembersMayCreateOrganizations = true
	in.Start()
	ana = in.Client(in.Secrets[len(in.Secrets)-1], nil)
	controltest.Call[mezu.Organization](t, ana, api.OpCreateOrganization, map[string]any{"name": "hers"})
	if got := controltest.Call[mezu.Member](t, ana, api.OpGetMember, nil, "hers", "ana@acme.example"); got.Role != mezu.RoleOwner {
		t.Errorf("the founder is %+v", got)
	}
	controltest.Refused(t, mezu.CodeForbidden, in.Bounded(ana, mezu.PermOrganizationsRead), api.OpCreateOrganization, map[string]any{"name": "more"})
}

// Row 15 of the attacks: an answer that is kept for its repetition belongs to the
// credential that it was made with, and not to all of the same caller.
func TestOnce_BelongsToTheCredential(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, bounded := in.Token(op, map[string]any{"permissions": []string{"tokens.write", "service_accounts.write", "warpgate.register"}})
	const key = "0123456789abcdef0123456789abcdef"
	create := func(c *api.Client, o api.Operation, body map[string]any, out any, params ...string) error {
		return c.Do(t.Context(), api.Call{Operation: o, Params: params, Body: body, IdempotencyKey: key}, out)
	}
	// A token without bounds.
	var made, again, stolen api.TokenCreated
	if err := create(op, api.OpCreateToken, map[string]any{}, &made); err != nil {
		t.Fatal(err)
	}
	in.Secret(made.Secret)
	if err := create(bounded, api.OpCreateToken, map[string]any{}, &stolen); mezu.CodeOf(err) != mezu.CodeForbidden || stolen.Secret != "" {
		t.Errorf("a bounded token repeats the creation of an unbounded one: %v", err)
	}
	if err := create(op, api.OpCreateToken, map[string]any{}, &again); err != nil || again.Secret != made.Secret {
		t.Errorf("the same credential again: %v", err)
	}
	// A service account.
	account := map[string]any{"name": "gate", "permissions": []string{"warpgate.register"}}
	var first, second api.ServiceAccountCreated
	if err := create(op, api.OpCreateServiceAccount, account, &first, x.Org, x.Prj); err != nil {
		t.Fatal(err)
	}
	in.Secret(first.Key)
	if err := create(bounded, api.OpCreateServiceAccount, account, &second, x.Org, x.Prj); mezu.CodeOf(err) != mezu.CodeConflict || second.Key != "" {
		t.Errorf("another token repeats the creation of an account: %v", err)
	}
	// Two tokens of the same bounds are two credentials.
	_, twin := in.Token(op, map[string]any{})
	var own api.TokenCreated
	if err := create(twin, api.OpCreateToken, map[string]any{}, &own); err != nil || own.Secret == made.Secret || own.ID == made.ID {
		t.Errorf("a twin gets %q: %v", own.ID, err)
	}
	in.Secret(own.Secret)
}
