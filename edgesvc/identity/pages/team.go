package pages

// Pages that only the people have who run an installation or work in it.

// linked is a form with the token of a link that stands elsewhere than in a mail.
func (v View) linked(path, token string, problems []Problem) form {
	f := v.mailed(path, token, problems)
	for i := range f.Fields {
		f.Fields[i].Label, f.Fields[i].Hint = v.say(msgLinkCode), v.say(msgLinkCodeHint)
	}
	return f
}

// BootstrapForm is what the link of a new installation leads to.
type BootstrapForm struct {
	// Token came with a form before. If it is empty, the page asks for it and for nothing
	// else.
	Token string
	Email string
	// Known says that Email is of an operator who is let in again, and chooses a password.
	Known bool
	// Site is where programs reach the control plane, for the page that asks for the token.
	Site        string
	MinPassword int
	Problems    []Problem
}

// Bootstrap makes the account of an installation's first operator, or lets an operator in
// again.
func (v View) Bootstrap(b BootstrapForm) Page {
	out := layout{status: status(b.Problems), Heading: v.say(msgBootstrapTitle)}
	f := v.linked(PathBootstrap, b.Token, b.Problems)
	switch {
	case b.Token == "":
		out.Intro = []text{v.say(msgBootstrapStart), v.say(msgBootstrapCommand, command("command", "mezu", "bootstrap", "--api", b.Site))}
		f = f.button(v.say(msgContinue))
	case b.Known:
		out.Intro = []text{v.say(msgBootstrapKnown)}
		f.Action = v.action(PathFirstOperator)
		f.Fields = []field{v.userField(b.Email), v.newPasswordField(msgPassword, b.MinPassword)}
		f = f.button(v.say(msgLoginLinkButton))
	default:
		out.Intro = []text{v.say(msgBootstrapIntro)}
		f.Action = v.action(PathFirstOperator)
		f.Fields = []field{v.emailField(b.Email), v.newPasswordField(msgPassword, b.MinPassword)}
		f = f.button(v.say(msgSignupButton))
	}
	out.Sections = []section{{Forms: []form{v.with(f, b.Problems)}}}
	return v.render(out)
}

// TeamInvitedForm is what an invitation to an organization leads to.
type TeamInvitedForm struct {
	Token    string
	Email    string
	Problems []Problem
}

// TeamInvited asks for the address that an invitation to an organization is for.
func (v View) TeamInvited(i TeamInvitedForm) Page {
	f := v.mailed(PathTeamInvited, i.Token, i.Problems)
	address := v.emailField(i.Email)
	address.Label = v.say(msgTeamInvitedEmail)
	f.Fields = append(f.Fields, address)
	return v.render(layout{
		status: status(i.Problems), Heading: v.say(msgTeamInvitedTitle), Intro: []text{v.say(msgTeamInvitedStart)},
		Sections: []section{{Forms: []form{v.with(f.button(v.say(msgContinue)), i.Problems)}}},
	})
}

// Joiner is who joins an organization.
type Joiner int

// Kinds of joiners.
const (
	JoinerNew   Joiner = iota // has no account
	JoinerKnown               // has one, and shows the password
	JoinerHere                // is logged in
)

// JoinForm is what somebody is asked who has shown an invitation.
type JoinForm struct {
	Token, Email string
	Organization string
	Joiner       Joiner
	MinPassword  int
	Reset        bool // shows the link there
	Problems     []Problem
}

// Join has somebody join the organization of an invitation.
func (v View) Join(j JoinForm) Page {
	org, who := data("organization", j.Organization), data("email", j.Email)
	f := v.form(PathJoin).hide(FieldToken, j.Token).hide(FieldEmail, j.Email)
	out := layout{status: status(j.Problems), Heading: v.say(msgJoinTitle, org)}
	switch j.Joiner {
	case JoinerHere:
		out.Intro = []text{v.say(msgJoinHere, who, org)}
	case JoinerKnown:
		out.Intro = []text{v.say(msgJoinKnown, who, org)}
		password := v.passwordField(msgPassword, FieldPassword, "current-password")
		if j.Reset {
			password.Aside = &link{Label: v.say(msgForgot), Href: v.link(PathReset)}
		}
		f.Fields = []field{v.userField(j.Email), password}
	default:
		out.Intro = []text{v.say(msgJoinNew, org)}
		f.Fields = []field{v.userField(j.Email), v.newPasswordField(msgPassword, j.MinPassword)}
	}
	out.Sections = []section{{Forms: []form{v.with(f.button(v.say(msgJoinButton)), j.Problems)}}}
	return v.render(out)
}

// LoginLinkForm is what a link to log in leads to.
type LoginLinkForm struct {
	// Token came with a form before. If it is empty, the page asks for it and for nothing
	// else; otherwise it asks for the first password.
	Token       string
	Email       string
	MinPassword int
	Problems    []Problem
}

// LoginLink logs the holder of a link in, once they have a password.
func (v View) LoginLink(l LoginLinkForm) Page {
	out := layout{status: status(l.Problems), Heading: v.say(msgLoginLinkTitle)}
	f := v.linked(PathLoginLink, l.Token, l.Problems)
	if l.Token == "" {
		out.Intro = []text{v.say(msgLoginLinkStart)}
		f = f.button(v.say(msgLogIn))
	} else {
		out.Intro = []text{v.say(msgLoginLinkIntro)}
		f.Action = v.action(PathFirstPassword)
		f.Fields = []field{v.userField(l.Email), v.newPasswordField(msgPassword, l.MinPassword)}
		f = f.button(v.say(msgLoginLinkButton))
	}
	out.Sections = []section{{Forms: []form{v.with(f, l.Problems)}}}
	return v.render(out)
}
