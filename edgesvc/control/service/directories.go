package service

// Identity is the operations on directories and their users.
type Identity struct {
	records *Records
	access  *Access
	mailKey []byte // of the blind index of users' addresses
}

// newIdentity makes it.
func newIdentity(r *Records, a *Access) *Identity {
	return &Identity{records: r, access: a, mailKey: r.store.Derive(purposeMail)}
}

// identityQuotas are those of directories.
func identityQuotas() []quota { return []quota{quotaDirectories, quotaUsers} }
