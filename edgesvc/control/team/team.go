// Package team is the persons who run an installation or belong to an organization:
// operators, organizations, members, invitations, and the bearer tokens of persons.
//
// What may not live here: end users (package identity), projects and what lies in them
// (package config). Only control/service imports it.
package team

import (
	"context"

	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Config is what teams work with.
type Config struct {
	// Site is https://host[:port] of this control plane, with which links in mails begin.
	Site string
	// MembersMayCreateOrganizations lets every member create organizations, else
	// operators alone.
	MembersMayCreateOrganizations bool
	// Words writes the mail of an invitation.
	Words Words
	// Bootstrapped is called after the bootstrap code was redeemed; if nil, nothing is.
	Bootstrapped func()
	// EndCredentials plans that nothing lets a person in any more that does now.
	EndCredentials func(ctx context.Context, ch *record.Change, person string) error
}

// Team is the operations on persons who run an installation or belong to an organization.
type Team struct {
	records *record.Records
	access  *access.Access
	cfg     Config
}

// New makes a Team.
func New(r *record.Records, a *access.Access, cfg Config) *Team {
	return &Team{records: r, access: a, cfg: cfg}
}

// Quotas are those of teams.
func Quotas() []record.Quota { return []record.Quota{quotaMembers, quotaInvitations, quotaTokens} }
