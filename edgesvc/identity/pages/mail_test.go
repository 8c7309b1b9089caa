package pages_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/edgesvc/identity/pages/pagestest"
)

// mails writes every mail.
func mails(w pagestest.Words, language string) map[string]pages.Mail {
	m := pages.Words{Brand: pages.Brand{Name: w.Brand, Color: w.Color}, Language: language}
	l := pages.Link{URL: "https://shop.example.com/.mezu/verify#" + strings.Repeat("t", 43), Code: "K7QM-2XWD-9PFA-TT4C", Ends: 30 * time.Minute}
	const login, reset = "https://shop.example.com/.mezu/login", "https://shop.example.com/.mezu/reset"
	return map[string]pages.Mail{
		"signup": m.SignupMail(w.Email, l, "40718265"), "known": m.KnownAddressMail(w.Email, login, reset), "reset": m.ResetMail(w.Email, l),
		"invited": m.InvitedMail(w.Email, l), "change": m.MailChangeMail(w.Email, l), "changed": m.MailChangedMail(w.Email),
		"password": m.PasswordChangedMail(w.Email, reset), "team": m.TeamInvitedMail(w.Email, w.Name, w.Name, l), "team-bare": m.TeamInvitedMail(w.Email, "", w.Name, l),
	}
}

// TestMails_SayTheSameTwice: each line of the text is in the HTML, and the other way round.
func TestMails_SayTheSameTwice(t *testing.T) {
	for _, language := range []string{"en", "de", "qps"} {
		for name, m := range mails(pagestest.Usual(), language) {
			if tag := balanced(m.HTML); tag != "" {
				t.Errorf("%s: <%s> is not closed where it has to be", name, tag)
			}
			doc := parse(t, m.HTML)
			inHTML := shown(nodes(doc, "body")[0])
			for line := range strings.Lines(m.Text) {
				if line = strings.TrimSpace(line); line != "--" && !strings.Contains(inHTML, line) {
					t.Errorf("%s in %q: the HTML does not say %q", name, language, line)
				}
			}
			for _, p := range nodes(doc, "p") {
				if links := nodes(p, "a"); len(links) > 0 {
					if !strings.Contains(m.Text, value(links[0], "href")) {
						t.Errorf("%s: the text has no %q", name, value(links[0], "href"))
					}
				} else if s := shown(p); s != "Acme" && !strings.Contains(m.Text, s) {
					t.Errorf("%s in %q: the text does not say %q", name, language, s)
				}
			}
			if m.Subject != shown(nodes(doc, "title")[0]) || m.Subject == "" {
				t.Errorf("%s has the subject %q", name, m.Subject)
			}
		}
	}
}

// TestMails_LoadNothing that tells somebody that they were read.
func TestMails_LoadNothing(t *testing.T) {
	for name, m := range mails(pagestest.Usual(), "de") {
		for _, n := range nodes(parse(t, m.HTML), "") {
			if _, ok := attr(n, "src"); ok || n.Data == "img" || n.Data == "link" || n.Data == "script" {
				t.Errorf("%s loads something with <%s>", name, n.Data)
			}
			if to := value(n, "href"); to != "" && !strings.HasPrefix(to, "https://shop.example.com/.mezu/") {
				t.Errorf("%s links to %q", name, to)
			}
		}
		if strings.Contains(m.HTML, "url(") || len(m.HTML) > 16<<10 {
			t.Errorf("%s has %d bytes, and may load something", name, len(m.HTML))
		}
	}
}

// TestL18_MailsHaveNoMarkupOfStrangers, no link of theirs and no field of the head.
func TestL18_MailsHaveNoMarkupOfStrangers(t *testing.T) {
	w := pagestest.Usual()
	w.Brand, w.Name, w.Email = "A<b>\r\nBcc: all@example.com", `Win at https://evil.example/x <a href="https://evil.example">`, `"<script>"@example.com`
	good, bad := mails(pagestest.Usual(), "en"), mails(w, "en")
	for name, m := range bad {
		if strings.ContainsAny(m.Subject, "\r\n") {
			t.Errorf("%s has the subject %q", name, m.Subject)
		}
		if got, want := shape(parse(t, m.HTML)), shape(parse(t, good[name].HTML)); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s has other elements", name)
		}
		for _, s := range []string{m.Subject, m.Text, m.HTML} {
			if strings.Contains(s, "https://evil") || strings.Contains(s, "evil.example") {
				t.Errorf("%s links to what a stranger wrote: %s", name, s)
			}
		}
	}
}

func TestMails_SayHowLong(t *testing.T) {
	m := pages.Words{}
	for ends, want := range map[time.Duration]string{
		30 * time.Minute: "for 30 minutes", 24 * time.Hour: "for 24 hours", 7 * 24 * time.Hour: "for 7 days", time.Hour: "for 60 minutes", 10 * time.Minute: "for 10 minutes",
	} {
		if text := m.ResetMail("ann@example.com", pages.Link{URL: "https://x.example/", Ends: ends}).Text; !strings.Contains(text, want) {
			t.Errorf("%v is %q", ends, text)
		}
	}
	if text := m.ResetMail("ann@example.com", pages.Link{URL: "https://x.example/"}).Text; !strings.Contains(text, "this site") || strings.Contains(text, "works for") {
		t.Errorf("without a name and an end the mail is %q", text)
	}
}
