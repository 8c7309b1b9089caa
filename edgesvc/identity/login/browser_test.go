package login_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// good is a password that is refused by no rule, better another one.
const (
	good   = "correct horse battery staple"
	better = "seven slow turtles dance"
)

// world is an installation with a place where people log in: an environment whose directory
// they use, behind an edge, or the control plane's own address.
type world struct {
	t  *testing.T
	in *controltest.Installation
	op *api.Client
	// token is the operator's.
	token string
	// url and base are where the pages are: https://host[:port], and how their paths begin.
	url, base string
	pool      controltest.Pool
	edge      *api.Client // nil at the control plane's own address
	env       mezu.Environment
	seen      map[string]bool // ids of mails
	// dialled counts connections to the control plane's own address, which are from another
	// network each, or from one.
	dialled    *atomic.Int32
	oneNetwork bool
}

func newWorld(t *testing.T, settings map[string]any) *world {
	t.Helper()
	return newWorldIn(t, controltest.InstallWithStore(t), settings)
}

func newWorldIn(t *testing.T, in *controltest.Installation, settings map[string]any) *world {
	t.Helper()
	w := &world{t: t, in: in, token: in.OperatorToken(), seen: map[string]bool{}}
	w.op = in.Client(w.token, nil)
	w.pool = in.Pool(w.op)
	w.set(map[string]any{"signup": "open"})
	if settings != nil {
		w.set(settings)
	}
	w.env = controltest.Call[mezu.Environment](t, w.op, api.OpUpdateEnvironment, map[string]any{"directory": "customers"}, w.pool.Path()...)
	identity, _ := in.Enrol(w.op, "edge-1")
	w.edge = in.Client("", identity.Cert)
	w.url, w.base = w.env.URL, mezu.ReservedPath
	return w
}

// set changes the settings of the directory.
func (w *world) set(settings map[string]any) {
	w.t.Helper()
	controltest.Call[any](w.t, w.op, api.OpUpdateDirectory, settings, w.pool.InProject()...)
}

// user is the user with an address, as the API shows it; false if there is none.
func (w *world) user(email string) (mezu.User, bool) {
	w.t.Helper()
	var page api.List[mezu.User]
	if err := w.op.Do(w.t.Context(), api.Call{Operation: api.OpListUsers, Params: w.pool.InProject(), Query: url.Values{"filter": {"email=" + email}}}, &page); err != nil {
		w.t.Fatal(err)
	}
	if len(page.Items) == 0 {
		return mezu.User{}, false
	}
	return page.Items[0], true
}

// change changes a user through the API.
func (w *world) change(email string, body map[string]any) {
	w.t.Helper()
	u, ok := w.user(email)
	if !ok {
		w.t.Fatalf("nobody has %s", email)
	}
	controltest.Call[any](w.t, w.op, api.OpUpdateUser, body, w.pool.InProject(u.ID)...)
}

// letter is a mail that waits to be sent.
type letter struct {
	record.Mail
	link, code, digits string
}

// mails are those that were queued since the last call.
func (w *world) mails() []letter {
	w.t.Helper()
	var out []letter
	for key, value := range w.in.Records("outbox/") {
		if w.seen[key] {
			continue
		}
		w.seen[key] = true
		var l letter
		if err := json.Unmarshal([]byte(value), &l.Mail); err != nil {
			w.t.Fatal(err)
		}
		find := func(pattern string) string {
			m := regexp.MustCompile(pattern).FindStringSubmatch(l.Text)
			if m == nil {
				return ""
			}
			return m[1]
		}
		l.link, l.code, l.digits = find(`#([A-Za-z0-9_-]{43})\b`), find(`(?m)^([0-9a-z]{20})$`), find(`(?m)^(\d{4} ?\d{4})$`)
		if l.link != "" && !strings.Contains(l.Text, w.url+w.base) {
			w.t.Errorf("a link leads elsewhere: %s", l.Text)
		}
		if l.link != "" {
			w.in.Secret(l.link)
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b letter) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// mail is the one mail that was queued since the last call.
func (w *world) mail(kind record.MailKind) letter {
	w.t.Helper()
	all := w.mails()
	if len(all) != 1 || all[0].Kind != kind {
		w.t.Fatalf("queued %v instead of one %s", all, kind)
	}
	return all[0]
}

// noMail fails if a mail was queued since the last call.
func (w *world) noMail() {
	w.t.Helper()
	if all := w.mails(); len(all) > 0 {
		w.t.Errorf("queued %+v", all)
	}
}

// browser is a visitor's, which keeps cookies.
type browser struct {
	*world
	cookies map[string]string
	client  string
	agent   string
	pending string
}

func (w *world) browser() *browser {
	return &browser{world: w, cookies: map[string]string{}, client: "192.0.2.1", agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
}

// shown is what a browser got.
type shown struct {
	status   int
	body     string
	location string
	header   map[string]string
}

// has reports whether the page has a text.
func (s shown) has(text string) bool { return strings.Contains(s.body, text) }

// request is one as an edge passes it on.
func (b *browser) request(method, path string) api.EdgePageRequest {
	path, query, _ := strings.Cut(path, "?")
	in := api.EdgePageRequest{
		Environment: b.env.ID, Method: method, Path: path, Query: query, FetchSite: "same-origin", FetchMode: "navigate", FetchDest: "document",
		AcceptLanguage: "en", UserAgent: b.agent, Client: b.client, RequestID: "req_test",
	}
	for name, value := range b.cookies {
		in.Cookies = append(in.Cookies, api.PageField{Name: name, Value: value})
	}
	return in
}

// send sends a request and keeps the cookies of the answer.
func (b *browser) send(in api.EdgePageRequest) shown {
	b.t.Helper()
	var out api.EdgePage
	if b.edge != nil {
		out = controltest.Call[api.EdgePage](b.t, b.edge, api.OpEdgePage, in)
	} else {
		out = b.direct(in)
	}
	s := shown{status: out.Status, body: string(out.Body), header: map[string]string{}}
	for _, h := range out.Header {
		if h.Name != "Set-Cookie" {
			s.header[h.Name] = h.Value
			continue
		}
		c, err := http.ParseSetCookie(h.Value)
		if err != nil || !strings.HasPrefix(c.Name, mezu.CookiePrefix) || c.Path != "/" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" {
			b.t.Errorf("L3: %s: %v", h.Value, err)
			continue
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
			b.in.Secret(c.Value[:min(len(c.Value), mezu.SecretLength)])
		}
	}
	s.location = s.header["Location"]
	if s.header["Cache-Control"] != "no-store" && s.status != 200 {
		b.t.Errorf("N11: %s %s may be kept: %v", in.Method, in.Path, s.header)
	}
	if m := regexp.MustCompile(`name="pending" value="([^"]+)"`).FindStringSubmatch(s.body); m != nil {
		b.pending = m[1]
	}
	return s
}

func (b *browser) get(path string) shown {
	b.t.Helper()
	return b.send(b.request("GET", path))
}

// post sends a form: names and values by turns.
func (b *browser) post(path string, fields ...string) shown {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	in := b.request("POST", path)
	in.Origin, in.ContentType, in.Body = b.url, "application/x-www-form-urlencoded", []byte(form.Encode())
	return b.send(in)
}

// signup signs up, and gives the mail.
func (b *browser) signup(email, password string) letter {
	b.t.Helper()
	b.get("signup")
	if s := b.post("signup", "email", email, "password", password); s.status != 200 || b.pending == "" {
		b.t.Fatalf("signing up: %d %s", s.status, s.body)
	}
	return b.mail("signup")
}

// join signs up, types the digits, and is logged in.
func (b *browser) join(email, password string) {
	b.t.Helper()
	m := b.signup(email, password)
	s := b.post("signup/code", "pending", b.pending, "code", m.digits)
	b.arrives(s, "/")
}

// arrives follows a redirect after a login to where it leads.
func (b *browser) arrives(s shown, to string) {
	b.t.Helper()
	if s.status != 303 || !strings.HasPrefix(s.location, b.base+"return") {
		b.t.Fatalf("not logged in: %d %s %s", s.status, s.location, s.body)
	}
	if back := b.get(strings.TrimPrefix(s.location, b.base)); back.status != 303 || back.location != to {
		b.t.Fatalf("returned with %d to %q instead of %q", back.status, back.location, to)
	}
}

func (b *browser) login(email, password string) shown {
	b.t.Helper()
	return b.post("login", "email", email, "password", password)
}

// loggedIn reports whether the session of the browser goes on.
func (b *browser) loggedIn() bool {
	b.t.Helper()
	return b.get("account").status == 200
}

// grant is that of the browser's session.
func (b *browser) grant() (secret, compact string, g mezu.Grant) {
	b.t.Helper()
	s, c, ok := mezu.SplitSession([]byte(b.cookies[mezu.SessionCookie]))
	if !ok {
		b.t.Fatal("no session")
	}
	signed, err := mezu.ParseCompact(mezu.PurposeGrant, c)
	if err == nil {
		err = json.Unmarshal(signed.Payload, &g)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(s), string(c), g
}

// refresh refreshes the browser's session as an edge does, and gives the error.
func (b *browser) refresh() (api.EdgeRefreshed, error) {
	b.t.Helper()
	secret, compact, _ := b.grant()
	out, err := api.Invoke[api.EdgeRefreshed](b.t.Context(), b.edge, api.OpEdgeRefresh, api.EdgeRefreshRequest{Grant: compact})
	if err == nil {
		if out.Secret != "" {
			secret = out.Secret
		}
		b.cookies[mezu.SessionCookie] = secret + "." + out.Grant
	}
	return out, err
}

// clone is the browser as it is now, such as another tab, or a thief's copy.
func (b *browser) clone() *browser {
	c := *b
	c.cookies = map[string]string{}
	for k, v := range b.cookies {
		c.cookies[k] = v
	}
	return &c
}

func (w *world) String() string { return fmt.Sprint(w.url) }
