package pages

import "net/http"

// SignupForm is what the sign-up page shows.
type SignupForm struct {
	Email string
	// MinPassword is the least length; if zero, mezu.MinPasswordLength.
	MinPassword int
	Profile     Profile
	Terms       Terms
	Problems    []Problem
}

// Signup asks for all that an account needs.
func (v View) Signup(s SignupForm) Page {
	fields := append(v.profileFields(s.Profile), v.emailField(s.Email), v.newPasswordField(msgPassword, s.MinPassword))
	f := v.with(v.form(PathSignup, append(fields, v.termsField(s.Terms)...)...).button(v.say(msgSignupButton)), s.Problems)
	return v.render(layout{
		status: status(s.Problems), title: msgSignupTitle, Heading: v.say(msgSignupHeading, v.brand()),
		Sections: []section{{Forms: []form{f}}},
		Links:    []link{{Label: v.say(msgHaveAccount), Href: v.link(PathLogin)}},
	})
}

// CheckMailForm is what the tab shows that waits for a sign-up's mail. It is the same
// whether the address is known or not.
type CheckMailForm struct {
	Email string
	// Pending names the sign-up in the forms of the page.
	Pending  string
	Left     int // guesses
	Resent   bool
	Problems []Problem
}

// CheckMail takes the digits of the mail, or goes on when its link was used elsewhere.
func (v View) CheckMail(c CheckMailForm) Page {
	out := layout{
		status: status(c.Problems), Heading: v.say(msgCheckTitle), Keep: true,
		Intro: []text{v.say(msgCheckSignup, data("email", c.Email))},
	}
	if c.Resent {
		out.Notice = v.say(msgResent)
	}
	digits := field{Name: FieldCode, Type: "text", Label: v.say(msgDigits), Autocomplete: "one-time-code", InputMode: "numeric", MaxLength: codeLength}
	if c.Left > 0 {
		digits.Hint = v.language().count(msgGuess, msgGuesses, c.Left)
	}
	// What is wrong with going on is said there.
	var code []Problem
	var early text
	for _, p := range c.Problems {
		if p.Code == NotConfirmed {
			early = v.problem(p)
		} else {
			code = append(code, p)
		}
	}
	f := v.with(v.form(PathSignupCode, digits).hide(FieldPending, c.Pending).button(v.say(msgConfirm)), code)
	f.More = []more{
		{
			Heading: v.say(msgElsewhereHeading), Intro: v.say(msgElsewhereIntro), Alert: early,
			Button: button{Label: v.say(msgElsewhereButton), Action: v.action(PathSignupGoOn), Quiet: true},
		},
		{
			Heading: v.say(msgNoMailHeading), Intro: v.say(msgNoMailIntro),
			Button: button{Label: v.say(msgResend), Action: v.action(PathSignupResend), Quiet: true},
		},
	}
	out.Sections = []section{{Forms: []form{f}}}
	return v.render(out)
}

// VerifyForm is what a sign-up's mail leads to.
type VerifyForm struct {
	// Token came with a form before, in which case it isn't asked for again.
	Token string
	// AskPassword is for a browser in which nobody signed up. Email is whose password it is.
	AskPassword bool
	Email       string
	Problems    []Problem
}

// Verify confirms the address of a sign-up, or ends the sign-up.
func (v View) Verify(f VerifyForm) Page {
	out := layout{status: status(f.Problems), Heading: v.say(msgVerifyTitle), Intro: []text{v.say(msgVerifyIntro)}}
	one := v.mailed(PathVerify, f.Token, f.Problems)
	if f.AskPassword {
		out.Intro = []text{v.say(msgVerifyOther)}
		one.Fields = append(one.Fields, v.userField(f.Email), v.passwordField(msgVerifyOtherPassword, FieldPassword, "current-password"))
	}
	one = v.with(one.button(v.say(msgVerifyButton)), f.Problems)
	one.Buttons = append(one.Buttons, button{Label: v.say(msgNotMe), Action: v.action(PathVerifyDeny), Quiet: true})
	out.Sections = []section{{Forms: []form{one}}}
	return v.render(out)
}

// mailed is a form with the token of a mail.
func (v View) mailed(path, token string, problems []Problem) form {
	if token != "" {
		return v.form(path).hide(FieldToken, token)
	}
	f := v.form(path, v.tokenField())
	// After an error the fragment is no token any more.
	f.Token = len(problems) == 0
	return f
}

// Confirmed says, in another browser than that of the sign-up, that the address is
// confirmed.
func (v View) Confirmed() Page {
	return v.render(layout{Heading: v.say(msgConfirmedTitle), Intro: []text{v.say(msgConfirmedIntro)}})
}

// SignupEnded says that a sign-up that somebody else began is no more.
func (v View) SignupEnded() Page {
	return v.render(layout{Heading: v.say(msgSignupEndedTitle), Intro: []text{v.say(msgSignupEndedIntro)}})
}

// InvitedForm is what an invitation leads to.
type InvitedForm struct {
	// Token came with a form before. If it is empty, the page asks for it and for nothing
	// else.
	Token       string
	Email       string
	MinPassword int
	Profile     Profile
	Terms       Terms
	Problems    []Problem
}

// Invited lets an invited user choose a password.
func (v View) Invited(i InvitedForm) Page {
	out := layout{status: status(i.Problems)}
	f := v.mailed(PathInvited, i.Token, i.Problems)
	if i.Token == "" {
		out.Heading, out.Intro = v.say(msgInvitedTitle), []text{v.say(msgInvitedIntro, v.brand())}
		f = f.button(v.say(msgInvitedButton))
	} else {
		out.Heading, out.Intro = v.say(msgAcceptTitle), []text{v.say(msgAcceptIntro, v.brand())}
		f.Action = v.action(PathAccept)
		f.Fields = append(v.profileFields(i.Profile), v.userField(i.Email), v.newPasswordField(msgPassword, i.MinPassword))
		f.Fields = append(f.Fields, v.termsField(i.Terms)...)
		f = f.button(v.say(msgSignupButton))
	}
	out.Sections = []section{{Forms: []form{v.with(f, i.Problems)}}}
	return v.render(out)
}

// MailAway says that an installation sends no mail, which sign-up and reset need.
func (v View) MailAway() Page {
	return v.render(layout{
		status: http.StatusServiceUnavailable, wrong: true,
		Heading: v.say(msgMailAwayTitle), Intro: []text{v.say(msgMailAwayIntro, v.brand())},
		Links: []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}
