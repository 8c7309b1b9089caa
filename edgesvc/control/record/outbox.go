package record

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Limits of the outbox.
const (
	// MaxMail bounds one mail as it is stored. The pages of mails take some kilobytes, and a
	// transaction has room for several of this size.
	MaxMail = 64 << 10
	// MaxMailSubject bounds a subject in bytes: SMTP allows lines of 998.
	MaxMailSubject = 250
	// MailsAnHour is how many mails one mailbox gets within an hour: a signup with some
	// typing errors needs three, and whoever did not ask for any can bear five.
	MailsAnHour = 5
	mailboxHour = time.Hour
	// MaxWaiting is how many mails of one directory wait. A signup page is open to
	// everybody, and what nobody can send must not fill the store. They are counted by
	// listing them in one page.
	MaxWaiting = store.MaxPage
)

// MailKind says what a mail is about, for the log. The flow that writes a mail names it.
type MailKind string

// MailInvitation is the mail that invites to an organization.
const MailInvitation MailKind = "invitation"

// Mail is a mail in the outbox. It is written and removed together with what it tells of,
// because what was withdrawn must not be sent. It is complete: who sends it needs no other
// record.
type Mail struct {
	// ID is the mail's and, with the domain of the sender, its Message-ID. If empty,
	// QueueMail makes one; who wants to withdraw the mail later gives one.
	ID   string   `json:"id"`
	Kind MailKind `json:"kind"`
	// Directory is the id of the directory that the mail counts for; if empty, none.
	Directory string `json:"directory,omitempty"`
	// Mailbox is the blind index of the address, under which mails are counted. If empty,
	// the mail is not counted: that is for a mail that only the owner of the mailbox can
	// cause, such as word of a new password, which strangers could keep away otherwise.
	Mailbox string `json:"mailbox,omitempty"`
	To      string `json:"to"`
	// Language is that of the texts, such as en.
	Language string `json:"language,omitempty"`
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	HTML     string `json:"html,omitempty"`
	// CreatedAt is when it was queued.
	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is when what the mail carries ends. It is not sent after that.
	ExpiresAt time.Time `json:"expires_at"`

	// Attempts is how often sending it has failed, and NextAt when it is tried again.
	Attempts int       `json:"attempts,omitempty"`
	NextAt   time.Time `json:"next_at,omitzero"`
	// ClaimedUntil is when another control plane may send it: one is at it.
	ClaimedUntil time.Time `json:"claimed_until,omitzero"`
}

// Complete reports whether the mail has its texts. The outbox of an earlier build has
// invitations without, which package team completes.
func (m *Mail) Complete() bool { return m.Subject != "" && m.Text != "" }

// validate checks what a flow hands over. All of it is made by programs, but for the address.
func (m *Mail) validate(now time.Time) error {
	if err := mezu.ValidateEmail("to", m.To); err != nil {
		return err
	}
	switch {
	case m.Kind == "" || !m.Complete():
		return fmt.Errorf("queueing a mail: it has no kind, subject or text")
	case len(m.Subject) > MaxMailSubject:
		return mezu.Invalid("subject", "at most %d bytes, this has %d", MaxMailSubject, len(m.Subject))
	case !m.ExpiresAt.After(now):
		return fmt.Errorf("queueing a mail: what it carries has ended")
	case strings.Contains(m.Directory, "/") || strings.Contains(m.Mailbox, "/") || strings.Contains(m.ID, "/"):
		return fmt.Errorf("queueing a mail: an id has a slash")
	}
	return nil
}

// KeyOutbox is the key of a mail in the outbox.
func KeyOutbox(id string) string { return PrefixOutbox + id }

// keyWaiting is the key under which a mail counts for its directory.
func keyWaiting(directory, id string) string { return prefixWaiting + directory + "/" + id }

// MailConfigured reports whether this control plane sends mail, or hands it to somebody who
// does. A flow that depends on a mail begins only then, and says so otherwise.
func (s *Records) MailConfigured() bool { return s.mail }

// QueueMail puts a mail into the outbox within the change that it tells of, and reports
// whether it did. It does not when the mailbox had its mails of this hour, or too many mails
// of the directory wait: the answer to whoever asked for the mail stays the same then, so
// that it does not tell whose mailbox it is.
func (s *Records) QueueMail(ctx context.Context, ch *Change, m Mail) (queued bool, err error) {
	m, queued, err = s.admitMail(ctx, ch, m)
	if err != nil || !queued {
		return false, err
	}
	ch.Create(KeyOutbox(m.ID), m)
	if m.Directory != "" {
		ch.Put(keyWaiting(m.Directory, m.ID), struct{}{})
	}
	return true, nil
}

// PretendMail reads and writes what QueueMail does, so that time does not tell that nobody
// gets the mail. It lies where nobody sends it, and the next one takes its place.
func (s *Records) PretendMail(ctx context.Context, ch *Change, m Mail) error {
	m, admitted, err := s.admitMail(ctx, ch, m)
	if err != nil || !admitted {
		return err
	}
	ch.Put(prefixPretended+m.Directory+"/mail", m)
	ch.Put(prefixPretended+m.Directory+"/waiting", struct{}{})
	return nil
}

// admitMail completes a mail and counts it for its mailbox, or reports that it must not be
// queued.
func (s *Records) admitMail(ctx context.Context, ch *Change, m Mail) (Mail, bool, error) {
	now := s.Stamp()
	if err := m.validate(now); err != nil {
		return m, false, err
	}
	if m.ID == "" {
		m.ID = mezu.NewID(mezu.PrefixMail, now)
	}
	m.CreatedAt, m.Attempts, m.NextAt, m.ClaimedUntil = now, 0, time.Time{}, time.Time{}
	data, err := Encode(m)
	if err != nil {
		return m, false, fmt.Errorf("encoding a mail: %w", err)
	}
	if len(data) > MaxMail {
		return m, false, mezu.Invalid("mail", "at most %d bytes, this has %d", MaxMail, len(data))
	}
	if full, err := s.isFull(ctx, m); err != nil || full {
		return m, false, err
	}
	ok, err := s.countMail(ctx, ch, m.Mailbox, now)
	return m, ok, err
}

// WithdrawMail removes a mail that was not sent yet, within the change that makes it
// pointless.
func (s *Records) WithdrawMail(ch *Change, directory, id string) {
	ch.Drop(KeyOutbox(id))
	if directory != "" {
		ch.Drop(keyWaiting(directory, id))
	}
}

// isFull reports whether too many mails of the directory wait. Mails that are queued at the
// same time may exceed the limit by their number.
func (s *Records) isFull(ctx context.Context, m Mail) (bool, error) {
	if m.Directory == "" {
		return false, nil
	}
	page, err := s.store.List(ctx, keyWaiting(m.Directory, ""), "", MaxWaiting)
	if err != nil || len(page.Records) < MaxWaiting {
		return false, err
	}
	s.Log.Warn("a mail was not queued: too many of its directory wait", "kind", m.Kind, "directory", m.Directory)
	return true, nil
}

// mailbox is when a mailbox was written to within the last hour, the last time last.
type mailbox struct {
	Mails []time.Time `json:"mails"`
}

// countMail counts a mail for its mailbox, or reports that the mailbox had enough. The
// record's revision is checked, so that of many changes at once each sees the others.
func (s *Records) countMail(ctx context.Context, ch *Change, blind string, now time.Time) (bool, error) {
	if blind == "" {
		return true, nil
	}
	key := prefixMailbox + blind
	before, err := Optional[mailbox](ctx, s, key)
	if err != nil {
		return false, err
	}
	box, again, err := Planned[mailbox](ch, key)
	if err != nil {
		return false, err
	}
	if !again {
		box = before.Value
	}
	box.Mails = slices.DeleteFunc(box.Mails, func(at time.Time) bool { return now.Sub(at) >= mailboxHour })
	if len(box.Mails) >= MailsAnHour {
		return false, nil
	}
	box.Mails = append(box.Mails, now)
	if again { // no key is written twice in one transaction
		ch.txn.Ops = slices.DeleteFunc(ch.txn.Ops, func(o store.Op) bool { return o.Key == key })
	}
	ch.Update(key, before.Revision, box)
	return true, nil
}

// sweepMail removes what the courier left: mails that ended while there was none, those that
// were only pretended, and counts of mailboxes that were not written to for an hour.
func (s *Records) sweepMail(ctx context.Context) error {
	err := Each(ctx, s, PrefixOutbox, func(f Record[Mail]) error {
		if s.Now().Before(f.Value.ExpiresAt.Add(SweepInterval)) {
			return nil
		}
		_, err := s.Housekeep(ctx, DeleteMail(f))
		return err
	})
	if err != nil {
		return err
	}
	err = Sweep(ctx, s, prefixPretended, func(m Mail) bool { return s.Now().Sub(m.CreatedAt) >= mailboxHour })
	if err != nil {
		return err
	}
	return Sweep(ctx, s, prefixMailbox, func(box mailbox) bool {
		return len(box.Mails) == 0 || s.Now().Sub(box.Mails[len(box.Mails)-1]) >= mailboxHour
	})
}

// DeleteMail removes a mail as it was read, if it has not changed since.
func DeleteMail(f Record[Mail]) store.Txn {
	txn := store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Delete: true}}}
	if f.Value.Directory != "" {
		txn.Ops = append(txn.Ops, store.Op{Key: keyWaiting(f.Value.Directory, f.Value.ID), Delete: true})
	}
	return txn
}

// EndsWithRestore reports whether a record is a mail to be sent or counts mails, which ends
// with a restore.
func EndsWithRestore(key string) bool {
	return strings.HasPrefix(key, PrefixOutbox) || strings.HasPrefix(key, prefixWaiting) || strings.HasPrefix(key, prefixMailbox) ||
		strings.HasPrefix(key, prefixPretended)
}
