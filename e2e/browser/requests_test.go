package browser

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// refusal is what a script gets that asks for what needs a login.
type refusal struct {
	Status     int
	Redirected bool
	Type, Body string
}

// fetch asks for a path as a script of the page does.
func (b *tab) fetch(path, options string) refusal {
	b.t.Helper()
	return eval[refusal](b, `fetch("`+path+`", `+options+`).then(async r => ({Status: r.status, Redirected: r.redirected, Type: r.headers.get("content-type"), Body: await r.text()}))`)
}

// checkRefused: it says where to log in, and leads nowhere by itself.
func (b *tab) checkRefused(r refusal) {
	b.t.Helper()
	var problem struct {
		Code     string
		LoginURL string `json:"login_url"`
	}
	if err := json.Unmarshal([]byte(r.Body), &problem); err != nil {
		b.t.Errorf("%v in %q", err, r.Body)
	}
	if r.Status != 401 || r.Redirected || !strings.HasPrefix(r.Type, "application/problem+json") || problem.Code != "unauthenticated" || problem.LoginURL != b.at("/.mezu/login") {
		b.t.Errorf("the script gets %+v", r)
	}
}

// A script that asks for what needs a login is told so, and not sent to a page.
func TestN16_FetchIsToldToLogIn(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	b.visit("/")
	for _, options := range []string{`{}`, `{method: "POST", body: "x"}`, `{headers: {Accept: "text/html"}}`, `{credentials: "omit"}`} {
		b.checkRefused(b.fetch("/my/data", options))
	}
}

// Browsers ask for the manifest of a page without cookies, unless the page says otherwise.
func TestN17_TheManifestHasNoCookies(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	b.enter(w.member(t))
	manifests := make(chan *network.Response, 10)
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventResponseReceived); ok && e.Type == network.ResourceTypeManifest {
			manifests <- e.Response
		}
	}); err != nil {
		t.Fatal(err)
	}
	for attribute, status := range map[string]int64{"": 401, `crossorigin="use-credentials"`: 200} {
		b.visit("/manifest?" + url.QueryEscape(attribute))
		call(b, page.GetAppManifest, page.GetAppManifestParams{})
		select {
		case r := <-manifests:
			if r.Status != status || pathOf(r.URL) != "/my/app.webmanifest" {
				t.Errorf("with %q %s is answered with %d", attribute, r.URL, r.Status)
			}
		case <-time.After(patience):
			t.Error("nobody asks for the manifest")
		}
	}
}

// A preflight carries no cookie, and is refused like anybody: the request behind it is never
// sent.
func TestN19_PreflightsAreRefused(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	b.enter(w.member(t))
	b.visit(w.nextDoor())
	preflights := make(chan int64, 10)
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventResponseReceived); ok && e.Type == network.ResourceTypePreflight {
			preflights <- e.Response.Status
		}
	}); err != nil {
		t.Fatal(err)
	}
	const form = "/my/form?preflight"
	failed := eval[string](b, `fetch(%s, {method: "POST", credentials: "include", headers: {"X-Custom": "1"}}).then((r) => "status " + r.status, (e) => e.name)`, w.at(form))
	if failed != "TypeError" {
		t.Errorf("the script of another origin gets %s", failed)
	}
	select {
	case status := <-preflights:
		if status != 401 {
			t.Errorf("the preflight is answered with %d", status)
		}
	case <-time.After(patience):
		t.Error("there was no preflight")
	}
	if _, got := w.posts.Load(form); got {
		t.Error("the workload got the request")
	}
}

// nextDoor is another origin to which browsers send the cookies of the environment: its host at
// another port.
func (w *world) nextDoor() string {
	host, _, _ := strings.Cut(strings.TrimPrefix(w.url, "https://"), ":")
	_, port, _ := strings.Cut(strings.TrimPrefix(w.foreign.URL, "https://"), ":")
	return "https://" + host + ":" + port + "/"
}

// A page of another origin opens no WebSocket to what needs a login, though the browser sends the
// cookie along.
func TestT10_WebSocketsOfOtherOrigins(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b, email := w.visitor(t), w.member(t)
	refused := make(chan string, 10)
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventWebSocketFrameError); ok {
			refused <- e.ErrorMessage
		}
	}); err != nil {
		t.Fatal(err)
	}
	const nobody, forbidden = "401", "403" // of these Chromium names the second alone, over HTTP/2
	const open = `new Promise((ok) => { const s = new WebSocket(%s); s.onmessage = (e) => ok(e.data); s.onerror = () => ok(""); })`
	address := "wss" + strings.TrimPrefix(w.at("/my/socket"), "https")
	for _, one := range []struct {
		page, why, gets string
		enter           bool
	}{
		{page: w.url, why: nobody}, {page: w.nextDoor(), why: forbidden}, {page: w.nextDoor(), why: forbidden, enter: true}, {page: w.url, gets: email},
	} {
		if one.enter {
			b.enter(email)
		}
		b.visit(one.page)
		if got := eval[string](b, open, address); got != one.gets {
			t.Errorf("a page of %s gets %q", one.page, got)
		}
		if one.why == "" {
			continue
		}
		// Whoever the user is: the origin is judged before the login.
		select {
		case why := <-refused:
			if strings.Contains(why, forbidden) != (one.why == forbidden) {
				t.Errorf("a page of %s is refused: %s", one.page, why)
			}
		case <-time.After(patience):
			t.Error("nothing was refused")
		}
	}
}

// What is fetched in advance, or by a script, logs nobody out.
func TestN12_PrefetchingLogsNobodyOut(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b, email := w.visitor(t), w.member(t)
	b.enter(email)
	b.visit("/prefetch")
	b.eventually("the page to be prefetched", func() bool {
		return eval[bool](b, `performance.getEntriesByType("resource").some((e) => e.name.endsWith("/.mezu/logout"))`)
	})
	if status := eval[int](b, `fetch("/.mezu/logout").then((r) => r.status)`); status != 200 {
		t.Errorf("the page is answered with %d", status)
	}
	b.visit("/my/")
	b.knows(email)
}

// Password managers know the fields of the login by what the browser makes of them, and a password
// can be pasted.
func TestN13_PasswordManagersKnowTheFields(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	const fields = `[...document.querySelectorAll("input:not([type=hidden])")].map((i) => i.type + " " + i.autocomplete).join(", ")`
	for _, one := range []struct{ path, want string }{
		{"/.mezu/login", "email username, password current-password"},
		{"/.mezu/signup", "email username, password new-password"},
		{"/.mezu/reset", "email username"},
	} {
		b.visit(one.path)
		if got := eval[string](b, fields); got != one.want {
			t.Errorf("%s has the fields %s", one.path, got)
		}
	}
	b.visit("/.mezu/login")
	b.fill("password", password)
	if got := eval[string](b, `document.querySelector("[type=password]").value`); got != password {
		t.Errorf("what was pasted is %q", got)
	}
}
