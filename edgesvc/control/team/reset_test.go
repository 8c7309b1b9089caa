package team_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/team"
)

// redeem is a token by a bootstrap code.
func redeem(t *testing.T, in *controltest.Installation, code string) (string, error) {
	t.Helper()
	out, err := api.Invoke[api.TokenResponse](t.Context(), in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: in.Secret(code)})
	if err == nil {
		in.Secret(out.Token)
	}
	return out.Token, err
}

func reset(t *testing.T, in *controltest.Installation, who string) (code string) {
	t.Helper()
	made, err := in.Plane.ResetOperator(t.Context(), control.ResetRequest{Operator: who})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(made.Link, "/bootstrap#"+made.Code) || !strings.HasPrefix(made.Link, "https://") {
		t.Errorf("the link is %q", made.Link)
	}
	return in.Secret(made.Code)
}

// Before there is an operator, a reset replaces the link of the new installation, in its file too.
func TestReset_NewInstallation(t *testing.T) {
	in := controltest.Install(t)
	first := in.Secret(in.BootstrapCode())
	made, err := in.Plane.ResetOperator(t.Context(), control.ResetRequest{})
	if err != nil || made.Operator != "" || !made.ExpiresAt.IsZero() || !made.Ended {
		t.Fatalf("%+v, %v", made, err)
	}
	if in.BootstrapCode() != in.Secret(made.Code) {
		t.Error("the file has another link")
	}
	if _, err := redeem(t, in, first); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("the link of before: %v", err)
	}
	if _, err := in.Plane.ResetOperator(t.Context(), control.ResetRequest{Operator: "ana@acme.example"}); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("an operator who isn't there: %v", err)
	}
	token, err := redeem(t, in, made.Code)
	if err != nil {
		t.Fatal(err)
	}
	if self := controltest.Call[api.Self](t, in.Client(token, nil), api.OpSelf, nil); !self.Operator || self.TokenID == "" {
		t.Errorf("%+v", self)
	}
	if _, err := os.Stat(filepath.Join(in.Dir, "bootstrap")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// An operator who lost everything comes in again, by the newest link alone, once, within its time,
// and for as long as they are operator. Each reset leaves a record.
func TestReset_LetsAnOperatorInAgain(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	root := controltest.Call[api.Self](t, op, api.OpSelf, nil).ID
	_, ana := in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, api.OperatorRequest{Person: ana.Person})
	is := func(code, want string) {
		t.Helper()
		token, err := redeem(t, in, code)
		if err != nil {
			t.Fatal(err)
		}
		if self := controltest.Call[api.Self](t, in.Client(token, nil), api.OpSelf, nil); self.ID != want || !self.Operator {
			t.Errorf("%+v came in, not %s", self, want)
		}
	}
	refused := func(what, code string) {
		t.Helper()
		if _, err := redeem(t, in, code); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("%s: %v", what, err)
		}
	}
	before := in.Audited()
	lost := reset(t, in, "")
	code := reset(t, in, " ")
	refused("the one before", lost)
	is(code, root)
	refused("a second time", code)
	is(reset(t, in, "Ana@acme.example"), ana.Person)
	late := reset(t, in, ana.Person)
	in.Clock.Advance(team.ResetLife)
	refused("too late", late)
	removed := reset(t, in, ana.Person)
	controltest.Call[any](t, op, api.OpDeleteOperator, nil, ana.Person)
	refused("of somebody who is no operator any more", removed)
	if _, err := in.Plane.ResetOperator(t.Context(), control.ResetRequest{Operator: "ana@acme.example"}); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("for somebody who is no operator: %v", err)
	}
	resets, ended := 0, 0
	for key, rec := range in.Audited() {
		if _, known := before[key]; known || rec.Operation != "reset-operator" {
			continue
		}
		resets++
		if rec.Actor.Kind != "process" || rec.Target.Kind != "bootstrap_code" || !strings.Contains(string(rec.After), `"operator":"prs_`) {
			t.Errorf("%+v", rec)
		}
		if rec.Before != nil {
			ended++
		}
	}
	if resets != 5 || ended != 1 {
		t.Errorf("%d records of resets, %d of a link that ended", resets, ended)
	}
	in.ScanAudit()
}

// Somebody else may have what the operator has: a reset with revoke ends all of it at once, and the
// token that its code gives is none of that, though another control plane's clock be behind.
func TestReset_Revoke(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	self := controltest.Call[api.Self](t, op, api.OpSelf, nil)
	_, thief := in.Token(op, map[string]any{"name": "stolen"})
	made, err := in.Plane.ResetOperator(t.Context(), control.ResetRequest{})
	if err != nil || made.Revoked {
		t.Fatalf("%+v, %v", made, err)
	}
	in.Secret(made.Code)
	controltest.Call[api.Self](t, thief, api.OpSelf, nil) // it was only lost
	in.Write("oauth/person/"+self.ID, access.Families{Families: []access.Family{{ID: "tok_x"}}})
	in.Clock.Advance(time.Second)
	before := in.Audited()
	if made, err = in.Plane.ResetOperator(t.Context(), control.ResetRequest{Revoke: true}); err != nil || !made.Revoked {
		t.Fatalf("%+v, %v", made, err)
	}
	for _, c := range []*api.Client{op, thief} {
		controltest.Refused(t, mezu.CodeUnauthenticated, c, api.OpSelf, nil)
	}
	if left := in.Keys("oauth/person/"); len(left) != 0 {
		t.Errorf("logins of programs go on: %v", left)
	}
	revoked := 0
	for key, rec := range in.Audited() {
		if _, known := before[key]; !known && rec.Operation == "reset-operator" && strings.Contains(string(rec.After), `"revoked":true`) {
			revoked++
		}
	}
	if revoked != 1 {
		t.Errorf("%d records say so", revoked)
	}
	in.Clock.Advance(-10 * time.Second)
	token, err := redeem(t, in, in.Secret(made.Code))
	if err != nil {
		t.Fatal(err)
	}
	again := in.Client(token, nil)
	if controltest.Call[api.Self](t, again, api.OpSelf, nil).ID != self.ID {
		t.Error("somebody else came in")
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, thief, api.OpSelf, nil)
	// What has ended is not shown, and takes no place.
	if all := controltest.Call[api.List[mezu.Token]](t, again, api.OpListTokens, nil); len(all.Items) != 1 {
		t.Errorf("%d tokens are shown: %+v", len(all.Items), all.Items)
	}
	in.ScanAudit()
}

// A thief who is at it when everything is revoked keeps nothing: no token and no link that was made
// by a token of before.
func TestReset_RevokeAtOnce(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	stolen := make([]*api.Client, 4)
	for i := range stolen {
		_, stolen[i] = in.Token(op, map[string]any{"name": "stolen"})
	}
	in.Clock.Advance(time.Second)
	var mu sync.Mutex
	var made []string
	under, begin := context.WithCancel(t.Context())
	defer begin()
	got := controltest.AtOnce(len(stolen)+1, func(i int) error {
		if i == len(stolen) {
			<-under.Done()
			out, err := in.Plane.ResetOperator(t.Context(), control.ResetRequest{Revoke: true})
			in.Secret(out.Code)
			return err
		}
		for {
			out, err := api.Invoke[api.TokenCreated](t.Context(), stolen[i], api.OpCreateToken, mezu.Token{Name: "more"})
			if err != nil {
				return err
			}
			mu.Lock()
			made = append(made, in.Secret(out.Secret))
			mu.Unlock()
			begin()
		}
	})
	if got[""] != 1 || len(made) == 0 {
		t.Fatalf("outcomes %v, %d made", got, len(made))
	}
	for _, secret := range made {
		controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(secret, nil), api.OpSelf, nil)
	}
}

// On a store that several processes may have, a reset needs no control plane: it is made beside those
// that run.
func TestReset_OnASharedStore(t *testing.T) {
	in := controltest.InstallWithStore(t)
	in.Operator()
	lost := reset(t, in, "")
	made, err := control.ResetOperator(t.Context(), control.Config{StateDir: in.Dir, Store: in.Driver, Now: in.Clock.Now}, control.ResetRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Link == "" || !made.Ended {
		t.Errorf("%+v", made)
	}
	if _, err := redeem(t, in, lost); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("the link before: %v", err)
	}
	if _, err := redeem(t, in, made.Code); err != nil {
		t.Error(err)
	}
}

// Of several resets at once one link works.
func TestReset_AtOnce(t *testing.T) {
	in := controltest.Install(t)
	in.Operator()
	codes := make([]string, 4)
	got := controltest.AtOnce(len(codes), func(i int) error {
		made, err := in.Plane.ResetOperator(t.Context(), control.ResetRequest{})
		codes[i] = made.Code
		return err
	})
	if got[""] != len(codes) {
		t.Fatalf("outcomes: %v", got)
	}
	works := 0
	for _, code := range codes {
		if _, err := redeem(t, in, code); err == nil {
			works++
		}
	}
	if works != 1 {
		t.Errorf("%d links work", works)
	}
}

// Whoever calls with a token is told a week before it ends, and not earlier.
func TestCredentialEndsIsSaid(t *testing.T) {
	in := controltest.Install(t)
	month := in.OperatorToken()
	told := func(token string) time.Time {
		t.Helper()
		var at time.Time
		c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + in.Plane.Addr(), TLS: &tls.Config{RootCAs: in.Roots}, Token: func() (string, error) { return token, nil },
			Ends: func(end time.Time) { at = end }})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseIdle()
		controltest.Call[api.Self](t, c, api.OpSelf, nil)
		return at
	}
	if at := told(month); !at.IsZero() {
		t.Errorf("told of %v a month before", at)
	}
	for left, want := range map[time.Duration]bool{mezu.EndNotice - time.Hour: true, mezu.EndNotice + time.Hour: false} {
		end := in.Clock.Now().Add(left).UTC().Truncate(time.Second)
		made, _ := in.Token(in.Client(month, nil), map[string]any{"expires_at": end})
		if at := told(made.Secret); at.Equal(end) != want || at.IsZero() == want {
			t.Errorf("%v before its end: told of %v, which is %v", left, at, end)
		}
	}
}

// The log says at the start that nobody will be able to administer the installation in a week.
func TestLastTokenIsSaid(t *testing.T) {
	in := controltest.Install(t)
	in.Operator()
	in.Clock.Advance(mezu.DefaultTokenLife - mezu.EndNotice + time.Hour)
	in.Restart()
	controltest.Eventually(t, "the log says so", func() bool {
		return strings.Contains(in.Log.String(), `msg="ends within a week" what="the last token of operator prs_`)
	})
}
