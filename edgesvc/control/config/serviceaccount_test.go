package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// works reports whether a key opens anything.
func works(in *controltest.Installation, key string) bool {
	in.T.Helper()
	_, err := api.Invoke[api.Self](in.T.Context(), in.Client(key, nil), api.OpSelf, nil)
	if err != nil && mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		in.T.Fatal(err)
	}
	return err == nil
}

func TestServiceAccount_Update(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	acc, key := x.Account("ci", mezu.PermRoutesRead)
	c := in.Client(key, nil)
	controltest.Refused(t, mezu.CodeForbidden, c, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.Path()...)
	got := controltest.Call[mezu.ServiceAccount](t, op, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read", "routes.write"}, "environment": "staging"}, x.Org, x.Prj, "ci")
	if got.Revision != acc.Revision+1 || got.Environment != "staging" || !slices.Equal(got.Permissions, []mezu.Permission{"routes.read", "routes.write"}) || got.KeyPrefix != acc.KeyPrefix {
		t.Errorf("updated: %+v", got)
	}
	controltest.Call[mezu.Route](t, c, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.Path()...)
	// What is taken away is gone at once.
	controltest.Call[mezu.ServiceAccount](t, op, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read"}, "environment": nil}, x.Org, x.Prj, acc.ID)
	controltest.Refused(t, mezu.CodeForbidden, c, api.OpCreateRoute, map[string]any{"prefix": "/x/"}, x.Path()...)
	for field, body := range map[string]map[string]any{
		"permissions": {"permissions": []string{}}, "name": {"name": "other"}, "key_prefix": {"key_prefix": "x"}, "project": {"project": "x"},
		"previous_key_until": {"previous_key_until": "2030-01-01T00:00:00Z"}, "environment": {"environment": "No"},
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateServiceAccount, body, x.Org, x.Prj, "ci"); e.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
	}
}

// A4: nobody gives an account more than he has, nor gets the key of one that may
// more than he. Roles of today differ in what accounts may not hold anyway, so the
// weaker caller is a token with bounds.
func TestA4_AccountAboveOneself(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	x.Account("ci", mezu.PermRoutesRead, mezu.PermRoutesWrite)
	weak := in.Bounded(op, mezu.PermServiceAccountsWrite, mezu.PermServiceAccountsRead, mezu.PermRoutesRead)
	controltest.Refused(t, mezu.CodeForbidden, weak, api.OpRotateServiceAccount, map[string]any{}, x.Org, x.Prj, "ci")
	controltest.Refused(t, mezu.CodeForbidden, weak, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read", "routes.write", "warpgates.read"}}, x.Org, x.Prj, "ci")
	controltest.Refused(t, mezu.CodeForbidden, weak, api.OpCreateServiceAccount, map[string]any{"name": "x", "permissions": []string{"routes.write"}}, x.Org, x.Prj)
	// To leave or take away what is there, he need not have it.
	controltest.Call[mezu.ServiceAccount](t, weak, api.OpUpdateServiceAccount, map[string]any{"environment": "staging"}, x.Org, x.Prj, "ci")
	controltest.Call[mezu.ServiceAccount](t, weak, api.OpUpdateServiceAccount, map[string]any{"permissions": []string{"routes.read"}}, x.Org, x.Prj, "ci")
	in.Secret(controltest.Call[api.ServiceAccountCreated](t, weak, api.OpRotateServiceAccount, map[string]any{}, x.Org, x.Prj, "ci").Key)
}

func TestServiceAccount_Rotate(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	acc, first := x.Account("ci", mezu.PermWarpgateRegister)
	w, _ := in.Register(first, "")
	second := x.Rotate("ci", map[string]any{})
	if second.PreviousKeyPrefix != acc.KeyPrefix || second.KeyPrefix != second.Key[:mezu.KeyPrefixLength] || second.ID != acc.ID {
		t.Errorf("rotated: %+v", second.ServiceAccount)
	}
	if !works(in, first) || !works(in, second.Key) {
		t.Error("both keys are good during the overlap")
	}
	// A third key would end the first, which is promised until its time.
	controltest.Refused(t, mezu.CodeConflict, op, api.OpRotateServiceAccount, map[string]any{"overlap": "1h"}, x.Org, x.Prj, "ci")
	in.Clock.Advance(time.Duration(mezu.DefaultKeyOverlap) + time.Second)
	if works(in, first) || !works(in, second.Key) {
		t.Error("the first key outlives its overlap, or the second does not")
	}
	third := x.Rotate("ci", map[string]any{"overlap": "168h"})
	if got := third.PreviousKeyUntil.Sub(in.Clock.Now()).Round(time.Minute); got != 7*24*time.Hour {
		t.Errorf("a week is %s", got)
	}
	// Zero ends every earlier key at once.
	fourth := x.Rotate("ci", map[string]any{"overlap": "0s"})
	if works(in, first) || works(in, second.Key) || works(in, third.Key) || !works(in, fourth.Key) {
		t.Error("after a rotation without overlap one key is good")
	}
	if fourth.PreviousKeyPrefix != "" || !fourth.PreviousKeyUntil.IsZero() {
		t.Errorf("shows an earlier key: %+v", fourth.ServiceAccount)
	}
	if keys := in.Keys("key/"); len(keys) != 1 {
		t.Errorf("keys in the store: %v", keys)
	}
	if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpRotateServiceAccount, map[string]any{"overlap": "169h"}, x.Org, x.Prj, "ci"); e.Field != "overlap" {
		t.Errorf("%+v", e)
	}
	// What the account let in has its own certificate.
	controltest.Call[api.RegisterResponse](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	// K2: deleted, both keys are.
	last := x.Rotate("ci", map[string]any{})
	controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, x.Org, x.Prj, "ci")
	if works(in, fourth.Key) || works(in, last.Key) {
		t.Error("a key of a deleted account is good")
	}
}

// The sweep forgets keys that ended, and only those.
func TestServiceAccount_SweptKeys(t *testing.T) {
	in := controltest.InstallWithStore(t)
	x := in.Tenant(in.Operator(), "acme")
	x.Account("ci", mezu.PermRoutesRead)
	x.Rotate("ci", map[string]any{"overlap": "1h"})
	in.Restart()
	if keys := in.Keys("key/"); len(keys) != 2 {
		t.Errorf("keys before the end: %v", keys)
	}
	in.Clock.Advance(2 * time.Hour)
	in.Restart()
	controltest.Eventually(t, "the old key to go, and it alone", func() bool { return len(in.Keys("key/")) == 1 })
}

// A repeated rotation gives the same key; of several at once one wins.
func TestServiceAccount_RotatedAtOnce(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, first := x.Account("ci", mezu.PermRoutesRead)
	got := controltest.AtOnce(4, func(int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpRotateServiceAccount, map[string]any{}, x.Org, x.Prj, "ci")
		return err
	})
	if got[""] != 1 || got[mezu.CodeConflict] != 3 {
		t.Errorf("outcomes: %v", got)
	}
	if !works(in, first) {
		t.Error("the first key ended before its overlap")
	}
	controltest.Call[mezu.ServiceAccount](t, op, api.OpGetServiceAccount, nil, x.Org, x.Prj, "ci")
	x.Account("cd", mezu.PermRoutesRead)
	var keys [2]api.ServiceAccountCreated
	for i := range keys {
		if err := op.Do(t.Context(), api.Call{Operation: api.OpRotateServiceAccount, Params: []string{x.Org, x.Prj, "cd"}, Body: map[string]any{}, IdempotencyKey: "0123456789abcdef"}, &keys[i]); err != nil {
			t.Fatal(err)
		}
	}
	if keys[0].Key == "" || keys[0].Key != keys[1].Key {
		t.Error("a repeated rotation gave another key")
	}
}

// One key in fourteen million begins as tokens do, and is a key all the same.
func TestServiceAccount_KeyThatLooksLikeAToken(t *testing.T) {
	in := controltest.Install(t)
	// It is judged as a key, by its checksum, which is wrong here.
	const key = "mezu0000000000000000000000000000000000000000000000"
	e := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(key, nil), api.OpSelf, nil)
	if !strings.Contains(e.Detail, "service account key") {
		t.Errorf("%s", e.Detail)
	}
}
