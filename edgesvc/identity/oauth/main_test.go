package oauth_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/identity/oauth"
	"github.com/mezusphere/mezu/edgesvc/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a control plane, a person of its team, and the program that they use.
type world struct {
	*controltest.Installation
	t      *testing.T
	client *http.Client
	op     *api.Client
	// person is who they are, session the cookie of their browser, empty if nobody is logged in.
	person, session string
	agent           string
	mails           chan control.Mail
}

// Who signs up, and owns an organization then.
const (
	email        = "ann@example.com"
	password     = "correct horse battery staple"
	organization = "ann"
)

// newWorld is one in which the person has just logged in.
func newWorld(t *testing.T) *world {
	t.Helper()
	return enter(t, controltest.New(t))
}

// newStoredWorld is a world whose store the test reads and writes.
func newStoredWorld(t *testing.T) *world {
	t.Helper()
	in := controltest.InstallWithStore(t)
	in.Stop()
	return enter(t, in)
}

func enter(t *testing.T, in *controltest.Installation) *world {
	t.Helper()
	w := &world{Installation: in, t: t, agent: "mezu/1.2 (Linux)", mails: make(chan control.Mail, 8)}
	in.TLSTime, in.TeamSignup, in.MembersMayCreateOrganizations = in.Clock.Now, mezu.SignupOpen, true
	in.OnMail = func(m control.Mail) { w.mails <- m }
	in.Start()
	t.Cleanup(func() { in.Stop() })
	w.connect()
	w.op = in.Operator()
	w.signup()
	return w
}

// signup makes the person's account, by which they are logged in.
func (w *world) signup() {
	w.t.Helper()
	first := w.get("/signup")
	browser := first.cookie(mezu.CookiePrefix + "browser")
	waiting := w.post("/signup", url.Values{"email": {email}, "password": {password}}, w.own("Cookie", browser)...)
	digits := regexp.MustCompile(`(?m)^(\d{4} ?\d{4})$`).FindString((<-w.mails).Text)
	w.arrive(w.post("/signup/code", url.Values{"pending": {hidden(w.t, waiting.body).Get("pending")}, "code": {digits}}, w.own("Cookie", browser)...))
}

// enter logs the person in.
func (w *world) enter() {
	w.t.Helper()
	w.session = ""
	w.arrive(w.post("/login", url.Values{"email": {email}, "password": {password}}))
}

// arrive takes the session of a login.
func (w *world) arrive(r reply) {
	w.t.Helper()
	w.session = r.cookie(mezu.SessionCookie)
	_, who, ok := mezu.SplitSession([]byte(strings.TrimPrefix(w.session, mezu.SessionCookie+"=")))
	if r.status != http.StatusSeeOther || !ok {
		w.t.Fatalf("not logged in: %d %s", r.status, r.body)
	}
	_, w.person, _ = strings.Cut(string(who), ".")
}

// cookie is one that an answer sets, as a request shows it.
func (r reply) cookie(name string) string {
	for _, line := range r.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == name {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// again restarts the control plane, which sweeps as it starts.
func (w *world) again() {
	w.t.Helper()
	w.client.CloseIdleConnections()
	w.Restart()
	w.connect()
}

// drop removes a record.
func (w *world) drop(key string) {
	w.t.Helper()
	if _, err := w.Store.Commit(w.t.Context(), store.Txn{Ops: []store.Op{{Key: key, Delete: true}}}); err != nil {
		w.t.Error(err)
	}
}

// kept is all that is kept of logins of programs.
func (w *world) kept() string {
	w.t.Helper()
	var b strings.Builder
	for _, k := range w.Keys("oauth/") {
		if r, err := w.Store.Get(w.t.Context(), k); err == nil {
			b.WriteString(k + " " + string(r.Value) + "\n")
		}
	}
	return b.String()
}

// connect makes the HTTP client, which follows no redirects. It calls from an address of this
// machine, if one is given.
func (w *world) connect(from ...net.IP) {
	carrier := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.Roots, Time: w.Clock.Now}, ForceAttemptHTTP2: true}
	if len(from) > 0 {
		carrier.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from[0]}}).DialContext
	}
	w.client = &http.Client{Transport: carrier, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.t.Cleanup(carrier.CloseIdleConnections)
}

func (w *world) site() string { return "https://" + w.Plane.Addr() }

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) has(text string) bool { return strings.Contains(r.body, text) }

// location is where a redirect leads.
func (r reply) location(t *testing.T) *url.URL {
	t.Helper()
	to, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusSeeOther {
		t.Fatalf("no redirect: %d %v %s", r.status, err, r.body)
	}
	return to
}

// fault is the error of a program's call.
func (r reply) fault(t *testing.T) string {
	t.Helper()
	var out struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return out.Error
}

func (w *world) do(method, path, body string, header ...string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.site()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("User-Agent", w.agent)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(resp.Header.Values("Access-Control-Allow-Origin"))+len(resp.Header.Values("Access-Control-Allow-Credentials")) > 0 {
		w.t.Errorf("%s %s: pages of other sites may read it", method, path)
	}
	return reply{resp.StatusCode, resp.Header, string(data)}
}

const formType = "application/x-www-form-urlencoded"

func (w *world) cookies() []string {
	if w.session == "" {
		return nil
	}
	return []string{"Cookie", w.session}
}

// own are the fields of a form's request from a page of this site, and further ones.
func (w *world) own(more ...string) []string {
	return append([]string{"Origin", w.site(), "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"}, more...)
}

// get opens a page.
func (w *world) get(path string) reply {
	w.t.Helper()
	return w.do("GET", path, "", w.cookies()...)
}

// post sends the form of a page.
func (w *world) post(path string, form url.Values, header ...string) reply {
	w.t.Helper()
	if len(header) == 0 {
		header = w.own()
	}
	return w.do("POST", path, form.Encode(), append(append(header, "Content-Type", formType), w.cookies()...)...)
}

// call is a program's.
func (w *world) call(path string, pairs ...string) reply {
	w.t.Helper()
	form := url.Values{"client_id": {oauth.ClientID}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return w.do("POST", path, form.Encode(), "Content-Type", formType)
}

// tokens are what a program gets.
type tokens struct {
	Bearer  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Kind    string `json:"token_type"`
	Seconds int    `json:"expires_in"`
	ID      string `json:"id_token"`
}

func (w *world) tokens(r reply) tokens {
	w.t.Helper()
	var out tokens
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.status != http.StatusOK || out.Bearer == "" || out.Refresh == "" {
		w.t.Fatalf("no tokens: %d %s %v", r.status, r.body, err)
	}
	w.Secret(out.Bearer)
	w.Secret(out.Refresh)
	return out
}

// refused checks that a call for tokens gets none.
func (w *world) refused(what string, r reply, status int, code string) {
	w.t.Helper()
	if got := r.fault(w.t); r.status != status || got != code || r.has("access_token") {
		w.t.Errorf("%s: %d %s, want %d %s", what, r.status, r.body, status, code)
	}
}

// opens reports whether a bearer token opens the API.
func (w *world) opens(bearer string) bool {
	w.t.Helper()
	status, _, body := w.Raw("GET", api.OpSelf.Path, bearer, "", "")
	if status == http.StatusOK && !strings.Contains(body, w.person) {
		w.t.Errorf("it is another's: %s", body)
	}
	return status == http.StatusOK
}

// hidden are the fields that a page's form sends by itself.
func hidden(t *testing.T, page string) url.Values {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader([]byte(page)))
	if err != nil {
		t.Fatal(err)
	}
	out := url.Values{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" {
			continue
		}
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
		}
		if at["type"] == "hidden" {
			out.Add(at["name"], at["value"])
		}
	}
	return out
}

// verifier is one of PKCE, and its challenge.
var verifier = strings.Repeat("v", 43)

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

const redirectURI = "http://127.0.0.1:40123/callback"

// request is an authorization request, with changes.
func request(change ...string) url.Values {
	out := url.Values{
		"client_id": {oauth.ClientID}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "state": {"st&te="},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(change); i += 2 {
		if out.Del(change[i]); change[i+1] != "" {
			out.Set(change[i], change[i+1])
		}
	}
	return out
}

// allow goes through the page and gives the code.
func (w *world) allow(change ...string) string {
	w.t.Helper()
	page := w.get("/oauth/authorize?" + request(change...).Encode())
	if page.status != http.StatusOK {
		w.t.Fatal(page.status, page.body)
	}
	form := hidden(w.t, page.body)
	form.Set("answer", "allow")
	to := w.post("/oauth/authorize", form).location(w.t)
	if to.Query().Get("error") != "" {
		w.t.Fatal(to)
	}
	return w.Secret(to.Query().Get("code"))
}

// exchange exchanges a code, with changes.
func (w *world) exchange(code string, change ...string) reply {
	w.t.Helper()
	return w.call("/oauth/token", append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", redirectURI, "code_verifier", verifier}, change...)...)
}

func (w *world) refresh(token string) reply {
	w.t.Helper()
	return w.call("/oauth/token", "grant_type", "refresh_token", "refresh_token", token)
}

// login logs the program in.
func (w *world) login() tokens {
	w.t.Helper()
	return w.tokens(w.exchange(w.allow()))
}

const day = 24 * time.Hour
