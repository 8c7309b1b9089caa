package service

// allQuotas are those of all nouns, in the order in which they are told.
func allQuotas() []quota {
	return []quota{quotaProjects, quotaEnvironments, quotaRoutes, quotaAccounts, quotaMembers, quotaInvitations, quotaTokens, quotaDirectories, quotaUsers, quotaCertificates, quotaRevocations, quotaBytes}
}

// ParseQuotas reads settings of the form NAME=N.
func ParseQuotas(settings []string) (Quotas, error) { return parseQuotas(allQuotas(), settings) }
