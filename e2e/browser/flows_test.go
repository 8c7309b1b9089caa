package browser

import (
	"strings"
	"testing"
)

const (
	password = "correct horse battery staple"
	another  = "staple battery horse correct"
)

// send is the button that sends the first form of a page.
const send = `form button:not([type]):not([formaction])`

// signUp signs up from the login page, where the tab is, and ends where the digits lead.
func (b *tab) signUp(email string) {
	b.t.Helper()
	b.beginSignUp(email)
	b.fill("code", b.digits(b.t, email))
	b.press(send)
}

// beginSignUp does so until the tab waits for the mail.
func (b *tab) beginSignUp(email string) {
	b.t.Helper()
	b.press(`a[href^="/.mezu/signup"]`)
	b.fill("email", email)
	b.fill("password", password)
	b.press(send)
}

// logIn logs in at the login page, where the tab is.
func (b *tab) logIn(email, secret string) int {
	b.t.Helper()
	b.fill("email", email)
	b.fill("password", secret)
	return b.press(send)
}

// isAsked fails the test if the tab is not where people log in.
func (b *tab) isAsked() {
	b.t.Helper()
	if at := b.where(); !strings.HasPrefix(at, "/.mezu/login") {
		b.t.Fatalf("the tab is at %s, and nobody has to log in:\n%s", at, b.text())
	}
}

// each runs a test with and without script.
func each(t *testing.T, test func(b *tab, script bool)) {
	w := newWorld(t)
	t.Run("with script", func(t *testing.T) { t.Parallel(); test(w.visitor(t), true) })
	t.Run("without script", func(t *testing.T) { t.Parallel(); test(w.visitor(t).withoutScript(), false) })
}

// section is what a fragment becomes: a script keeps it.
func section(script bool) string {
	if script {
		return "#section"
	}
	return ""
}

// A visitor of a protected page signs up and arrives at it, logs out, and logs in again. N8: at
// the very place in the page.
func TestN9_TheWayBack(t *testing.T) {
	each(t, func(b *tab, script bool) {
		const page = "/my/orders?page=2&q=%C3%A4"
		email := b.address()
		b.visit(page + "#section")
		b.isAsked()
		b.signUp(email)
		b.isAt(page + section(script))
		b.knows(email)
		b.asserts(email)

		b.visit("/.mezu/logout")
		b.says(email)
		b.press(send)
		b.says("You are logged out")
		b.visit(page + "#section")
		b.isAsked()
		if status := b.logIn(email, another); status != 422 {
			b.t.Errorf("another password is answered with %d", status)
		}
		b.asked()
		b.logIn(email, password)
		b.isAt(page + section(script))
		b.knows(email)
		// N15: the form, the visit that looks for the cookie, and the page.
		if asked := b.asked(); len(asked) != 3 {
			b.t.Errorf("the login leads over %q", asked)
		}
	})
}

// A password is reset by mail, and the way back leads to the same place. Other browsers are
// logged out.
func TestN8_TheFragmentOutlivesAReset(t *testing.T) {
	each(t, func(b *tab, script bool) {
		email := b.account(b.t)
		other := b.world.visitor(b.t)
		other.enter(email)
		other.visit("/my/")
		other.knows(email)

		b.visit("/my/orders#section")
		b.press(`a[href^="/.mezu/reset"]`)
		b.fill("email", email)
		b.press(send)
		b.says(email)
		b.openMail(email, 2, script)
		b.press(send)
		b.fill("password", another)
		b.press(send)
		b.press(`nav a.button`)
		b.isAsked()
		b.logIn(email, another)
		b.isAt("/my/orders" + section(script))
		b.knows(email)

		other.eventually("the other browser to be logged out", func() bool { other.visit("/my/"); return strings.HasPrefix(other.where(), "/.mezu/login") })
		if m := b.mail(b.t, email, 3); !strings.Contains(m.Text, "/.mezu/reset") {
			b.t.Errorf("the owner is told %q", m.Text)
		}
	})
}

// openMail opens the link of the nth mail that somebody got. Without a script the code that stands
// in the mail is pasted.
func (b *tab) openMail(email string, nth int, script bool) {
	b.t.Helper()
	m := b.mail(b.t, email, nth)
	if len(m.Links) != 1 {
		b.t.Fatalf("the mail has the links %q", m.Links)
	}
	b.visit(m.Links[0])
	if !script {
		b.fill("token", codeLine.FindString(m.Text))
	}
}

// A signup goes on by its link in another tab of the same browser, at the place in the page from
// where it began.
func TestN8_TheFragmentOutlivesASignup(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b, email := w.visitor(t), w.address()
	b.visit("/my/orders?page=3#section")
	b.beginSignUp(email)
	second := b.beside()
	second.openMail(email, 1, true)
	second.press(send)
	second.isAt("/my/orders?page=3#section")
	second.knows(email)
	// The tab that waited goes on too: who is logged in needs no digits.
	b.visit("/my/orders#section")
	b.isAt("/my/orders#section")
}

// Who is logged in twice ends the other session on the account page.
func TestAccount_EndsAnotherSession(t *testing.T) {
	each(t, func(b *tab, _ bool) {
		email := b.account(b.t)
		other := b.world.visitor(b.t)
		other.enter(email)
		b.visit("/.mezu/account")
		b.logIn(email, password)
		b.isAt("/.mezu/account")
		b.press(`button[formaction^="/.mezu/account/end-others"]`)
		b.says("logged out")
		other.eventually("the other session to be over", func() bool { other.visit("/my/"); return strings.HasPrefix(other.where(), "/.mezu/login") })
		b.visit("/my/")
		b.knows(email)
	})
}
