package identity

import (
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
)

// Identity is the operations on directories and their users.
type Identity struct {
	records  *record.Records
	access   *access.Access
	accounts *account.Accounts
	mailKey  []byte // of the blind index of users' addresses
	// encoding has one place: who makes a logo holds it.
	encoding chan struct{}
}

// New makes an Identity.
func New(r *record.Records, a *access.Access) *Identity {
	return &Identity{records: r, access: a, accounts: account.New(r), mailKey: r.Store.Derive(purposeMail), encoding: make(chan struct{}, 1)}
}

// Quotas are the quotas of directories and users.
func Quotas() []record.Quota { return []record.Quota{quotaDirectories, quotaUsers} }
