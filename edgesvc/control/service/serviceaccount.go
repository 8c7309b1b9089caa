package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// useInterval is how often the last use of a key is written down.
const useInterval = time.Minute

// ListServiceAccounts lists a project's.
func (s *Configuration) ListServiceAccounts(ctx context.Context, c Caller, p Place, page Paging) (api.List[mezu.ServiceAccount], error) {
	sc, err := s.access.inProject(ctx, c, api.OpListServiceAccounts, p)
	if err != nil {
		return api.List[mezu.ServiceAccount]{}, err
	}
	return list(ctx, s.records, accountsOf(sc.project.Value.ID), page, func(f found[account]) (mezu.ServiceAccount, error) {
		return s.shownAccount(ctx, f.Value)
	})
}

func (s *Configuration) shownAccount(ctx context.Context, a account) (mezu.ServiceAccount, error) {
	used, err := optional[time.Time](ctx, s.records, keyUsed(a.Account.ID))
	a.Account.LastUsedAt = used.Value
	return a.Account, err
}

// CreateServiceAccount makes an account and its key. Nobody grants what he lacks
// himself.
func (s *Configuration) CreateServiceAccount(ctx context.Context, c Caller, p Place, in mezu.ServiceAccount, o Once) (api.ServiceAccountCreated, error) {
	var out api.ServiceAccountCreated
	_, err := s.records.commit(ctx, by(c, api.OpCreateServiceAccount.ID), func(ch *change) error {
		sc, err := s.access.inProject(ctx, c, api.OpCreateServiceAccount, p)
		if err != nil {
			return err
		}
		out, err = once(ctx, s.records, ch, by(c, api.OpCreateServiceAccount.ID), o, true, func() (api.ServiceAccountCreated, error) {
			return s.addAccount(ctx, ch, sc, in)
		})
		return err
	})
	return out, err
}

func (s *Configuration) addAccount(ctx context.Context, ch *change, sc scope, in mezu.ServiceAccount) (api.ServiceAccountCreated, error) {
	var out api.ServiceAccountCreated
	if err := in.Validate(); err != nil {
		return out, err
	}
	if err := sc.mayGrant(in.Permissions); err != nil {
		return out, err
	}
	sc.stand(ch)
	prj := sc.project
	key := accountsOf(prj.Value.ID) + in.Name
	if err := s.records.free(ctx, key, "service account", in.Name); err != nil {
		return out, err
	}
	secret := mezu.NewKey()
	in.Meta, in.Project, in.KeyPrefix = s.records.meta(mezu.PrefixServiceAccount), prj.Value.Name, secret[:mezu.KeyPrefixLength]
	rec := account{Account: in, Organization: sc.organization.Value.ID, Project: prj.Value.ID, KeyHash: mezu.HashSecret(secret)}
	ch.create(key, rec)
	ch.create(keyID(in.ID), key)
	ch.create(keyKey(rec.KeyHash), key)
	ch.require(prj.Key, prj.Revision)
	ch.audit(sc.target(kindServiceAccount, in.ID, in.Name), nil, in)
	out = api.ServiceAccountCreated{ServiceAccount: in, Key: secret}
	return out, s.records.add(ctx, ch, prj.Value.ID, quotaAccounts, func(n *children) *int { return &n.Accounts })
}

// GetServiceAccount reads one.
func (s *Configuration) GetServiceAccount(ctx context.Context, c Caller, p Place) (mezu.ServiceAccount, error) {
	_, acc, err := s.account(ctx, c, api.OpGetServiceAccount, p)
	if err != nil {
		return mezu.ServiceAccount{}, err
	}
	return s.shownAccount(ctx, acc.Value)
}

// UpdateServiceAccount changes permissions and default environment. What is taken
// away is gone at the next call; Warpgates that the account let in go on.
func (s *Configuration) UpdateServiceAccount(ctx context.Context, c Caller, p Place, ifMatch uint64, with func(*mezu.ServiceAccount) error) (mezu.ServiceAccount, error) {
	var out account
	_, err := s.records.commit(ctx, by(c, api.OpUpdateServiceAccount.ID), func(ch *change) error {
		sc, acc, err := s.account(ctx, c, api.OpUpdateServiceAccount, p)
		if err != nil {
			return err
		}
		if err := matches(ifMatch, acc.Revision); err != nil {
			return err
		}
		out = acc.Value
		out.Account.Permissions = slices.Clone(out.Account.Permissions)
		if err := with(&out.Account); err != nil {
			return err
		}
		if err := fixedName(acc.Value.Account.Name, out.Account.Name); err != nil {
			return err
		}
		if err := out.Account.Validate(); err != nil {
			return err
		}
		added := slices.DeleteFunc(slices.Clone(out.Account.Permissions), func(p mezu.Permission) bool { return slices.Contains(acc.Value.Account.Permissions, p) })
		if err := sc.mayGrant(added); err != nil {
			return err
		}
		sc.stand(ch)
		out.Account.Meta = s.records.touch(acc.Value.Account.Meta, acc.Revision)
		out.Lost = acc.Value.Lost.after(acc.Value.Account.Permissions, out.Account.Permissions)
		ch.update(acc.Key, acc.Revision, out)
		ch.audit(out.target(), acc.Value.Account, out.Account)
		return nil
	})
	if err != nil {
		return out.Account, err
	}
	return s.shownAccount(ctx, out)
}

// DeleteServiceAccount ends an account and its key, and cuts the Warpgates that it
// let in.
func (s *Configuration) DeleteServiceAccount(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	_, acc, err := s.account(ctx, c, api.OpDeleteServiceAccount, p)
	if err != nil {
		return err
	}
	if err := matches(ifMatch, acc.Revision); err != nil {
		return err
	}
	err = s.removeAccount(ctx, by(c, api.OpDeleteServiceAccount.ID), acc.Key, ifMatch)
	if errors.Is(err, store.ErrNotFound) {
		return notFound("service account", "")
	}
	return err
}

// removeAccount deletes an account by its key in the store, in the revision
// ifMatch or any.
func (s *Configuration) removeAccount(ctx context.Context, a author, key string, ifMatch uint64) error {
	var owed task
	_, err := s.records.commit(ctx, a, func(ch *change) error {
		acc, err := get[account](ctx, s.records, key)
		if err != nil {
			return err
		}
		if err := matches(ifMatch, acc.Revision); err != nil {
			return err
		}
		// With its project an account's counters went, and it goes itself.
		prj, err := get[string](ctx, s.records, keyID(acc.Value.Project))
		if err != nil {
			return err
		}
		ch.require(prj.Key, prj.Revision)
		owed = task{Kind: taskAccount, ID: acc.Value.Account.ID, Project: acc.Value.Project}
		dropAccount(ch, acc)
		ch.enqueue(owed)
		ch.audit(acc.Value.target(), acc.Value.Account, nil)
		return s.records.count(ctx, ch, acc.Value.Project, func(n *children) { n.Accounts-- })
	})
	if err != nil {
		return err
	}
	return s.records.settle(ctx, owed)
}

// dropAccount removes an account and all that leads to it.
func dropAccount(ch *change, acc found[account]) {
	ch.remove(acc.Key, acc.Revision)
	ch.drop(keyID(acc.Value.Account.ID))
	ch.drop(keyKey(acc.Value.KeyHash))
	if acc.Value.PreviousHash != "" {
		ch.drop(keyKey(acc.Value.PreviousHash))
	}
	ch.drop(keyUsed(acc.Value.Account.ID))
}

// noteUse writes down that a key was used, at most once in useInterval. It is a
// remark for people: when it can't be written the call goes on.
func (s *Configuration) noteUse(ctx context.Context, of found[account]) {
	id := of.Value.Account.ID
	used, err := optional[time.Time](ctx, s.records, keyUsed(id))
	if err != nil || s.records.now().Sub(used.Value) < useInterval {
		return
	}
	_, err = s.records.commit(ctx, internal(), func(ch *change) error {
		acc, err := optional[account](ctx, s.records, of.Key)
		if err != nil || acc.Value.Account.ID != id {
			return err // deleted meanwhile, and perhaps made anew
		}
		ch.require(acc.Key, acc.Revision)
		ch.put(keyUsed(id), s.records.stamp())
		return nil
	})
	if err != nil {
		s.records.log.Warn("noting the use of a key", "service_account", id, "error", err)
	}
}

func (s *Configuration) account(ctx context.Context, c Caller, op api.Operation, p Place) (scope, found[account], error) {
	sc, err := s.access.inProject(ctx, c, op, p)
	if err != nil {
		return sc, found[account]{}, err
	}
	acc, err := child[account](ctx, s.records, accountsOf(sc.project.Value.ID), p.Item, "service account", "")
	return sc, acc, err
}
