package service

import (
	"context"
	"errors"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// identifyAccount is for keys of service accounts: whatever else is no token of ours.
func (s *Configuration) identifyAccount(ctx context.Context, p Presented) (Caller, bool, error) {
	if p.Bearer == "" || isToken(p.Bearer) {
		return Caller{}, false, nil
	}
	c, err := s.keyholder(ctx, p.Bearer)
	return c, true, err
}

// unknownKey is the answer to a service account key that opens nothing.
func unknownKey() error {
	return unauthenticated("this service account key opens nothing here: it was revoked, or belongs to another installation", "check --api and the key; a new key comes with `mezu service-accounts rotate`")
}

// orUnknownKey is what a failed read of something that a service account hangs on
// means to the holder of its key.
func orUnknownKey(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return unknownKey()
	}
	return err
}

// keyholder looks a service account key up by its hash.
func (s *Configuration) keyholder(ctx context.Context, key string) (Caller, error) {
	if err := mezu.ValidateKey(key); err != nil {
		return Caller{}, err
	}
	target, err := get[string](ctx, s.records, keyKey(mezu.HashSecret(key)))
	if err != nil {
		return Caller{}, orUnknownKey(err)
	}
	acc, err := get[account](ctx, s.records, target.Value)
	if err != nil {
		return Caller{}, orUnknownKey(err)
	}
	if !acc.Value.opensBy(mezu.HashSecret(key), s.records.now()) {
		return Caller{}, unknownKey()
	}
	// A deleted project's accounts may be there a while longer.
	if _, err := get[string](ctx, s.records, keyID(acc.Value.Project)); err != nil {
		return Caller{}, orUnknownKey(err)
	}
	s.noteUse(ctx, acc)
	return Caller{Kind: ServiceAccount, ID: acc.Value.Account.ID, credential: mezu.HashSecret(key), Organization: acc.Value.Organization, Project: acc.Value.Project,
		Permissions: slices.Clone(acc.Value.Account.Permissions)}, nil
}
