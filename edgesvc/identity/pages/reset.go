package pages

// ResetForm is what the page shows that sends a mail for a new password.
type ResetForm struct {
	Email    string
	Problems []Problem
}

// Reset asks for the address.
func (v View) Reset(r ResetForm) Page {
	f := v.with(v.form(PathReset, v.emailField(r.Email)).button(v.say(msgResetButton)), r.Problems)
	return v.render(layout{
		status: status(r.Problems), Heading: v.say(msgResetTitle),
		Intro:    []text{v.say(msgResetIntro)},
		Sections: []section{{Forms: []form{f}}},
		Links:    []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}

// ResetSent says that a mail is on its way, if there is an account for the address.
func (v View) ResetSent(email string) Page {
	return v.render(layout{
		Heading: v.say(msgCheckTitle), Keep: true,
		Intro: []text{v.say(msgCheckReset, data("email", email)), v.say(msgNoMailIntro)},
		Links: []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}

// NewPasswordForm is what the mail of a reset leads to.
type NewPasswordForm struct {
	// Token came with a form before. If it is empty, the page asks for it and for nothing
	// else.
	Token       string
	Email       string
	MinPassword int
	Problems    []Problem
}

// NewPassword lets the owner of an address choose a password.
func (v View) NewPassword(n NewPasswordForm) Page {
	out := layout{status: status(n.Problems), Heading: v.say(msgNewPasswordTitle)}
	f := v.mailed(PathNewPassword, n.Token, n.Problems)
	if n.Token == "" {
		out.Intro = []text{v.say(msgNewPasswordStart)}
		f = f.button(v.say(msgContinue))
	} else {
		out.Intro = []text{v.say(msgNewPasswordIntro)}
		f.Action = v.action(PathSetPassword)
		f.Fields = []field{v.userField(n.Email), v.newPasswordField(msgNewPassword, n.MinPassword)}
		f = f.button(v.say(msgNewPasswordButton))
	}
	out.Sections = []section{{Forms: []form{v.with(f, n.Problems)}}}
	return v.render(out)
}

// PasswordChanged says so, and that everybody logs in anew.
func (v View) PasswordChanged() Page {
	return v.render(layout{
		Heading: v.say(msgPasswordChangedTitle), Intro: []text{v.say(msgPasswordChangedIntro)},
		Links: []link{{Label: v.say(msgLogIn), Href: v.link(PathLogin), Button: true}},
	})
}
