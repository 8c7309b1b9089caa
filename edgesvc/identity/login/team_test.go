package login_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// newTeam is an installation at whose own address people log in, where strangers may sign up
// and found organizations of their own.
func newTeam(t *testing.T) *world {
	t.Helper()
	in := controltest.InstallWithStore(t)
	w := &world{t: t, in: in, token: in.OperatorToken(), seen: map[string]bool{}, base: "/", dialled: new(atomic.Int32)}
	in.TeamSignup, in.MembersMayCreateOrganizations = mezu.SignupOpen, true
	w.restart()
	return w
}

// restart starts the control plane anew, as its settings are now.
func (w *world) restart() {
	w.t.Helper()
	w.in.Restart()
	w.url, w.op = "https://"+w.in.Plane.Addr(), w.in.Client(w.token, nil)
}

// direct sends a request to the control plane's own address. Each comes from a network of its
// own, of which there is a limit.
func (b *browser) direct(in api.EdgePageRequest) api.EdgePage {
	b.t.Helper()
	req := b.httpRequest(in)
	resp, err := b.carrier().RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	out := api.EdgePage{Status: resp.StatusCode, Body: body}
	for name, values := range resp.Header {
		for _, v := range values {
			out.Header = append(out.Header, api.PageField{Name: name, Value: v})
		}
	}
	return out
}

func (b *browser) httpRequest(in api.EdgePageRequest) *http.Request {
	b.t.Helper()
	url := b.url + b.base + in.Path
	if in.Query != "" {
		url += "?" + in.Query
	}
	req, err := http.NewRequestWithContext(b.t.Context(), in.Method, url, bytes.NewReader(in.Body))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Origin": in.Origin, "Sec-Fetch-Site": in.FetchSite, "Sec-Fetch-Mode": in.FetchMode, "Sec-Fetch-Dest": in.FetchDest,
		"Accept-Language": in.AcceptLanguage, "User-Agent": in.UserAgent, "Content-Type": in.ContentType,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	for _, c := range in.Cookies {
		req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return req
}

// carrier makes one connection for each request, from the next address of the machine itself.
func (w *world) carrier() http.RoundTripper {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		n := w.dialled.Add(1)
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1+byte(n>>8), byte(n), 1)}}
		if w.oneNetwork {
			d.LocalAddr = nil
		}
		return d.DialContext(ctx, network, addr)
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.in.Roots}, DialContext: dial, DisableKeepAlives: true}
}

// A stranger signs up at the control plane's own address, is the owner of an organization,
// logs out and in, and sees the account.
func TestTeam_SignupLoginLogout(t *testing.T) {
	w := newTeam(t)
	b := w.browser()
	if s := b.get(""); s.status != 303 || s.location != "/account" {
		t.Errorf("%d %s", s.status, s.location)
	}
	if s := b.get("account"); s.status != 303 || s.location != "/login?to=%2Faccount" {
		t.Errorf("%d %s", s.status, s.location)
	}
	if s := b.get("login?to=%2Fdevice"); s.status != 200 || !s.has(`action="/login"`) || !s.has("Mezusphere") || !s.has(`value="/device"`) {
		t.Fatalf("%d %s", s.status, s.body)
	}
	b.join("Ann.Example+x@Example.com", good)
	if n := len(w.in.Records("org/")); n != 1 {
		t.Errorf("%d organizations", n)
	}
	if _, ok := w.in.Records("org/ann-example-x")["org/ann-example-x"]; !ok {
		t.Errorf("the organization is called otherwise: %v", w.in.Records("org/"))
	}
	if s := b.get("account"); s.status != 200 || !s.has("ann.example&#43;x@example.com") || !s.has("Firefox") || s.has("account/profile") {
		t.Errorf("%d %s", s.status, s.body)
	}
	copied := b.clone()
	if s := b.post("logout"); s.status != 200 || copied.loggedIn() {
		t.Errorf("%d", s.status)
	}
	b.arrives(b.login(" ANN.example+x@example.com", good), "/") // N14
	if s := b.post("account/profile", "name", "x"); s.status != 404 && s.status != 405 {
		t.Errorf("persons have no names: %d", s.status)
	}
	// Another one with the same mailbox elsewhere has an organization of another name.
	w.browser().join("ann.example+x@example.org", good)
	if n := len(w.in.Records("org/ann-example-x")); n != 2 {
		t.Errorf("%v", w.in.Records("org/"))
	}
	w.in.ScanAudit()
}

// Unless the operator lets them, strangers get no account, and no organization.
func TestTeam_SignupIsTheOperatorsToAllow(t *testing.T) {
	w := newTeam(t)
	w.in.MembersMayCreateOrganizations = false
	w.restart()
	w.browser().join("ann@example.com", good)
	if n := len(w.in.Records("org/")); n != 0 {
		t.Errorf("%d organizations", n)
	}
	// Who can do nothing yet is told whom to ask, as long as that is so.
	ann := w.browser()
	ann.arrives(ann.login("ann@example.com", good), "/")
	if s := ann.get("account"); !s.has("Ask an operator") {
		t.Errorf("%s", s.body)
	}
	code := w.invite("ann@example.com")
	ann.arrives(ann.post("invitation/join", "token", code, "email", "ann@example.com"), "/")
	if s := ann.get("account"); s.has("Ask an operator") {
		t.Errorf("%s", s.body)
	}
	w.in.TeamSignup = ""
	w.restart()
	b := w.browser()
	if s := b.get("login"); s.status != 200 || s.has("signup") {
		t.Errorf("%d %s", s.status, s.body)
	}
	for _, s := range []shown{b.get("signup"), b.post("signup", "email", "bob@example.com", "password", good)} {
		if s.status != 404 {
			t.Errorf("%d", s.status)
		}
	}
	b.arrives(b.login("ann@example.com", good), "/")
}

// Sessions of the team end after an hour without use, and after a day.
func TestL9_TeamSessions(t *testing.T) {
	w := newTeam(t)
	b := w.browser()
	b.join("ann@example.com", good)
	for range 26 {
		w.in.Clock.Advance(55 * time.Minute)
		if !b.loggedIn() {
			t.Fatalf("ended while it was used: %+v", b.get("account"))
		}
	}
	w.in.Clock.Advance(11 * time.Minute) // 24:01 after the login
	if b.loggedIn() {
		t.Error("use moved the end of a day")
	}
	b.arrives(b.login("ann@example.com", good), "/")
	w.in.Clock.Advance(61 * time.Minute)
	if b.loggedIn() {
		t.Error("goes on after an hour without use")
	}
}

// The session is new after a login and after a new password, which ends all others.
func TestL2_TeamSessionsAreNew(t *testing.T) {
	w := newTeam(t)
	b := w.browser()
	b.join("ann@example.com", good)
	planted := b.clone()
	b.arrives(b.login("ann@example.com", good), "/")
	if planted.loggedIn() {
		t.Error("the session of before the login goes on")
	}
	other := w.browser()
	other.arrives(other.login("ann@example.com", good), "/")
	thief := b.clone()
	if s := b.post("account/password", "current_password", good, "password", better); s.status != 200 || !b.loggedIn() {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if thief.loggedIn() || other.loggedIn() {
		t.Error("a session outlives the password")
	}
	w.mail("password_changed")
	// One session, or all others, end from the account page.
	other.arrives(other.login("ann@example.com", better), "/")
	if s := b.post("account/end-others"); s.status != 200 || other.loggedIn() || !b.loggedIn() {
		t.Errorf("%d", s.status)
	}
}

// A reset and a new address end what was, programs included, and tell the owner.
func TestW5_TeamResetAndMailChange(t *testing.T) {
	w := newTeam(t)
	b, other := w.browser(), w.browser()
	b.join("ann@example.com", good)
	// A program is logged in for Ann, and for the operator.
	for _, person := range w.in.Keys("person/") {
		w.in.Write("oauth/"+person, access.Families{Families: []access.Family{{ID: "tok_x"}}})
	}
	programs := len(w.in.Keys("oauth/person/"))
	// So has a token that somebody made of her, such as whoever invited her and knew the code.
	var ann string
	for key, value := range w.in.Records("person/") {
		if strings.Contains(value, "ann@example.com") {
			ann = strings.TrimPrefix(key, "person/")
		}
	}
	token := w.in.Secret(mezu.NewToken(mezu.TokenBearer))
	w.in.Write(access.KeyToken(mezu.HashSecret(token)), access.Token{ID: mezu.NewID(mezu.PrefixToken, w.in.Clock.Now()), Kind: mezu.TokenBearer, Person: ann, CreatedAt: w.in.Clock.Now()})
	holder := w.in.Client(token, nil)
	controltest.Call[api.Self](t, holder, api.OpSelf, nil)
	w.in.Clock.Advance(time.Second)
	other.post("reset", "email", "ANN@example.com")
	m := w.mail("reset")
	if s := other.post("reset/new", "token", m.link); s.status != 200 || !s.has("ann@example.com") {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if s := other.post("reset/password", "token", m.link, "password", "mezusphere mezusphere"); s.status != 422 {
		t.Errorf("a password of the name of the site: %d", s.status)
	}
	if s := other.post("reset/password", "token", m.link, "password", better); s.status != 200 || b.loggedIn() {
		t.Fatalf("%d %s", s.status, s.body)
	}
	w.mail("password_changed")
	controltest.Refused(t, mezu.CodeUnauthenticated, holder, api.OpSelf, nil)
	if left := len(w.in.Keys("oauth/person/")); left != programs-1 {
		t.Errorf("%d programs are logged in of %d", left, programs)
	}
	if s := other.post("reset/password", "token", m.link, "password", good); s.status != 410 {
		t.Errorf("used twice: %d", s.status)
	}
	b.arrives(b.login("ann@example.com", better), "/")
	if s := b.post("account/mail", "email", "New@example.com", "current_password", better); s.status != 200 {
		t.Fatal(s.status)
	}
	m = w.mail("address")
	if s := other.post("mail", "token", m.code); s.status != 200 || b.loggedIn() {
		t.Fatalf("%d %s", s.status, s.body)
	}
	if m := w.mail("address_changed"); m.To != "ann@example.com" {
		t.Errorf("%+v", m)
	}
	if s := b.login("ann@example.com", better); s.status != 422 {
		t.Errorf("the old address: %d", s.status)
	}
	b.arrives(b.login("new@example.com", better), "/")
	w.browser().join("ann@example.com", good) // the address is free
}

// Forms come from a page of this very host, and pages are served under its name alone.
func TestL5_TeamForeignForms(t *testing.T) {
	w := newTeam(t)
	b := w.browser()
	b.join("ann@example.com", good)
	for name, change := range map[string]func(*api.EdgePageRequest){
		"no origin":  func(r *api.EdgePageRequest) { r.Origin = "" },
		"null":       func(r *api.EdgePageRequest) { r.Origin = "null" },
		"another":    func(r *api.EdgePageRequest) { r.Origin = "https://evil.example" },
		"cross-site": func(r *api.EdgePageRequest) { r.FetchSite = "cross-site" },
		"same-site":  func(r *api.EdgePageRequest) { r.FetchSite = "same-site" },
	} {
		in := b.request("POST", "logout")
		in.Origin, in.ContentType = w.url, "application/x-www-form-urlencoded"
		change(&in)
		if s := b.send(in); s.status != 403 || s.header["Content-Security-Policy"] == "" {
			t.Errorf("%s: %d", name, s.status)
		}
	}
	req := b.httpRequest(b.request("GET", "login"))
	req.Host = "localhost:" + req.URL.Port()
	if resp, err := b.carrier().RoundTrip(req); err != nil || resp.StatusCode != 421 {
		t.Errorf("another host: %v %v", resp, err)
	}
	for _, c := range []struct {
		change func(*api.EdgePageRequest)
		status int
	}{
		{func(r *api.EdgePageRequest) { r.Method = "PUT" }, 405},
		{func(r *api.EdgePageRequest) { r.Query = strings.Repeat("a", api.MaxPageQuery+1) }, 414},
		{func(r *api.EdgePageRequest) { r.Body = make([]byte, api.MaxPageBody+1) }, 413},
	} {
		in := b.request("POST", "login")
		in.Origin, in.ContentType = w.url, "application/x-www-form-urlencoded"
		c.change(&in)
		if s := b.direct(in); s.Status != c.status {
			t.Errorf("%d instead of %d", s.Status, c.status)
		}
	}
	if !b.loggedIn() {
		t.Error("a foreign form ended the session")
	}
}

// The session's cookie opens no operation of the API: a foreign page could have the browser
// send it.
func TestTeam_CookieOpensNoAPI(t *testing.T) {
	w := newTeam(t)
	b := w.browser()
	b.join("ann@example.com", good)
	req := b.httpRequest(b.request("GET", "account"))
	req.URL.Path = api.OpSelf.Path
	resp, err := b.carrier().RoundTrip(req)
	if err != nil || resp.StatusCode != 401 {
		t.Fatalf("%v %v", resp, err)
	}
	// Two cookies of the name are none (N15), and what is not ours is not one.
	twice := b.httpRequest(b.request("GET", "account"))
	twice.AddCookie(&http.Cookie{Name: mezu.SessionCookie, Value: "x"})
	if resp, err := b.carrier().RoundTrip(twice); err != nil || resp.StatusCode != 303 {
		t.Errorf("%v %v", resp, err)
	}
	for _, cookie := range []string{"", "x", b.cookies[mezu.SessionCookie] + "x", "A" + b.cookies[mezu.SessionCookie][1:], strings.Repeat("x", 3000)} {
		c := b.clone()
		c.cookies[mezu.SessionCookie] = cookie
		if c.cookies[mezu.SessionCookie] != b.cookies[mezu.SessionCookie] && c.loggedIn() {
			t.Errorf("%q opens the account", cookie)
		}
	}
}

// A sibling of the host can plant cookies of other names alone, which are none of ours.
func TestL4_CookiesOfSiblings(t *testing.T) {
	w := newTeam(t)
	b := w.browser()
	b.join("ann@example.com", good)
	session := b.cookies[mezu.SessionCookie]
	for _, header := range []string{
		"session=" + session, "__host-mezu_session=" + session, "__HOST-mezu_session=" + session, "\u00a0" + mezu.SessionCookie + "=" + session,
		mezu.SessionCookie + " =" + session, "__Host-mezu_session%=" + session, "$" + mezu.SessionCookie + "=" + session,
	} {
		req := b.httpRequest(b.clean().request("GET", "account"))
		req.Header.Set("Cookie", header)
		if resp, err := b.carrier().RoundTrip(req); err != nil || resp.StatusCode != 303 {
			t.Errorf("%q: %v %v", header, resp, err)
		}
	}
}

// clean is a browser without cookies.
func (b *browser) clean() *browser { return b.world.browser() }

// One network gets only so many pages.
func TestTeam_PagesANetwork(t *testing.T) {
	w := newTeam(t)
	w.oneNetwork = true
	b := w.browser()
	var refused bool
	for range 60 {
		s := b.get("logout")
		refused = refused || s.status == 429 && s.header["Retry-After"] != ""
	}
	if !refused {
		t.Error("60 pages at once")
	}
}

// A restore ends the sessions of the team, and leaves the passwords.
func TestTeam_RestoreEndsSessions(t *testing.T) {
	w := newTeam(t)
	b := w.browser()
	b.join("ann@example.com", good)
	backup := w.in.Backup(w.op)
	r := w.in.Restored(backup, false)
	r.Start()
	t.Cleanup(func() { r.Stop() })
	b.in, b.url = r, "https://"+r.Plane.Addr()
	if b.loggedIn() {
		t.Error("a session outlives the restore")
	}
	b.arrives(b.login("ann@example.com", good), "/")
}
