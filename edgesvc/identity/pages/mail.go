package pages

import (
	"bytes"
	_ "embed" // the layout of mails
	"html/template"
	"strings"
	"time"
)

// Words writes mails.
type Words struct {
	Brand Brand
	// Language is one that the function Language gave. If empty, English.
	Language string
}

// Mail is a text for one mailbox, twice: Text and HTML say the same.
type Mail struct {
	Subject string
	Text    string
	HTML    string
}

// Link is what a mail lets its owner do.
type Link struct {
	// URL is complete, with # and the token at its end.
	URL string
	// Code is what to paste where no script moves the token. If empty, none.
	Code string
	// Ends is how long both work.
	Ends time.Duration
}

//go:embed mail.html
var mailSource string

var mailTemplate = template.Must(template.New("mail").Parse(mailSource))

// letter is what stands in a mail, from top to bottom.
type letter struct {
	Lang     string
	Title    text
	Brand    string
	Color    template.CSS
	Ink      template.CSS
	Greeting text
	Blocks   []block
	Why      text
}

// block is a sentence and what belongs to it.
type block struct {
	Text   text
	Label  text // of a button to Href
	Href   string
	Code   string
	Digits string
}

func (w Words) language() language { return View{Language: w.Language}.language() }

func (w Words) say(m message, args ...arg) text { return w.language().say(m, args...) }

func (w Words) brand() arg { return View{Brand: w.Brand, Language: w.Language}.brand() }

// act is a sentence with a link below it.
func (w Words) act(sentence text, label text, l Link) []block {
	out := []block{{Text: sentence, Label: label, Href: l.URL}}
	if l.Code != "" {
		out = append(out, block{Text: w.say(msgMailPaste), Code: l.Code})
	}
	if l.Ends > 0 {
		out = append(out, block{Text: w.say(msgMailLinkEnds, plain("time", w.language().length(l.Ends)))})
	}
	return out
}

func (w Words) mail(subject text, to string, blocks ...block) Mail {
	l := letter{Lang: w.language().tag(), Title: subject, Brand: w.Brand.Name, Greeting: w.say(msgMailGreeting), Blocks: blocks}
	if to != "" {
		l.Why = w.say(msgMailWhy, data("email", to), w.brand())
	}
	l.Color, l.Ink = template.CSS(ourColor), "#ffffff"
	var html bytes.Buffer
	if err := mailTemplate.Execute(&html, l); err != nil {
		panic("rendering into memory: " + err.Error()) // the template is a constant, and takes any text
	}
	return Mail{Subject: subject.String(), Text: l.text(), HTML: html.String()}
}

func (l letter) text() string {
	var b strings.Builder
	add := func(s string) {
		if s != "" {
			b.WriteString(s + "\n\n")
		}
	}
	add(l.Greeting.String())
	for _, one := range l.Blocks {
		add(one.Text.String())
		add(one.Href)
		add(one.Code)
		add(one.Digits)
	}
	if len(l.Why) > 0 {
		add("--\n" + l.Why.String())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// SignupMail goes to an address that is new. The digits are for the tab that waits.
func (w Words) SignupMail(to string, l Link, digits string) Mail {
	blocks := w.act(w.say(msgSignupMailIntro, w.brand()), w.say(msgVerifyButton), l)
	rest := blocks[1:]
	blocks = append([]block{blocks[0], {Text: w.say(msgSignupMailDigits), Digits: digits}}, rest...)
	blocks = append(blocks, block{Text: w.say(msgMailIgnore)})
	return w.mail(w.say(msgSignupMailSubject, w.brand()), to, blocks...)
}

// KnownAddressMail goes to an address with which somebody signs up a second time. login
// and reset are addresses of pages.
func (w Words) KnownAddressMail(to, login, reset string) Mail {
	return w.mail(w.say(msgKnownMailSubject, w.brand()), to,
		block{Text: w.say(msgKnownMailIntro, w.brand()), Label: w.say(msgLogIn), Href: login},
		block{Text: w.say(msgKnownMailReset), Label: w.say(msgNewPasswordTitle), Href: reset},
		block{Text: w.say(msgKnownMailIgnore)})
}

// ResetMail goes to a user who forgot a password, or whose administrator resets it.
func (w Words) ResetMail(to string, l Link) Mail {
	return w.mail(w.say(msgResetMailSubject, w.brand()), to,
		append(w.act(w.say(msgResetMailIntro, w.brand()), w.say(msgNewPasswordTitle), l), block{Text: w.say(msgMailIgnore)})...)
}

// InvitedMail goes to a user whose account somebody made.
func (w Words) InvitedMail(to string, l Link) Mail {
	return w.mail(w.say(msgInvitedMailSubject, w.brand()), to, w.act(w.say(msgInvitedMailIntro, w.brand()), w.say(msgInvitedButton), l)...)
}

// MailChangeMail goes to the new address of an account.
func (w Words) MailChangeMail(to string, l Link) Mail {
	return w.mail(w.say(msgChangeMailSubject, w.brand()), to,
		append(w.act(w.say(msgChangeMailIntro, w.brand()), w.say(msgVerifyButton), l), block{Text: w.say(msgMailIgnore)})...)
}

// MailChangedMail goes to the old address of an account.
func (w Words) MailChangedMail(to string) Mail {
	return w.mail(w.say(msgChangedMailSubject, w.brand()), to,
		block{Text: w.say(msgChangedMailIntro, w.brand())}, block{Text: w.say(msgChangedMailAlarm, w.brand())})
}

// PasswordChangedMail goes to a user whose password was changed. reset is the address of
// the page.
func (w Words) PasswordChangedMail(to, reset string) Mail {
	return w.mail(w.say(msgPasswordMailSubject, w.brand()), to,
		block{Text: w.say(msgPasswordMailIntro, w.brand())},
		block{Text: w.say(msgPasswordMailAlarm), Label: w.say(msgNewPasswordTitle), Href: reset})
}

// TeamInvitedMail goes to somebody who is invited to an organization.
func (w Words) TeamInvitedMail(to, inviter, organization string, l Link) Mail {
	org := data("organization", organization)
	return w.mail(w.say(msgTeamMailSubject, org), to,
		w.act(w.say(msgTeamMailIntro, data("inviter", inviter), org, w.brand()), w.say(msgInvitedButton), l)...)
}

// TeamLoginMail goes to a member who has no password yet.
func (w Words) TeamLoginMail(to string, l Link) Mail {
	return w.mail(w.say(msgTeamLoginMailSubject, w.brand()), to,
		append(w.act(w.say(msgTeamLoginMailIntro, w.brand()), w.say(msgLogIn), l), block{Text: w.say(msgMailIgnore)})...)
}
