package service

// TeamConfig is what teams work with.
type TeamConfig struct {
	// Site is https://host[:port] at which people reach this control plane; links
	// in mails begin with it.
	Site string
	// MembersMayCreateOrganizations lets every member create organizations, else
	// operators alone.
	MembersMayCreateOrganizations bool
	// Bootstrapped is called after the bootstrap code was redeemed; if nil, nothing is.
	Bootstrapped func()
}

// Team is the operations on those who run an installation or belong to an organization.
type Team struct {
	records *Records
	access  *Access
	cfg     TeamConfig
}

// newTeam makes it.
func newTeam(r *Records, a *Access, cfg TeamConfig) *Team {
	return &Team{records: r, access: a, cfg: cfg}
}

// teamQuotas are those of teams.
func teamQuotas() []quota { return []quota{quotaMembers, quotaInvitations, quotaTokens} }
