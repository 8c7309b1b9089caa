package pages_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// view is that of a visit to an environment.
func view() pages.View {
	return pages.View{Base: "/.mezu/", Brand: pages.Brand{Name: "Acme", Color: "#e8590c"}, Language: "en", To: "/orders?open=1", RequestID: "req-1"}
}

// all renders every page, with and without what can go wrong.
func all(v pages.View) map[string]pages.Page {
	profile := pages.Profile{Name: "Ann", AskName: true, AskDisplayName: true}
	terms := pages.Terms{URL: "https://example.com/terms", Version: "2026-01"}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	wrong := func(c pages.Code, n int) []pages.Problem { return []pages.Problem{{Code: c, N: n}} }
	agent := "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	phone := "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	account := pages.AccountPage{
		Email: "ann@example.com", Profile: profile,
		Sessions: []pages.Session{
			{ID: "s1", Agent: agent, Address: "192.0.2.1", LastSeen: now, This: true},
			{ID: "s2", Agent: phone, Address: "2001:db8::1", LastSeen: now},
		},
		Logins: []pages.Login{{Time: now, Address: "192.0.2.1", Agent: agent, Outcome: "succeeded"}, {Time: now, Address: "198.51.100.7", Agent: "curl/8.1", Outcome: "failed"}},
	}
	refused := account
	refused.Form, refused.Problems = pages.PathAccountPass, []pages.Problem{{Code: pages.WrongPassword}, {Code: pages.PasswordCommon}}
	return map[string]pages.Page{
		"login":             v.Login(pages.LoginForm{Signup: true, Reset: true}),
		"login-wrong":       v.Login(pages.LoginForm{Email: "ann@example.com", Signup: true, Reset: true, Problems: wrong(pages.WrongLogin, 0)}),
		"login-wait":        v.Login(pages.LoginForm{Email: "ann@example.com", Reset: true, Wait: 90 * time.Second}),
		"login-old":         v.Login(pages.LoginForm{Email: "ann@example.com", Problems: wrong(pages.FormOld, 0)}),
		"signup":            v.Signup(pages.SignupForm{Profile: profile, Terms: terms}),
		"signup-wrong":      v.Signup(pages.SignupForm{Email: "ann", Profile: pages.Profile{AskName: true}, Terms: terms, Problems: []pages.Problem{{Code: pages.EmailInvalid}, {Code: pages.PasswordShort, N: 15}, {Code: pages.NameMissing}, {Code: pages.TermsMissing}}}),
		"check-mail":        v.CheckMail(pages.CheckMailForm{Email: "ann@example.com", Pending: "p1", Left: 5}),
		"check-mail-wrong":  v.CheckMail(pages.CheckMailForm{Email: "ann@example.com", Pending: "p1", Left: 1, Problems: []pages.Problem{{Code: pages.CodeWrong, N: 1}, {Code: pages.NotConfirmed}}}),
		"check-mail-again":  v.CheckMail(pages.CheckMailForm{Email: "ann@example.com", Pending: "p1", Left: 5, Resent: true}),
		"verify":            v.Verify(pages.VerifyForm{}),
		"verify-wrong":      v.Verify(pages.VerifyForm{Problems: wrong(pages.TokenWrong, 0)}),
		"verify-password":   v.Verify(pages.VerifyForm{Token: "t", AskPassword: true, Email: "ann@example.com"}),
		"verify-password-x": v.Verify(pages.VerifyForm{Token: "t", AskPassword: true, Email: "ann@example.com", Problems: wrong(pages.WrongPassword, 0)}),
		"confirmed":         v.Confirmed(),
		"signup-ended":      v.SignupEnded(),
		"reset":             v.Reset(pages.ResetForm{}),
		"reset-sent":        v.ResetSent("ann@example.com"),
		"new-password-1":    v.NewPassword(pages.NewPasswordForm{}),
		"new-password-2":    v.NewPassword(pages.NewPasswordForm{Token: "t", Email: "ann@example.com", Problems: wrong(pages.PasswordRun, 0)}),
		"password-changed":  v.PasswordChanged(),
		"invited-1":         v.Invited(pages.InvitedForm{}),
		"invited-2":         v.Invited(pages.InvitedForm{Token: "t", Email: "ann@example.com", Profile: profile, Terms: terms}),
		"terms":             v.AcceptTerms(pages.TermsForm{Terms: terms}),
		"terms-wrong":       v.AcceptTerms(pages.TermsForm{Terms: terms, Problems: wrong(pages.TermsMissing, 0)}),
		"profile":           v.CompleteProfile(pages.ProfileForm{Profile: profile}),
		"account":           v.Account(account),
		"account-wrong":     v.Account(refused),
		"mail-change":       v.ConfirmMail(pages.MailChangeForm{}),
		"mail-confirmed":    v.MailConfirmed("ann@example.org"),
		"logout":            v.Logout("ann@example.com"),
		"logged-out":        v.LoggedOut(),
		"cookie":            v.CookieNotKept(),
		"denied":            v.Denied(pages.Denial{Email: "ann@example.com", Roles: []string{"shop/staff", "shop/admin"}, Permissions: []string{"orders.read"}, AnyPermissions: []string{"a", "b"}}),
		"link":              v.LinkUsed(),
		"wait":              v.Wait(10 * time.Second),
		"not-sent":          v.FormNotSent(),
		"away":              v.LoginAway(),
		"busy":              v.Overloaded(3 * time.Second),
		"no-directory":      v.NoDirectory(),
		"suspended":         v.Suspended("ann@example.com"),
		"inactive":          v.Inactive("ann@example.com"),
		"mail-away":         v.MailAway(),
		"refused-large":     v.Refused(pages.FormLarge),
		"refused-malformed": v.Refused(pages.FormMalformed),
		"refused-foreign":   v.Refused(pages.FormForeign),
		"not-found":         v.NotFound(),
		"failed":            v.Failed(),
	}
}

// maxPage is what one page may weigh.
const maxPage = 40 << 10

func TestEveryPageRenders(t *testing.T) {
	for _, v := range []pages.View{view(), {}} {
		for name, p := range all(v) {
			if len(p.Body) == 0 || len(p.Body) > maxPage || !bytes.Contains(p.Body, []byte("</html>")) {
				t.Errorf("%s has %d bytes", name, len(p.Body))
			}
		}
	}
}
