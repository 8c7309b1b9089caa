package record

import (
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// Message is a mail in the outbox, for a program that sends mail. It is written and removed
// together with what it tells of, because what was withdrawn must not be sent.
type Message struct {
	ID   string      `json:"id"`
	Kind messageKind `json:"kind"`
	To   string      `json:"to"`
	// Link holds the secret that the mail carries.
	Link         string    `json:"link"`
	Organization string    `json:"organization"` // name
	Role         mezu.Role `json:"role"`
	// From is the address of the person who invites, perhaps empty.
	From      string    `json:"from,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// messageKind says what a mail is about.
type messageKind string

// MessageInvitation is the mail that invites to an organization.
const MessageInvitation messageKind = "invitation"

// KeyOutbox is the key of a mail in the outbox.
func KeyOutbox(id string) string { return prefixOutbox + id }

// EndsWithRestore reports whether a record is a mail to be sent, which ends with a restore.
func EndsWithRestore(key string) bool { return strings.HasPrefix(key, prefixOutbox) }
