// Package fleet is edges and Warpgates: how they enrol, register and renew, what edges
// report, the stream of signed statements that edges follow, and revocations.
//
// What may not live here: what bundles say (package config), signing keys (package ca).
// Only control/config, control/installation, control/restore and control/service import
// it, and rest for the stream.
package fleet

import (
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/trust"
)

// Config is what a fleet works with.
type Config struct {
	// Domain is the edge domain, under which endpoints are labels.
	Domain string
	// Port is that of URLs; if zero or 443, none is shown.
	Port int
	// Anchor is what the installation's own peers believe.
	Anchor *trust.Anchor
}

// Fleet is the operations on edges and Warpgates.
type Fleet struct {
	records *record.Records
	access  *access.Access
	Config
}

// New makes a Fleet.
func New(r *record.Records, a *access.Access, cfg Config) *Fleet {
	return &Fleet{records: r, access: a, Config: cfg}
}

// NewAnchor believes the keyset that the authority signs with.
func NewAnchor(authority *ca.Authority, now func() time.Time) (*trust.Anchor, error) {
	anchor := trust.New(authority.TrustRoot(), now)
	_, err := anchor.AcceptKeyset(authority.Keyset())
	return anchor, err
}

// resignMargin is how long before a signing key leaves the keyset what it signed is
// signed anew: an edge that enrols must be able to verify all of it.
const resignMargin = mezu.KeysetOverlap / 2

// SignsOn reports whether a key still has a long life in the keyset.
func (s *Fleet) SignsOn(purpose mezu.Purpose, keyID string) bool {
	_, keyset := s.Anchor.Keyset()
	return slices.ContainsFunc(keyset.Keys, func(k mezu.PublicKey) bool {
		return k.ID == keyID && k.Purpose == purpose && k.NotAfter.After(s.records.Now().Add(resignMargin))
	})
}

// Quotas are the quotas of Warpgates.
func Quotas() []record.Quota { return []record.Quota{quotaCertificates} }
