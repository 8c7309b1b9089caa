package inprocess

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// SignGrants gives the compact form of n grants, signed as the control plane does whose state
// lies in a directory. It must not run meanwhile. To log in as often would take an hour: a
// hash takes longer than anything else.
func SignGrants(ctx context.Context, state string, n int, of func(i int) mezu.Grant) (out [][]byte, err error) {
	db, err := badger.Open(badger.Options{Dir: filepath.Join(state, "store")})
	if err != nil {
		return nil, err
	}
	sealed, err := format.Open(ctx, db, format.Options{Wrapper: &seal.File{Path: filepath.Join(state, "seal.key")}, Program: "bench"})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	defer func() { err = errors.Join(err, sealed.Close()) }()
	authority, err := ca.Open(ctx, authorityOf{sealed}, time.Now)
	if err != nil {
		return nil, err
	}
	for i := range n {
		signed, err := authority.Sign(mezu.PurposeGrant, of(i))
		if err != nil {
			return nil, fmt.Errorf("signing a grant: %w", err)
		}
		out = append(out, signed.AppendCompact(nil))
	}
	return out, nil
}

// authorityOf reads an authority's records where a control plane keeps them.
type authorityOf struct{ store store.Store }

// Load implements ca.Vault.
func (a authorityOf) Load(ctx context.Context, name string) ([]byte, error) {
	r, err := a.store.Get(ctx, record.PrefixAuthority+name)
	if errors.Is(err, store.ErrNotFound) {
		err = fs.ErrNotExist
	}
	return r.Value, err
}

// Save implements ca.Vault.
func (a authorityOf) Save(context.Context, string, []byte) error {
	return errors.New("the authority's records are read only here")
}
