package login_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// Somebody signs up, is sent back to the page that they asked for, logs out and in again,
// and sees the account.
func TestSignupLoginLogout(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	if s := b.get("login?to=%2Freports%3Fyear%3D2026"); s.status != 200 || !s.has(`value="/reports?year=2026"`) || !s.has("signup") {
		t.Fatalf("%d %s", s.status, s.body)
	}
	s := b.post("signup", "email", "Ann@Example.com", "password", good, "to", "/reports?year=2026")
	if s.status != 200 {
		t.Fatal(s.status, s.body)
	}
	if _, made := w.user("ann@example.com"); made {
		t.Error("N4: an account before the address is proved")
	}
	m := w.mail("signup")
	if m.To != "Ann@Example.com" || m.link == "" || m.code == "" || m.digits == "" {
		t.Fatalf("%+v", m)
	}
	b.arrives(b.post("signup/code", "pending", b.pending, "code", m.digits), "/reports?year=2026")
	u, made := w.user("ann@example.com")
	if !made || u.Status != mezu.UserActive || u.LastLoginAt.IsZero() {
		t.Fatalf("%+v", u)
	}
	if s := b.get("account"); s.status != 200 || !s.has("Ann@Example.com") || !s.has("Firefox") {
		t.Errorf("%d %s", s.status, s.body)
	}
	_, _, g := b.grant()
	if g.User != u.ID || g.Email != "Ann@Example.com" || g.Environment != w.env.ID || g.NotAfter.Sub(g.AuthTime) != 7*24*time.Hour || g.IdleUntil.Sub(g.IssuedAt) != 24*time.Hour || g.FreshUntil.Sub(g.IssuedAt) != 6*time.Hour {
		t.Errorf("%+v", g)
	}
	// N12: to look at the page ends nothing.
	if s := b.get("logout"); s.status != 200 || !b.loggedIn() {
		t.Errorf("%d", s.status)
	}
	copied := b.clone()
	if s := b.post("logout"); s.status != 200 || s.header["Clear-Site-Data"] != `"cache"` || b.cookies[mezu.SessionCookie] != "" {
		t.Errorf("%+v", s)
	}
	if copied.loggedIn() {
		t.Error("L8: a copy of the cookie outlives the logout")
	}
	if _, err := copied.refresh(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("L14: refreshed after the logout: %v", err)
	}
	b.arrives(b.post("login", "email", " ANN@example.com ", "password", good, "to", "/x"), "/x") // N14
	logins := controltest.Call[api.List[mezu.Login]](t, w.op, api.OpGetLogins, nil, w.pool.InProject(u.ID)...)
	if len(logins.Items) != 2 || logins.Items[0].Agent == "" || logins.Items[0].Address != "192.0.2.1" || logins.Items[0].Outcome != mezu.LoginSucceeded {
		t.Errorf("%+v", logins)
	}
	w.noMail()
	w.in.ScanAudit()
}

// GET and HEAD of a mailed link change nothing, however often a scanner comes; only the
// button does, and only once.
func TestN1_ScannersUseNothingUp(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	m := b.signup("ann@example.com", good)
	scanner := w.browser()
	before := w.in.Records("")
	for i := range 100 {
		for _, path := range []string{"verify", "reset/new", "invited", "mail"} {
			if in := scanner.request([]string{"GET", "HEAD"}[i%2], path); scanner.send(in).status != 200 {
				t.Fatal(path)
			}
		}
	}
	for key, value := range w.in.Records("") {
		if before[key] != value {
			t.Errorf("%s was written", key)
		}
	}
	b.arrives(b.post("verify", "token", m.link), "/")
	if s := b.post("verify", "token", m.link); s.status != 410 {
		t.Errorf("used twice: %d", s.status)
	}
}

// The link is opened in another browser: that one asks for the password, confirms, and logs
// nobody in; the tab that waits goes on.
func TestN2_LinkInAnotherBrowser(t *testing.T) {
	w := newWorld(t, nil)
	laptop, phone := w.browser(), w.browser()
	m := laptop.signup("ann@example.com", good)
	if s := laptop.post("signup/continue", "pending", laptop.pending); s.status == 303 {
		t.Error("went on before the address was confirmed")
	}
	if s := phone.post("verify", "token", m.link); s.status != 200 || !s.has(`type="password"`) || !s.has("ann@example.com") {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := phone.post("verify", "token", m.link, "password", better); s.status != 422 {
		t.Errorf("another password: %d", s.status)
	}
	if s := phone.post("verify", "token", strings.ToUpper(m.code[:5])+" "+m.code[5:], "password", good); s.status != 200 || phone.cookies[mezu.SessionCookie] != "" {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := phone.post("signup/continue", "pending", laptop.pending); s.status != 410 {
		t.Errorf("another browser goes on: %d", s.status)
	}
	laptop.arrives(laptop.post("signup/continue", "pending", laptop.pending), "/")
}

// Whoever signs up with a stranger's address gets nothing of it: not by waiting, not by
// guessing, and the owner can end it.
func TestN4_SignupWithAStrangersAddress(t *testing.T) {
	w := newWorld(t, nil)
	thief, owner := w.browser(), w.browser()
	m := thief.signup("ann@example.com", good)
	for i := range 7 {
		s := thief.post("signup/code", "pending", thief.pending, "code", "00000000")
		if s.status != 422 {
			t.Errorf("guess %d: %d", i, s.status)
		}
	}
	// The guesses are used up, for the right code too.
	if s := thief.post("signup/code", "pending", thief.pending, "code", m.digits); s.status == 303 {
		t.Error("a sixth guess")
	}
	if s := owner.post("verify/deny", "token", m.link); s.status != 200 {
		t.Errorf("%d %s", s.status, s.body)
	}
	for _, path := range []string{"signup/code", "signup/continue", "signup/resend"} {
		fields := []string{"pending", thief.pending}
		if path == "signup/code" {
			fields = append(fields, "code", m.digits)
		}
		if s := thief.post(path, fields...); s.status != 410 {
			t.Errorf("%s after it was ended: %d", path, s.status)
		}
	}
	if s := owner.post("verify", "token", m.link, "password", good); s.status != 410 {
		t.Errorf("the link after it was ended: %d", s.status)
	}
	w.noMail()
	if _, made := w.user("ann@example.com"); made {
		t.Error("an account was made")
	}
}

// Two tabs, two targets: each ends at its own, and a form of the second tab that was sent
// after the first logged in goes on without an error.
func TestN7_TwoTabs(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	b.post("logout")
	b.get("login?to=%2Fa")
	b.get("login?to=%2Fb")
	b.arrives(b.post("login", "email", "ann@example.com", "password", good, "to", "/a"), "/a")
	b.arrives(b.post("login", "email", "ann@example.com", "password", good, "to", "/b"), "/b")
}

// A form whose session has ended says that nothing was sent, and the account page sends to
// the login and back.
func TestN9_SessionEnded(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	if s := b.post("account/profile", "display_name", "x"); s.status != 401 || s.location != "" {
		t.Errorf("%d %s", s.status, s.location)
	}
	if s := b.get("account"); s.status != 303 || s.location != "/.mezu/login?to=%2F.mezu%2Faccount" {
		t.Errorf("%d %s", s.status, s.location)
	}
}

// A browser that keeps no cookies is told so after one visit.
func TestN15_CookieNotKept(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	stubborn := w.browser()
	s := stubborn.login("ann@example.com", good)
	stubborn.cookies = map[string]string{}
	if back := stubborn.get(strings.TrimPrefix(s.location, "/.mezu/")); back.status != 400 || back.location != "" {
		t.Errorf("%d %s", back.status, back.location)
	}
}

// Known and unknown addresses get the same page in all three places.
func TestN22_NobodyIsTold(t *testing.T) {
	w := newWorld(t, nil)
	w.browser().join("ann@example.com", good)
	differ := func(what string, a, b shown, words ...string) {
		t.Helper()
		for i := 0; i+1 < len(words); i += 2 {
			a.body = strings.ReplaceAll(a.body, words[i], "X")
			b.body = strings.ReplaceAll(b.body, words[i+1], "X")
		}
		if a.status != b.status || a.body != b.body || len(a.header) != len(b.header) {
			t.Errorf("%s tells: %d %d\n%s\n%s", what, a.status, b.status, a.body, b.body)
		}
	}
	known, unknown := w.browser(), w.browser()
	differ("a login", known.login("ann@example.com", better), unknown.login("bob@example.com", better), "ann@", "bob@")
	differ("a reset", known.post("reset", "email", "ann@example.com"), unknown.post("reset", "email", "bob@example.com"), "ann@", "bob@")
	if m := w.mail("reset"); m.To != "ann@example.com" {
		t.Errorf("%+v", m)
	}
	known.get("signup")
	unknown.get("signup")
	a, b := known.post("signup", "email", "ann@example.com", "password", better), unknown.post("signup", "email", "bob@example.com", "password", better)
	differ("a signup", a, b, "ann@", "bob@", known.pending, unknown.pending)
	for _, m := range w.mails() {
		if (m.To == "ann@example.com") != (m.digits == "" && m.link == "") {
			t.Errorf("%+v", m)
		}
	}
	if s := known.post("signup/code", "pending", known.pending, "code", "12345678"); s.status != 422 {
		t.Errorf("%d", s.status)
	}
}

// The session of before the login is dead, and so is that of before a new password.
func TestL2_NewSessionAtLogin(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	planted := b.clone()
	b.arrives(b.login("ann@example.com", good), "/")
	if planted.loggedIn() {
		t.Error("the session of before the login goes on")
	}
	_, _, before := b.grant()
	thief := b.clone()
	if s := b.post("account/password", "current_password", good, "password", better); s.status != 200 || !b.loggedIn() {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if _, _, after := b.grant(); after.Session == before.Session || after.SecretHash == before.SecretHash {
		t.Error("the same session after a new password")
	}
	if thief.loggedIn() {
		t.Error("the session of before the new password goes on")
	}
	if m := w.mail("password_changed"); m.To != "ann@example.com" {
		t.Errorf("%+v", m)
	}
	// The new grant outlives the revocation that the change made.
	if _, err := b.refresh(); err != nil {
		t.Error(err)
	}
}

// Forms are taken from the page's own origin only.
func TestL5_ForeignForms(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	for name, change := range map[string]func(*api.EdgePageRequest){
		"no origin":     func(r *api.EdgePageRequest) { r.Origin = "" },
		"null":          func(r *api.EdgePageRequest) { r.Origin = "null" },
		"another":       func(r *api.EdgePageRequest) { r.Origin = "https://evil.example" },
		"another port":  func(r *api.EdgePageRequest) { r.Origin += "1" },
		"plain":         func(r *api.EdgePageRequest) { r.Origin = strings.Replace(r.Origin, "https", "http", 1) },
		"cross-site":    func(r *api.EdgePageRequest) { r.FetchSite = "cross-site" },
		"same-site":     func(r *api.EdgePageRequest) { r.FetchSite = "same-site" },
		"fetch":         func(r *api.EdgePageRequest) { r.FetchMode = "cors" },
		"by whom it be": func(r *api.EdgePageRequest) { r.FetchSite = "none" },
	} {
		for _, path := range []string{"logout", "login", "signup", "account/end-others"} {
			in := b.request("POST", path)
			in.Origin, in.ContentType = w.env.URL, "application/x-www-form-urlencoded"
			change(&in)
			if s := b.send(in); s.status != 403 {
				t.Errorf("%s: %s: %d", name, path, s.status)
			}
		}
	}
	if !b.loggedIn() {
		t.Error("a foreign form ended the session")
	}
}

// Unknown and repeated fields, other types and too many of them are refused.
func TestForms_Malformed(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	for name, c := range map[string]struct{ kind, body string }{
		"unknown field": {"application/x-www-form-urlencoded", "email=a%40example.com&password=x&admin=1"},
		"twice":         {"application/x-www-form-urlencoded", "email=a%40example.com&email=b%40example.com&password=x"},
		"json":          {"application/json", `{"email":"a@example.com"}`},
		"multipart":     {"multipart/form-data; boundary=x", "--x--"},
		"no type":       {"", "email=a"},
		"not UTF-8":     {"application/x-www-form-urlencoded", "email=%ff&password=x"},
		"broken":        {"application/x-www-form-urlencoded", "email=%zz"},
		"many":          {"application/x-www-form-urlencoded", strings.Repeat("email=a&", 1000)},
	} {
		in := b.request("POST", "login")
		in.Origin, in.ContentType, in.Body = w.env.URL, c.kind, []byte(c.body)
		if s := b.send(in); s.status != 400 {
			t.Errorf("%s: %d", name, s.status)
		}
	}
	for _, in := range []api.EdgePageRequest{
		{Environment: "env_x", Method: "GET", Path: "login", Client: "192.0.2.1"},
		{Environment: w.env.ID, Method: "PUT", Path: "login", Client: "192.0.2.1"},
		{Environment: w.env.ID, Method: "GET", Path: "login", Client: "somewhere"},
		{Environment: w.env.ID, Method: "GET", Path: "login", Client: "192.0.2.1", Query: strings.Repeat("a", api.MaxPageQuery+1)},
		{Environment: w.env.ID, Method: "POST", Path: "login", Client: "192.0.2.1", Body: make([]byte, api.MaxPageBody+1)},
	} {
		controltest.Refused(t, mezu.CodeInvalid, w.edge, api.OpEdgePage, in)
	}
	if s := b.get("nowhere"); s.status != 404 {
		t.Errorf("%d", s.status)
	}
	if s := b.get("account/password"); s.status != 303 {
		t.Errorf("a form that is reloaded: %d", s.status)
	}
}

// What leads elsewhere is not returned to, from a link or from a form.
func TestN10_ReturnsToItsOwnPaths(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	for _, to := range []string{"//evil.example", `/\evil.example`, "https://evil.example/", "/%09/evil", "/a/../b", "/.mezu/logout"} {
		if s := b.get("login?to=" + url.QueryEscape(to)); s.has("evil") {
			t.Errorf("%q stands in the page", to)
		}
		b.arrives(b.post("login", "email", "ann@example.com", "password", good, "to", to), "/")
	}
}

// A role that was taken ends grants and not the session: the next refresh has the roles that
// are left, under a new id, and the old cookie is worth nothing soon.
func TestN25_TakenRole(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	w.change("ann@example.com", map[string]any{"roles": []string{"shop/staff", "shop/guest"}})
	if _, err := b.refresh(); err != nil {
		t.Fatal(err)
	}
	w.in.Clock.Advance(time.Minute)
	if _, err := b.refresh(); err != nil {
		t.Fatal(err)
	}
	_, _, before := b.grant()
	if strings.Join(before.Roles, " ") != "guest staff" {
		t.Fatalf("%+v", before)
	}
	w.change("ann@example.com", map[string]any{"roles": []string{"shop/guest"}})
	old := b.clone()
	out, err := b.refresh()
	_, _, after := b.grant()
	if err != nil || out.Secret == "" || after.Session == before.Session || strings.Join(after.Roles, " ") != "guest" || after.NotAfter != before.NotAfter || after.AuthTime != before.AuthTime {
		t.Fatalf("%+v %v", after, err)
	}
	// N26: requests beside it get the same.
	if again, err := old.clone().refresh(); err != nil || again != out {
		t.Errorf("%+v %v", again, err)
	}
	if !b.loggedIn() {
		t.Error("the session ended with the role")
	}
	w.in.Clock.Advance(11 * time.Second)
	if _, err := old.refresh(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("the old id refreshes: %v", err)
	}
	if _, err := b.refresh(); err != nil {
		t.Errorf("the new id: %v", err)
	}
}

// Whoever may not log in any more is out at once, also of sessions that go on.
func TestL10_SuspendedAndDeleted(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.browser(), w.browser()
	a.join("ann@example.com", good)
	b.join("bob@example.com", good)
	w.change("ann@example.com", map[string]any{"status": "suspended"})
	u, _ := w.user("bob@example.com")
	controltest.Call[any](t, w.op, api.OpDeleteUser, nil, w.pool.InProject(u.ID)...)
	for _, who := range []*browser{a, b} {
		if who.loggedIn() {
			t.Error("logged in still")
		}
		if _, err := who.refresh(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("refreshed: %v", err)
		}
	}
	// After the right password only, the page says whom to ask.
	if s := a.login("ann@example.com", good); s.status != 403 || a.cookies[mezu.SessionCookie] != "" && a.loggedIn() {
		t.Errorf("%d", s.status)
	}
	w.change("ann@example.com", map[string]any{"status": "active"})
	if a.loggedIn() {
		t.Error("a session came back with its user")
	}
	a.arrives(a.login("ann@example.com", good), "/")
}

// Sessions end after silence, and after a time however they are used.
func TestL9_IdleAndAbsolute(t *testing.T) {
	w := newWorld(t, map[string]any{"session": map[string]any{"idle": "1h", "absolute": "3h"}})
	b := w.browser()
	b.join("ann@example.com", good)
	for range 3 {
		w.in.Clock.Advance(50 * time.Minute)
		if _, err := b.refresh(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, g := b.grant(); !g.IdleUntil.Equal(g.NotAfter) {
		t.Errorf("idle beyond the end: %+v", g)
	}
	w.in.Clock.Advance(31 * time.Minute)
	if _, err := b.refresh(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("beyond the absolute limit: %v", err)
	}
	b.arrives(b.login("ann@example.com", good), "/")
	w.in.Clock.Advance(61 * time.Minute)
	if _, err := b.refresh(); mezu.CodeOf(err) != mezu.CodeUnauthenticated || b.loggedIn() {
		t.Errorf("after an hour of silence: %v", err)
	}
}

// A reset ends everything that was, tells the owner, and logs nobody in.
func TestW3_W5_Reset(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	other := w.browser()
	if s := other.post("reset", "email", "ANN@example.com"); s.status != 200 {
		t.Fatal(s.status)
	}
	first := w.mail("reset")
	other.post("reset", "email", "ann@example.com")
	m := w.mail("reset")
	if s := other.post("reset/new", "token", first.link); s.status != 410 {
		t.Errorf("W4: the first link works beside the second: %d", s.status)
	}
	for _, wrong := range []string{m.link[:42], m.link + "A", strings.ToUpper(m.link), "", strings.Repeat("x", 43), m.digits} {
		if s := other.post("reset/new", "token", wrong); s.status != 410 {
			t.Errorf("W3: %q: %d", wrong, s.status)
		}
	}
	if s := other.post("reset/new", "token", m.link); s.status != 200 || !s.has(`autocomplete="username"`) || !s.has("ann@example.com") || !s.has(`autocomplete="new-password"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := other.post("reset/password", "token", m.link, "password", "ann@example.com1"); s.status != 422 {
		t.Errorf("a password of the address: %d", s.status)
	}
	if s := other.post("reset/password", "token", m.code, "password", better, "email", "ann@example.com"); s.status != 200 || other.cookies[mezu.SessionCookie] != "" {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if m := w.mail("password_changed"); m.To != "ann@example.com" {
		t.Errorf("%+v", m)
	}
	if b.loggedIn() {
		t.Error("a session outlives the reset")
	}
	if s := other.post("reset/password", "token", m.link, "password", good); s.status != 410 {
		t.Errorf("used twice: %d", s.status)
	}
	if s := b.login("ann@example.com", good); s.status != 422 {
		t.Errorf("the old password: %d", s.status)
	}
	b.arrives(b.login("ann@example.com", better), "/")
}

// What ends sessions does so whatever the clock says: that of another control plane may be
// some seconds ahead.
func TestW5_ClocksApart(t *testing.T) {
	w := newWorld(t, nil)
	owner := w.browser()
	owner.join("ann@example.com", good)
	owner.post("reset", "email", "ann@example.com")
	m := w.mail("reset")
	w.in.Clock.Advance(30 * time.Second)
	thief := w.browser()
	thief.arrives(thief.login("ann@example.com", good), "/")
	w.in.Clock.Advance(-30 * time.Second)
	owner.arrives(owner.login("ann@example.com", good), "/")
	if s := owner.post("reset/password", "token", m.link, "password", better); s.status != 200 {
		t.Fatal(s.status)
	}
	if thief.loggedIn() {
		t.Error("a session from ahead outlives the reset")
	}
	owner.arrives(owner.login("ann@example.com", better), "/")
}

// Ten redeem one link at once: one wins.
func TestW4_RedeemedAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	b.post("reset", "email", "ann@example.com")
	m := w.mail("reset")
	codes := controltest.AtOnce(4, func(int) error {
		other := w.browser()
		if s := other.post("reset/password", "token", m.link, "password", better); s.status != 200 {
			return mezu.Errorf(mezu.CodeConflict, "lost")
		}
		return nil
	})
	if codes[""] != 1 || codes[mezu.CodeConflict] != 3 {
		t.Errorf("%v", codes)
	}
}

// A new address counts once its owner has confirmed it; the old one is told.
func TestMailChange(t *testing.T) {
	w := newWorld(t, nil)
	w.browser().join("bob@example.com", good)
	b := w.browser()
	b.join("ann@example.com", good)
	if s := b.post("account/mail", "email", "new@example.com", "current_password", better); s.status != 422 {
		t.Errorf("a wrong password: %d", s.status)
	}
	w.noMail()
	// N22: an address that somebody has is not told; its owner is.
	if s := b.post("account/mail", "email", "bob@example.com", "current_password", good); s.status != 200 {
		t.Errorf("%d", s.status)
	}
	if m := w.mail("address"); m.To != "bob@example.com" || m.link != "" {
		t.Errorf("%+v", m)
	}
	if s := b.post("account/mail", "email", "new@example.com", "current_password", good); s.status != 200 {
		t.Errorf("%d", s.status)
	}
	m := w.mail("address")
	if m.To != "new@example.com" || m.link == "" {
		t.Fatalf("%+v", m)
	}
	phone := w.browser()
	if s := phone.post("mail", "token", m.link); s.status != 200 {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if m := w.mail("address_changed"); m.To != "ann@example.com" {
		t.Errorf("%+v", m)
	}
	if b.loggedIn() {
		t.Error("a session outlives the change")
	}
	if s := b.login("ann@example.com", good); s.status != 422 {
		t.Errorf("the old address: %d", s.status)
	}
	b.arrives(b.login("new@example.com", good), "/")
	if s := phone.post("mail", "token", m.link); s.status != 410 {
		t.Errorf("used twice: %d", s.status)
	}
}

// Whoever has an account has no more of us mailed to strangers than somebody who signs up.
func TestMailChange_OnlySoOften(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	waits := 0
	for i := range 32 {
		if b.post("account/mail", "email", fmt.Sprintf("a%d@example.com", i), "current_password", good).status == 429 {
			waits++
		}
	}
	if n := len(w.mails()); waits == 0 || n > 30 {
		t.Errorf("%d mails, waited %d times", n, waits)
	}
}

// One session or all others end from the account page, in every copy.
func TestAccount_EndSessions(t *testing.T) {
	w := newWorld(t, nil)
	a := w.browser()
	a.join("ann@example.com", good)
	b, c := w.browser(), w.browser()
	b.arrives(b.login("ann@example.com", good), "/")
	c.arrives(c.login("ann@example.com", good), "/")
	_, _, g := b.grant()
	if s := a.post("account/end", "session", g.Session); s.status != 200 || b.loggedIn() || !c.loggedIn() {
		t.Errorf("%d", s.status)
	}
	if s := a.post("account/end-others"); s.status != 200 || c.loggedIn() || !a.loggedIn() {
		t.Errorf("%d", s.status)
	}
	d := w.browser()
	d.join("bob@example.com", good)
	_, _, foreign := a.grant()
	if s := d.post("account/end", "session", foreign.Session); s.status != 200 || !a.loggedIn() {
		t.Errorf("somebody else's session: %d", s.status)
	}
}

// What a directory asks for is asked before anybody is logged in, and once.
func TestTermsAndProfile(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	w.set(map[string]any{"terms": map[string]any{"url": "https://example.com/terms", "version": "2"}, "require": []string{"name"}})
	b = w.browser()
	b.get("login")
	s := b.post("login", "email", "ann@example.com", "password", good, "to", "/x")
	if s.status != 200 || !s.has("https://example.com/terms") || b.cookies[mezu.SessionCookie] != "" {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := b.post("terms", "pending", b.pending); s.status != 422 {
		t.Errorf("without a yes: %d", s.status)
	}
	if s := w.browser().post("terms", "pending", b.pending, "terms", "2"); s.status == 303 || s.has(`name="name"`) {
		t.Errorf("another browser goes on: %d", s.status)
	}
	if s := b.post("terms", "pending", b.pending, "terms", "2"); s.status != 200 || !s.has(`name="name"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := b.post("profile", "pending", b.pending, "name", " "); s.status != 422 {
		t.Errorf("no name: %d", s.status)
	}
	b.arrives(b.post("profile", "pending", b.pending, "name", "Ann Example"), "/x")
	if u, _ := w.user("ann@example.com"); u.Profile.Name != "Ann Example" {
		t.Errorf("%+v", u)
	}
	if s := b.post("terms", "pending", b.pending, "terms", "2"); s.status == 303 {
		t.Error("a login that waited works twice")
	}
	other := w.browser()
	other.arrives(other.login("ann@example.com", good), "/")
}

// Who may sign up is the directory's to say.
func TestSignup_WhoMay(t *testing.T) {
	w := newWorld(t, map[string]any{"domains": []string{"example.com"}})
	b := w.browser()
	if s := b.post("signup", "email", "a@example.org", "password", good); s.status != 422 {
		t.Errorf("another domain: %d", s.status)
	}
	for name, pw := range map[string]string{
		"14 characters": "fourteen chars", "common": "password1password1", "a run": "abcdefghijklmnop", "the address": "ann@example.com!!", "the host": "shop-acme shop acme",
	} {
		if s := b.post("signup", "email", "ann@example.com", "password", pw); s.status != 422 {
			t.Errorf("%s: %d", name, s.status)
		}
	}
	w.noMail()
	for _, mode := range []string{"invite", "closed"} {
		w.set(map[string]any{"signup": mode})
		if s := b.get("signup"); s.status != 404 {
			t.Errorf("%s: %d", mode, s.status)
		}
		if s := b.post("signup", "email", "ann@example.com", "password", good); s.status != 404 {
			t.Errorf("%s: %d", mode, s.status)
		}
		if s := b.get("login"); s.has("/.mezu/signup") {
			t.Errorf("%s: the login shows a way to sign up", mode)
		}
	}
	// Who signed up before has no account yet, and the directory asks anew.
	w.set(map[string]any{"signup": "open"})
	m := b.signup("ann@example.com", good)
	for _, after := range []map[string]any{{"signup": "invite"}, {"signup": "open", "domains": []string{"example.org"}}} {
		w.set(after)
		if s := b.post("verify", "token", m.link); s.status != 410 {
			t.Errorf("%v: %d", after, s.status)
		}
		if s := b.post("signup/code", "pending", b.pending, "code", m.digits); s.status != 410 {
			t.Errorf("%v: %d", after, s.status)
		}
	}
	if _, made := w.user("ann@example.com"); made {
		t.Error("an account where nobody may sign up any more")
	}
}

// What is written of attempts for addresses that nobody has goes again.
func TestStrangersAreForgotten(t *testing.T) {
	w := newWorld(t, nil)
	if s := w.browser().login("nobody@example.com", good); s.status != 422 || len(w.in.Keys("login-stranger/")) != 1 {
		t.Fatal(s.status, w.in.Keys("login-stranger/"))
	}
	w.in.Clock.Advance(2 * time.Hour)
	w.in.Restart()
	controltest.Eventually(t, "it to go", func() bool { return len(w.in.Keys("login-stranger/")) == 0 })
}

// A signup that was confirmed goes on in one of two tabs, and the other one is told at once.
func TestAtOnce_SignupGoesOn(t *testing.T) {
	w := newWorld(t, nil)
	laptop := w.browser()
	m := laptop.signup("ann@example.com", good)
	if s := w.browser().post("verify", "token", m.link, "password", good); s.status != 200 {
		t.Fatal(s.status)
	}
	var tabs []func() shown
	for range 3 {
		tab := laptop.clone()
		tabs = append(tabs, func() shown { return tab.post("signup/continue", "pending", tab.pending) })
	}
	one(t, "a tab", atOnce(t, tabs...), 303, 410)
}

// An environment without a directory has no login.
func TestNoDirectory(t *testing.T) {
	w := newWorld(t, nil)
	controltest.Call[any](t, w.op, api.OpUpdateEnvironment, map[string]any{"directory": nil}, w.pool.Path()...)
	if s := w.browser().get("login"); s.status != 404 {
		t.Errorf("%d", s.status)
	}
}

// Only edges ask for pages.
func TestOnlyEdges(t *testing.T) {
	w := newWorld(t, nil)
	in := w.browser().request("GET", "login")
	controltest.Refused(t, mezu.CodeForbidden, w.op, api.OpEdgePage, in)
	controltest.Refused(t, mezu.CodeUnauthenticated, w.in.Client("", nil), api.OpEdgePage, in)
	controltest.Refused(t, mezu.CodeForbidden, w.op, api.OpEdgeRefresh, api.EdgeRefreshRequest{Grant: "x"})
	controltest.Refused(t, mezu.CodeForbidden, w.op, api.OpEdgeLogout, api.EdgeLogouts{Grants: []string{"x"}})
	controltest.Refused(t, mezu.CodeUnauthenticated, w.edge, api.OpEdgeRefresh, api.EdgeRefreshRequest{Grant: "x"})
}

// Sessions that an edge ended by itself end here when it says so.
func TestEdgeLogout(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	_, compact, _ := b.grant()
	for range 2 {
		if _, err := api.Invoke[any](t.Context(), w.edge, api.OpEdgeLogout, api.EdgeLogouts{Grants: []string{"x", compact}}); err != nil {
			t.Fatal(err)
		}
	}
	if b.loggedIn() {
		t.Error("the session goes on")
	}
}

// A9: what users change of themselves leaves one record each, which names who they are by id
// alone. What goes on at the moment, logins and their ends, leaves none: histories have it.
func TestA9_WhatUsersChange(t *testing.T) {
	w := newWorld(t, nil)
	seen := map[string]bool{}
	records := func() []mezu.AuditRecord {
		var out []mezu.AuditRecord
		for key, rec := range w.in.Audited() {
			if !seen[key] {
				out = append(out, rec)
			}
			seen[key] = true
		}
		return out
	}
	records()
	b := w.browser()
	left := func(what string, want bool, part string) {
		t.Helper()
		got := records()
		if (len(got) == 1) != want || len(got) > 1 {
			t.Errorf("%s left %d records: %+v", what, len(got), got)
			return
		}
		if !want {
			return
		}
		r := got[0]
		if r.Actor.Kind != "user" || r.Actor.Address != "192.0.2.1" || r.Operation != "edge-page" || r.Target.Kind != "user" || r.Organization == "" || r.RequestID != "req_test" || !strings.Contains(string(r.After), part) {
			t.Errorf("%s: %+v %s", what, r, r.After)
		}
	}
	m := b.signup("ann@example.com", good)
	left("a signup", false, "")
	b.arrives(b.post("signup/code", "pending", b.pending, "code", m.digits), "/")
	left("an account", true, `"status":"active"`)
	b.post("logout")
	left("a logout", false, "")
	b.arrives(b.login("ann@example.com", good), "/")
	left("a login", false, "")
	if _, err := b.refresh(); err != nil {
		t.Fatal(err)
	}
	left("a refresh", false, "")
	b.post("account/profile", "display_name", "Ann")
	left("a name", true, `"changed":["profile.display_name"]`)
	b.post("account/password", "current_password", good, "password", better)
	left("a password", true, `"changed":["password"]`)
	w.mails()
	b.post("account/mail", "email", "new@example.com", "current_password", better)
	left("a new address that is not confirmed", false, "")
	b.post("mail", "token", w.mail("address").link)
	left("a new address", true, `"changed":["profile.email"]`)
	w.mails()
	b.post("reset", "email", "new@example.com")
	left("a reset", false, "")
	b.post("reset/password", "token", w.mail("reset").link, "password", good)
	left("a password after a reset", true, `"changed":["password"]`)
	w.in.Secret("ann@example.com")
	w.in.Secret("new@example.com")
	w.in.ScanAudit()
}

// W7: a mailbox gets five mails an hour, whoever asks, and every answer is the same. What is
// not mailed opens nothing, and what was mailed last goes on working.
func TestW7_FiveMailsAnHour(t *testing.T) {
	w := newWorld(t, nil)
	w.browser().join("ann@example.com", good)
	w.in.Clock.Advance(2 * time.Hour)
	b := w.browser()
	var answers, links []string
	for range 8 {
		answers = append(answers, b.post("reset", "email", "ann@example.com").body)
		for _, m := range w.mails() {
			links = append(links, m.link)
		}
	}
	if len(links) != 5 {
		t.Fatalf("%d mails", len(links))
	}
	for i, a := range answers {
		if a != answers[0] {
			t.Errorf("answer %d differs", i)
		}
	}
	if s := b.post("reset/new", "token", links[4]); s.status != 200 {
		t.Errorf("the last link that was mailed: %d", s.status)
	}
	// A signup without a mail has no digits that somebody could guess, and asking again
	// gives no more guesses.
	owner := w.browser()
	first := owner.signup("bob@example.com", good)
	for range 8 {
		w.browser().post("signup", "email", "bob@example.com", "password", good)
	}
	if n := len(w.mails()); n != 4 {
		t.Errorf("%d more mails", n)
	}
	kept := len(w.in.Keys("mailed/"))
	for i := range 5 {
		if s := owner.post("signup/code", "pending", owner.pending, "code", "00000000"); s.status != 422 {
			t.Errorf("guess %d: %d", i, s.status)
		}
		owner.post("signup/resend", "pending", owner.pending)
		w.noMail()
	}
	if n := len(w.in.Keys("mailed/")); n != kept {
		t.Errorf("%d tokens are kept of mails that did not go", n-kept)
	}
	if s := owner.post("signup/code", "pending", owner.pending, "code", first.digits); s.status == 303 {
		t.Error("more than five guesses")
	}
	open := 0
	for _, value := range w.in.Records("") {
		if strings.Contains(value, `"email":"bob@example.com"`) && strings.Contains(value, `"code":"`) && strings.Contains(value, `"browser":"`) {
			open++
		}
	}
	if open != 5 {
		t.Errorf("%d signups have digits, with five mails", open)
	}
}

// However an address is written, in case, composition or with spaces around it, it is one
// account.
func TestN14_SpellingsOfAnAddress(t *testing.T) {
	w := newWorld(t, nil)
	w.browser().join("Ren\u00e9@Example.com", good)
	for _, spelling := range []string{" ren\u00e9@example.com", "RENE\u0301@EXAMPLE.COM", "Rene\u0301@example.com \t"} {
		b := w.browser()
		b.arrives(b.login(spelling, good), "/")
	}
	w.browser().post("signup", "email", "RENE\u0301@example.com", "password", better)
	if m := w.mail("signup"); m.link != "" || m.digits != "" {
		t.Errorf("a second account: %+v", m)
	}
}

// The cookie of a session is the host's own and out of reach of scripts (the browser of these
// tests looks at each), has 256 random bits, and the store knows their hash alone.
func TestL3_TheCookieOfASession(t *testing.T) {
	w := newWorld(t, nil)
	seen := map[string]bool{}
	for range 2 {
		b := w.browser()
		if len(seen) == 0 {
			b.join("ann@example.com", good)
		} else {
			b.arrives(b.login("ann@example.com", good), "/")
		}
		secret, _, _ := b.grant()
		if len(secret) != mezu.SecretLength || seen[secret] {
			t.Errorf("%q", secret)
		}
		seen[secret] = true
		for key, value := range w.in.Records("") {
			if strings.Contains(value, secret) || strings.Contains(key, secret) {
				t.Errorf("%s has the secret", key)
			}
		}
	}
}
