package oauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// A program is logged in by a browser as RFC 8252 has it, with a client that others wrote.
func TestK12_LoginByBrowser(t *testing.T) {
	w := newWorld(t)
	ann := w.session
	cfg := oauth2.Config{ClientID: "mezu", RedirectURL: redirectURI, Endpoint: oauth2.Endpoint{AuthURL: w.site() + "/oauth/authorize", TokenURL: w.site() + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams}}
	pkce := oauth2.GenerateVerifier()
	path := strings.TrimPrefix(cfg.AuthCodeURL("state of mine", oauth2.S256ChallengeOption(pkce)), w.site())

	// Nobody is logged in: the login leads back to the very request.
	w.session = ""
	to := w.get(path).location(t)
	back := to.Query().Get("to")
	if to.Path != "/login" || to.Host != "" || mezu.ReturnPath(back) != back || !strings.HasPrefix(back, "/oauth/authorize?") {
		t.Fatal(to)
	}
	w.session = ann
	page := w.get(back)
	if page.status != http.StatusOK || !page.has("mezu") || !page.has("127.0.0.1:40123") {
		t.Fatal(page.status, page.body)
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:40123;") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Error(csp)
	}
	form := hidden(t, page.body)
	form.Set("answer", "allow")
	to = w.post("/oauth/authorize", form).location(t)
	if q := to.Query(); !strings.HasPrefix(to.String(), redirectURI+"?") || q.Get("state") != "state of mine" || q.Get("iss") != w.site() || len(q) != 3 {
		t.Fatal(to)
	}
	ctx := contextWith(w)
	got, err := cfg.Exchange(ctx, w.Secret(to.Query().Get("code")), oauth2.VerifierOption(pkce))
	if err != nil {
		t.Fatal(err)
	}
	w.Secret(got.AccessToken)
	w.Secret(got.RefreshToken)
	if life := time.Until(got.Expiry); got.TokenType != "Bearer" || !strings.HasPrefix(got.AccessToken, mezu.TokenBearer) || life < 59*time.Minute || life > time.Hour || got.Extra("id_token") != nil {
		t.Errorf("%+v", got)
	}
	// The API takes it as any other token, and lists it with none of them.
	if self := controltest.Call[api.Self](t, w.Client(got.AccessToken, nil), api.OpSelf, nil); self.ID != w.person || self.Permissions != nil || self.LoginEndsAt.Sub(w.Clock.Now().Add(30*24*time.Hour)).Abs() > time.Minute {
		t.Errorf("%+v", self)
	}
	if all := controltest.Call[api.List[mezu.Token]](t, w.Client(got.AccessToken, nil), api.OpListTokens, nil); len(all.Items) != 0 {
		t.Errorf("listed %+v", all.Items)
	}
	// The source of the library refreshes.
	got.Expiry = time.Now().Add(-time.Minute)
	next, err := cfg.TokenSource(ctx, got).Token()
	if err != nil || next.AccessToken == got.AccessToken || next.RefreshToken == got.RefreshToken {
		t.Fatalf("%+v %v", next, err)
	}
	w.Secret(next.AccessToken)
	w.Secret(next.RefreshToken)
	if !w.opens(next.AccessToken) || !w.opens(got.AccessToken) {
		t.Error("a token does not open the API")
	}
	// The audit says who was logged in, and by what.
	found := false
	for _, rec := range controltest.Call[api.AuditList](t, w.op, api.OpListInstallationAudit, nil).Items {
		found = found || rec.Operation == api.OpCreateToken.ID && rec.Target.Kind == "token" && rec.Actor.ID == w.person
	}
	if !found {
		t.Error("the audit has no such login")
	}
}

// K12: a code is for one program, one redirect, one verifier, one use and a minute.
func TestK12_Code(t *testing.T) {
	w := newWorld(t)
	const refused = "invalid_grant"
	for name, change := range map[string][]string{
		"another verifier":     {"code_verifier", strings.Repeat("w", 43)},
		"no verifier":          {"code_verifier", ""},
		"the challenge itself": {"code_verifier", challenge(verifier)},
		"another port":         {"redirect_uri", "http://127.0.0.1:40124/callback"},
		"the other loopback":   {"redirect_uri", "http://[::1]:40123/callback"},
	} {
		code := w.allow()
		w.refused(name, w.exchange(code, change...), 400, refused)
		w.refused(name+", then right", w.exchange(code), 400, refused)
	}
	w.refused("no code", w.exchange("x"), 400, refused)

	late := w.allow()
	w.Clock.Advance(61 * time.Second)
	w.refused("after a minute", w.exchange(late), 400, refused)

	// Reuse ends what the first use gave.
	code := w.allow()
	got := w.tokens(w.exchange(code))
	other := w.login()
	w.refused("a second use", w.exchange(code), 400, refused)
	if w.opens(got.Bearer) || !w.opens(other.Bearer) {
		t.Error("the family of the code goes on, or another one ended")
	}
	w.refused("its refresh token", w.refresh(got.Refresh), 400, refused)

	// Of several at once one wins, and then none has anything.
	code = w.allow()
	replies := make([]reply, 8)
	won, _ := controltest.Race(len(replies), func(i int) error {
		replies[i] = w.exchange(code)
		if replies[i].status != 200 {
			return mezu.Errorf(mezu.CodeForbidden, "lost")
		}
		return nil
	})
	if won != 1 {
		t.Errorf("%d won", won)
	}
	for _, r := range replies {
		if r.status == 200 && w.opens(w.tokens(r).Bearer) {
			t.Error("the winner of a race for one code goes on")
		}
	}
}

// K12: what a program may ask, and where an answer may go.
func TestK12_AuthorizationRequests(t *testing.T) {
	w := newWorld(t)
	for _, uri := range []string{
		"http://localhost:40123/callback", "http://127.0.0.1/callback", "http://127.0.0.1:0/callback", "http://127.0.0.1:040123/callback", "http://127.0.0.1:99999/callback",
		"http://127.0.0.2:40123/callback", "http://0.0.0.0:40123/callback", "http://[::]:40123/callback", "http://[::ffff:127.0.0.1]:40123/callback", "http://[0:0:0:0:0:0:0:1]:40123/callback",
		"http://[::1%25lo]:40123/callback", "https://127.0.0.1:40123/callback", "HTTP://127.0.0.1:40123/callback", "http://evil.example/callback", "http://evil.example:80/callback",
		"http://127.0.0.1:40123/other", "http://127.0.0.1:40123/callback/", "http://127.0.0.1:40123/callback?x=1", "http://127.0.0.1:40123/callback#x", "http://127.0.0.1:40123//callback",
		"http://127.0.0.1:40123/x/../callback", "http://user@127.0.0.1:40123/callback", "http://127.0.0.1:40123@evil.example/callback", "http://127.1:40123/callback", "http://2130706433:40123/callback",
		"http:/127.0.0.1:40123/callback", "//127.0.0.1:40123/callback", "mezu://callback", "http://127.0.0.1:40123\\@evil.example/callback", " http://127.0.0.1:40123/callback", "",
	} {
		r := w.get("/oauth/authorize?" + request("redirect_uri", uri).Encode())
		if r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("%q: %d %s", uri, r.status, r.header.Get("Location"))
		}
		form := request("redirect_uri", uri)
		form.Set("answer", "allow")
		if r := w.post("/oauth/authorize", form); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("%q: a form: %d %s", uri, r.status, r.header.Get("Location"))
		}
	}
	for _, uri := range []string{"http://[::1]:1/callback", "http://127.0.0.1:65535/callback"} {
		if r := w.get("/oauth/authorize?" + request("redirect_uri", uri).Encode()); r.status != 200 {
			t.Errorf("%q: %d", uri, r.status)
		}
	}
	for name, change := range map[string][]string{"another client": {"client_id", "other"}, "no client": {"client_id", ""}, "a state that is too long": {"state", strings.Repeat("s", 513)}} {
		if r := w.get("/oauth/authorize?" + request(change...).Encode()); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, r.status, r.header.Get("Location"))
		}
	}
	twice := request()
	twice.Add("redirect_uri", "http://127.0.0.1:1/callback")
	if r := w.get("/oauth/authorize?" + twice.Encode()); r.status != http.StatusBadRequest {
		t.Errorf("twice: %d", r.status)
	}
	for name, c := range map[string]struct{ code, param, value string }{
		"plain PKCE":       {"invalid_request", "code_challenge_method", "plain"},
		"PKCE of no kind":  {"invalid_request", "code_challenge_method", ""},
		"no PKCE":          {"invalid_request", "code_challenge", ""},
		"short PKCE":       {"invalid_request", "code_challenge", "x"},
		"no state":         {"invalid_request", "state", ""},
		"implicit":         {"unsupported_response_type", "response_type", "token"},
		"hybrid":           {"unsupported_response_type", "response_type", "code id_token"},
		"fragment":         {"invalid_request", "response_mode", "fragment"},
		"unsigned request": {"request_not_supported", "request", "eyJhbGciOiJub25lIn0.e30."},
		"remote request":   {"request_not_supported", "request_uri", "https://evil.example/"},
	} {
		to := w.get("/oauth/authorize?" + request(c.param, c.value).Encode()).location(t)
		if q := to.Query(); !strings.HasPrefix(to.String(), redirectURI+"?") || q.Get("error") != c.code || q.Get("code") != "" || c.param != "state" && q.Get("state") != "st&te=" {
			t.Errorf("%s: %s", name, to)
		}
	}
	// Deny, and whatever is no answer, denies.
	for _, answer := range []string{"deny", "", "yes"} {
		form := request()
		form.Set("answer", answer)
		if q := w.post("/oauth/authorize", form).location(t).Query(); q.Get("error") != "access_denied" || q.Get("state") != "st&te=" {
			t.Errorf("%q: %v", answer, q)
		}
	}
}

// L5: only a page of this very origin makes somebody allow anything, and only by a form.
func TestL5_AllowFromElsewhere(t *testing.T) {
	w := newWorld(t)
	form := request()
	form.Set("answer", "allow")
	for name, header := range map[string][]string{
		"another origin": {"Origin", "https://evil.example"},
		"no origin":      {"X-Nothing", "x"},
		"null":           {"Origin", "null"},
		"two":            {"Origin", w.site(), "Origin", w.site()},
		"cross-site":     {"Origin", w.site(), "Sec-Fetch-Site", "cross-site"},
		"fetch":          {"Origin", w.site(), "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"},
	} {
		if r := w.post("/oauth/authorize", form, header...); r.status != http.StatusForbidden || r.header.Get("Location") != "" {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	if r := w.get("/oauth/authorize?" + form.Encode()); r.status != 200 || r.header.Get("Location") != "" {
		t.Errorf("a GET allows: %d", r.status)
	}
	// W1: a session is of one host, whatever a name leads to.
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.site()+"/oauth/authorize?"+request().Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	req.Header.Set("Cookie", w.session)
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("by another name: %d", resp.StatusCode)
	}
	w.session = ""
	if r := w.post("/oauth/authorize", form); r.status != http.StatusUnauthorized || r.header.Get("Location") != "" {
		t.Errorf("without a session: %d", r.status)
	}
}
