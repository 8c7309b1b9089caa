package pages

import (
	"bytes"
	_ "embed" // the layout of mails
	"html/template"
	"strings"
	"time"
	"unicode"
)

// Words writes mails.
type Words struct {
	Brand Brand
	// Language is one that the function Language gave. If empty, English.
	Language string
}

// Mail is a text for one mailbox, twice: Text and HTML say the same. HTML loads nothing.
type Mail struct {
	Subject string
	Text    string
	HTML    string
}

// Link is what a mail lets the owner of a mailbox do.
type Link struct {
	// URL is complete, with # and the token at its end.
	URL string
	// Code is what to type or paste where no script moves the token. If empty, none.
	Code string
	// Ends is how long both work.
	Ends time.Duration
}

//go:embed mail.html
var mailSource string

var mailTemplate = template.Must(template.New("mail").Parse(mailSource))

// letter is what stands in a mail, from top to bottom.
type letter struct {
	Lang             string
	Title            text
	Brand            string
	Button, Ink, Rim template.CSS
	Greeting         text
	Blocks           []block
	Why              text
}

// block is a sentence and what belongs to it.
type block struct {
	Text  text
	Label text // of a button to Href
	Href  string
	Code  string
}

func (w Words) view() View { return View{Brand: w.Brand, Language: w.Language} }

func (w Words) say(m message, args ...arg) text {
	return w.view().say(m, append(args, w.view().brand())...)
}

// act is a sentence with a link.
func (w Words) act(sentence, label text, l Link) []block {
	out := []block{{Text: sentence, Label: label, Href: l.URL}}
	if l.Code != "" {
		out = append(out, block{Text: w.say(msgMailPaste), Code: l.Code})
	}
	if l.Ends > 0 {
		out = append(out, block{Text: w.say(msgMailLinkEnds, plain("time", w.view().language().length(l.Ends)))})
	}
	return out
}

func (w Words) mail(to string, subject text, blocks ...block) Mail {
	colors := paintOf(w.Brand.Color).light
	l := letter{
		Lang: w.view().language().tag(), Title: subject, Brand: w.Brand.Name,
		Button: template.CSS(colors.button.hex()), Ink: template.CSS(colors.ink.hex()), Rim: template.CSS(colors.rim.hex()),
		Greeting: w.say(msgMailGreeting), Blocks: blocks, Why: w.say(msgMailWhy, data("email", to)),
	}
	var html bytes.Buffer
	if err := mailTemplate.Execute(&html, l); err != nil {
		panic("rendering into memory: " + err.Error()) // the template is a constant, and takes any text
	}
	return Mail{Subject: oneLine(subject.String()), Text: l.text(), HTML: html.String()}
}

// text is the letter for those who read no HTML.
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
	}
	return b.String() + "-- \n" + l.Why.String() + "\n"
}

// oneLine keeps a name from adding a field to a mail's head.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// name is data of strangers in a mail. Programs that show mails make links of whatever
// looks like an address, so that it must not.
func name(as, value string) arg {
	return data(as, strings.NewReplacer(".", ".\u200b", ":", ":\u200b", "@", "@\u200b").Replace(value))
}

// SignupMail goes to an address that is new. The digits are for the tab that waits.
func (w Words) SignupMail(to string, l Link, digits string) Mail {
	first, rest := w.act(w.say(msgSignupMailIntro), w.say(msgVerifyButton), l), []block{{Text: w.say(msgMailIgnore)}}
	blocks := append([]block{first[0], {Text: w.say(msgSignupMailDigits), Code: digits}}, append(first[1:], rest...)...)
	return w.mail(to, w.say(msgSignupMailSubject), blocks...)
}

// KnownAddressMail goes to an address with which somebody signs up a second time. login
// and reset are addresses of pages.
func (w Words) KnownAddressMail(to, login, reset string) Mail {
	return w.mail(to, w.say(msgKnownMailSubject),
		block{Text: w.say(msgKnownMailIntro), Label: w.say(msgLogIn), Href: login},
		block{Text: w.say(msgKnownMailReset), Label: w.say(msgNewPasswordTitle), Href: reset},
		block{Text: w.say(msgKnownMailIgnore)})
}

// ResetMail goes to a user who forgot a password, or whose administrator resets it.
func (w Words) ResetMail(to string, l Link) Mail {
	blocks := w.act(w.say(msgResetMailIntro), w.say(msgNewPasswordTitle), l)
	return w.mail(to, w.say(msgResetMailSubject), append(blocks, block{Text: w.say(msgMailIgnore)})...)
}

// InvitedMail goes to a user whose account somebody made.
func (w Words) InvitedMail(to string, l Link) Mail {
	return w.mail(to, w.say(msgInvitedMailSubject), w.act(w.say(msgInvitedMailIntro), w.say(msgInvitedButton), l)...)
}

// MailChangeMail goes to the new address of an account.
func (w Words) MailChangeMail(to string, l Link) Mail {
	blocks := w.act(w.say(msgChangeMailIntro), w.say(msgVerifyButton), l)
	return w.mail(to, w.say(msgChangeMailSubject), append(blocks, block{Text: w.say(msgMailIgnore)})...)
}

// MailChangedMail goes to the old address of an account.
func (w Words) MailChangedMail(to string) Mail {
	return w.mail(to, w.say(msgChangedMailSubject), block{Text: w.say(msgChangedMailIntro)}, block{Text: w.say(msgChangedMailAlarm)})
}

// PasswordChangedMail goes to a user whose password was changed. reset is the address of
// the page.
func (w Words) PasswordChangedMail(to, reset string) Mail {
	return w.mail(to, w.say(msgPasswordMailSubject), block{Text: w.say(msgPasswordMailIntro)},
		block{Text: w.say(msgPasswordMailAlarm), Label: w.say(msgNewPasswordTitle), Href: reset})
}

// TeamInvitedMail goes to somebody who is invited to an organization. inviter is empty if who
// invites has no address.
func (w Words) TeamInvitedMail(to, inviter, organization string, l Link) Mail {
	org := name("organization", organization)
	intro := w.say(msgTeamMailBare, org)
	if inviter != "" {
		intro = w.say(msgTeamMailIntro, name("inviter", inviter), org)
	}
	return w.mail(to, w.say(msgTeamMailSubject, org), w.act(intro, w.say(msgInvitedButton), l)...)
}
