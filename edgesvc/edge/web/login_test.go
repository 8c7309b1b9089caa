package web

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/grant/granttest"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/trust"
)

const loginHost = "shop.example.com"

// loginSite has a route for users alone, in an environment with a directory or without.
func loginSite(t *testing.T, directory string) *sites {
	t.Helper()
	table, err := policy.Compile(&mezu.Bundle{
		Environment: "env_00000000000000000000000001", Endpoint: "shop", Issued: time.Unix(0, 0), Position: mezu.Position{Epoch: 1, Revision: 1}, Enabled: true,
		Directory: directory, Roles: map[string]mezu.ProjectRole{"staff": {}},
		Routes: []mezu.Route{{Prefix: "/"}, {Prefix: "/my/", Auth: mezu.AuthRequired}, {Prefix: "/staff/", Auth: mezu.AuthRequired, Roles: []string{"staff"}}, {Prefix: "/any/", Auth: mezu.AuthOptional}},
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts := &sites{site: &policy.Site{}}
	hosts.site.Set(table)
	return hosts
}

const someDirectory = "dir_00000000000000000000000001"

// said is an answer as a test looks at it.
type said struct {
	*http.Response
	body string
}

func (s said) problem(t *testing.T) (p problem) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.body), &p); err != nil || s.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %s", s.Header.Get("Content-Type"), s.body)
	}
	return p
}

func (s said) page() bool { return strings.HasPrefix(s.body, "<!doctype html>") }

// send sends a request whose fields come as name, value and so on, and follows no redirect.
func send(t *testing.T, client *http.Client, method, path string, body io.Reader, fields ...string) said {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+loginHost+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	resp, err := client.Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return said{resp, string(text)}
}

var navigating = []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}

// N9: who asks for a page is sent to the login, and by it back to the page. N11: nobody
// keeps the redirect.
func TestN9_AVisitorIsSentToTheLogin(t *testing.T) {
	for version, client := range serve(t, loginSite(t, someDirectory), loginHost) {
		for name, fields := range map[string][]string{"a browser": navigating, "an old browser": {"Accept", "text/html,*/*;q=0.8"}} {
			for _, method := range []string{"GET", "HEAD"} {
				got := send(t, client, method, "/my//./orders?page=2&x=%2F", nil, fields...)
				if got.StatusCode != 303 || got.Header.Get("Location") != "/.mezu/login?to=%2Fmy%2Forders%3Fpage%3D2%26x%3D%252F" || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get(mezu.HeaderRequestID) == "" {
					t.Errorf("%s over %s: %s %v", name, version, got.Status, got.Header)
				}
			}
		}
		got := send(t, client, "POST", "/my/orders", strings.NewReader("a=b"), append([]string{"Referer", "https://" + loginHost + "/my/cart"}, navigating...)...)
		if got.StatusCode != 401 || !got.page() || !strings.Contains(got.body, `"/.mezu/login?to=%2Fmy%2Fcart"`) || got.Header.Get("Location") != "" {
			t.Errorf("a form over %s: %s %s", version, got.Status, got.body)
		}
	}
}

// N16: a program gets no page and no redirect, but is told where its user can log in. N17 and
// N19 are such programs: browsers fetch manifests and ask for leave without cookies.
func TestN16_AProgramIsToldOfTheLogin(t *testing.T) {
	for version, client := range serve(t, loginSite(t, someDirectory), loginHost) {
		for name, c := range map[string]struct {
			method string
			fields []string
		}{
			"curl":           {"GET", []string{"Accept", "*/*"}},
			"fetch":          {"GET", []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "text/html"}},
			"an API call":    {"POST", []string{"Sec-Fetch-Mode", "cors", "Accept", "application/json"}},
			"N17: manifest":  {"GET", []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "manifest"}},
			"N19: preflight": {"OPTIONS", []string{"Sec-Fetch-Mode", "cors", "Origin", "https://app.example", "Access-Control-Request-Method", "PUT"}},
		} {
			got := send(t, client, c.method, "/my/orders", nil, c.fields...)
			if p := got.problem(t); got.StatusCode != 401 || p.Code != mezu.CodeUnauthenticated || p.LoginURL != "https://"+loginHost+"/.mezu/login" || got.Header.Get("WWW-Authenticate") == "" || got.Header.Get("Location") != "" {
				t.Errorf("%s over %s: %s %s", name, version, got.Status, got.body)
			}
		}
		// A login in a frame would not be shown, and its cookie not sent.
		framed := send(t, client, "GET", "/my/orders", nil, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe")
		if framed.StatusCode != 401 || !framed.page() {
			t.Errorf("a frame over %s: %s %s", version, framed.Status, framed.body)
		}
	}
}

// Without a directory there is no login to send anybody to.
func TestLogin_NoDirectory(t *testing.T) {
	for version, client := range serve(t, loginSite(t, ""), loginHost) {
		if got := send(t, client, "GET", "/my/", nil, navigating...); got.StatusCode != 401 || !got.page() || got.Header.Get("Location") != "" {
			t.Errorf("over %s: %s", version, got.Status)
		}
		if p := send(t, client, "GET", "/my/", nil).problem(t); p.LoginURL != "" {
			t.Errorf("over %s: %+v", version, p)
		}
		if got := send(t, client, "GET", "/.mezu/login", nil, navigating...); got.StatusCode != 404 || !got.page() {
			t.Errorf("over %s: %s %s", version, got.Status, got.body)
		}
		if p := send(t, client, "GET", "/.mezu/login", nil).problem(t); p.Code != mezu.CodeNoRoute {
			t.Errorf("over %s: %+v", version, p)
		}
	}
}

// The edge has a page of its own for when no control plane answers, and reads forms in
// bounds.
func TestReserved(t *testing.T) {
	for version, client := range serve(t, loginSite(t, someDirectory), loginHost) {
		form := []string{"Content-Type", "application/x-www-form-urlencoded"}
		if got := send(t, client, "GET", "/.mezu/login?to=%2Fa", nil, navigating...); got.StatusCode != 503 || !got.page() || len(got.Header["Retry-After"]) != 1 || !strings.Contains(got.body, "/.mezu/login?to=%2Fa") {
			t.Errorf("over %s: %s %v %s", version, got.Status, got.Header, got.body)
		}
		if got := send(t, client, "POST", "/.mezu/login", strings.NewReader("a=b"), form...); got.problem(t).Code != mezu.CodeUnavailable || got.Header.Get("Retry-After") == "" {
			t.Errorf("over %s: %s %s", version, got.Status, got.body)
		}
		if got := send(t, client, "POST", "/.mezu/login", io.MultiReader(strings.NewReader("a=b")), append([]string{"Expect", "100-continue"}, form...)...); got.problem(t).Code != mezu.CodeUnavailable {
			t.Errorf("over %s: %s %s", version, got.Status, got.body)
		}
		for kind, body := range map[string]io.Reader{"known": strings.NewReader(strings.Repeat("a", hosted.MaxBody+1)), "unknown": io.MultiReader(strings.NewReader(strings.Repeat("a", hosted.MaxBody+1)))} {
			if got := send(t, client, "POST", "/.mezu/login", body, form...); got.problem(t).Code != mezu.CodeBodyTooLarge {
				t.Errorf("%s length over %s: %s %s", kind, version, got.Status, got.body)
			}
		}
		for path, allow := range map[string]string{"/.mezu/login": "GET, HEAD, POST", "/.mezu/probe": "GET, HEAD", "/.mezu/session": "GET, HEAD"} {
			if got := send(t, client, "PUT", path, nil); got.StatusCode != 405 || got.Header.Get("Allow") != allow {
				t.Errorf("%s over %s: %s %v", path, version, got.Status, got.Header)
			}
		}
		if got := send(t, client, "GET", "/.mezu/jwks.json", nil); got.StatusCode != 200 || got.body != "{\"keys\":[]}\n" {
			t.Errorf("over %s: %s %s", version, got.Status, got.body)
		}
	}
}

// stalled is a client whose form stops on its way.
type stalled struct {
	client
	pieces  [][]byte
	stopped chan struct{}
}

func (s *stalled) Source() relay.Source   { return s }
func (s *stalled) Ready() bool            { return len(s.pieces) > 0 }
func (s *stalled) Trailer() []relay.Field { return nil }
func (s *stalled) StopUpload()            { close(s.stopped) }
func (s *stalled) keep()                  {}

func (s *stalled) Next() ([]byte, error) {
	if len(s.pieces) == 0 {
		<-s.stopped
		return nil, io.ErrUnexpectedEOF
	}
	piece := s.pieces[0]
	s.pieces = s.pieces[1:]
	return piece, nil
}

// A form that stops on its way is not waited for, and its memory is given back.
func TestReserved_SlowForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _, _ := newExchange(t, t.Context())
		x.Request.Framing, x.table = relay.Chunked, loginSite(t, someDirectory).site.Table()
		began := time.Now()
		var body []byte
		err := x.form(&stalled{pieces: [][]byte{[]byte("email=")}, stopped: make(chan struct{})}, &body)
		if took := time.Since(began); mezu.CodeOf(err) != mezu.CodeRequestTimeout || took < formGrace || took > formGrace+time.Second {
			t.Errorf("%v after %s", err, took)
		}
		if string(body) != "email=" || x.s.HeldBytes() != len(body) {
			t.Errorf("read %q, %d bytes are held", body, x.s.HeldBytes())
		}
	})
}

// known are sessions of an edge that has enrolled, and is alone.
func known(t *testing.T) (*granttest.Authority, *session.Sessions) {
	t.Helper()
	authority := granttest.New(t, time.Now)
	var mu sync.Mutex
	left := map[string]bool{}
	return authority, session.New(session.Config{
		Trust: func() *trust.Anchor { return authority.Anchor }, Client: func() *api.Client { return nil }, Epoch: func() uint64 { return 1 },
		Left:   func(session string) bool { mu.Lock(); defer mu.Unlock(); return left[session] },
		Leave:  func(g *mezu.Grant, _ []byte) error { mu.Lock(); defer mu.Unlock(); left[g.Session] = true; return nil },
		Limits: gcra.NewTable(nil), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
}

// A session lets its user where it may, and whom it does not let learns why.
func TestSession(t *testing.T) {
	authority, sessions := known(t)
	for version, client := range serveTo(t, loginSite(t, someDirectory), loginHost, sessions) {
		s := authority.Hold("env_00000000000000000000000001", someDirectory)
		cookie := []string{"Cookie", "a=b; " + mezu.SessionCookie + "=" + authority.Cookie(s)}
		for _, path := range []string{"/my/", "/any/", "/"} {
			if p := send(t, client, "GET", path, nil, cookie...).problem(t); p.Code != mezu.CodeNoWarpgate {
				t.Errorf("%s over %s: %+v", path, version, p)
			}
		}
		if p := send(t, client, "GET", "/staff/", nil, cookie...).problem(t); p.Code != mezu.CodeForbidden || p.LoginURL != "" {
			t.Errorf("over %s: %+v", version, p)
		}
		got := send(t, client, "GET", "/staff/", nil, append(cookie, navigating...)...)
		if got.StatusCode != 403 || !got.page() || !strings.Contains(got.body, s.Email) || !strings.Contains(got.body, "staff") || !strings.Contains(got.body, got.Header.Get(mezu.HeaderRequestID)) {
			t.Errorf("over %s: %s %s", version, got.Status, got.body)
		}
		if got := send(t, client, "GET", "/.mezu/session", nil, cookie...); got.StatusCode != 200 || !strings.Contains(got.body, `"email":"ann0@example.com"`) {
			t.Errorf("over %s: %s %s", version, got.Status, got.body)
		}
		if got := send(t, client, "GET", "/.mezu/session", nil); got.body != "{}\n" {
			t.Errorf("over %s: %s %s", version, got.Status, got.body)
		}
		if p := send(t, client, "POST", "/my/", strings.NewReader("a=b"), append([]string{"Origin", "https://evil.example"}, cookie...)...).problem(t); p.Code != mezu.CodeForbidden {
			t.Errorf("T10 over %s: %+v", version, p)
		}

		// L8 and N24: a logout while the control plane is away.
		form := append([]string{"Content-Type", "application/x-www-form-urlencoded", "Origin", "https://" + loginHost}, cookie...)
		got = send(t, client, "POST", "/.mezu/logout", nil, form...)
		if got.StatusCode != 200 || !got.page() || got.Header.Get("Set-Cookie") != session.ClearCookie || got.Header.Get("Clear-Site-Data") != `"cache"` || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("over %s: %s %v", version, got.Status, got.Header)
		}
		if p := send(t, client, "GET", "/my/", nil, cookie...).problem(t); p.Code != mezu.CodeUnauthenticated {
			t.Errorf("after the logout over %s: %+v", version, p)
		}
	}
}

// N15 and R14: a cookie that opens nothing is taken away on the way to the login, and one that
// nobody has sent is not.
func TestN15_AUselessCookieGoes(t *testing.T) {
	authority, sessions := known(t)
	s := authority.Hold("env_00000000000000000000000001", someDirectory)
	s.Epoch--
	for version, client := range serveTo(t, loginSite(t, someDirectory), loginHost, sessions) {
		for cookie, want := range map[string]string{
			"a=b": "", mezu.SessionCookie + "=" + authority.Cookie(s): session.ClearCookie, mezu.SessionCookie + "=a; " + mezu.SessionCookie + "=b": session.ClearCookie,
			mezu.SessionCookie + "=" + strings.Repeat("a", 8<<10): session.ClearCookie,
		} {
			got := send(t, client, "GET", "/my/", nil, append([]string{"Cookie", cookie}, navigating...)...)
			if got.StatusCode != 303 || got.Header.Get("Set-Cookie") != want {
				t.Errorf("%.40s over %s: %s %v", cookie, version, got.Status, got.Header)
			}
		}
	}
}
