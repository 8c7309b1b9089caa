package service

import "slices"

// allQuotas are those of all nouns, in the order in which they are told.
func allQuotas() []quota {
	return slices.Concat(configurationQuotas(), teamQuotas(), identityQuotas(), fleetQuotas(), recordQuotas())
}

// ParseQuotas reads settings of the form NAME=N.
func ParseQuotas(settings []string) (Quotas, error) { return parseQuotas(allQuotas(), settings) }
