package login

import (
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// Kinds of the mails that logins send, for the log.
const (
	mailSignup   record.MailKind = "signup"
	mailReset    record.MailKind = "reset"
	mailInvited  record.MailKind = "invited"
	mailAddress  record.MailKind = "address"
	mailPassword record.MailKind = "password_changed"
	mailMoved    record.MailKind = "address_changed"
)

// noticeLife is how long a mail that tells of something is worth sending.
const noticeLife = 3 * 24 * time.Hour

// words are those of the mails of a visit.
func (v *visit) words() pages.Words {
	b := v.view.Brand
	b.Logo = ""
	return pages.Words{Brand: b, Language: v.view.Language}
}

// link is what a mail carries: its address is made of configuration alone (N3, W1).
func (v *visit) link(path string, t account.Tokens, kind account.MailedKind) pages.Link {
	return pages.Link{URL: v.at.url() + v.view.Base + path + "#" + t.Link, Code: t.Code, Ends: kind.Life()}
}

// mail plans a mail that somebody asked for, and reports whether it goes. A mailbox gets only
// so many, and whoever asked is not told whether it got this one (W7). What a mail that does
// not go would have carried must open nothing, and must not take the place of what was mailed
// before: else strangers could have codes to guess without end, or keep links from working.
func (s *Logins) mail(v *visit, ch *record.Change, kind record.MailKind, to string, m pages.Mail, life time.Duration) (goes bool, err error) {
	return s.records.QueueMail(v.ctx, ch, s.mailed(v, kind, to, m, life))
}

// mailed is a mail that somebody asked for, as it lies in the outbox.
func (s *Logins) mailed(v *visit, kind record.MailKind, to string, m pages.Mail, life time.Duration) record.Mail {
	return record.Mail{
		Kind: kind, Directory: v.at.pool(), Mailbox: s.accounts.Blind(v.at.pool(), identity.NormalizeMail(to)), To: to, Language: v.view.Language,
		Subject: m.Subject, Text: m.Text, HTML: m.HTML, ExpiresAt: v.now.Add(life),
	}
}

// tell plans a mail that tells users of what they did, which strangers can't cause.
func (s *Logins) tell(v *visit, ch *record.Change, kind record.MailKind, to string, m pages.Mail) error {
	if !s.records.MailConfigured() {
		return nil
	}
	_, err := s.records.QueueMail(v.ctx, ch, record.Mail{
		Kind: kind, Directory: v.at.pool(), To: to, Language: v.view.Language, Subject: m.Subject, Text: m.Text, HTML: m.HTML, ExpiresAt: v.now.Add(noticeLife),
	})
	return err
}
