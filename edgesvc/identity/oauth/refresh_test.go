package oauth_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/restore"
)

func contextWith(w *world) context.Context {
	return context.WithValue(w.t.Context(), oauth2.HTTPClient, w.client)
}

// N26, L14: programs that refresh beside one another get the same answer for 10 s. A later use
// of the old token ends the family.
func TestN26_L14_Refresh(t *testing.T) {
	w := newWorld(t)
	first := w.login()
	replies := make([]reply, 6)
	controltest.Race(len(replies), func(i int) error {
		replies[i] = w.refresh(first.Refresh)
		return nil
	})
	second := w.tokens(replies[0])
	for _, r := range replies {
		if got := w.tokens(r); got.Bearer != second.Bearer || got.Refresh != second.Refresh {
			t.Errorf("another answer: %s", r.body)
		}
	}
	if second.Bearer == first.Bearer || second.Refresh == first.Refresh {
		t.Error("nothing is new")
	}
	w.Clock.Advance(9 * time.Second)
	if got := w.tokens(w.refresh(first.Refresh)); got.Refresh != second.Refresh {
		t.Error("another answer after 9 s")
	}
	third := w.tokens(w.refresh(second.Refresh))
	w.Clock.Advance(11 * time.Second)
	if !w.opens(third.Bearer) {
		t.Fatal("the family ended too early")
	}
	w.refused("the second token after 11 s", w.refresh(second.Refresh), 400, "invalid_grant")
	for i, bearer := range []string{first.Bearer, second.Bearer, third.Bearer} {
		if w.opens(bearer) {
			t.Errorf("bearer token %d outlives its family", i)
		}
	}
	w.refused("the last token of the family", w.refresh(third.Refresh), 400, "invalid_grant")

	// The first token of all, used long ago, still ends the family.
	a := w.login()
	b := w.tokens(w.refresh(a.Refresh))
	c := w.tokens(w.refresh(b.Refresh))
	w.refused("an old token", w.refresh(a.Refresh), 400, "invalid_grant")
	w.refused("the newest after that", w.refresh(c.Refresh), 400, "invalid_grant")
	if w.opens(c.Bearer) {
		t.Error("the family goes on")
	}
}

// A login ends after 30 days without use, and after 90 in all.
func TestRefreshTimes(t *testing.T) {
	w := newWorld(t)
	got := w.login()
	w.Clock.Advance(time.Hour + time.Second)
	if w.opens(got.Bearer) {
		t.Error("a bearer token lives for more than an hour")
	}
	for range 3 {
		w.Clock.Advance(29 * day)
		got = w.tokens(w.refresh(got.Refresh))
	}
	w.Clock.Advance(2*day + 22*time.Hour + 30*time.Minute) // 89 days, 23 hours and a half
	if got = w.tokens(w.refresh(got.Refresh)); got.Seconds > 30*60 {
		t.Errorf("a bearer token outlives the login by far: %d s", got.Seconds)
	}
	w.Clock.Advance(31 * time.Minute)
	w.refused("after 90 days", w.refresh(got.Refresh), 400, "invalid_grant")

	w.enter()
	idle := w.login()
	w.Clock.Advance(30*day + time.Second)
	w.refused("30 days idle", w.refresh(idle.Refresh), 400, "invalid_grant")
}

// Revocation ends the family, by whichever of its tokens.
func TestRevoke(t *testing.T) {
	w := newWorld(t)
	other := w.login()
	for _, which := range []string{"the refresh token", "an old refresh token", "the bearer token"} {
		got := w.login()
		next := w.tokens(w.refresh(got.Refresh))
		token := map[string]string{"the refresh token": next.Refresh, "an old refresh token": got.Refresh, "the bearer token": next.Bearer}[which]
		if r := w.call("/oauth/revoke", "token", token); r.status != 200 {
			t.Errorf("%s: %d %s", which, r.status, r.body)
		}
		if w.opens(got.Bearer) || w.opens(next.Bearer) {
			t.Errorf("%s: a bearer token outlives it", which)
		}
		w.refused(which, w.refresh(next.Refresh), 400, "invalid_grant")
		if r := w.call("/oauth/revoke", "token", token, "token_type_hint", "access_token"); r.status != 200 {
			t.Errorf("%s again: %d", which, r.status)
		}
	}
	// What is no token of the client is none of its business: a token that somebody made stays.
	made, _ := w.Token(w.Client(other.Bearer, nil), map[string]any{})
	for _, token := range []string{made.Secret, "x", "mezurefresh_" + strings.Repeat("A", 65), "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."} {
		if r := w.call("/oauth/revoke", "token", token); r.status != 200 {
			t.Errorf("%s: %d", token, r.status)
		}
	}
	if !w.opens(made.Secret) || !w.opens(other.Bearer) {
		t.Error("another token ended")
	}
}

// All logins of a person end at once, the one that asks too, and nobody else's.
func TestEndLogins(t *testing.T) {
	w := newWorld(t)
	one, two := w.login(), w.login()
	made, _ := w.Token(w.Client(one.Bearer, nil), map[string]any{})
	controltest.Call[any](t, w.op, api.OpEndLogins, nil)
	if !w.opens(one.Bearer) {
		t.Error("another person ended it")
	}
	controltest.Call[any](t, w.Client(one.Bearer, nil), api.OpEndLogins, nil)
	if w.opens(one.Bearer) || w.opens(two.Bearer) || !w.opens(made.Secret) {
		t.Error("not the logins ended, or more than they")
	}
	w.refused("refresh", w.refresh(two.Refresh), 400, "invalid_grant")
}

// K2: a stream that a login's token opened ends with the login.
func TestK2_StreamEndsWithItsLogin(t *testing.T) {
	w := newWorld(t)
	got := w.login()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", w.site()+strings.ReplaceAll(api.OpWatchProjects.Path, "{organization}", organization), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+got.Bearer)
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
	begin := time.Now()
	w.call("/oauth/revoke", "token", got.Refresh)
	for buf := make([]byte, 4096); err == nil; {
		_, err = resp.Body.Read(buf)
	}
	if ctx.Err() != nil || time.Since(begin) > 15*time.Second {
		t.Errorf("the stream went on for %s", time.Since(begin))
	}
}

// The one who was logged in least lately makes room for another program.
func TestFamiliesOfAPerson(t *testing.T) {
	w := newWorld(t)
	first := w.login()
	second := w.login()
	w.Clock.Advance(time.Minute)
	first = w.tokens(w.refresh(first.Refresh))
	for range 49 {
		w.login()
		w.Clock.Advance(2 * time.Second)
	}
	if w.opens(second.Bearer) || !w.opens(first.Bearer) {
		t.Error("not the one that was used least lately made room")
	}
}

// Whatever ends all logins of a person ends what was allowed and not fetched yet too, and
// nothing of it lives again (L14).
func TestL14_EndFamilies(t *testing.T) {
	w := newStoredWorld(t)
	got, code := w.login(), w.allow()
	w.drop(access.KeyFamilies(w.person))
	if w.opens(got.Bearer) {
		t.Error("a bearer token opens the API")
	}
	w.refused("refresh", w.refresh(got.Refresh), 400, "invalid_grant")
	w.refused("code", w.exchange(code), 400, "invalid_grant")
	again := w.login()
	w.refused("refresh after another login", w.refresh(got.Refresh), 400, "invalid_grant")
	if !w.opens(again.Bearer) || w.opens(got.Bearer) {
		t.Error("a new login does not count, or brings the old one back")
	}

	// All at once: whoever renews while all ends, has nothing afterwards.
	replies := make([]reply, 6)
	controltest.Race(len(replies)+1, func(i int) error {
		if i == len(replies) {
			w.drop(access.KeyFamilies(w.person))
		} else {
			replies[i] = w.refresh(again.Refresh)
		}
		return nil
	})
	for _, r := range replies {
		if r.status == 200 && w.opens(w.tokens(r).Bearer) {
			t.Error("a renewed login outlives the end of all")
		}
	}
	if w.opens(again.Bearer) {
		t.Error("the login goes on")
	}
}

// What has ended goes by itself, and answers that could be given again go with their time.
// Nothing that is kept has a secret in it for longer.
func TestSweep(t *testing.T) {
	w := newStoredWorld(t)
	got := w.login()
	next := w.tokens(w.refresh(got.Refresh))
	w.allow()
	w.call("/oauth/device_authorization")
	w.post("/device", url.Values{"code": {"BCDF-GHJK"}})
	if !strings.Contains(w.kept(), next.Refresh) {
		t.Fatal("there is no answer to be given again")
	}
	for _, k := range w.Keys("oauth/") {
		if strings.Contains(k, "BCDF") {
			t.Errorf("a key tells a code: %s", k)
		}
	}
	w.Clock.Advance(11 * time.Minute)
	w.again()
	controltest.Eventually(t, "the answer to go", func() bool { return !strings.Contains(w.kept(), next.Refresh) })
	all := w.kept()
	for _, secret := range w.Secrets { // K1
		if strings.Contains(all, secret) {
			t.Errorf("a secret is kept as it is: %.12s", secret)
		}
	}
	w.tokens(w.refresh(next.Refresh))
	w.Clock.Advance(31 * day)
	w.again()
	controltest.Eventually(t, "all to go", func() bool { return len(w.Keys("oauth/")) == 0 })
}

// Two control planes share all of it.
func TestTwoControlPlanes(t *testing.T) {
	w := newStoredWorld(t)
	beside := w.Beside(t.TempDir())
	beside.CopyKey(w.Installation)
	beside.Start()
	t.Cleanup(func() { beside.Stop() })
	beside.TLSTime = w.Clock.Now
	other := &world{Installation: beside, t: t, op: w.op, person: w.person, session: w.session, agent: w.agent}
	other.connect()
	got := other.tokens(other.exchange(w.allow()))
	if !w.opens(got.Bearer) {
		t.Error("a token of the other one opens nothing")
	}
	a, b := w.tokens(w.refresh(got.Refresh)), other.tokens(other.refresh(got.Refresh))
	if a.Refresh != b.Refresh || a.Bearer != b.Bearer {
		t.Error("two answers to one token")
	}
	other.call("/oauth/revoke", "token", b.Refresh)
	if w.opens(a.Bearer) {
		t.Error("it ended at one of them only")
	}
}

// No login of a program outlives a restore, with which codes and tokens that were used would
// live again.
func TestRestoreEndsLogins(t *testing.T) {
	w := newStoredWorld(t)
	w.login()
	w.allow()
	w.call("/oauth/device_authorization")
	n := 0
	for key, value := range w.Records("") {
		program := strings.HasPrefix(key, "oauth/") || strings.HasPrefix(key, "token/") && strings.Contains(value, `"family"`)
		if program {
			n++
		}
		if program && !restore.EndsWithRestore(key, []byte(value)) {
			t.Errorf("%s outlives a restore", key)
		}
	}
	if n < 6 {
		t.Errorf("looked at %d records", n)
	}
}

// W5: a new password ends every login of a program, and what was allowed but not fetched yet.
func TestW5_NewPasswordEndsLogins(t *testing.T) {
	w := newWorld(t)
	got, code := w.login(), w.allow()
	d := w.device()
	w.answer(d.UserCode, "allow")
	made, _ := w.Token(w.Client(got.Bearer, nil), map[string]any{})
	r := w.post("/account/password", url.Values{"current_password": {password}, "password": {"seven slow turtles dance"}, "email": {email}})
	if r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	if w.opens(got.Bearer) {
		t.Error("a bearer token opens the API")
	}
	w.refused("refresh", w.refresh(got.Refresh), 400, "invalid_grant")
	w.refused("code", w.exchange(code), 400, "invalid_grant")
	w.refused("device", w.poll(d), 400, "invalid_grant")
	if page := w.get("/oauth/authorize?" + request().Encode()); page.status != http.StatusSeeOther {
		t.Errorf("the old session allows: %d", page.status)
	}
	if !w.opens(made.Secret) {
		t.Error("a token that the person made ended with it")
	}
}
