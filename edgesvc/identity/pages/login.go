package pages

import (
	"net/http"
	"time"
)

// LoginForm is what the login page shows.
type LoginForm struct {
	Email    string
	Problems []Problem
	// Wait is how long nobody may try again from here; if zero, they may.
	Wait time.Duration
	// Signup and Reset show the links there.
	Signup, Reset bool
	// Notice is what went well before, if anything did.
	Notice Notice
}

// Notice says what went well.
type Notice string

// Notices of the login and account pages.
const (
	PasswordSaved Notice = "password_saved"
	ProfileSaved  Notice = "profile_saved"
	MailSent      Notice = "mail_sent" // to the new address, which confirms it
	MailChanged   Notice = "mail_changed"
	SessionEnded  Notice = "session_ended"
	OthersEnded   Notice = "others_ended"
)

func (v View) notice(n Notice, email string) text {
	switch n {
	case PasswordSaved:
		return v.say(msgPasswordSaved)
	case ProfileSaved:
		return v.say(msgProfileSaved)
	case MailSent:
		return v.say(msgMailSent, data("email", email))
	case MailChanged:
		return v.say(msgMailChangedIntro, data("email", email))
	case SessionEnded:
		return v.say(msgSessionEnded)
	case OthersEnded:
		return v.say(msgOthersEnded)
	default:
		return nil
	}
}

// Login asks for address and password.
func (v View) Login(l LoginForm) Page {
	password := v.passwordField(msgPassword, FieldPassword, "current-password")
	if l.Reset {
		password.Aside = &link{Label: v.say(msgForgot), Href: v.link(PathReset)}
	}
	f := v.with(v.form(PathLogin, v.emailField(l.Email), password).button(v.say(msgLogIn)), l.Problems)
	out := layout{
		status: status(l.Problems), title: msgLoginTitle, Heading: v.say(msgLoginHeading, v.brand()),
		Notice: v.notice(l.Notice, l.Email), Forget: true,
	}
	if l.Wait > 0 {
		out.status, out.retry = http.StatusTooManyRequests, l.Wait
		f.Alert = v.say(msgWaitLogin, plain("time", v.language().length(l.Wait)))
	}
	if l.Signup {
		out.Links = []link{{Label: v.say(msgCreateOne), Href: v.link(PathSignup)}}
	}
	out.Sections = []section{{Forms: []form{f}}}
	return v.render(out)
}

// Logout asks before it logs out.
func (v View) Logout(email string) Page {
	stay := "/"
	if v.returns() {
		stay = v.To
	}
	return v.render(layout{
		Heading:  v.say(msgLogoutTitle),
		Intro:    []text{v.say(msgLoggedInAs, data("email", email))},
		Sections: []section{{Forms: []form{v.form(PathLogout).button(v.say(msgLogOut))}}},
		Links:    []link{{Label: v.say(msgStay), Href: stay}},
	})
}

// LoggedOut says that it is done.
func (v View) LoggedOut() Page {
	return v.render(layout{
		Heading: v.say(msgLoggedOutTitle),
		Intro:   []text{v.say(msgLoggedOutIntro)},
		Links:   []link{{Label: v.say(msgLogInAgain), Href: v.link(PathLogin)}},
	})
}

// TermsForm asks to accept terms of use that are new.
type TermsForm struct {
	// Pending names the login that waits for the answer.
	Pending  string
	Terms    Terms
	Problems []Problem
}

// AcceptTerms asks to accept a new version of the terms of use.
func (v View) AcceptTerms(t TermsForm) Page {
	f := v.with(v.form(PathTerms, v.termsField(t.Terms)...).hide(FieldPending, t.Pending).button(v.say(msgTermsButton)), t.Problems)
	return v.render(layout{
		status: status(t.Problems), Heading: v.say(msgTermsTitle),
		Intro:    []text{v.say(msgTermsIntro, v.brand())},
		Sections: []section{{Forms: []form{f}}},
		Links:    []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}

// ProfileForm asks for what is missing of a profile.
type ProfileForm struct {
	// Pending names the login that waits for the answer.
	Pending  string
	Profile  Profile
	Problems []Problem
}

// CompleteProfile asks for what a directory requires and a user has not said yet.
func (v View) CompleteProfile(p ProfileForm) Page {
	f := v.with(v.form(PathProfile, v.profileFields(p.Profile)...).hide(FieldPending, p.Pending).button(v.say(msgContinue)), p.Problems)
	return v.render(layout{
		status: status(p.Problems), Heading: v.say(msgProfileTitle),
		Intro:    []text{v.say(msgProfileIntro, v.brand())},
		Sections: []section{{Forms: []form{f}}},
		Links:    []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}
