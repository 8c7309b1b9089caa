package pages

import (
	"time"

	"github.com/mezusphere/mezu"
)

// AccountPage is what users see of their account.
type AccountPage struct {
	Email       string
	MinPassword int
	Profile     Profile
	// Notice is what a form before has done. NewEmail is the address that a mail went to.
	Notice   Notice
	NewEmail string
	// Form is the path of the form that Problems are about.
	Form     string
	Problems []Problem
	Sessions []Session
	Logins   []Login
}

// Session is one place where the user is logged in.
type Session struct {
	ID string
	// Agent is the User-Agent of the browser.
	Agent    string
	Address  string
	Began    time.Time
	LastSeen time.Time
	// This is the session that looks at the page.
	This bool
}

// Login is one attempt to log in as the user.
type Login struct {
	Time    time.Time
	Address string
	Agent   string
	Outcome mezu.LoginOutcome
}

// Account shows the account with its forms.
func (v View) Account(a AccountPage) Page {
	of := func(path string, f form) form {
		if a.Form != path {
			return f
		}
		return v.with(f, a.Problems)
	}
	out := layout{
		status: status(a.Problems), Heading: v.say(msgAccountTitle), Wide: true,
		Notice: v.notice(a.Notice, a.NewEmail),
	}
	if fields := v.profileFields(a.Profile); len(fields) > 0 {
		out.Sections = append(out.Sections, section{
			Heading: v.say(msgProfileHeading),
			Forms:   []form{of(PathAccountProfile, v.form(PathAccountProfile, fields...).button(v.say(msgSave)))},
		})
	}
	out.Sections = append(out.Sections,
		section{
			Heading: v.say(msgMailHeading), Intro: []text{v.say(msgMailIntro, data("email", a.Email))},
			Forms: []form{of(PathAccountMail, v.form(PathAccountMail,
				field{Name: FieldEmail, Type: "email", Label: v.say(msgNewEmail), Value: a.NewEmail, Autocomplete: "email", MaxLength: emailLength},
				v.passwordField(msgCurrentPassword, FieldCurrent, "current-password")).button(v.say(msgMailButton)))},
		},
		section{
			Heading: v.say(msgPasswordHeading), Intro: []text{v.say(msgPasswordIntro)},
			Forms: []form{of(PathAccountPass, v.form(PathAccountPass, v.userField(a.Email),
				v.passwordField(msgCurrentPassword, FieldCurrent, "current-password"),
				v.newPasswordField(msgNewPassword, a.MinPassword)).button(v.say(msgPasswordButton)))},
		},
		v.sessions(a.Sessions),
	)
	if len(a.Logins) > 0 {
		out.Sections = append(out.Sections, v.logins(a.Logins))
	}
	out.Sections = append(out.Sections, section{Forms: []form{v.form(PathLogout).quiet(v.say(msgLogOut))}})
	back := "/"
	if v.returns() {
		back = v.To
	}
	out.Links = []link{{Label: v.say(msgBack, v.brand()), Href: back}}
	return v.render(out)
}

func (v View) sessions(all []Session) section {
	s := section{Heading: v.say(msgSessionsHeading), Intro: []text{v.say(msgSessionsIntro)}}
	for _, one := range all {
		i := item{Title: v.device(one.Agent), Lines: []line{{Value: one.Address}, v.at(msgSince, one.Began), v.at(msgLastSeen, one.LastSeen)}}
		if one.This {
			i.Tag = v.say(msgThisSession).String()
		} else {
			f := v.form(PathEndSession).hide(FieldSession, one.ID)
			f.Buttons = []button{{Label: v.say(msgLogOut), Spoken: v.say(msgEndSession, plain("device", i.Title)).String(), Quiet: true}}
			i.Form = &f
		}
		s.Items = append(s.Items, i)
	}
	if len(all) > 1 {
		s.Forms = []form{v.form(PathEndOthers).quiet(v.say(msgEndOthers))}
	}
	return s
}

func (v View) logins(all []Login) section {
	s := section{Heading: v.say(msgLoginsHeading), Intro: []text{v.say(msgLoginsIntro)}}
	for _, one := range all {
		i := item{Title: v.device(one.Agent), Lines: []line{{Value: one.Address}}}
		switch one.Outcome {
		case mezu.LoginSucceeded:
			i.Lines = append(i.Lines, v.at(msgLoginSucceeded, one.Time))
		case mezu.LoginRefused:
			i.Lines = append(i.Lines, v.at(msgLoginRefused, one.Time))
		default:
			i.Lines = append(i.Lines, v.at(msgLoginFailed, one.Time))
		}
		s.Items = append(s.Items, i)
	}
	return s
}

// at is a line with a time.
func (v View) at(m message, t time.Time) line {
	t = t.UTC()
	shown := "2 Jan 2006, 15:04 UTC"
	if v.language() == german {
		shown = "02.01.2006, 15:04 UTC"
	}
	return line{Label: v.say(m).String(), Time: &moment{t.Format(time.RFC3339), t.Format(shown)}}
}

func (v View) device(agent string) string {
	if agent == "" {
		return v.say(msgUnknownDevice).String()
	}
	return agent
}

// MailChangeForm is what the mail to a new address leads to.
type MailChangeForm struct {
	Problems []Problem
}

// ConfirmMail confirms the new address of an account.
func (v View) ConfirmMail(m MailChangeForm) Page {
	f := v.with(v.mailed(PathMailChange, "", m.Problems).button(v.say(msgVerifyButton)), m.Problems)
	return v.render(layout{
		status: status(m.Problems), Heading: v.say(msgMailChangeTitle),
		Intro:    []text{v.say(msgMailChangeIntro)},
		Sections: []section{{Forms: []form{f}}},
	})
}

// MailConfirmed says that the address was changed.
func (v View) MailConfirmed(email string) Page {
	return v.render(layout{
		Heading: v.say(msgMailChangedTitle), Intro: []text{v.say(msgMailChangedIntro, data("email", email))},
		Links: []link{{Label: v.say(msgLogIn), Href: v.link(PathLogin), Button: true}},
	})
}
