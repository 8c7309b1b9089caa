package team

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// message is what the mail of an invitation tells. Earlier builds put it into the outbox in
// this form, without the texts.
type message struct {
	ID           string `json:"id"`
	Subject      string `json:"subject"`
	To           string `json:"to"`
	Link         string `json:"link"`
	Organization string `json:"organization"`
	// From is the address of the person who invites, perhaps empty.
	From      string    `json:"from"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// pathInvitation begins the fragment of the link of an invitation, with the page of package
// login that takes it.
const pathInvitation = "/invitation#"

// Words writes the mail of an invitation: Subject, Text, HTML and Language. inviter is the
// address of who invites, perhaps empty. Whoever can't use the link types the code.
type Words func(to, inviter, organization, link, code string, ends time.Duration) record.Mail

// invitationMail is the mail of an invitation.
func (s *Team) invitationMail(m message) record.Mail {
	_, code, _ := strings.Cut(m.Link, "#")
	mail := s.cfg.Words(m.To, m.From, m.Organization, m.Link, strings.TrimPrefix(code, "code="), m.ExpiresAt.Sub(s.records.Now()))
	mail.ID, mail.Kind, mail.To, mail.CreatedAt, mail.ExpiresAt = m.ID, record.MailInvitation, m.To, m.CreatedAt, m.ExpiresAt
	return mail
}

// completeMails gives the mails that an earlier build put into the outbox their texts.
func (s *Team) completeMails(ctx context.Context) error {
	return record.Each(ctx, s.records, record.PrefixOutbox, func(f record.Record[message]) error {
		if f.Value.Subject != "" || f.Value.Link == "" {
			return nil
		}
		value, err := record.Encode(s.invitationMail(f.Value))
		if err != nil {
			return fmt.Errorf("encoding a mail: %w", err)
		}
		_, err = s.records.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Value: value}}})
		return err
	})
}
