package access

import (
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Membership is a member as it is stored.
type Membership struct {
	mezu.Member
	Lost losses `json:"lost,omitempty"`
}

// Person is a member of organizations, or an operator, or both. A person is the same one in
// all organizations, known by a mail address that nobody else has. The developer of "mezu
// dev", and an operator who gave none, have no address.
type Person struct {
	mezu.Meta
	Email    string `json:"email,omitempty"`
	Operator bool   `json:"operator,omitempty"`
	// TokensSince is before when all tokens of the person were made that are void since a
	// reset of the password.
	TokensSince time.Time `json:"tokens_since,omitzero"`
}

// Account is a service account as it is stored: with the hash of the key, not the key.
type Account struct {
	Account mezu.ServiceAccount `json:"account"`
	// Organization and Project are ids.
	Organization string `json:"organization"`
	Project      string `json:"project"`
	KeyHash      string `json:"key_hash"`
	// PreviousHash is that of the previous key, which is valid until
	// Account.PreviousKeyUntil.
	PreviousHash string `json:"previous_hash,omitempty"`
	Lost         losses `json:"lost,omitempty"`
}

// SetRevision sets the revision of the account's mezu.Meta.
func (a *Account) SetRevision(revision uint64) { a.Account.SetRevision(revision) }

// OpensBy reports whether the key with this hash is valid for the account now.
func (a Account) OpensBy(hash string, now time.Time) bool {
	return hash == a.KeyHash || hash == a.PreviousHash && now.Before(a.Account.PreviousKeyUntil)
}

// Target is the account in an audit record.
func (a Account) Target() record.Target {
	t := record.About(record.KindServiceAccount, a.Account.ID, a.Account.Name)
	t.Organization, t.Project = a.Organization, a.Project
	return t
}
