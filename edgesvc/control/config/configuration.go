// Package config is what an installation serves: projects, environments and their
// endpoints, routes, bundles, service accounts, draining, and manifests that are applied.
//
// What may not live here: how a bundle is judged (package mezu) or reaches an edge
// (package fleet). Only control/installation and control/service import it.
package config

import (
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
)

// Configuration is the operations on projects and what lies in them.
type Configuration struct {
	records  *record.Records
	access   *access.Access
	identity *identity.Identity
	fleet    *fleet.Fleet
}

// New makes it.
func New(r *record.Records, a *access.Access, i *identity.Identity, f *fleet.Fleet) *Configuration {
	return &Configuration{records: r, access: a, identity: i, fleet: f}
}
