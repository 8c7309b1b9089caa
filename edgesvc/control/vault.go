package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// prefixVault is where the authority's keys lie in the store, sealed.
const prefixVault = "ca/"

// vault keeps the authority's records in the store under the installation's seal
// key, which lies outside it.
type vault struct {
	store store.Store
	key   seal.Key
}

// Load implements ca.Vault.
func (v vault) Load(ctx context.Context, name string) ([]byte, error) {
	rec, err := v.store.Get(ctx, prefixVault+name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("reading a sealed record: %w", err)
	}
	return v.key.Open(prefixVault+name, rec.Value)
}

// Save implements ca.Vault.
func (v vault) Save(ctx context.Context, name string, data []byte) error {
	op := store.Op{Key: prefixVault + name, Value: v.key.Seal(prefixVault+name, data)}
	if _, err := v.store.Commit(ctx, store.Txn{Ops: []store.Op{op}}); err != nil {
		return fmt.Errorf("writing a sealed record: %w", err)
	}
	return nil
}
