// Package fleet is edges and Warpgates: how they enrol, register and renew, what edges
// report, the stream of signed statements that edges follow, and revocations.
//
// What may not live here: what bundles say (package config), signing keys (package ca).
// Only control/config and control/service import it, and rest for the stream.
package fleet

import (
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Fleet is the operations on edges and Warpgates.
type Fleet struct {
	records *record.Records
	access  *access.Access
	Domain  string // under which endpoints are labels
	port    int    // in URLs; if zero or 443, none is shown
}

// New makes a Fleet.
func New(r *record.Records, a *access.Access, domain string, port int) *Fleet {
	return &Fleet{records: r, access: a, Domain: domain, port: port}
}

// Quotas are the quotas of Warpgates.
func Quotas() []record.Quota { return []record.Quota{quotaCertificates} }
