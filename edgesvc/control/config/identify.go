package config

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// IdentifyAccount is for keys of service accounts: whatever else is no token of ours.
func (s *Configuration) IdentifyAccount(ctx context.Context, p access.Presented) (access.Caller, bool, error) {
	if p.Bearer == "" || access.IsToken(p.Bearer) {
		return access.Caller{}, false, nil
	}
	c, err := s.keyholder(ctx, p.Bearer)
	return c, true, err
}

// unknownKey is the answer to a service account key that opens nothing.
func unknownKey() error {
	return access.Unauthenticated("this service account key opens nothing here: it was revoked, or belongs to another installation", "check --api and the key; a new key comes with `mezu service-accounts rotate`")
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
func (s *Configuration) keyholder(ctx context.Context, key string) (access.Caller, error) {
	if err := mezu.ValidateKey(key); err != nil {
		return access.Caller{}, err
	}
	target, err := record.Get[string](ctx, s.records, keyKey(mezu.HashSecret(key)))
	if err != nil {
		return access.Caller{}, orUnknownKey(err)
	}
	acc, err := record.Get[access.Account](ctx, s.records, target.Value)
	if err != nil {
		return access.Caller{}, orUnknownKey(err)
	}
	if !acc.Value.OpensBy(mezu.HashSecret(key), s.records.Now()) {
		return access.Caller{}, unknownKey()
	}
	// A deleted project's accounts may be there a while longer.
	if _, err := record.Get[string](ctx, s.records, record.KeyID(acc.Value.Project)); err != nil {
		return access.Caller{}, orUnknownKey(err)
	}
	s.noteUse(ctx, acc)
	var ends time.Time
	if mezu.HashSecret(key) != acc.Value.KeyHash {
		ends = acc.Value.Account.PreviousKeyUntil
	}
	return access.Caller{EndsAt: ends, Kind: access.ServiceAccount, ID: acc.Value.Account.ID, Credential: mezu.HashSecret(key), Organization: acc.Value.Organization, Project: acc.Value.Project,
		Permissions: slices.Clone(acc.Value.Account.Permissions)}, nil
}
