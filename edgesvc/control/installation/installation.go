// Package installation is what belongs to an installation as a whole and to no noun of it:
// the keys that it signs and seals with, what its stream begins with, and backups.
//
// What may not live here: signing keys themselves (package ca), files (package snapshot).
// Only control/service imports it.
package installation

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/config"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// Config is what an installation works with.
type Config struct {
	// Store has the keys at rest.
	Store *sealed.Store
	// SealRotated is called after a new data key was made, and must not block; if nil,
	// nothing is.
	SealRotated func()
	// Backup writes a backup of the store, dated at.
	Backup func(ctx context.Context, to io.Writer, at time.Time) error
}

// Installation is the operations on an installation.
type Installation struct {
	records       *record.Records
	fleet         *fleet.Fleet
	configuration *config.Configuration
	cfg           Config
	backingUp     sync.Mutex // held while a backup is written
}

// New makes it.
func New(r *record.Records, f *fleet.Fleet, c *config.Configuration, cfg Config) *Installation {
	return &Installation{records: r, fleet: f, configuration: c, cfg: cfg}
}
