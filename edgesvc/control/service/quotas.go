package service

import (
	"slices"

	"github.com/mezusphere/mezu/edgesvc/control/config"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/team"
	"github.com/mezusphere/mezu/edgesvc/identity/login"
)

// allQuotas are those of all nouns, in the order in which they are told.
func allQuotas() []record.Quota {
	return slices.Concat(config.Quotas(), team.Quotas(), login.Quotas(), fleet.Quotas(), record.OwnQuotas())
}

// ParseQuotas reads settings of the form NAME=N.
func ParseQuotas(settings []string) (record.Quotas, error) {
	return record.ParseQuotas(allQuotas(), settings)
}
