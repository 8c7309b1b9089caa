package browser

import (
	"encoding/json"
	"strings"
	"testing"
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
	b.visit("/")
	b.checkRefused(b.fetch("/my/app.webmanifest", `{credentials: "omit"}`))
}
