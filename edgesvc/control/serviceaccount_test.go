package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// works reports whether a key opens anything.
func (in *installation) works(key string) bool {
	in.t.Helper()
	_, err := api.Invoke[api.Self](in.t.Context(), in.client(key, nil), api.OpSelf, nil)
	if err != nil && mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		in.t.Fatal(err)
	}
	return err == nil
}

func (x *tenant) rotate(name string, body map[string]any) api.ServiceAccountCreated {
	x.in.t.Helper()
	out := call[api.ServiceAccountCreated](x.in.t, x.owner, api.OpRotateServiceAccount, body, x.org, x.prj, name)
	x.in.secret(out.Key)
	return out
}

func TestServiceAccount_Update(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	acc, key := x.account("ci", mezu.PermRoutesRead)
	c := in.client(key, nil)
	refused(t, mezu.CodeForbidden, c, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.path()...)
	got := call[mezu.ServiceAccount](t, op, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read", "routes.write"}, "environment": "staging"}, x.org, x.prj, "ci")
	if got.Revision != acc.Revision+1 || got.Environment != "staging" || !slices.Equal(got.Permissions, []mezu.Permission{"routes.read", "routes.write"}) || got.KeyPrefix != acc.KeyPrefix {
		t.Errorf("updated: %+v", got)
	}
	call[mezu.Route](t, c, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.path()...)
	// What is taken away is gone at once.
	call[mezu.ServiceAccount](t, op, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read"}, "environment": nil}, x.org, x.prj, acc.ID)
	refused(t, mezu.CodeForbidden, c, api.OpCreateRoute, map[string]any{"prefix": "/x/"}, x.path()...)
	for field, body := range map[string]map[string]any{
		"permissions": {"permissions": []string{}}, "name": {"name": "other"}, "key_prefix": {"key_prefix": "x"}, "project": {"project": "x"},
		"previous_key_until": {"previous_key_until": "2030-01-01T00:00:00Z"}, "environment": {"environment": "No"},
	} {
		if e := refused(t, mezu.CodeInvalid, op, api.OpUpdateServiceAccount, body, x.org, x.prj, "ci"); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
}

// A4: nobody gives an account more than he has, nor gets the key of one that may
// more than he. Roles of today differ in what accounts may not hold anyway, so the
// weaker caller is a token with bounds.
func TestA4_AccountAboveOneself(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	x.account("ci", mezu.PermRoutesRead, mezu.PermRoutesWrite)
	weak := in.bounded(op, mezu.PermServiceAccountsWrite, mezu.PermServiceAccountsRead, mezu.PermRoutesRead)
	refused(t, mezu.CodeForbidden, weak, api.OpRotateServiceAccount, map[string]any{}, x.org, x.prj, "ci")
	refused(t, mezu.CodeForbidden, weak, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read", "routes.write", "warpgates.read"}}, x.org, x.prj, "ci")
	refused(t, mezu.CodeForbidden, weak, api.OpCreateServiceAccount, map[string]any{"name": "x", "permissions": []string{"routes.write"}}, x.org, x.prj)
	// To leave or take away what is there, he need not have it.
	call[mezu.ServiceAccount](t, weak, api.OpUpdateServiceAccount, map[string]any{"environment": "staging"}, x.org, x.prj, "ci")
	call[mezu.ServiceAccount](t, weak, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read"}}, x.org, x.prj, "ci")
	in.secret(call[api.ServiceAccountCreated](t, weak, api.OpRotateServiceAccount, map[string]any{}, x.org, x.prj, "ci").Key)
}

func TestServiceAccount_Rotate(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	acc, first := x.account("ci", mezu.PermWarpgateRegister)
	w, _ := in.register(first, "")
	second := x.rotate("ci", map[string]any{})
	if second.PreviousKeyPrefix != acc.KeyPrefix || second.KeyPrefix != second.Key[:mezu.KeyPrefixLength] || second.ID != acc.ID {
		t.Errorf("rotated: %+v", second.ServiceAccount)
	}
	if !in.works(first) || !in.works(second.Key) {
		t.Error("both keys are good during the overlap")
	}
	// A third key would end the first, which is promised until its time.
	refused(t, mezu.CodeConflict, op, api.OpRotateServiceAccount, map[string]any{"overlap": "1h"}, x.org, x.prj, "ci")
	in.clock.advance(time.Duration(mezu.DefaultKeyOverlap) + time.Second)
	if in.works(first) || !in.works(second.Key) {
		t.Error("the first key outlives its overlap, or the second does not")
	}
	third := x.rotate("ci", map[string]any{"overlap": "168h"})
	if got := third.PreviousKeyUntil.Sub(in.clock.now()).Round(time.Minute); got != 7*24*time.Hour {
		t.Errorf("a week is %s", got)
	}
	// Zero ends every earlier key at once.
	fourth := x.rotate("ci", map[string]any{"overlap": "0s"})
	if in.works(first) || in.works(second.Key) || in.works(third.Key) || !in.works(fourth.Key) {
		t.Error("after a rotation without overlap one key is good")
	}
	if fourth.PreviousKeyPrefix != "" || !fourth.PreviousKeyUntil.IsZero() {
		t.Errorf("shows an earlier key: %+v", fourth.ServiceAccount)
	}
	if keys := in.keys("key/"); len(keys) != 1 {
		t.Errorf("keys in the store: %v", keys)
	}
	if e := refused(t, mezu.CodeInvalid, op, api.OpRotateServiceAccount, map[string]any{"overlap": "169h"}, x.org, x.prj, "ci"); e.Field != "overlap" {
		t.Errorf("%+v", e)
	}
	// What the account let in has its own certificate.
	call[api.RegisterResponse](t, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	// K2: deleted, both keys are.
	last := x.rotate("ci", map[string]any{})
	call[any](t, op, api.OpDeleteServiceAccount, nil, x.org, x.prj, "ci")
	if in.works(fourth.Key) || in.works(last.Key) {
		t.Error("a key of a deleted account is good")
	}
}

// The sweep forgets keys that ended, and only those.
func TestServiceAccount_SweptKeys(t *testing.T) {
	in := withStore(t)
	x := in.tenant(in.operator(), "acme")
	x.account("ci", mezu.PermRoutesRead)
	x.rotate("ci", map[string]any{"overlap": "1h"})
	in.restart()
	if keys := in.keys("key/"); len(keys) != 2 {
		t.Errorf("keys before the end: %v", keys)
	}
	in.clock.advance(2 * time.Hour)
	in.restart()
	eventually(t, "the old key to go, and it alone", func() bool { return len(in.keys("key/")) == 1 })
}

// A repeated rotation gives the same key; of several at once one wins.
func TestServiceAccount_RotatedAtOnce(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, first := x.account("ci", mezu.PermRoutesRead)
	got := atOnce(4, func(int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpRotateServiceAccount, map[string]any{}, x.org, x.prj, "ci")
		return err
	})
	if got[""] != 1 || got[mezu.CodeConflict] != 3 {
		t.Errorf("outcomes: %v", got)
	}
	if !in.works(first) {
		t.Error("the first key ended before its overlap")
	}
	call[mezu.ServiceAccount](t, op, api.OpGetServiceAccount, nil, x.org, x.prj, "ci")
	x.account("cd", mezu.PermRoutesRead)
	var keys [2]api.ServiceAccountCreated
	for i := range keys {
		if err := op.Do(t.Context(), api.Call{Operation: api.OpRotateServiceAccount, Params: []string{x.org, x.prj, "cd"}, Body: map[string]any{}, IdempotencyKey: "0123456789abcdef"}, &keys[i]); err != nil {
			t.Fatal(err)
		}
	}
	if keys[0].Key == "" || keys[0].Key != keys[1].Key {
		t.Error("a repeated rotation gave another key")
	}
}

// One key in fourteen million begins as tokens do, and is a key all the same.
func TestServiceAccount_KeyThatLooksLikeAToken(t *testing.T) {
	in := install(t)
	// It is judged as a key, by its checksum, which is wrong here.
	const key = "mezu0000000000000000000000000000000000000000000000"
	e := refused(t, mezu.CodeUnauthenticated, in.client(key, nil), api.OpSelf, nil)
	if !strings.Contains(e.Detail, "service account key") {
		t.Errorf("%s", e.Detail)
	}
}
