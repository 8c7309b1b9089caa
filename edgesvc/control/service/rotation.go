package service

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// RotateServiceAccount gives an account a new key; the one before is good for the
// overlap. Who gets the key can do what the account may, so he must have all of it
// himself.
func (s *Configuration) RotateServiceAccount(ctx context.Context, c Caller, p Place, in api.RotateRequest, o Once) (api.ServiceAccountCreated, error) {
	var out api.ServiceAccountCreated
	overlap := mezu.DefaultKeyOverlap
	if in.Overlap != nil {
		overlap = *in.Overlap
	}
	_, err := s.records.commit(ctx, by(c, api.OpRotateServiceAccount.ID), func(ch *change) error {
		sc, acc, err := s.account(ctx, c, api.OpRotateServiceAccount, p)
		if err != nil {
			return err
		}
		if overlap > mezu.MaxKeyOverlap {
			return mezu.Invalid("overlap", "is at most %s", time.Duration(mezu.MaxKeyOverlap))
		}
		out, err = once(ctx, s.records, ch, by(c, api.OpRotateServiceAccount.ID), o, true, func() (api.ServiceAccountCreated, error) {
			if err := sc.mayGrant(acc.Value.Account.Permissions); err != nil {
				return out, err
			}
			sc.stand(ch)
			return s.rekey(ch, acc, time.Duration(overlap))
		})
		return err
	})
	return out, err
}

// rekey adds an account's new key to a change. A rotation with an overlap waits for
// the end of the one before: a third key would end one of two that are in use.
func (s *Configuration) rekey(ch *change, acc found[account], overlap time.Duration) (api.ServiceAccountCreated, error) {
	was, secret := acc.Value, mezu.NewKey()
	now := was
	if was.PreviousHash != "" {
		if overlap > 0 && s.records.now().Before(was.Account.PreviousKeyUntil) {
			return api.ServiceAccountCreated{}, &mezu.Error{Code: mezu.CodeConflict, Field: "overlap", Detail: "the key before (" + was.Account.PreviousKeyPrefix + "…) is good until " + was.Account.PreviousKeyUntil.Format(time.RFC3339),
				Hint: "wait for that, or rotate with an overlap of 0s, which ends every earlier key at once"}
		}
		ch.drop(keyKey(was.PreviousHash))
	}
	now.PreviousHash, now.Account.PreviousKeyPrefix, now.Account.PreviousKeyUntil = "", "", time.Time{}
	if overlap > 0 {
		now.PreviousHash, now.Account.PreviousKeyPrefix, now.Account.PreviousKeyUntil = was.KeyHash, was.Account.KeyPrefix, s.records.stamp().Add(overlap)
	} else {
		ch.drop(keyKey(was.KeyHash))
	}
	now.KeyHash, now.Account.KeyPrefix = mezu.HashSecret(secret), secret[:mezu.KeyPrefixLength]
	now.Account.Meta = s.records.touch(was.Account.Meta, acc.Revision)
	ch.update(acc.Key, acc.Revision, now)
	ch.create(keyKey(now.KeyHash), acc.Key)
	ch.audit(now.target(), was.Account, now.Account)
	return api.ServiceAccountCreated{ServiceAccount: now.Account, Key: secret}, nil
}

// sweepKeys forgets keys that were rotated away and have ended.
func (s *Configuration) sweepKeys(ctx context.Context) error {
	return each(ctx, s.records, prefixAccount, func(f found[account]) error {
		if f.Value.PreviousHash == "" || s.records.now().Before(f.Value.Account.PreviousKeyUntil) {
			return nil
		}
		_, err := s.records.commit(ctx, internal(), func(ch *change) error {
			acc, err := optional[account](ctx, s.records, f.Key)
			if err != nil || acc.Value.PreviousHash == "" || s.records.now().Before(acc.Value.Account.PreviousKeyUntil) {
				return err
			}
			ch.drop(keyKey(acc.Value.PreviousHash))
			acc.Value.PreviousHash, acc.Value.Account.PreviousKeyPrefix, acc.Value.Account.PreviousKeyUntil = "", "", time.Time{}
			ch.update(acc.Key, acc.Revision, acc.Value)
			return nil
		})
		return err
	})
}
