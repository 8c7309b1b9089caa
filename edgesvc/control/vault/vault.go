// Package vault keeps the certificate authority's records in the control plane's store,
// and makes the authority of a new installation.
//
// What lives here: loading and saving the records, and who of several control planes
// makes the keys. What may not: what a record says (package ca). Only control imports it.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// vault keeps the authority's records in the store, which seals them. A record that
// changed since it was loaded isn't overwritten: of two rotations at once, one fails.
type vault struct {
	store store.Store

	mu        sync.Mutex
	revisions map[string]uint64 // of what was loaded
}

func newVault(s store.Store) *vault { return &vault{store: s, revisions: map[string]uint64{}} }

// Load implements ca.Vault.
func (v *vault) Load(ctx context.Context, name string) ([]byte, error) {
	rec, err := v.store.Get(ctx, record.PrefixAuthority+name)
	if errors.Is(err, store.ErrNotFound) {
		err = fs.ErrNotExist
	} else if err != nil {
		return nil, fmt.Errorf("reading the authority's record: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.revisions[name] = rec.Revision
	return rec.Value, err
}

// Save implements ca.Vault.
func (v *vault) Save(ctx context.Context, name string, data []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	key, was := record.PrefixAuthority+name, v.revisions[name]
	_, err := v.store.Commit(ctx, store.Txn{
		Checks: []store.Check{{Key: key, Revision: was}},
		Ops:    []store.Op{{Key: key, Value: data}},
	})
	if errors.Is(err, store.ErrConflict) {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "the authority's keys changed meanwhile", Hint: "look at them and try again", Cause: err}
	}
	if err != nil {
		return fmt.Errorf("writing the authority's record: %w", err)
	}
	v.revisions[name] = was + 1
	return nil
}
