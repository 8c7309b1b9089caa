package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// authorityOf is a control plane that answers with what say makes of what is right.
func authorityOf(t *testing.T, say func(*api.Authority), more map[string]http.HandlerFunc) *api.Client {
	t.Helper()
	var server *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.PathAuthority, func(w http.ResponseWriter, r *http.Request) {
		a := api.Authority{Issuer: server.URL, Authorize: server.URL + "/a", Token: server.URL + "/t", Revoke: server.URL + "/r", Device: server.URL + "/d", Challenges: []string{"S256"}}
		say(&a)
		json.NewEncoder(w).Encode(a)
	})
	for path, serve := range more {
		mux.HandleFunc(path, serve)
	}
	server = httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	c, err := api.NewClient(api.ClientConfig{BaseURL: server.URL, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig, Token: func() (string, error) { return "secret", nil }, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

// C2: only addresses of the control plane's own host are opened, shown or sent anything.
func TestC2_AuthorityElsewhere(t *testing.T) {
	if _, err := authorityOf(t, func(*api.Authority) {}, nil).Authority(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := authorityOf(t, func(a *api.Authority) { a.Device = "" }, nil).Authority(t.Context()); err != nil {
		t.Errorf("without logins by a code: %v", err)
	}
	for name, say := range map[string]func(*api.Authority){
		"another issuer":       func(a *api.Authority) { a.Issuer = "https://evil.example" },
		"another port":         func(a *api.Authority) { a.Issuer += "1" },
		"a path":               func(a *api.Authority) { a.Issuer += "/" },
		"no issuer":            func(a *api.Authority) { a.Issuer = "" },
		"another host":         func(a *api.Authority) { a.Authorize = "https://evil.example/a" },
		"plain":                func(a *api.Authority) { a.Authorize = strings.Replace(a.Authorize, "https", "http", 1) },
		"a scheme of its own":  func(a *api.Authority) { a.Authorize = "file:///etc/passwd" },
		"a host that begins":   func(a *api.Authority) { a.Authorize = a.Issuer + ".evil.example/a" },
		"a name before it":     func(a *api.Authority) { a.Authorize = strings.Replace(a.Authorize, "https://", "https://a@", 1) },
		"an escape":            func(a *api.Authority) { a.Authorize += "\x1b[2J" },
		"a turn of the text":   func(a *api.Authority) { a.Authorize += "\u202e" },
		"a fragment":           func(a *api.Authority) { a.Authorize += "#x" },
		"tokens elsewhere":     func(a *api.Authority) { a.Token = "https://evil.example/t" },
		"no tokens":            func(a *api.Authority) { a.Token = "" },
		"revocation elsewhere": func(a *api.Authority) { a.Revoke = "https://evil.example/r" },
		"codes elsewhere":      func(a *api.Authority) { a.Device = "https://evil.example/d" },
		"plain challenges":     func(a *api.Authority) { a.Challenges = []string{"plain"} },
	} {
		_, err := authorityOf(t, say, nil).Authority(t.Context())
		if err == nil || strings.ContainsAny(err.Error(), "\x1b") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Calls of programs carry no token but their own, and answers are read with bounds.
func TestProgram_Answers(t *testing.T) {
	var got []string
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			sent, _ := io.ReadAll(r.Body)
			got = append(got, string(sent))
			if r.Header.Get("Authorization") != "" {
				t.Error("a token went along")
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		status int
		body   string
		code   mezu.Code // of a *mezu.Error; "" of a ProgramError with the code below
		told   string
	}{
		"refused":     {400, `{"error":"invalid_grant","error_description":"it \u001b[31mhas ended"}`, "", "invalid_grant"},
		"bare":        {401, `{"error":"invalid_client"}`, "", "invalid_client"},
		"no JSON":     {400, `<html>`, mezu.CodeInternal, ""},
		"a redirect":  {302, ``, mezu.CodeInternal, ""},
		"no tokens":   {200, `{}`, mezu.CodeInternal, ""},
		"no refresh":  {200, `{"access_token":"a","token_type":"Bearer","expires_in":60}`, mezu.CodeInternal, ""},
		"two lines":   {200, `{"access_token":"a\nb","refresh_token":"r","token_type":"Bearer","expires_in":60}`, mezu.CodeInternal, ""},
		"for ever":    {200, `{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":999999999}`, mezu.CodeInternal, ""},
		"of a kind":   {200, `{"access_token":"a","refresh_token":"r","token_type":"mac","expires_in":60}`, mezu.CodeInternal, ""},
		"too long":    {200, `{"access_token":"` + strings.Repeat("a", api.MaxProblem) + `"}`, mezu.CodeInternal, ""},
		"broken":      {200, `{"access_token":`, mezu.CodeInternal, ""},
		"too often":   {429, `{"error":"slow_down"}`, mezu.CodeRateLimited, ""},
		"unavailable": {503, `{"error":"server_error"}`, mezu.CodeUnavailable, ""},
	} {
		client := authorityOf(t, func(*api.Authority) {}, map[string]http.HandlerFunc{"POST /t": answer(c.status, c.body)})
		a, err := client.Authority(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Redeem(t.Context(), a, "code", "http://127.0.0.1:1/callback", "verifier")
		told, isTold := err.(*api.ProgramError)
		if c.told != "" && (!isTold || told.Code != c.told || strings.Contains(err.Error(), "\x1b")) || c.told == "" && mezu.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(got) == 0 || got[0] != "client_id=mezu&code=code&code_verifier=verifier&grant_type=authorization_code&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback" {
		t.Errorf("sent %q", got)
	}
}

// A refresh whose answer is lost is repeated at once, as long as the control plane gives the
// same answer, and ends with its context.
func TestRefresh_Repeated(t *testing.T) {
	calls := 0
	client := authorityOf(t, func(*api.Authority) {}, map[string]http.HandlerFunc{"POST /t": func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 3 {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, `{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":60}`)
	}})
	a, err := client.Authority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Refresh(t.Context(), a, "r0")
	if err != nil || got.Access != "a" || got.Refresh != "r" || calls != 3 {
		t.Errorf("%v after %d calls: %v", got, calls, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	calls = 0
	if _, err := client.Refresh(ended, a, "r0"); err == nil || calls > 0 {
		t.Errorf("%d calls: %v", calls, err)
	}
}
