package cli_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// authority is an authorization server as the RFCs have it (6749, 7636, 8628, 7009, 8414,
// 9207), strict with clients: what is not exactly right is refused. Whoever opens a browser
// there is logged in already, and allows what is asked.
type authority struct {
	issuer string

	mu        sync.Mutex
	codes     map[string]url.Values // what was asked for a code
	devices   map[string]*device
	live      map[string]string    // families by their access tokens
	current   map[string]string    // families by their refresh tokens
	used      map[string]usedToken // refresh tokens that were used
	ended     map[string]bool      // families
	next      int
	refreshes int
	members   []api.SelfMember
	// exchanging, if not nil, runs before a token is given.
	exchanging func()
}

type device struct {
	code  string
	polls int
}

type usedToken struct {
	family string
	answer api.ProgramTokens
	at     time.Time
}

func newAuthority() *authority {
	return &authority{codes: map[string]url.Values{}, devices: map[string]*device{}, live: map[string]string{}, current: map[string]string{}, used: map[string]usedToken{}, ended: map[string]bool{}}
}

func (a *authority) mount(mux *http.ServeMux) {
	mux.HandleFunc("GET "+api.PathAuthority, func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, api.Authority{Issuer: a.issuer, Authorize: a.issuer + "/oauth/authorize", Token: a.issuer + "/oauth/token", Revoke: a.issuer + "/oauth/revoke",
			Device: a.issuer + "/oauth/device", NamesIssuer: true, Challenges: []string{"S256"}})
	})
	mux.HandleFunc("GET /oauth/authorize", a.authorize)
	for path, serve := range map[string]func(url.Values) (any, string){"token": a.token, "revoke": a.revoke, "device": a.device} {
		mux.HandleFunc("POST /oauth/"+path, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			in, err := url.ParseQuery(string(body))
			a.mu.Lock()
			defer a.mu.Unlock()
			if path == "token" && a.exchanging != nil {
				a.exchanging()
			}
			out, code := any(nil), "invalid_request"
			if err == nil && r.URL.RawQuery == "" && r.Header.Get("Authorization") == "" && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" && in.Get("client_id") == "mezu" {
				out, code = serve(in)
			}
			if code != "" {
				answer(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": "this is \x1b[31m" + code})
				return
			}
			answer(w, http.StatusOK, out)
		})
	}
}

func (a *authority) secret(what string) string {
	a.next++
	return fmt.Sprintf("%s-%d", what, a.next)
}

// loopback is a redirect that a program may have.
var loopback = regexp.MustCompile(`^http://(127\.0\.0\.1|\[::1\]):[0-9]+/callback$`)

func (a *authority) authorize(w http.ResponseWriter, r *http.Request) {
	in := r.URL.Query()
	if !loopback.MatchString(in.Get("redirect_uri")) || in.Get("client_id") != "mezu" || in.Get("response_type") != "code" || len(in.Get("state")) < 22 || len(in.Get("code_challenge")) != 43 || in.Get("code_challenge_method") != "S256" {
		http.Error(w, "no such program", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	code := a.secret("code")
	a.codes[code] = in
	http.Redirect(w, r, in.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {in.Get("state")}, "iss": {a.issuer}}.Encode(), http.StatusSeeOther)
}

func (a *authority) token(in url.Values) (any, string) {
	switch in.Get("grant_type") {
	case "authorization_code":
		asked, known := a.codes[in.Get("code")]
		delete(a.codes, in.Get("code"))
		sum := sha256.Sum256([]byte(in.Get("code_verifier")))
		if !known || asked.Get("redirect_uri") != in.Get("redirect_uri") || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
			return nil, "invalid_grant"
		}
		return a.give(a.secret("family")), ""
	case "refresh_token":
		return a.refresh(in.Get("refresh_token"))
	case "urn:ietf:params:oauth:grant-type:device_code":
		d := a.devices[in.Get("device_code")]
		if d == nil {
			return nil, "expired_token"
		}
		if d.polls++; d.polls < 2 {
			return nil, "authorization_pending"
		}
		delete(a.devices, d.code)
		return a.give(a.secret("family")), ""
	}
	return nil, "unsupported_grant_type"
}

func (a *authority) refresh(token string) (any, string) {
	if u, ok := a.used[token]; ok {
		if time.Since(u.at) < 10*time.Second && !a.ended[u.family] {
			return u.answer, ""
		}
		a.ended[u.family] = true
		return nil, "invalid_grant"
	}
	family := a.current[token]
	if family == "" || a.ended[family] {
		return nil, "invalid_grant"
	}
	a.refreshes++
	delete(a.current, token)
	out := a.give(family)
	a.used[token] = usedToken{family, out, time.Now()}
	return out, ""
}

func (a *authority) give(family string) api.ProgramTokens {
	out := api.ProgramTokens{Access: mezu.TokenBearer + a.secret("access"), Refresh: a.secret("refresh"), ExpiresIn: 3600, Type: "Bearer"}
	a.live[out.Access], a.current[out.Refresh] = family, family
	return out
}

func (a *authority) revoke(in url.Values) (any, string) {
	if family := a.current[in.Get("token")]; family != "" {
		a.ended[family] = true
	}
	return nil, ""
}

func (a *authority) device(url.Values) (any, string) {
	d := &device{code: a.secret("device")}
	a.devices[d.code] = d
	return api.DeviceCode{Code: d.code, UserCode: "WDJB-MJHT", VerificationURI: a.issuer + "/device", ExpiresIn: 600, Interval: 1}, ""
}

// opens reports whether an access token is good.
func (a *authority) opens(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	family := a.live[token]
	return family != "" && !a.ended[family]
}

// forget ends all access tokens, but no login.
func (a *authority) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.live)
}

// logins counts those that go on, and how often they were renewed.
func (a *authority) logins() (going, refreshes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	families := map[string]bool{}
	for _, family := range a.current {
		if !a.ended[family] {
			families[family] = true
		}
	}
	return len(families), a.refreshes
}

// visit is what somebody does who sees an address in a browser: how says what.
func (e endpoint) visit(how, address string) error {
	if how == "none" {
		return fmt.Errorf("there is no browser")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return fmt.Errorf("%s is opened: %v", address, err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: e.tls(), DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(address)
	if err != nil {
		return err
	}
	resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("%s answers %d", address, resp.StatusCode)
	}
	good := back.Query()
	change := func(name, value string) string {
		q := back.Query()
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
		to := *back
		to.RawQuery = q.Encode()
		return to.String()
	}
	get := func(to string, want int, host string) (string, error) {
		req, err := http.NewRequest("GET", to, nil)
		if err != nil {
			return "", err
		}
		if host != "" {
			req.Host = host
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != want || resp.Header.Get("Cache-Control") != "no-store" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'")) {
			err = fmt.Errorf("%s answers %d %v", to, resp.StatusCode, resp.Header)
		}
		return string(text), err
	}
	switch how {
	case "deny":
		_, err = get(change("error", "access_denied"), 200, "")
	case "elsewhere":
		_, err = get(change("iss", "https://evil.example"), 200, "")
	case "nameless":
		_, err = get(change("iss", ""), 200, "")
	case "stranger": // somebody else on this machine, and no browser
		for _, to := range []string{change("state", "x"), change("state", ""), back.String() + "&state=y"} {
			if _, err := get(to, 400, ""); err != nil {
				return err
			}
		}
		if _, err := get(back.String(), 404, "evil.example"); err != nil {
			return err
		}
		if _, err := get(strings.Replace(back.String(), "/callback", "/", 1), 404, ""); err != nil {
			return err
		}
		fallthrough
	default:
		var page string
		if page, err = get(back.String(), 200, ""); err == nil && !strings.Contains(page, "You are logged in. You can close this window.") {
			err = fmt.Errorf("the page says %q", page)
		}
	}
	if err == nil && good.Get("code") == "" {
		err = fmt.Errorf("no code came")
	}
	return err
}

// self answers who calls, in the organizations of the authority, else in one.
func (a *authority) self(w http.ResponseWriter) {
	a.mu.Lock()
	members := a.members
	a.mu.Unlock()
	if members == nil {
		members = []api.SelfMember{{Organization: "acme", Role: mezu.RoleOwner, Permissions: []mezu.Permission{
			mezu.PermProjectsRead, mezu.PermWarpgateRegister, mezu.PermRoutesWrite, mezu.PermRoutesRead, mezu.PermEnvironmentsWrite,
		}}}
	}
	answer(w, http.StatusOK, api.Self{
		Kind: "member", ID: "prs_06h26kh6kmnrhmzmsjng20d7zg", Email: "ann@example.com", LoginEndsAt: time.Date(2036, 12, 26, 14, 2, 0, 0, time.UTC), Organizations: members,
	})
}
