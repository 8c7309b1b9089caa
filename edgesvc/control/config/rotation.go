package config

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// RotateServiceAccount gives an account a new key; the one before stays valid for the
// overlap. The caller gets the key and with it everything that the account may do, so the
// caller must have all of that.
func (s *Configuration) RotateServiceAccount(ctx context.Context, c access.Caller, p access.Path, in api.RotateRequest, o record.Idempotency) (api.ServiceAccountCreated, error) {
	var out api.ServiceAccountCreated
	overlap := mezu.DefaultKeyOverlap
	if in.Overlap != nil {
		overlap = *in.Overlap
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpRotateServiceAccount.ID), func(ch *record.Change) error {
		sc, acc, err := s.account(ctx, c, api.OpRotateServiceAccount, p)
		if err != nil {
			return err
		}
		if overlap > mezu.MaxKeyOverlap {
			return mezu.Invalid("overlap", "is at most %s", time.Duration(mezu.MaxKeyOverlap))
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (api.ServiceAccountCreated, error) {
			if err := sc.MayGrant(acc.Value.Account.Permissions); err != nil {
				return out, err
			}
			sc.RequireAuthority(ch)
			return s.rekey(ch, acc, time.Duration(overlap))
		})
		return err
	})
	return out, err
}

// rekey adds an account's new key to a change. A rotation with an overlap waits for
// the end of the one before: a third key would end one of two that are in use.
func (s *Configuration) rekey(ch *record.Change, acc record.Record[access.Account], overlap time.Duration) (api.ServiceAccountCreated, error) {
	was, secret := acc.Value, mezu.NewKey()
	now := was
	if was.PreviousHash != "" {
		if overlap > 0 && s.records.Now().Before(was.Account.PreviousKeyUntil) {
			return api.ServiceAccountCreated{}, &mezu.Error{Code: mezu.CodeConflict, Field: "overlap", Detail: "the key before (" + was.Account.PreviousKeyPrefix + "…) is good until " + was.Account.PreviousKeyUntil.Format(time.RFC3339),
				Hint: "wait for that, or rotate with an overlap of 0s, which ends every earlier key at once"}
		}
		ch.Drop(keyKey(was.PreviousHash))
	}
	now.PreviousHash, now.Account.PreviousKeyPrefix, now.Account.PreviousKeyUntil = "", "", time.Time{}
	if overlap > 0 {
		now.PreviousHash, now.Account.PreviousKeyPrefix, now.Account.PreviousKeyUntil = was.KeyHash, was.Account.KeyPrefix, s.records.Stamp().Add(overlap)
	} else {
		ch.Drop(keyKey(was.KeyHash))
	}
	now.KeyHash, now.Account.KeyPrefix = mezu.HashSecret(secret), secret[:mezu.KeyPrefixLength]
	now.Account.Meta = s.records.Touch(was.Account.Meta, acc.Revision)
	ch.Update(acc.Key, acc.Revision, now)
	ch.Create(keyKey(now.KeyHash), acc.Key)
	ch.Audit(now.Target(), was.Account, now.Account)
	return api.ServiceAccountCreated{ServiceAccount: now.Account, Key: secret}, nil
}

// sweepKeys forgets keys that were rotated away and have ended.
func (s *Configuration) sweepKeys(ctx context.Context) error {
	return record.Each(ctx, s.records, access.PrefixAccount, func(f record.Record[access.Account]) error {
		if f.Value.PreviousHash == "" || s.records.Now().Before(f.Value.Account.PreviousKeyUntil) {
			return nil
		}
		_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
			acc, err := record.Optional[access.Account](ctx, s.records, f.Key)
			if err != nil || acc.Value.PreviousHash == "" || s.records.Now().Before(acc.Value.Account.PreviousKeyUntil) {
				return err
			}
			ch.Drop(keyKey(acc.Value.PreviousHash))
			acc.Value.PreviousHash, acc.Value.Account.PreviousKeyPrefix, acc.Value.Account.PreviousKeyUntil = "", "", time.Time{}
			ch.Update(acc.Key, acc.Revision, acc.Value)
			return nil
		})
		return err
	})
}
