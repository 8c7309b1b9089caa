package login_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// empty is an installation that nobody runs yet, with or without mail.
func empty(t *testing.T, mail bool) *world {
	t.Helper()
	in := controltest.InstallWithStore(t)
	in.NoMail, in.TeamSignup = !mail, mezu.SignupOpen
	w := &world{t: t, in: in, seen: map[string]bool{}, base: "/", dialled: new(atomic.Int32)}
	w.restart()
	return w
}

// operators are how many there are.
func (w *world) operators() int { return len(w.in.Records("operator/")) }

// Whoever comes first to a new installation gets nothing without the code of the bootstrap
// link, and with it once.
func TestN28_NothingWithoutTheCode(t *testing.T) {
	w := empty(t, true)
	b := w.browser()
	if s := b.get("bootstrap"); s.status != 200 || !s.has("data-token") {
		t.Fatalf("%d %s", s.status, s.body)
	}
	code := w.in.Secret(w.in.BootstrapCode())
	for _, wrong := range []string{"", "x", code[:len(code)-1], code + "x", strings.ToUpper(code), strings.Repeat("x", 5000)} {
		for _, s := range []shown{b.post("bootstrap", "token", wrong), b.post("bootstrap/account", "token", wrong, "email", "eve@example.com", "password", good)} {
			if s.status != 410 {
				t.Errorf("%.50q: %d", wrong, s.status)
			}
		}
	}
	// Who signs up is no operator.
	b.join("eve@example.com", good)
	if w.operators() != 0 {
		t.Error("a stranger is operator")
	}
	o := w.browser()
	if s := o.post("bootstrap", "token", " "+code); s.status != 200 || !s.has(`name="email"`) || !s.has(`autocomplete="new-password"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := o.post("bootstrap/account", "token", code, "email", "olga@example.com", "password", "short"); s.status != 422 || w.operators() != 0 {
		t.Errorf("%d", s.status)
	}
	// With mail the address is proved first.
	if s := o.post("bootstrap/account", "token", code, "email", "Olga@example.com", "password", good); s.status != 200 || w.operators() != 0 || o.cookies[mezu.SessionCookie] != "" {
		t.Fatalf("%d %s", s.status, s.body)
	}
	m := w.mail("signup")
	if s := o.post("signup/code", "pending", o.pending, "code", "00000000"); s.status != 422 {
		t.Errorf("%d", s.status)
	}
	o.arrives(o.post("signup/code", "pending", o.pending, "code", m.digits), "/")
	if w.operators() != 1 || !o.get("account").has("olga@example.com") {
		t.Errorf("%d operators", w.operators())
	}
	if s := b.post("bootstrap", "token", code); s.status != 410 {
		t.Errorf("the code works twice: %d", s.status)
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, w.in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code})
	w.in.ScanAudit()
}

// Without mail the address of the first operator is taken as it was typed. Of several who use
// the link at once one becomes operator.
func TestBootstrap_WithoutMail(t *testing.T) {
	w := empty(t, false)
	code := w.in.BootstrapCode()
	codes := controltest.AtOnce(3, func(i int) error {
		b := w.browser()
		if s := b.post("bootstrap/account", "token", "code="+code, "email", string(rune('a'+i))+"@example.com", "password", good); s.status != 303 || !b.loggedIn() {
			return mezu.Errorf(mezu.CodeConflict, "lost")
		}
		return nil
	})
	if codes[""] != 1 || w.operators() != 1 {
		t.Errorf("%v, %d operators", codes, w.operators())
	}
	b := w.browser()
	for _, path := range []string{"signup", "reset"} {
		if s := b.get(path); s.status != 503 {
			t.Errorf("%s: %d", path, s.status)
		}
	}
}

// An operator who lost the password comes in by the link of a reset and chooses another one; the link
// works once. One without an address, who came in by the API alone, is logged in by it.
func TestReset_InTheBrowser(t *testing.T) {
	w := empty(t, false)
	b := w.browser()
	if s := b.post("bootstrap/account", "token", w.in.BootstrapCode(), "email", "olga@example.com", "password", good); s.status != 303 {
		t.Fatalf("%d %s", s.status, s.body)
	}
	reset := func() string {
		t.Helper()
		made, err := w.in.Plane.ResetOperator(t.Context(), control.ResetRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return w.in.Secret(made.Code)
	}
	first := reset()
	code := reset()
	o := w.browser()
	if s := o.post("bootstrap", "token", first); s.status != 410 {
		t.Errorf("the link before: %d", s.status)
	}
	if s := o.post("bootstrap", "token", code); s.status != 200 || !s.has("olga@example.com") || !s.has(`autocomplete="new-password"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := o.post("bootstrap/account", "token", code, "password", "short"); s.status != 422 || o.loggedIn() {
		t.Errorf("%d", s.status)
	}
	const better = "another password for Olga"
	program := "oauth/" + w.in.Keys("person/")[0]
	w.in.Write(program, access.Families{Families: []access.Family{{ID: "tok_x"}}})
	if s := o.post("bootstrap/account", "token", code, "email", "eve@example.com", "password", better); s.status != 303 || !o.loggedIn() || w.operators() != 1 {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := o.get("account"); !s.has("olga@example.com") || s.has("eve@example.com") {
		t.Errorf("%s", s.body)
	}
	if s := w.browser().post("bootstrap/account", "token", code, "password", better); s.status != 410 {
		t.Errorf("the link works twice: %d", s.status)
	}
	// As with every new password, what was there ends.
	if b.loggedIn() || len(w.in.Keys(program)) != 0 {
		t.Error("a session or the login of a program goes on")
	}
	again := w.browser()
	if s := again.login("olga@example.com", good); s.status == 303 {
		t.Error("the old password works")
	}
	again = w.browser()
	again.arrives(again.login("olga@example.com", better), "/")

	// Somebody else may know it: until the link is used, nothing lets anybody in.
	made, err := w.in.Plane.ResetOperator(t.Context(), control.ResetRequest{Revoke: true})
	if err != nil {
		t.Fatal(err)
	}
	if s := w.browser().login("olga@example.com", better); s.status == 303 || again.loggedIn() || o.loggedIn() {
		t.Error("the password or a session goes on")
	}
	if s := o.post("bootstrap/account", "token", w.in.Secret(made.Code), "password", good); s.status != 303 || !o.loggedIn() {
		t.Errorf("%d %s", s.status, s.body)
	}

	without := empty(t, false)
	without.in.OperatorToken()
	made, err = without.in.Plane.ResetOperator(t.Context(), control.ResetRequest{})
	if err != nil {
		t.Fatal(err)
	}
	p := without.browser()
	if s := p.post("bootstrap", "token", without.in.Secret(made.Code)); s.status != 303 || !p.loggedIn() {
		t.Errorf("%d %s", s.status, s.body)
	}
	without.in.ScanAudit()
}

// The code of somebody who is no operator any more opens nothing, and nobody is asked for a password.
func TestReset_NoOperatorAnyMore(t *testing.T) {
	w := empty(t, false)
	op := w.in.Operator()
	w.in.Tenant(op, "acme")
	_, ana := w.in.Join(op, "acme", "ana@acme.example", mezu.RoleViewer)
	controltest.Call[mezu.Operator](t, op, api.OpCreateOperator, api.OperatorRequest{Person: ana.Person})
	made, err := w.in.Plane.ResetOperator(t.Context(), control.ResetRequest{Operator: ana.Person})
	if err != nil {
		t.Fatal(err)
	}
	controltest.Call[any](t, op, api.OpDeleteOperator, nil, ana.Person)
	if s := w.browser().post("bootstrap", "token", w.in.Secret(made.Code)); s.status != 410 || s.has("ana@acme.example") {
		t.Errorf("%d %s", s.status, s.body)
	}
}

// invite invites somebody into acme, and gives the code.
func (w *world) invite(email string) string {
	w.t.Helper()
	if len(w.in.Records("org/acme")) == 0 {
		controltest.Call[any](w.t, w.op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	}
	out := controltest.Call[api.InvitationCreated](w.t, w.op, api.OpCreateInvitation, map[string]any{"email": email, "role": "viewer"}, "acme")
	if m := w.mail("invitation"); m.To != email || m.HTML == "" || !strings.Contains(m.Text, out.Link) || !strings.HasPrefix(out.Link, w.url+"/invitation#") {
		w.t.Errorf("%+v", m)
	}
	return w.in.Secret(out.Code)
}

// member reports whether somebody is in acme.
func (w *world) member(email string) bool {
	w.t.Helper()
	_, err := api.Invoke[mezu.Member](w.t.Context(), w.op, api.OpGetMember, nil, "acme", email)
	return err == nil
}

// An invitation is for its address alone: whoever has the code and another address gets the
// same answer as for a wrong code, and only so often.
func TestA4_InvitationForAnotherAddress(t *testing.T) {
	w := newTeam(t)
	code := w.invite("ann@example.com")
	thief := w.browser()
	thief.join("eve@example.com", good)
	wrong := thief.post("invitation", "token", code[:len(code)-1]+"x", "email", "eve@example.com")
	for range mezu.MaxInvitationAttempts - 1 {
		s := thief.post("invitation", "token", code, "email", "eve@example.com")
		if s.status != 422 || len(s.body) != len(wrong.body) {
			t.Errorf("%d, %d instead of %d bytes", s.status, len(s.body), len(wrong.body))
		}
	}
	if s := thief.post("invitation/join", "token", code, "email", "eve@example.com", "password", good); s.status != 422 {
		t.Errorf("%d", s.status)
	}
	ann := w.browser()
	if s := ann.post("invitation", "token", code, "email", "ann@example.com"); s.status != 422 {
		t.Errorf("guessed too often, and it works: %d", s.status)
	}
	if w.member("eve@example.com") || w.member("ann@example.com") {
		t.Error("somebody came in")
	}
}

// Somebody new chooses a password, and is a member, logged in.
func TestInvitation_NewPerson(t *testing.T) {
	w := newTeam(t)
	code := w.invite("ann@example.com")
	b := w.browser()
	if s := b.get("invitations"); s.status != 303 || s.location != "/invitation" {
		t.Errorf("the link of an earlier build: %d %s", s.status, s.location)
	}
	if s := b.get("invitation"); s.status != 200 || !s.has("data-token") || !s.has(`name="email"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := b.post("invitation", "token", "code="+code, "email", "Ann@example.com"); s.status != 200 || !s.has("acme") || !s.has(`autocomplete="new-password"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := b.post("invitation/join", "token", code, "email", "ann@example.com", "password", "short"); s.status != 422 || w.member("ann@example.com") {
		t.Errorf("%d", s.status)
	}
	b.arrives(b.post("invitation/join", "token", code, "email", "ann@example.com", "password", good), "/")
	if !w.member("ann@example.com") || len(w.in.Records("org/")) != 1 {
		t.Error("no member, or with an organization of their own")
	}
	if s := b.post("invitation/join", "token", code, "email", "ann@example.com", "password", good); s.status != 422 {
		t.Errorf("used twice: %d", s.status)
	}
	b = w.browser()
	b.arrives(b.login("ann@example.com", good), "/")
	w.in.ScanAudit()
}

// Somebody who has an account types the password, or is logged in already.
func TestInvitation_KnownPerson(t *testing.T) {
	w := newTeam(t)
	ann, bob := w.browser(), w.browser()
	ann.join("ann@example.com", good)
	bob.join("bob@example.com", good)
	code := w.invite("ann@example.com")
	other := w.browser()
	if s := other.post("invitation", "token", code, "email", "ann@example.com"); s.status != 200 || !s.has(`autocomplete="current-password"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	// A new password is none of the account's, and another session is not theirs.
	for _, b := range []*browser{other, bob} {
		if s := b.post("invitation/join", "token", code, "email", "ann@example.com", "password", better); s.status != 422 || w.member("ann@example.com") {
			t.Errorf("%d", s.status)
		}
	}
	other.arrives(other.post("invitation/join", "token", code, "email", "ann@example.com", "password", good), "/")
	if !w.member("ann@example.com") {
		t.Error("no member")
	}
	code = w.invite("bob@example.com")
	if s := bob.post("invitation", "token", code, "email", "bob@example.com"); s.status != 200 || s.has(`type="password"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	bob.arrives(bob.post("invitation/join", "token", code, "email", "bob@example.com"), "/")
	if !w.member("bob@example.com") {
		t.Error("no member")
	}
}

// link is the token of a login link.
func (w *world) link(l api.LoginLink) string {
	w.t.Helper()
	token, ok := strings.CutPrefix(l.Link, w.url+"/link#")
	if !ok {
		w.t.Fatalf("%+v", l)
	}
	return w.in.Secret(token)
}

// A person with a token makes a link that logs in once, within ten minutes.
func TestLoginLink(t *testing.T) {
	w := newTeam(t)
	w.browser().join("ann@example.com", good)
	code := w.invite("bob@example.com")
	joined := controltest.Call[api.RedeemResponse](t, w.in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: "bob@example.com"})
	bob := w.in.Client(w.in.Secret(joined.Token), nil)
	first := w.link(controltest.Call[api.LoginLink](t, bob, api.OpCreateLoginLink, nil))
	made := controltest.Call[api.LoginLink](t, bob, api.OpCreateLoginLink, nil)
	token := w.link(made)
	if left := made.ExpiresAt.Sub(w.in.Clock.Now()); left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("%s", left)
	}
	b := w.browser()
	if s := b.get("link"); s.status != 200 || !s.has("data-token") {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := b.post("link", "token", first); s.status != 410 {
		t.Errorf("the first link works beside the second: %d", s.status)
	}
	// Bob has no password yet: the link asks for one, and is good for that.
	if s := b.post("link", "token", token); s.status != 200 || !s.has(`autocomplete="new-password"`) || !s.has("bob@example.com") || b.cookies[mezu.SessionCookie] != "" {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := b.post("link/password", "token", token, "password", "bob@example.com1"); s.status != 422 {
		t.Errorf("%d", s.status)
	}
	b.arrives(b.post("link/password", "token", token, "password", good), "/")
	for _, path := range []string{"link", "link/password"} {
		if s := w.browser().post(path, "token", token, "password", better); s.status != 410 && s.status != 400 {
			t.Errorf("%s: used twice: %d", path, s.status)
		}
	}
	c := w.browser()
	c.arrives(c.login("bob@example.com", good), "/")
	// Now it logs in at once: one of several.
	token = w.link(controltest.Call[api.LoginLink](t, bob, api.OpCreateLoginLink, nil))
	codes := controltest.AtOnce(4, func(int) error {
		if s := w.browser().post("link", "token", token); s.status != 303 {
			return mezu.Errorf(mezu.CodeConflict, "lost")
		}
		return nil
	})
	if codes[""] != 1 {
		t.Errorf("%v", codes)
	}
	token = w.link(controltest.Call[api.LoginLink](t, bob, api.OpCreateLoginLink, nil))
	w.in.Clock.Advance(10*time.Minute + time.Second)
	if s := b.post("link", "token", token); s.status != 410 {
		t.Errorf("after ten minutes: %d", s.status)
	}
	// A token with bounds makes nothing beyond them.
	controltest.Refused(t, mezu.CodeForbidden, w.in.Bounded(bob, mezu.PermTokensWrite), api.OpCreateLoginLink, nil)
	w.in.ScanAudit()
}

// An operator's link is for who can't log in otherwise: it neither sets nor shows a password,
// and opens the account of nobody who has one.
func TestW8_OperatorsLink(t *testing.T) {
	w := newTeam(t)
	w.browser().join("ann@example.com", good)
	code := w.invite("bob@example.com")
	joined := controltest.Call[api.RedeemResponse](t, w.in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: "bob@example.com"})
	bob := w.in.Client(joined.Token, nil)
	controltest.Refused(t, mezu.CodeForbidden, bob, api.OpCreatePersonLoginLink, nil, joined.Member.Person)
	controltest.Refused(t, mezu.CodeConflict, w.op, api.OpCreatePersonLoginLink, nil, "ann@example.com")
	controltest.Refused(t, mezu.CodeNotFound, w.op, api.OpCreatePersonLoginLink, nil, "nobody@example.com")
	controltest.Refused(t, mezu.CodeNotFound, w.op, api.OpCreatePersonLoginLink, nil, "prs_x")
	token := w.link(controltest.Call[api.LoginLink](t, w.op, api.OpCreatePersonLoginLink, nil, joined.Member.Person))
	controltest.Refused(t, mezu.CodeForbidden, w.in.Bounded(w.op, mezu.PermOperatorsWrite), api.OpCreatePersonLoginLink, nil, joined.Member.Person)
	b := w.browser()
	b.arrives(b.post("link/password", "token", token, "password", good), "/")
	controltest.Refused(t, mezu.CodeConflict, w.op, api.OpCreatePersonLoginLink, nil, joined.Member.Person)
	// The reset by mail serves those without a password too.
	code = w.invite("cyd@example.com")
	controltest.Call[api.RedeemResponse](t, w.in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: "cyd@example.com"})
	c := w.browser()
	c.post("reset", "email", "cyd@example.com")
	m := w.mail("reset")
	if s := c.post("reset/password", "token", m.link, "password", good); s.status != 200 {
		t.Fatalf("%d %s", s.status, s.body)
	}
	w.mail("password_changed")
	c.arrives(c.login("cyd@example.com", good), "/")
	// Without mail nobody could help themselves.
	w.in.NoMail = true
	w.restart()
	controltest.Call[api.LoginLink](t, w.op, api.OpCreatePersonLoginLink, nil, "ann@example.com")
}

// A first login makes an organization for whoever has none, if members may make them: the
// first operator's, too, but nobody's second login does.
func TestTeam_FirstLoginMakesAnOrganization(t *testing.T) {
	for _, may := range []bool{true, false} {
		w := &world{t: t, in: controltest.InstallWithStore(t), seen: map[string]bool{}, base: "/", dialled: new(atomic.Int32)}
		w.in.TeamSignup, w.in.MembersMayCreateOrganizations, w.in.NoMail = mezu.SignupOpen, may, true
		w.in.Restart()
		w.url = "https://" + w.in.Plane.Addr()
		o := w.browser()
		o.arrives(o.post("bootstrap/account", "token", w.in.BootstrapCode(), "email", "olga@example.com", "password", good), "/")
		want := 0
		if may {
			want = 1
		}
		if n := len(w.in.Records("org/olga")); n != want || w.operators() != 1 {
			t.Errorf("members may make organizations: %v; %d of olga, %d operators", may, n, w.operators())
		}
		o.arrives(o.login("olga@example.com", good), "/")
		if n := len(w.in.Records("org/")); n != want {
			t.Errorf("%d organizations after the second login", n)
		}
	}
}
