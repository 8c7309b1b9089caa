package edge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/edge"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an installation with an edge, a Warpgate and a workload that some routes ask a
// login for.
type world struct {
	t    *testing.T
	in   *controltest.Installation
	op   *api.Client
	pool controltest.Pool
	env  mezu.Environment
	edge *edge.Edge
	log  *testkit.Buffer
	// asked gets one for each request for …/slow.
	asked chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, in: controltest.InstallWithStore(t), log: &testkit.Buffer{}, asked: make(chan struct{})}
	w.op = w.in.Operator()
	w.pool = w.in.Pool(w.op)
	controltest.Call[any](t, w.op, api.OpUpdateDirectory, map[string]any{"signup": "open"}, w.pool.InProject()...)
	w.env = controltest.Call[mezu.Environment](t, w.op, api.OpUpdateEnvironment, map[string]any{"directory": "customers"}, w.pool.Path()...)
	controltest.Call[api.RoutesState](t, w.op, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{
		{Prefix: "/"}, {Prefix: "/my/", Auth: mezu.AuthRequired}, {Prefix: "/staff/", Auth: mezu.AuthRequired, Roles: []string{"staff"}}, {Prefix: "/any/", Auth: mezu.AuthOptional},
	}}, w.pool.Path()...)
	w.edge = w.startEdge("edge-1")
	w.startWarpgate()
	return w
}

// run runs a part of the world until the test ends.
func (w *world) run(what string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("running the %s: %v", what, err)
		}
	})
}

func (w *world) startEdge(name string) *edge.Edge {
	w.t.Helper()
	return w.startLimited(name, shed.Allowances{})
}

// startLimited starts an edge of which one address may take so much.
func (w *world) startLimited(name string, allowances shed.Allowances) *edge.Edge {
	w.t.Helper()
	token := w.in.JoinToken(w.op)
	e, err := edge.New(edge.Config{
		Control: "https://" + w.in.Plane.Addr(), CAFile: w.in.Plane.CAFile(), JoinToken: func() (string, error) { return token, nil }, StateDir: w.t.TempDir(),
		HTTPSAddr: "127.0.0.1:0", Name: name, Connections: 1000, Allowances: allowances, DrainTimeout: time.Second, Version: "test", Log: slog.New(slog.NewTextHandler(w.log, nil)), Now: w.in.Clock.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := e.Listen(); err != nil {
		w.t.Fatal(err)
	}
	w.run("edge", e.Run)
	controltest.Eventually(w.t, "the edge to be ready", e.Ready)
	return e
}

// workload answers with what it was asked: «METHOD PATH USER COOKIES», at …/assertion with the
// signed form. At …/stream, and over WebSocket, it goes on until its client is gone. At …/slow it
// says that it was asked, and answers nothing until then.
func (world *world) workload(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/slow") {
		world.asked <- struct{}{}
		<-r.Context().Done()
		return
	}
	if r.Header.Get("Upgrade") != "" {
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(both, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nuser=%s\n", r.Header.Get(mezu.HeaderUserEmail))
		both.Flush()
		io.Copy(io.Discard, both)
		return
	}
	w.Header().Set("Set-Cookie", mezu.SessionCookie+"=of-the-workload")
	if strings.HasSuffix(r.URL.Path, "/assertion") {
		fmt.Fprintln(w, r.Header.Get(mezu.HeaderAssertion))
		return
	}
	fmt.Fprintf(w, "%s %s user=%s roles=%s cookies=%s\n", r.Method, r.URL.Path, r.Header.Get(mezu.HeaderUserEmail), r.Header.Get(mezu.HeaderUserRoles), r.Header.Get("Cookie"))
	if strings.HasSuffix(r.URL.Path, "/stream") {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

func (w *world) startWarpgate() {
	w.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(w.workload))
	w.t.Cleanup(server.Close)
	w.startWarpgateOf(strings.TrimPrefix(server.URL, "http://"))
}

// startWarpgateOf starts one of another workload.
func (w *world) startWarpgateOf(upstream string) {
	w.t.Helper()
	_, key := w.pool.Account("gate", mezu.PermWarpgateRegister)
	gate, err := warpgate.New(warpgate.Config{
		API: "https://" + w.in.Plane.Addr(), CAFile: w.in.Plane.CAFile(), Token: func() (string, error) { return key, nil }, Upstream: upstream,
		StateDir: w.t.TempDir(), Version: "test", DrainTimeout: time.Second, Log: slog.New(slog.DiscardHandler), Now: w.in.Clock.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run("Warpgate", gate.Run)
	b := w.browser()
	controltest.Eventually(w.t, "the Warpgate to be connected", func() bool { return b.get("/.mezu/probe").StatusCode == 204 })
}

// browser is a visitor's, which keeps cookies and follows redirects.
type browser struct {
	*world
	client    *http.Client
	redirects int
}

func (w *world) browser() *browser { w.t.Helper(); return w.browserOf(w.edge) }

// browserOf is one that reaches the environment by an edge.
func (w *world) browserOf(e *edge.Edge) *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: w.in.Roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, e.HTTPSAddr())
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	b := &browser{world: w}
	b.client = &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		b.redirects = len(via)
		return nil
	}}
	return b
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

// at is the path that a browser ended at.
func (a answer) at() string { return a.Request.URL.RequestURI() }

// says fails the test if the workload did not answer with a text.
func (b *browser) says(a answer, want string) {
	b.t.Helper()
	if a.StatusCode != 200 || !strings.Contains(a.body, want) {
		b.t.Errorf("%s: %s %s; want %q", a.at(), a.Status, a.body, want)
	}
}

func (b *browser) send(method, path, body string, fields ...string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.env.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	b.redirects = 0
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.send("GET", path, "") }

// visit asks for a page as people do.
func (b *browser) visit(path string) answer {
	b.t.Helper()
	return b.send("GET", path, "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept-Language", "en")
}

// post sends a form: names and values by turns.
func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.send("POST", path, form.Encode(), "Origin", b.env.URL, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin")
}

// find is what a pattern's group matches in a text.
func (w *world) find(pattern, text string) string {
	w.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		w.t.Fatalf("no %s in %s", pattern, text)
	}
	return m[1]
}

const password = "correct horse battery staple"

// signup signs up from the login page that a protected page led to, and gives the page that
// the visitor arrives at.
func (b *browser) signup(email, page string) answer {
	b.t.Helper()
	login := b.visit(page)
	if !strings.HasPrefix(login.at(), "/.mezu/login") || login.StatusCode != 200 {
		b.t.Fatalf("%s: %s %s", login.at(), login.Status, login.body)
	}
	waiting := b.post("/.mezu/signup", "email", email, "password", password, "to", page)
	var digits string
	for _, value := range b.in.Records("outbox/") {
		var m record.Mail
		if err := json.Unmarshal([]byte(value), &m); err != nil {
			b.t.Fatal(err)
		}
		if m.To == email {
			digits = b.find(`(?m)^(\d{4} ?\d{4})$`, m.Text)
		}
	}
	return b.post("/.mezu/signup/code", "pending", b.find(`name="pending" value="([^"]+)"`, waiting.body), "code", digits)
}

// session is the browser's session cookie.
func (b *browser) session() string {
	at, err := url.Parse(b.env.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(at) {
		if c.Name == mezu.SessionCookie {
			return c.Value
		}
	}
	return ""
}

// clone is a browser with the same cookies.
func (b *browser) clone() *browser { b.t.Helper(); return b.cloneAt(b.edge) }

// cloneAt is one at an edge.
func (b *browser) cloneAt(e *edge.Edge) *browser {
	b.t.Helper()
	c := b.browserOf(e)
	at, err := url.Parse(b.env.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	cookies := b.client.Jar.Cookies(at)
	for _, one := range cookies {
		one.Path, one.Secure = "/", true
	}
	c.client.Jar.SetCookies(at, cookies)
	return c
}

// A visitor of a protected page signs up and arrives at it. The workload learns who it is, and
// nothing of the cookie. N15: there are three redirects at most.
func TestN9_L8_SignupLeadsToThePage(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	arrived := b.signup("ann@example.com", "/my/orders?page=2")
	b.says(arrived, "GET /my/orders user=ann@example.com roles= cookies=\n")
	if arrived.at() != "/my/orders?page=2" || b.redirects > 3 || arrived.Header.Get("Set-Cookie") != "" {
		t.Errorf("arrived at %s after %d redirects, %v", arrived.at(), b.redirects, arrived.Header)
	}
	b.says(b.get("/any/"), "user=ann@example.com")
	b.says(b.get("/"), "user= ")
	b.says(w.browser().get("/any/"), "user= ")
	b.says(b.send("GET", "/my/", "", "Cookie", "a=b"), "cookies=a=b\n")
	if a := b.get("/.mezu/session"); !strings.Contains(a.body, `"email":"ann@example.com"`) {
		t.Errorf("%s %s", a.Status, a.body)
	}

	// L8, N11: after the logout a copy of the cookie is worth nothing at any edge, and back
	// leads to the login.
	thief := b.cloneAt(w.startEdge("edge-2"))
	controltest.Eventually(t, "the copy to count at the other edge", func() bool { return strings.Contains(thief.get("/my/").body, "user=ann@example.com") })
	if a := b.post("/.mezu/logout"); a.StatusCode != 200 || a.Header.Get("Clear-Site-Data") == "" || b.session() != "" {
		t.Errorf("%s %v", a.Status, a.Header)
	}
	controltest.EventuallyWithin(t, 5*time.Second, "the other edge to hear of the logout", func() bool { return thief.get("/my/").StatusCode == 401 })
	// The Warpgate may have heard of it first, and refused.
	controltest.EventuallyWithin(t, 5*time.Second, "the other edge to lead to the login", func() bool {
		a := thief.visit("/my/")
		if a.StatusCode == 200 && a.at() == "/my/" {
			t.Errorf("%s: %s", a.at(), a.body)
		}
		return strings.HasPrefix(a.at(), "/.mezu/login") && thief.session() == ""
	})

	// N7: two tabs, two targets, one login.
	one := b.post("/.mezu/login", "email", "ann@example.com", "password", password, "to", "/my/one")
	b.says(one, "GET /my/one user=ann@example.com")
	two := b.post("/.mezu/login", "email", "ann@example.com", "password", password, "to", "/my/two")
	b.says(two, "GET /my/two user=ann@example.com")
}

// webSocket asks for a WebSocket from a page of some origin, and gives the status and what
// follows the head.
func (b *browser) webSocket(path, origin string) (status string, r *bufio.Reader) {
	b.t.Helper()
	at, err := url.Parse(b.env.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", b.edge.HTTPSAddr(), &tls.Config{RootCAs: b.in.Roots, ServerName: at.Hostname(), NextProtos: []string{"http/1.1"}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: %s=%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
		path, at.Host, origin, mezu.SessionCookie, b.session())
	r = bufio.NewReader(conn)
	status, err = r.ReadString('\n')
	for line := status; err == nil && line != "\r\n"; {
		line, err = r.ReadString('\n')
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return status, r
}

// T10, T11 and N24: streams end with the session, over both versions of HTTP, and no page of
// another site begins one.
func TestN24_StreamsEndWithTheSession(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signup("ann@example.com", "/my/")
	if status, _ := b.webSocket("/my/", "https://evil.localhost:8443"); !strings.Contains(status, " 403 ") {
		t.Errorf("T10: %s", status)
	}
	status, ws := b.webSocket("/my/", b.env.URL)
	if line, err := ws.ReadString('\n'); !strings.Contains(status, " 101 ") || line != "user=ann@example.com\n" || err != nil {
		t.Fatalf("%s %s, %v", status, line, err)
	}
	streams := []*bufio.Reader{ws}
	for _, http2 := range []bool{false, true} {
		c := b.clone()
		transport := c.client.Transport.(*http.Transport)
		transport.ForceAttemptHTTP2 = http2
		if !http2 {
			transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", b.env.URL+"/my/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		r := bufio.NewReader(resp.Body)
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "ann@example.com") || (resp.ProtoMajor == 2) != http2 {
			t.Fatalf("%s: %s, %v", resp.Proto, line, err)
		}
		streams = append(streams, r)
	}
	ended := make(chan error, len(streams))
	var wg sync.WaitGroup
	for _, r := range streams {
		wg.Go(func() {
			_, err := r.ReadByte()
			ended <- err
		})
	}
	defer wg.Wait()
	b.post("/.mezu/logout")
	for range streams {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("the stream goes on")
			}
		case <-time.After(5 * time.Second):
			t.Error("a stream outlives its session")
			return
		}
	}
	controltest.Eventually(t, "the log to say why", func() bool { return strings.Contains(w.log.String(), "cause=session_ended") })
}

// N11: whose session ends while a page is under way is led to the login, and a program is told.
func TestN11_SessionEndsUnderWay(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for _, page := range []bool{true, false} {
		b.signup(fmt.Sprintf("ann-%v@example.com", page), "/my/")
		other, ask := b.clone(), (*browser).get
		if page {
			ask = (*browser).visit
		}
		ended := make(chan answer, 1)
		go func() {
			defer close(ended)
			ended <- ask(other, "/my/slow?page=2")
		}()
		select {
		case <-w.asked:
		case a := <-ended:
			t.Fatalf("%v", a)
		}
		b.post("/.mezu/logout")
		switch a, ok := <-ended; {
		case !ok: // the test has failed
		case page && (!strings.HasPrefix(a.at(), "/.mezu/login") || !strings.Contains(a.body, "/my/slow?page=2")):
			t.Errorf("%s: %s %s", a.at(), a.Status, a.body)
		case !page && (a.StatusCode != 401 || a.at() != "/my/slow?page=2" || !strings.Contains(a.body, "the session has ended")):
			t.Errorf("%s: %s %s", a.at(), a.Status, a.body)
		}
	}
}

// N25: who gets or loses a role goes on without a login.
func TestN25_RolesFollow(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signup("ann@example.com", "/my/")
	var page api.List[mezu.User]
	if err := w.op.Do(t.Context(), api.Call{Operation: api.OpListUsers, Params: w.pool.InProject(), Query: url.Values{"filter": {"email=ann@example.com"}}}, &page); err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	if a := b.visit("/staff/"); a.StatusCode != 403 || !strings.Contains(a.body, "ann@example.com") || !strings.Contains(a.body, "staff") {
		t.Errorf("%s %s", a.Status, a.body)
	}
	roles := func(roles ...string) {
		controltest.Call[any](t, w.op, api.OpUpdateUser, map[string]any{"roles": append([]string{}, roles...)}, w.pool.InProject(page.Items[0].ID)...)
	}
	roles("shop/staff")
	w.in.Clock.Advance(7 * time.Hour) // past the first limit of the grant: it is refreshed beside
	controltest.Eventually(t, "the new role", func() bool { return b.get("/staff/").StatusCode == 200 })
	b.says(b.get("/staff/"), "roles=staff")
	was := b.session()
	roles()
	controltest.Eventually(t, "the role to be gone", func() bool { return b.get("/staff/").StatusCode == 403 })
	b.says(b.get("/my/"), "user=ann@example.com roles= ")
	if is := b.session(); is == "" || is == was {
		t.Error("the session has no new secret")
	}
}

// While the control plane is away, who is logged in goes on, nobody else gets in, and a logout
// counts nevertheless.
func TestStatic_WithoutTheControlPlane(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signup("ann@example.com", "/my/")
	w.in.Stop()
	w.in.Clock.Advance(30 * time.Hour) // past the second limit of the grant
	b.says(b.get("/my/"), "user=ann@example.com")
	if a := w.browser().visit("/my/"); a.StatusCode != 503 || !strings.HasPrefix(a.at(), "/.mezu/login?to=%2Fmy%2F") || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s: %s %s", a.at(), a.Status, a.body)
	}
	thief := b.clone()
	if a := b.post("/.mezu/logout"); a.StatusCode != 200 || b.session() != "" {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if a := thief.get("/my/"); a.StatusCode != 401 {
		t.Errorf("after the logout: %s", a.Status)
	}
}
