package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/daemon/page"
	"github.com/mezusphere/mezu/daemon/rest"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that has gone wrong.
const patience = time.Minute

// world is a page of an inspector that has kept nothing yet.
type world struct {
	t     *testing.T
	page  *page.Page
	clock *testkit.Clock
	held  atomic.Int64
	end   func()
}

// nobody is a host without tunnels.
type nobody struct{ rest.Host }

func (nobody) Hold() func() { return func() {} }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.StillClock(time.Now())}
	now := w.clock.Now
	shown := show.New(show.Config{Inspector: inspect.New(inspect.Config{}), Now: now})
	server := rest.New(rest.Config{Host: nobody{}, Events: event.NewHub(now), Show: shown, Now: now, Version: "1.2.3"})
	w.page = page.New(page.Config{Reads: server.Reads(), Now: now, Hold: func() func() {
		w.held.Add(1)
		return func() { w.held.Add(-1) }
	}})
	w.page.Hurry(time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.page.Run(ctx) }()
	w.end = func() {
		cancel()
		err := <-ended
		ended <- err
		if err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(w.end)
	return w
}

// open opens the page, and gives where it is and its token.
func (w *world) open() (address, token string) {
	w.t.Helper()
	text, err := w.page.Open()
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil || u.Path != "/" || len(u.Fragment) < 20 || u.Hostname() != "127.0.0.1" || u.RawQuery != "" {
		w.t.Fatalf("%s, %v", text, err)
	}
	return u.Host, u.Fragment
}

// send sends a request by a connection of its own.
func (w *world) send(address, method, path, body string, header ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Add(header[i], header[i+1])
		}
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := resp.Header.Get(name); got != want {
			w.t.Errorf("%s %s: %s is %q", method, path, name, got)
		}
	}
	if got := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
		w.t.Errorf("%s %s: the policy is %q", method, path, got)
	}
	if len(resp.Header["Access-Control-Allow-Origin"]) > 0 {
		w.t.Errorf("%s %s: other pages are let in", method, path)
	}
	return resp, string(text)
}

// enter exchanges a token, and gives the headers of an open page; nil if it is refused.
func (w *world) enter(address, token string) []string {
	w.t.Helper()
	resp, text := w.send(address, "POST", "/session", fmt.Sprintf(`{"token":%q}`, token), "Origin", "http://"+address, "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != http.StatusOK {
		if resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) > 0 {
			w.t.Errorf("%d %s", resp.StatusCode, text)
		}
		return nil
	}
	var out struct{ Key string }
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		w.t.Fatal(err)
	}
	c := resp.Cookies()[0]
	_, port, _ := net.SplitHostPort(address)
	if c.Name != "mezu-inspector-"+port || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" || c.Value == out.Key {
		w.t.Errorf("%+v", c)
	}
	return []string{"Cookie", c.Name + "=" + c.Value, "Mezu-Inspector-Key", out.Key}
}

// status is that of a request.
func (w *world) status(address, method, path string, header ...string) int {
	w.t.Helper()
	resp, _ := w.send(address, method, path, "", header...)
	return resp.StatusCode
}

// TestD1_PageHasItsOwnHost: a name that was made to lead here, and a page of another origin, get
// nothing, with or without what an open page has.
func TestD1_PageHasItsOwnHost(t *testing.T) {
	w := newWorld(t)
	address, token := w.open()
	open := w.enter(address, token)
	_, port, _ := net.SplitHostPort(address)
	for _, host := range []string{"evil.example", "evil.example:" + port, "127.0.0.1", "localhost", "127.0.0.1:1", "localhost.evil.example:" + port, "127.0.0.1.:" + port, "localhost.:" + port, "2130706433:" + port, "127.1:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port} {
		for _, path := range []string{"/", "/page.js", "/v1/requests"} {
			if got := w.status(address, "GET", path, append([]string{"Host", host}, open...)...); got != http.StatusForbidden {
				t.Errorf("%s of %s: %d", path, host, got)
			}
		}
	}
	for _, host := range []string{"127.0.0.1:" + port, "localhost:" + port, "LOCALHOST:" + port, "[::1]:" + port} {
		if got := w.status(address, "GET", "/v1/requests", append([]string{"Host", host}, open...)...); got != http.StatusOK {
			t.Errorf("its own host %s: %d", host, got)
		}
	}
	for _, other := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "http://127.0.0.1:1"}, {"Origin", "http://127.0.0.1"}, {"Origin", "https://" + address}, {"Origin", "http://localhost:" + port},
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "none"}, {"Sec-Fetch-Site", "other"},
	} {
		if got := w.status(address, "GET", "/v1/requests", append(other, open...)...); got != http.StatusForbidden {
			t.Errorf("%v: %d", other, got)
		}
	}
	_, fresh := w.open()
	for _, origin := range [][]string{nil, {"Origin", "null"}, {"Origin", "http://evil.example"}, {"Origin", "http://" + address, "Sec-Fetch-Site", "cross-site"}} {
		if resp, text := w.send(address, "POST", "/session", fmt.Sprintf(`{"token":%q}`, fresh), origin...); resp.StatusCode != http.StatusForbidden {
			t.Errorf("a token from %v: %d %s", origin, resp.StatusCode, text)
		}
	}
	if got := w.status(address, "GET", "/", "Sec-Fetch-Site", "none"); got != http.StatusOK {
		t.Errorf("somebody who types the address: %d", got)
	}
	for _, c := range []struct {
		path, site, mode, dest string
		want                   int
	}{
		{"/", "cross-site", "navigate", "document", http.StatusOK}, // the file that a browser is handed
		{"/", "cross-site", "navigate", "iframe", http.StatusForbidden},
		{"/", "cross-site", "no-cors", "document", http.StatusForbidden},
		{"/", "cross-site", "no-cors", "script", http.StatusForbidden},
		{"/", "same-site", "navigate", "document", http.StatusForbidden}, // of another port of this machine
		{"/page.js", "cross-site", "navigate", "document", http.StatusForbidden},
		{"/v1/requests", "cross-site", "navigate", "document", http.StatusForbidden},
	} {
		if got := w.status(address, "GET", c.path, append([]string{"Sec-Fetch-Site", c.site, "Sec-Fetch-Mode", c.mode, "Sec-Fetch-Dest", c.dest}, open...)...); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestD3_PageSpeaksNoWebSocket: no page gets one, with or without the secrets of a run.
func TestD3_PageSpeaksNoWebSocket(t *testing.T) {
	w := newWorld(t)
	address, token := w.open()
	open := w.enter(address, token)
	for _, path := range []string{"/", "/v1/requests", "/v1/events"} {
		for _, origin := range []string{"http://evil.example", "http://" + address} {
			if got := w.status(address, "GET", path, append([]string{"Origin", origin, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}, open...)...); got != http.StatusForbidden {
				t.Errorf("%s from %s: %d", path, origin, got)
			}
		}
	}
}

// TestD4_PageIsReadOnlyAndGated: another user of this machine reaches the port and nothing else,
// and whoever may look can't act.
func TestD4_PageIsReadOnlyAndGated(t *testing.T) {
	w := newWorld(t)
	address, token := w.open()
	open := w.enter(address, token)
	if got := w.status(address, "GET", "/v1/requests", open...); got != http.StatusOK {
		t.Fatalf("an open page: %d", got)
	}
	for name, header := range map[string][]string{
		"nothing": nil, "its cookie alone": open[:2], "its key alone": open[2:], "another key": {open[0], open[1], open[2], "x"}, "another cookie": {"Cookie", "mezu-inspector=x", open[2], open[3]},
		"a token": {"Authorization", "Bearer " + token},
	} {
		for _, path := range []string{"/v1/requests", "/v1/requests/har", "/v1/nothing"} {
			if got := w.status(address, "GET", path, header...); got != http.StatusForbidden {
				t.Errorf("%s with %s: %d", path, name, got)
			}
		}
	}
	from := append([]string{"Origin", "http://" + address}, open...)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"DELETE", "/v1/requests", 405}, {"POST", "/v1/requests/7f3a/replay", 405}, {"POST", "/v1/requests/7f3a/pin", 405}, {"PUT", "/v1/inspector/descriptors", 405}, {"POST", "/v1/inspector", 405}, {"POST", "/v1/shutdown", 405}, {"OPTIONS", "/v1/requests", 405},
		{"GET", "/v1/requests/7f3a?unmask=true", 403}, {"GET", "/v1/requests/7f3a/curl?unmask=true", 403}, {"GET", "/v1/requests/har?unmask=true", 403}, {"GET", "/v1/requests/7f3a/body/request?unmask=true", 404},
		{"GET", "/v1/status", 404}, {"GET", "/v1/tunnels", 404}, {"GET", "/v1/events", 404}, {"GET", "/v1/log", 404}, {"GET", "/v1/requests/7f3a/value/request/0", 404},
		{"GET", "/../v1/requests", 404}, {"GET", "/page.html", 404},
	} {
		if got := w.status(address, c.method, c.path, from...); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}
}

// TestToken: an address opens one page, for a while, and each browser needs its own.
func TestToken(t *testing.T) {
	w := newWorld(t)
	address, token := w.open()
	if w.enter(address, "x") != nil || w.enter(address, "") != nil {
		t.Error("no token opens it")
	}
	first := w.enter(address, token)
	if first == nil || w.enter(address, token) != nil {
		t.Error("a token is good for one exchange")
	}
	again, second := w.open()
	if again != address {
		t.Errorf("it is served at %s and %s", address, again)
	}
	other := w.enter(address, second)
	for _, open := range [][]string{first, other} {
		if got := w.status(address, "GET", "/v1/requests", open...); got != http.StatusOK {
			t.Errorf("one of two browsers: %d", got)
		}
	}
	// What belongs to two browsers is none.
	if got := w.status(address, "GET", "/v1/requests", first[0], first[1], other[2], other[3]); got != http.StatusForbidden {
		t.Errorf("a cookie with another's key: %d", got)
	}
	_, late := w.open()
	w.clock.Advance(page.TokenLife)
	if w.enter(address, late) != nil {
		t.Error("a token is too old after five minutes")
	}
	// Of many addresses the last ones can be opened.
	_, oldest := w.open()
	var newest string
	for range 16 {
		_, newest = w.open()
	}
	if w.enter(address, oldest) != nil || w.enter(address, newest) == nil {
		t.Error("the oldest address makes way")
	}
	// So do pages that are open.
	var last []string
	for range 32 {
		_, token = w.open()
		last = w.enter(address, token)
	}
	if got := w.status(address, "GET", "/v1/requests", first...); got != http.StatusForbidden {
		t.Errorf("the oldest of many pages: %d", got)
	}
	if got := w.status(address, "GET", "/v1/requests", last...); got != http.StatusOK {
		t.Errorf("the newest of many pages: %d", got)
	}
	if resp, _ := w.send(address, "POST", "/session", strings.Repeat(" ", 2<<10), "Origin", "http://"+address); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a large body: %d", resp.StatusCode)
	}
}

// TestEnds: the page is served while somebody looks, and a cookie is of one run.
func TestEnds(t *testing.T) {
	w := newWorld(t)
	address, token := w.open()
	open := w.enter(address, token)
	for range 3 {
		w.clock.Advance(page.IdleEnd - time.Second)
		if got := w.status(address, "GET", "/v1/requests", open...); got != http.StatusOK {
			t.Fatalf("somebody looks: %d", got)
		}
	}
	if n := w.held.Load(); n != 1 {
		t.Errorf("held %d times", n)
	}
	// Who may not look does not keep it.
	w.clock.Advance(page.IdleEnd - time.Second)
	if got := w.status(address, "GET", "/v1/requests"); got != http.StatusForbidden {
		t.Errorf("a stranger: %d", got)
	}
	w.clock.Advance(time.Second)
	until(t, func() bool { return w.held.Load() == 0 })
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	next, fresh := w.open()
	if next == address {
		t.Skip("the system has given the same port twice")
	}
	_, port, _ := net.SplitHostPort(next)
	_, value, _ := strings.Cut(open[1], "=")
	if got := w.status(next, "GET", "/v1/requests", "Cookie", "mezu-inspector-"+port+"="+value, open[2], open[3]); got != http.StatusForbidden {
		t.Errorf("a cookie of the run before: %d", got)
	}
	if w.enter(next, fresh) == nil {
		t.Error("the next run can't be opened")
	}
	w.end()
	if c, err := net.Dial("tcp", next); err == nil {
		c.Close()
		t.Error("it outlives the daemon")
	}
	if w.held.Load() != 0 {
		t.Error("it holds the daemon")
	}
	if _, err := w.page.Open(); err == nil {
		t.Error("it is opened when the daemon ends")
	}
}

// until waits for a condition.
func until(t *testing.T, is func() bool) {
	t.Helper()
	each := time.NewTicker(time.Millisecond)
	defer each.Stop()
	timeout := time.After(patience)
	for !is() {
		select {
		case <-each.C:
		case <-timeout:
			t.Fatal("it does not happen")
		}
	}
}

// TestPlaces: whoever takes all connections keeps nobody waiting for long, and ends with the page.
func TestPlaces(t *testing.T) {
	w := newWorld(t)
	address, _ := w.open()
	for range 100 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	w.end()
}
