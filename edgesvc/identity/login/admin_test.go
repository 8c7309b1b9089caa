package login_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// invite is the body that makes and invites a user.
func invite(email string, more map[string]any) map[string]any {
	body := controltest.UserBody(email)
	body["invite"] = map[string]any{}
	for k, v := range more {
		body[k] = v
	}
	return body
}

// A user is made inactive, gets a mail, chooses a password and is in. Only the last mail
// counts.
func TestInvite(t *testing.T) {
	w := newWorld(t, nil)
	u := controltest.Call[mezu.User](t, w.op, api.OpCreateUser, invite("ann@example.com", map[string]any{"roles": []string{"shop/staff"}}), w.pool.InProject()...)
	first := w.mail("invited")
	if u.Status != mezu.UserInactive || first.To != "ann@example.com" || first.link == "" || !strings.Contains(first.Text, "/.mezu/invited#") || first.ExpiresAt.Sub(first.CreatedAt).Round(time.Second) != 7*24*time.Hour {
		t.Fatalf("%+v %+v", u, first)
	}
	if s := w.browser().login("ann@example.com", good); s.status != 422 {
		t.Errorf("logged in without a password: %d", s.status)
	}
	again := controltest.Call[api.UserMailed](t, w.op, api.OpInviteUser, map[string]any{"language": "de"}, w.pool.InProject(u.ID)...)
	m := w.mail("invited")
	if again.Link != "" || again.Environment != "shop/production" || again.ExpiresAt.IsZero() || m.Subject == first.Subject || m.Language != "de" {
		t.Errorf("%+v %+v", again, m.Mail)
	}
	b := w.browser()
	if s := b.post("invited/accept", "token", first.link, "password", good); s.status != 410 {
		t.Errorf("the mail before the last: %d", s.status)
	}
	w.in.Clock.Advance(6 * 24 * time.Hour)
	b.arrives(b.post("invited/accept", "token", m.link, "password", good), "/")
	if now, _ := w.user("ann@example.com"); now.Status != mezu.UserActive {
		t.Errorf("%+v", now)
	}
	controltest.Refused(t, mezu.CodeConflict, w.op, api.OpInviteUser, map[string]any{}, w.pool.InProject(u.ID)...)
	w.noMail()

	// What can't be done makes no user.
	for name, c := range map[string]struct {
		code mezu.Code
		body map[string]any
	}{
		"active":      {mezu.CodeInvalid, map[string]any{"status": "active"}},
		"elsewhere":   {mezu.CodeInvalid, map[string]any{"invite": map[string]any{"environment": "staging"}}},
		"no language": {mezu.CodeInvalid, map[string]any{"invite": map[string]any{"language": strings.Repeat("d", 65)}}},
	} {
		controltest.Refused(t, c.code, w.op, api.OpCreateUser, invite("bob@example.com", c.body), w.pool.InProject()...)
		if _, made := w.user("bob@example.com"); made {
			t.Errorf("%s: a user was made", name)
		}
	}
	w.in.ScanAudit()
}

// W8: an administrator's reset mails a link to the user, and shows the administrator nothing
// to log in by. It lifts what wrong attempts of strangers did.
func TestW8_ResetByAdmin(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	u, _ := w.user("ann@example.com")
	stranger := w.browser()
	for range 5 {
		stranger.login("ann@example.com", better)
	}
	if s := stranger.login("ann@example.com", good); s.status != 429 {
		t.Fatalf("no wait: %d", s.status)
	}
	got := controltest.Call[api.UserMailed](t, w.op, api.OpResetUser, map[string]any{}, w.pool.InProject(u.ID)...)
	m := w.mail("reset")
	if got.Link != "" || got.Environment != "shop/production" || m.To != "ann@example.com" || m.link == "" {
		t.Errorf("%+v %+v", got, m.Mail)
	}
	stranger.arrives(stranger.login("ann@example.com", good), "/") // the attempts are forgiven
	if s := b.post("reset/password", "token", m.link, "password", better); s.status != 200 {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := stranger.post("reset/password", "token", m.link, "password", good); s.status != 410 {
		t.Errorf("used twice: %d", s.status)
	}
	w.mails()
	// An hour has five of them, and strangers' requests don't count.
	for range 6 {
		stranger.post("reset", "email", "ann@example.com")
	}
	w.mails()
	for range 4 {
		controltest.Call[any](t, w.op, api.OpResetUser, map[string]any{}, w.pool.InProject(u.ID)...)
	}
	controltest.Refused(t, mezu.CodeRateLimited, w.op, api.OpResetUser, map[string]any{}, w.pool.InProject(u.ID)...)
	if all := w.mails(); len(all) != 4 {
		t.Errorf("%d mails", len(all))
	}
	w.change("ann@example.com", map[string]any{"status": "suspended"})
	controltest.Refused(t, mezu.CodeConflict, w.op, api.OpResetUser, map[string]any{}, w.pool.InProject(u.ID)...)
	w.change("ann@example.com", map[string]any{"status": "inactive"})
	controltest.Refused(t, mezu.CodeConflict, w.op, api.OpResetUser, map[string]any{}, w.pool.InProject(u.ID)...)
	w.in.ScanAudit()
}

// Where no mail is sent, the link of a reset is shown to the administrator, which the audit
// says. Nobody can be invited there.
func TestW8_ResetWithoutMail(t *testing.T) {
	w := newWorldIn(t, controltest.InstallWithStore(t, func(in *controltest.Installation) { in.NoMail = true }), nil)
	e := controltest.Refused(t, mezu.CodeInvalid, w.op, api.OpCreateUser, invite("ann@example.com", nil), w.pool.InProject()...)
	if e.Field != "invite" || !strings.Contains(e.Detail, "sends no mail") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	u := controltest.Call[mezu.User](t, w.op, api.OpCreateUser, controltest.UserBody("ann@example.com"), w.pool.InProject()...)
	got := controltest.Call[api.UserMailed](t, w.op, api.OpResetUser, map[string]any{}, w.pool.InProject(u.ID)...)
	link, token, ok := strings.Cut(got.Link, "#")
	if w.in.Secret(token); !ok || link != w.env.URL+"/.mezu/reset/new" {
		t.Fatalf("%+v", got)
	}
	b := w.browser()
	if s := b.post("reset/password", "token", token, "password", good); s.status != 200 {
		t.Fatalf("%d %s", s.status, s.body)
	}
	b.arrives(b.login("ann@example.com", good), "/")
	w.noMail()
	shown := 0
	for _, rec := range w.in.Audited() {
		if rec.Operation == api.OpResetUser.ID && rec.Target.ID == u.ID && strings.Contains(string(rec.After), `"shown":true`) {
			shown++
		}
	}
	if shown != 1 {
		t.Errorf("the audit has %d resets with a link that was shown", shown)
	}
	w.in.ScanAudit()
}

// A link leads to an environment that names the directory: the one that was named, else
// production, else another one that is enabled.
func TestReset_WhereTo(t *testing.T) {
	w := newWorld(t, nil)
	own := controltest.Call[mezu.User](t, w.op, api.OpCreateUser, controltest.UserBody("ann@example.com"), w.pool.InProject()...)
	wide := controltest.Call[mezu.User](t, w.op, api.OpCreateOrganizationUser, controltest.UserBody("ann@example.com"), w.pool.Wide()...)
	e := controltest.Refused(t, mezu.CodeConflict, w.op, api.OpResetOrganizationUser, map[string]any{}, w.pool.Wide(wide.ID)...)
	if !strings.Contains(e.Detail, "no environment that is enabled names the directory") {
		t.Error(e)
	}
	environment := func(project, name string, more map[string]any) {
		t.Helper()
		body := map[string]any{"name": name, "directory": "customers"}
		for k, v := range more {
			body[k] = v
		}
		controltest.Call[any](t, w.op, api.OpCreateEnvironment, body, w.pool.Org, project)
	}
	environment("blog", "closed", map[string]any{"enabled": false})
	controltest.Refused(t, mezu.CodeConflict, w.op, api.OpResetOrganizationUser, map[string]any{}, w.pool.Wide(wide.ID)...)
	environment("blog", "a", nil)
	controltest.Call[any](t, w.op, api.OpCreateEnvironment, map[string]any{"name": "b"}, w.pool.Org, "blog")
	environment("shop", "a", nil)
	leads := func(op api.Operation, name, to string, params []string) {
		t.Helper()
		w.in.Clock.Advance(time.Hour)
		got := controltest.Call[api.UserMailed](t, w.op, op, map[string]any{"environment": name}, params...)
		if got.Environment != to {
			t.Errorf("%q leads to %s instead of %s", name, got.Environment, to)
		}
	}
	leads(api.OpResetOrganizationUser, "", "blog/a", w.pool.Wide(wide.ID))
	leads(api.OpResetUser, "", "shop/production", w.pool.InProject(own.ID))
	leads(api.OpResetUser, "a", "shop/a", w.pool.InProject(own.ID))
	leads(api.OpResetUser, "shop/a", "shop/a", w.pool.InProject(own.ID))
	environment("blog", "production", nil)
	leads(api.OpResetOrganizationUser, "", "blog/production", w.pool.Wide(wide.ID))
	leads(api.OpResetOrganizationUser, "blog/a", "blog/a", w.pool.Wide(wide.ID))
	for _, name := range []string{"b", "blog/b", "blog/none", "none/a", "shop/a", "a/b/c", "-", "/", "env/../a"} {
		controltest.Refused(t, mezu.CodeInvalid, w.op, api.OpResetOrganizationUser, map[string]any{"environment": name}, w.pool.Wide(wide.ID)...)
	}
	controltest.Refused(t, mezu.CodeConflict, w.op, api.OpResetOrganizationUser, map[string]any{"environment": "blog/closed"}, w.pool.Wide(wide.ID)...)
	controltest.Refused(t, mezu.CodeInvalid, w.op, api.OpResetUser, map[string]any{"environment": "blog/a"}, w.pool.InProject(own.ID)...)
	controltest.Refused(t, mezu.CodeNotFound, w.op, api.OpResetUser, map[string]any{}, w.pool.InProject(wide.ID)...)
}

// An administrator sees the sessions of a user, and ends one or all of them.
func TestUserSessions(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.browser(), w.browser()
	b.client = "198.51.100.7"
	a.join("ann@example.com", good)
	u, _ := w.user("ann@example.com")
	w.in.Clock.Advance(time.Minute)
	b.arrives(b.login("ann@example.com", good), "/")
	list := func() []api.UserSession {
		t.Helper()
		return controltest.Call[api.List[api.UserSession]](t, w.op, api.OpGetUserSessions, nil, w.pool.InProject(u.ID)...).Items
	}
	all := list()
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	if s := all[0]; s.Address != "198.51.100.7" || s.Environment != "shop/production" || s.Method != mezu.MethodPassword || s.Agent == "" ||
		s.ExpiresAt.Sub(s.LoggedInAt) != 7*24*time.Hour || s.IdleUntil.Sub(s.RefreshedAt) != 24*time.Hour {
		t.Errorf("%+v", s)
	}
	end := func(code mezu.Code, session string) {
		t.Helper()
		params := w.pool.InProject(u.ID, session)
		if code != "" {
			controltest.Refused(t, code, w.op, api.OpEndUserSession, nil, params...)
			return
		}
		controltest.Call[any](t, w.op, api.OpEndUserSession, nil, params...)
	}
	end("", all[0].ID)
	if b.loggedIn() || !a.loggedIn() {
		t.Error("the wrong session ended")
	}
	if _, err := b.refresh(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("refreshed: %v", err)
	}
	end(mezu.CodeNotFound, all[0].ID)
	end(mezu.CodeNotFound, "ses_x")
	if left := list(); len(left) != 1 || left[0].ID != all[1].ID {
		t.Errorf("%+v", left)
	}
	controltest.Call[any](t, w.op, api.OpEndUserSessions, nil, w.pool.InProject(u.ID)...)
	if a.loggedIn() || len(list()) != 0 {
		t.Error("a session is left")
	}
	if _, err := a.refresh(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("refreshed: %v", err)
	}
	w.in.Clock.Advance(time.Second)
	a.arrives(a.login("ann@example.com", good), "/")
	// Somebody who has never logged in has none to end.
	other := controltest.Call[mezu.User](t, w.op, api.OpCreateUser, controltest.UserBody("bob@example.com"), w.pool.InProject()...)
	controltest.Call[any](t, w.op, api.OpEndUserSessions, nil, w.pool.InProject(other.ID)...)
	if got := controltest.Call[api.List[api.UserSession]](t, w.op, api.OpGetUserSessions, nil, w.pool.InProject(other.ID)...); len(got.Items) != 0 {
		t.Errorf("%+v", got)
	}
	w.in.ScanAudit()
}
