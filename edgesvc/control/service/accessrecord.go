package service

import (
	"time"

	"github.com/mezusphere/mezu"
)

// membership is a member as it is kept.
type membership struct {
	mezu.Member
	Lost losses `json:"lost,omitempty"`
}

// person is a member of a team or an operator or both. He is one person in all
// organizations, known by a mail address that nobody else has; the developer of a
// machine and an operator who gave none have no address.
type person struct {
	mezu.Meta
	Email    string `json:"email,omitempty"`
	Operator bool   `json:"operator,omitempty"`
}

// account is a service account as it is kept. The key is not: its hash is.
type account struct {
	Account mezu.ServiceAccount `json:"account"`
	// Organization and Project are ids.
	Organization string `json:"organization"`
	Project      string `json:"project"`
	KeyHash      string `json:"key_hash"`
	// PreviousHash is that of the key before, good until Account.PreviousKeyUntil.
	PreviousHash string `json:"previous_hash,omitempty"`
	Lost         losses `json:"lost,omitempty"`
}

// SetRevision is that of mezu.Meta.
func (a *account) SetRevision(revision uint64) { a.Account.SetRevision(revision) }

// opensBy reports whether a key of this hash is one of the account's now.
func (a account) opensBy(hash string, now time.Time) bool {
	return hash == a.KeyHash || hash == a.PreviousHash && now.Before(a.Account.PreviousKeyUntil)
}

// target is the account in an audit record.
func (a account) target() target {
	t := about(kindServiceAccount, a.Account.ID, a.Account.Name)
	t.organization, t.project = a.Organization, a.Project
	return t
}
