package team

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// message is what the mail of an invitation tells. Earlier builds put it into the outbox in
// this form, without the texts.
type message struct {
	ID           string    `json:"id"`
	Subject      string    `json:"subject"`
	To           string    `json:"to"`
	Link         string    `json:"link"`
	Organization string    `json:"organization"`
	Role         mezu.Role `json:"role"`
	// From is the address of the person who invites, perhaps empty.
	From      string    `json:"from"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// invitationMail is the mail of an invitation.
func invitationMail(m message) record.Mail {
	var b strings.Builder
	if m.From != "" {
		fmt.Fprintf(&b, "%s invites you to the organization %s, as %s.\n\n", m.From, m.Organization, m.Role)
	} else {
		fmt.Fprintf(&b, "You are invited to the organization %s, as %s.\n\n", m.Organization, m.Role)
	}
	fmt.Fprintf(&b, "Open this link to accept:\n\n%s\n\n", m.Link)
	fmt.Fprintf(&b, "It is for you alone, and works once until %s. If you don't know who invites you, do nothing.\n", m.ExpiresAt.UTC().Format("2 January 2006 15:04 MST"))
	return record.Mail{ID: m.ID, Kind: record.MailInvitation, To: m.To, Language: "en", Subject: "Invitation to " + m.Organization, Text: b.String(), CreatedAt: m.CreatedAt, ExpiresAt: m.ExpiresAt}
}

// completeMails gives the mails that an earlier build put into the outbox their texts.
func (s *Team) completeMails(ctx context.Context) error {
	return record.Each(ctx, s.records, record.PrefixOutbox, func(f record.Record[message]) error {
		if f.Value.Subject != "" || f.Value.Link == "" {
			return nil
		}
		value, err := record.Encode(invitationMail(f.Value))
		if err != nil {
			return fmt.Errorf("encoding a mail: %w", err)
		}
		_, err = s.records.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Value: value}}})
		return err
	})
}
