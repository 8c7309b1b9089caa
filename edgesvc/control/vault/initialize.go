package vault

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	// leaseName is in the store of installations that run.
	leaseName = "founding"
	// initializeTime bounds the wait for another control plane that makes the keys, and
	// initializePause is how often to look.
	initializeTime  = 30 * time.Second
	initializePause = 100 * time.Millisecond
)

// Config says where the authority's records lie, and where a new one puts its trust
// root.
type Config struct {
	Store store.Store
	// Offline is the folder for the trust root of a new installation.
	Offline string
	// Holder names this control plane among those that share the store.
	Holder string
	Now    func() time.Time
	Log    *slog.Logger
}

// Open opens the certificate authority, or makes it on a store that has none. Of several
// control planes that start at once one makes it, and the others wait: there must be one
// offline folder, not several of which one is true.
func Open(ctx context.Context, cfg Config) (*ca.Authority, error) {
	v := newVault(cfg.Store)
	ctx, cancel := context.WithTimeout(ctx, initializeTime)
	defer cancel()
	for {
		authority, err := ca.Open(ctx, v, cfg.Now)
		if !errors.Is(err, fs.ErrNotExist) {
			return authority, err
		}
		lease := election.Lease{Store: cfg.Store, Name: leaseName, Holder: cfg.Holder, Now: cfg.Now}
		_, err = lease.Run(ctx, func(ctx context.Context, _ *election.Fenced) error { return v.initialize(ctx, cfg) })
		if err == nil {
			continue
		}
		if !errors.Is(err, election.ErrHeld) {
			return nil, err
		}
		if backoff.Sleep(ctx, initializePause) != nil {
			return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "another control plane began to make the keys of the installation and did not finish", Hint: "start it again, or this one"}
		}
	}
}

// initialize makes the authority, unless it was made since the caller looked.
func (v *vault) initialize(ctx context.Context, cfg Config) error {
	err := ca.Create(ctx, v, cfg.Offline, cfg.Now)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		cfg.Log.Warn("made the keys of a new installation; move the offline folder to a safe place, it is needed for rotations only", "folder", cfg.Offline)
	}
	return err
}
