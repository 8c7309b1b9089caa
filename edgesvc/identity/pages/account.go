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
	// Outside says that somebody of the team belongs to no organization, and can't make one.
	Outside bool
}

// Session is one browser in which the user is logged in.
type Session struct {
	ID string
	// Agent is the User-Agent of the browser.
	Agent    string
	Address  string
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

// shownLogins is how many attempts the page has room for: the first of the list.
const shownLogins = 10

// Account shows the account with its forms.
func (v View) Account(a AccountPage) Page {
	back := "/"
	if v.returns() {
		back = v.To
	}
	out := layout{
		status: status(a.Problems), Heading: v.say(msgAccountTitle), Wide: true,
		Notice: v.notice(a.Notice, a.NewEmail),
		Links:  []link{{Label: v.say(msgBack, v.brand()), Href: back}},
	}
	if a.Outside {
		out.Intro = []text{v.say(msgOutside)}
	}
	v.To = "" // the forms come back here, and there are many of them
	add := func(heading message, intro, fold text, f form) {
		s := section{Heading: v.say(heading), Intro: intro, Fold: fold}
		if v.action(a.Form) == f.Action {
			f, s.Open = v.with(f, a.Problems), true
		}
		s.Forms = []form{f}
		out.Sections = append(out.Sections, s)
	}
	if fields := v.profileFields(a.Profile); len(fields) > 0 {
		add(msgProfileHeading, nil, nil, v.form(PathAccountProfile, fields...).button(v.say(msgSave)))
	}
	current := v.passwordField(msgCurrentPassword, FieldCurrent, "current-password")
	address := v.emailField(a.NewEmail)
	address.Label, address.Autocomplete = v.say(msgNewEmail), "email"
	add(msgMailHeading, v.say(msgMailIntro, data("email", a.Email)), v.say(msgMailFold),
		v.form(PathAccountMail, address, current).button(v.say(msgMailButton)))
	add(msgPasswordHeading, v.say(msgPasswordIntro), v.say(msgPasswordFold),
		v.form(PathAccountPass, v.userField(a.Email), current, v.newPasswordField(msgNewPassword, a.MinPassword)).button(v.say(msgPasswordButton)))
	add(msgSessionsHeading, v.say(msgSessionsIntro), nil, v.sessions(a.Sessions))
	if len(a.Logins) > 0 {
		out.Sections = append(out.Sections, section{
			Heading: v.say(msgLoginsHeading), Intro: v.say(msgLoginsIntro), Items: v.logins(a.Logins),
		})
	}
	return v.render(out)
}

// sessions is one form with a button for each.
func (v View) sessions(all []Session) form {
	f := v.form(PathEndSession)
	for _, one := range all {
		i := v.item(one.Agent, one.Address, msgLastSeen, one.LastSeen)
		if one.This {
			i.Tag = v.say(msgThisSession)
		} else {
			spoken := v.say(msgEndSession, plain("device", i.Title)).String()
			i.Button = &button{Label: v.say(msgLogOut), Spoken: spoken, Name: FieldSession, Value: one.ID}
		}
		f.Items = append(f.Items, i)
	}
	if len(all) > 1 {
		f.Buttons = append(f.Buttons, button{Label: v.say(msgEndOthers), Action: v.action(PathEndOthers), Quiet: true})
	}
	f.Buttons = append(f.Buttons, button{Label: v.say(msgEndThis), Action: v.action(PathLogout), Quiet: true})
	return f
}

func (v View) logins(all []Login) []item {
	var out []item
	for _, one := range all[:min(len(all), shownLogins)] {
		label := msgLoginFailed
		switch one.Outcome {
		case mezu.LoginSucceeded:
			label = msgLoginSucceeded
		case mezu.LoginRefused:
			label = msgLoginRefused
		}
		out = append(out, v.item(one.Agent, one.Address, label, one.Time))
	}
	return out
}

// item says who came when and from where.
func (v View) item(agent, address string, label message, t time.Time) item {
	t = t.UTC()
	form := "2 Jan 2006, 15:04 UTC"
	if v.language() == german {
		form = "02.01.2006, 15:04 UTC"
	}
	return item{Title: v.device(agent), Label: v.say(label), Stamp: t.Format(time.RFC3339), Shown: t.Format(form), Address: address}
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
