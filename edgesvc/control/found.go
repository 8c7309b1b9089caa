package control

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/election"
)

// Founding the installation.
const (
	founding = "founding" // the name of the lease
	// foundTime bounds the wait for another control plane that is at it.
	foundTime = 30 * time.Second
	foundLook = 100 * time.Millisecond
)

// openAuthority opens the certificate authority, or makes it on a store that has
// none. Of several control planes that start at once one makes it, and the others wait:
// there must be one offline folder, not several of which one is true.
func (c *Control) openAuthority(ctx context.Context) (err error) {
	c.vault = newVault(c.store)
	ctx, cancel := context.WithTimeout(ctx, foundTime)
	defer cancel()
	for {
		c.authority, err = ca.Open(ctx, c.vault, c.cfg.Now)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		lease := election.Lease{Store: c.store, Name: founding, Holder: c.holder(), Now: c.cfg.Now}
		_, err := lease.Run(ctx, func(ctx context.Context, _ *election.Fenced) error { return c.found(ctx) })
		if err == nil {
			continue
		}
		if !errors.Is(err, election.ErrHeld) {
			return err
		}
		if backoff.Sleep(ctx, foundLook) != nil {
			return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "another control plane began to make the keys of the installation and did not finish", Hint: "start it again, or this one"}
		}
	}
}

// found makes the authority, unless it was made since the caller looked.
func (c *Control) found(ctx context.Context) error {
	offline := filepath.Join(c.cfg.StateDir, dirOffline)
	err := ca.Create(ctx, c.vault, offline, c.cfg.Now)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		c.cfg.Log.Warn("made the keys of a new installation; move the offline folder to a safe place, it is needed for rotations only", "folder", offline)
	}
	return err
}
