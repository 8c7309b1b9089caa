package browser

import (
	"strings"
	"testing"
)

// Each tab ends at its own target, and a form of the second one goes on after the first has logged
// in.
func TestN7_TwoTabs(t *testing.T) {
	each(t, func(one *tab, script bool) {
		email := one.member(one.t)
		two := one.beside()
		if !script {
			two.withoutScript()
		}
		one.visit("/my/one#section")
		two.visit("/my/two?a=b")
		one.logIn(email, password)
		one.isAt("/my/one" + section(script))
		two.logIn(email, password)
		two.isAt("/my/two?a=b")
		two.knows(email)
		one.visit("/my/one")
		one.knows(email)
	})
}

// A login page that was open while the services were started again still logs in.
func TestN6_AnOldPage(t *testing.T) {
	w := newWorld(t)
	b, email := w.visitor(t), w.member(t)
	b.visit("/my/orders")
	if err := w.dev.stop(); err != nil {
		t.Fatal(err)
	}
	if err := w.dev.start(); err != nil {
		t.Fatal(err)
	}
	b.logIn(email, password)
	b.isAt("/my/orders")
	b.knows(email)
}

// L8, N11: after the logout the back button shows nothing of the pages before, and leads to the
// login and no further.
func TestN11_BackAfterTheLogout(t *testing.T) {
	each(t, func(b *tab, _ bool) {
		email := b.member(b.t)
		b.visit("/")
		b.visit("/my/secret")
		b.logIn(email, password)
		b.says("Hello " + email)
		b.visit("/my/more")
		b.visit("/.mezu/account")
		b.visit("/.mezu/logout")
		b.press(send)
		b.says("You are logged out")
		b.asked()
		entries := len(b.history())
		for range entries - 2 { // the first one is no page of ours
			b.back()
			if text := b.text(); strings.Contains(text, email) {
				b.t.Fatalf("back at %s is what was shown before:\n%s", b.where(), text)
			}
		}
		if asked := b.asked(); len(asked) > 3*entries {
			b.t.Errorf("back leads over %q", asked)
		}
		b.isAt("/")
		b.visit("/my/secret")
		b.isAsked()
	})
}

// Where a browser keeps no cookies a page says so, and nobody is sent in circles.
func TestN15_NoCookies(t *testing.T) {
	each(t, func(b *tab, _ bool) {
		email := b.member(b.t)
		b.visit(b.cookieless + "/my/orders")
		b.isAsked()
		b.asked()
		status := b.logIn(email, password)
		if asked := b.asked(); status != 400 || len(asked) > 3 || !strings.HasPrefix(asked[len(asked)-1], "GET /.mezu/return") {
			b.t.Errorf("the login ends with %d over %q", status, asked)
		}
		b.says("cookie")
	})
}

// A form for the workload whose session has ended is not sent, and says so. From there the way
// leads back to the form.
func TestN9_AFormAfterTheEnd(t *testing.T) {
	each(t, func(b *tab, _ bool) {
		email := b.member(b.t)
		b.enter(email)
		page := "/my/form?of=" + b.address() // one that no other test looks at
		b.visit(page)
		b.world.post(b.t, b.clone(), "/.mezu/logout", nil)
		status := b.press(`#send`)
		if status != 401 {
			b.t.Errorf("the form is answered with %d", status)
		}
		b.says("Nothing was sent")
		b.press(`nav a.button`)
		b.logIn(email, password)
		b.isAt(page)
		if _, got := b.posts.Load(page); got {
			b.t.Error("the workload got the form")
		}
		b.press(`#send`)
		if s := b.saw(); s.Method != "POST" || s.URI != page {
			b.t.Errorf("the workload sees %s %s", s.Method, s.URI)
		}
	})
}
