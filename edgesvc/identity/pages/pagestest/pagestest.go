// Package pagestest renders every hosted page, for tests of package pages and for those that
// look at pages in a browser.
//
// What lives here: each page with the words of a usual visit, or with others. What may not:
// anything that a program needs. Only tests import it.
package pagestest

import (
	"fmt"
	"maps"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// Words are what people and tenants wrote.
type Words struct {
	Brand, Color, Logo, To, Email, Name, Terms, Pending, Token, Agent, Address, Role, Session, Request string
}

// Usual are words of a usual visit.
func Usual() Words {
	return Words{
		Brand: "Acme", Color: "#e8590c", To: "/orders?open=1", Email: "ann@example.com", Name: "Ann",
		Terms: "https://example.com/terms", Pending: "p1", Token: "t1", Session: "s1", Request: "req-1", Role: "shop/staff",
		Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Address: "2001:db8:1234:5678:9abc:def0:1234:5678",
	}
}

// View is that of a visit to an environment.
func (w Words) View(language string) pages.View {
	return pages.View{
		Base: "/.mezu/", Brand: pages.Brand{Name: w.Brand, Color: w.Color, Logo: w.Logo}, Language: language, To: w.To, RequestID: w.Request,
	}
}

// All renders every page, with and without problems.
func (w Words) All(language string) map[string]pages.Page {
	out := w.Plain(language)
	maps.Copy(out, w.Wrong(language))
	return out
}

func (w Words) profile() pages.Profile {
	return pages.Profile{Name: w.Name, DisplayName: w.Name, AskName: true, AskDisplayName: true}
}

func (w Words) account(sessions, logins int) pages.AccountPage {
	out := pages.AccountPage{Email: w.Email, NewEmail: w.Email, Profile: w.profile(), Notice: pages.MailSent}
	for i := range sessions {
		out.Sessions = append(out.Sessions, pages.Session{ID: w.Session + fmt.Sprint(i), Agent: w.Agent, Address: w.Address, LastSeen: noon(), This: i == 0})
	}
	outcomes := []mezu.LoginOutcome{mezu.LoginSucceeded, mezu.LoginFailed, mezu.LoginRefused}
	for i := range logins {
		out.Logins = append(out.Logins, pages.Login{Agent: w.Agent, Address: w.Address, Time: noon(), Outcome: outcomes[i%3]})
	}
	return out
}

// quiet is an account page on which nothing was done yet.
func (w Words) quiet(a pages.AccountPage) pages.AccountPage {
	a.Notice, a.NewEmail = "", ""
	return a
}

// Plain renders every page as it is when all goes well, and every page that says what is
// wrong.
func (w Words) Plain(language string) map[string]pages.Page {
	v, profile, terms := w.View(language), w.profile(), pages.Terms{URL: w.Terms, Version: w.Token}
	out := map[string]pages.Page{
		"login":           v.Login(pages.LoginForm{Signup: true, Reset: true}),
		"login-wait":      v.Login(pages.LoginForm{Email: w.Email, Reset: true, Wait: 90 * time.Second}),
		"signup":          v.Signup(pages.SignupForm{Profile: profile, Terms: terms}),
		"check-mail":      v.CheckMail(pages.CheckMailForm{Email: w.Email, Pending: w.Pending, Left: 5, Resent: true}),
		"verify":          v.Verify(pages.VerifyForm{}),
		"verify-password": v.Verify(pages.VerifyForm{Token: w.Token, AskPassword: true, Email: w.Email}),
		"confirmed":       v.Confirmed(),
		"signup-ended":    v.SignupEnded(),
		"reset":           v.Reset(pages.ResetForm{}),
		"reset-sent":      v.ResetSent(w.Email),
		"new-password":    v.NewPassword(pages.NewPasswordForm{}),
		"set-password":    v.NewPassword(pages.NewPasswordForm{Token: w.Token, Email: w.Email}),
		"changed":         v.PasswordChanged(),
		"invited":         v.Invited(pages.InvitedForm{}),
		"accept":          v.Invited(pages.InvitedForm{Token: w.Token, Email: w.Email, Profile: profile, Terms: terms}),
		"bootstrap":       v.Bootstrap(pages.BootstrapForm{Site: w.Name}),
		"operator-again":  v.Bootstrap(pages.BootstrapForm{Token: w.Token, Email: w.Email, Known: true}),
		"other-host":      v.OtherHost(w.Name),
		"first-operator":  v.Bootstrap(pages.BootstrapForm{Token: w.Token}),
		"team-invited":    v.TeamInvited(pages.TeamInvitedForm{}),
		"join-new":        v.Join(pages.JoinForm{Token: w.Token, Email: w.Email, Organization: w.Role}),
		"join-known":      v.Join(pages.JoinForm{Token: w.Token, Email: w.Email, Organization: w.Role, Joiner: pages.JoinerKnown, Reset: true}),
		"join-here":       v.Join(pages.JoinForm{Token: w.Token, Email: w.Email, Organization: w.Role, Joiner: pages.JoinerHere}),
		"login-link":      v.LoginLink(pages.LoginLinkForm{}),
		"first-password":  v.LoginLink(pages.LoginLinkForm{Token: w.Token, Email: w.Email}),
		"terms":           v.AcceptTerms(pages.TermsForm{Pending: w.Pending, Terms: terms}),
		"profile":         v.CompleteProfile(pages.ProfileForm{Pending: w.Pending, Profile: profile}),
		"account":         v.Account(w.quiet(w.account(3, 5))),
		"account-alone":   v.Account(pages.AccountPage{Email: w.Email, Outside: true}),
		"account-full":    v.Account(w.account(mostSessions, mezu.MaxLogins)),
		"mail-change":     v.ConfirmMail(pages.MailChangeForm{}),
		"mail-confirmed":  v.MailConfirmed(w.Email),
		"logout":          v.Logout(w.Email),
		"logged-out":      v.LoggedOut(),
		"cookie":          v.CookieNotKept(),
		"denied":          v.Denied(pages.Denial{Email: w.Email, Roles: []string{w.Role, w.Role}, Permissions: []string{w.Role}, AnyPermissions: []string{w.Role}}),
		"link":            v.LinkUsed(),
		"wait":            v.Wait(10 * time.Second),
		"not-sent":        v.FormNotSent(),
		"away":            v.LoginAway(),
		"busy":            v.Overloaded(3 * time.Second),
		"no-directory":    v.NoDirectory(),
		"suspended":       v.Suspended(w.Email),
		"inactive":        v.Inactive(w.Email),
		"mail-away":       v.MailAway(),
		"not-found":       v.NotFound(),
		"program":         v.AllowProgram(pages.AllowProgramForm{Program: "mezu", At: "http://127.0.0.1:40123", Email: w.Email, Request: [][2]string{{"state", w.Token}}}),
		"program-unknown": v.ProgramUnknown(),
		"device":          v.Device(pages.DeviceForm{}),
		"device-wait":     v.Device(pages.DeviceForm{Wait: 9 * time.Minute}),
		"device-allow":    v.AllowDevice(pages.AllowDeviceForm{Code: w.Token, Program: "mezu", Agent: w.Agent, Address: w.Address, Time: noon(), Email: w.Email}),
		"device-allowed":  v.DeviceAllowed(),
		"device-denied":   v.DeviceDenied(),
		"device-off":      v.DeviceOff(),
		"failed":          v.Failed(),
	}
	for _, n := range []pages.Notice{pages.PasswordSaved, pages.ProfileSaved, pages.MailChanged, pages.SessionEnded, pages.OthersEnded} {
		out["login-"+string(n)] = v.Login(pages.LoginForm{Email: w.Email, Notice: n})
	}
	return out
}

// Wrong renders every form with every problem.
func (w Words) Wrong(language string) map[string]pages.Page {
	v, profile, terms := w.View(language), w.profile(), pages.Terms{URL: w.Terms, Version: w.Token}
	out := map[string]pages.Page{}
	for _, c := range Codes() {
		problems := []pages.Problem{{Code: c, N: 3}}
		out["login-"+string(c)] = v.Login(pages.LoginForm{Email: w.Email, Problems: problems})
		out["signup-"+string(c)] = v.Signup(pages.SignupForm{Email: w.Email, Profile: profile, Terms: terms, Problems: problems})
		out["check-mail-"+string(c)] = v.CheckMail(pages.CheckMailForm{Email: w.Email, Pending: w.Pending, Left: 1, Problems: problems})
		out["verify-"+string(c)] = v.Verify(pages.VerifyForm{Problems: problems})
		out["verify-password-"+string(c)] = v.Verify(pages.VerifyForm{Token: w.Token, AskPassword: true, Email: w.Email, Problems: problems})
		out["reset-"+string(c)] = v.Reset(pages.ResetForm{Email: w.Email, Problems: problems})
		out["new-password-"+string(c)] = v.NewPassword(pages.NewPasswordForm{Problems: problems})
		out["set-password-"+string(c)] = v.NewPassword(pages.NewPasswordForm{Token: w.Token, Email: w.Email, Problems: problems})
		out["accept-"+string(c)] = v.Invited(pages.InvitedForm{Token: w.Token, Email: w.Email, Profile: profile, Terms: terms, Problems: problems})
		out["first-operator-"+string(c)] = v.Bootstrap(pages.BootstrapForm{Token: w.Token, Email: w.Email, Problems: problems})
		out["team-invited-"+string(c)] = v.TeamInvited(pages.TeamInvitedForm{Token: w.Token, Email: w.Email, Problems: problems})
		out["join-known-"+string(c)] = v.Join(pages.JoinForm{Token: w.Token, Email: w.Email, Organization: w.Role, Joiner: pages.JoinerKnown, Problems: problems})
		out["first-password-"+string(c)] = v.LoginLink(pages.LoginLinkForm{Token: w.Token, Email: w.Email, Problems: problems})
		out["terms-"+string(c)] = v.AcceptTerms(pages.TermsForm{Pending: w.Pending, Terms: terms, Problems: problems})
		out["profile-"+string(c)] = v.CompleteProfile(pages.ProfileForm{Pending: w.Pending, Profile: profile, Problems: problems})
		out["mail-change-"+string(c)] = v.ConfirmMail(pages.MailChangeForm{Problems: problems})
		out["refused-"+string(c)] = v.Refused(c)
		out["device-"+string(c)] = v.Device(pages.DeviceForm{Problems: problems})
		for _, path := range []string{pages.PathAccountProfile, pages.PathAccountMail, pages.PathAccountPass} {
			refused := w.account(2, 0)
			refused.Form, refused.Problems = path, problems
			out["account-"+path+"-"+string(c)] = v.Account(refused)
		}
	}
	return out
}

// mostSessions is how many an account has at most.
const mostSessions = 50

// noon is when everything happened.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// Codes are all codes of problems.
func Codes() []pages.Code {
	return []pages.Code{
		pages.WrongLogin, pages.WrongPassword, pages.EmailInvalid, pages.DomainNotAllowed, pages.PasswordShort, pages.PasswordLong,
		pages.PasswordCommon, pages.PasswordRepeated, pages.PasswordRun, pages.PasswordContext, pages.NameMissing, pages.NameInvalid,
		pages.DisplayMissing, pages.DisplayInvalid, pages.TermsMissing, pages.CodeWrong, pages.TokenWrong, pages.NotConfirmed, pages.InvitationWrong,
		pages.FormOld, pages.FormLarge, pages.FormMalformed, pages.FormForeign,
	}
}
