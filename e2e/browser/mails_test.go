package browser

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
)

// codeLine is the line of a mail with the code for who has no script.
var codeLine = regexp.MustCompile(`(?m)^[0-9a-z]{20}$`)

// A scanner opens the links of mails five times in a browser, scripts and all: they work for who
// the mails are for.
func TestN1_ScannersUseNothingUp(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b, email := w.visitor(t), w.address()
	b.visit("/my/orders")
	b.beginSignUp(email)
	w.scan(t, w.mail(t, email, 1).Links[0])
	b.openMail(email, 1, true)
	b.press(send)
	b.isAt("/my/orders")
	b.knows(email)

	b.visit("/.mezu/reset")
	b.fill("email", email)
	b.press(send)
	w.scan(t, w.mail(t, email, 2).Links[0])
	b.openMail(email, 2, true)
	b.press(send)
	b.fill("password", another)
	b.press(send)
	b.says("password was changed")
}

// scan opens a link five times as something does that has never been here.
func (w *world) scan(t *testing.T, link string) {
	t.Helper()
	scanner := w.visitor(t)
	for range 5 {
		scanner.visit("about:blank")
		if status := scanner.visit(link); status != 200 {
			t.Errorf("%s is answered with %d", pathOf(link), status)
		}
		if c := call(scanner, network.GetCookies, network.GetCookiesParams{}).Cookies; len(c) > 1 {
			t.Errorf("a scanner gets the cookies %v", c)
		}
	}
}

// The link of a signup is opened in another browser: it asks for the password that was chosen, and
// logs nobody in there. The tab that waited goes on.
func TestN2_TheLinkInAnotherBrowser(t *testing.T) {
	each(t, func(b *tab, script bool) {
		email := b.address()
		b.visit("/my/orders#section")
		b.beginSignUp(email)
		b.press(`button[formaction^="/.mezu/signup/continue"]`)
		b.says("not confirmed")

		other := b.world.visitor(b.t)
		if !script {
			other.withoutScript()
		}
		other.openMail(email, 1, script)
		other.press(send)
		other.says("another browser")
		other.fill("password", another)
		if status := other.press(send); status != 422 {
			b.t.Errorf("another password is answered with %d", status)
		}
		other.fill("password", password)
		other.press(send)
		other.says("confirmed")
		other.visit("/my/")
		other.isAsked()

		b.press(`button[formaction^="/.mezu/signup/continue"]`)
		b.isAt("/my/orders" + section(script))
		b.knows(email)
	})
}

// After a mailed page has loaded its token is in no address, no history, no storage, no field and
// no request but the form itself.
func TestW6_TheTokenStaysOnThePage(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b, email := w.visitor(t), w.account(t)
	b.visit("/.mezu/reset")
	b.fill("email", email)
	b.press(send)
	link := w.mail(t, email, 2).Links[0]
	_, token, _ := strings.Cut(link, "#")
	if len(token) < 40 {
		t.Fatalf("the link has no token: %s", link)
	}
	spoken := b.listen()
	b.visit(link)
	for name, expression := range map[string]string{
		"address": `location.href`, "storage": `JSON.stringify([{...localStorage}, {...sessionStorage}])`, "title": `document.title`,
		"page": `document.documentElement.outerHTML + [...document.querySelectorAll("input")].map(i => i.value)`, "name of the window": `name`,
	} {
		if got := eval[string](b, expression); strings.Contains(got, token) {
			t.Errorf("the token is in the %s", name)
		}
	}
	b.press(send)
	if shown := eval[string](b, `document.querySelector("[autocomplete=username]").value`); shown != email {
		t.Errorf("the token opens the account of %q", shown)
	}
	if at := eval[string](b, `document.referrer`); strings.Contains(at, token) {
		t.Errorf("the token is in the referrer %s", at)
	}
	b.visit("/")
	b.visit(b.foreign.URL)
	for _, h := range b.history() {
		if strings.Contains(h, token) {
			t.Errorf("the token is in the history: %s", h)
		}
	}
	sent := 0
	for _, s := range spoken() {
		if strings.Contains(s, token) {
			t.Errorf("the token is in a request: %s", s)
		}
		sent++
	}
	if sent < 4 {
		t.Errorf("only %d requests were seen", sent)
	}
}
