package browser

import (
	"regexp"
	"strings"
	"testing"
)

const password = "correct horse battery staple"

// digits are those of a mail of a signup.
var digits = regexp.MustCompile(`(?m)^(\d{4} ?\d{4})$`)

// signUp signs up from the login page, where the tab is, and ends where that leads.
func (b *tab) signUp(email string) {
	b.t.Helper()
	b.press(`a[href^="/.mezu/signup"]`)
	b.fill("email", email)
	b.fill("password", password)
	b.press(`form button:not([type])`)
	m := b.mail(b.t, email, 1)
	found := digits.FindStringSubmatch(m.Text)
	if found == nil {
		b.t.Fatalf("no digits in %s", m.Text)
	}
	b.fill("code", found[1])
	b.press(`form button:not([type])`)
}

// logIn logs in at the login page, where the tab is.
func (b *tab) logIn(email, secret string) int {
	b.t.Helper()
	b.fill("email", email)
	b.fill("password", secret)
	return b.press(`form button:not([type])`)
}

// each runs a test with and without script.
func each(t *testing.T, test func(t *testing.T, b *tab, script bool)) {
	w := newWorld(t)
	t.Run("with script", func(t *testing.T) { t.Parallel(); test(t, w.visitor(t), true) })
	t.Run("without script", func(t *testing.T) { t.Parallel(); test(t, w.visitor(t).withoutScript(), false) })
}

// A visitor of a protected page signs up and arrives at it, logs out, and logs in again.
func TestN9_TheWayBack(t *testing.T) {
	each(t, func(t *testing.T, b *tab, script bool) {
		email := strings.ReplaceAll(strings.ToLower(t.Name()), "/", ".") + "@example.com"
		b.visit("/my/orders?page=2&q=%C3%A4#section")
		if !strings.HasPrefix(b.where(), "/.mezu/login?to=") {
			t.Fatalf("a stranger is at %s", b.where())
		}
		b.signUp(email)
		want := "/my/orders?page=2&q=%C3%A4"
		if script {
			want += "#section"
		}
		b.isAt(want)
		b.knows(email)
	})
}
