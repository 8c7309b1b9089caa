package config

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// useInterval is how often the last use of a key is written down.
const useInterval = time.Minute

// ListServiceAccounts lists a project's.
func (s *Configuration) ListServiceAccounts(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.ServiceAccount], error) {
	sc, err := s.access.InProject(ctx, c, api.OpListServiceAccounts, p)
	if err != nil {
		return api.List[mezu.ServiceAccount]{}, err
	}
	return record.List(ctx, s.records, access.AccountsOf(sc.Project.Value.ID), page, func(f record.Record[access.Account]) (mezu.ServiceAccount, error) {
		return s.shownAccount(ctx, f.Value)
	})
}

func (s *Configuration) shownAccount(ctx context.Context, a access.Account) (mezu.ServiceAccount, error) {
	used, err := record.Optional[time.Time](ctx, s.records, keyUsed(a.Account.ID))
	a.Account.LastUsedAt = used.Value
	return a.Account, err
}

// CreateServiceAccount makes an account and its key. Nobody can grant what they lack
// themselves.
func (s *Configuration) CreateServiceAccount(ctx context.Context, c access.Caller, p access.Path, in mezu.ServiceAccount, o record.Idempotency) (api.ServiceAccountCreated, error) {
	var out api.ServiceAccountCreated
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateServiceAccount.ID), func(ch *record.Change) error {
		sc, err := s.access.InProject(ctx, c, api.OpCreateServiceAccount, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (api.ServiceAccountCreated, error) {
			return s.addAccount(ctx, ch, sc, in)
		})
		return err
	})
	return out, err
}

func (s *Configuration) addAccount(ctx context.Context, ch *record.Change, sc access.Scope, in mezu.ServiceAccount) (api.ServiceAccountCreated, error) {
	var out api.ServiceAccountCreated
	if err := in.Validate(); err != nil {
		return out, err
	}
	if err := sc.MayGrant(in.Permissions); err != nil {
		return out, err
	}
	sc.RequireAuthority(ch)
	prj := sc.Project
	key := access.AccountsOf(prj.Value.ID) + in.Name
	if err := s.records.RefuseTaken(ctx, key, "service account", in.Name); err != nil {
		return out, err
	}
	secret := mezu.NewKey()
	in.Meta, in.Project, in.KeyPrefix = s.records.Meta(mezu.PrefixServiceAccount), prj.Value.Name, secret[:mezu.KeyPrefixLength]
	rec := access.Account{Account: in, Organization: sc.Organization.Value.ID, Project: prj.Value.ID, KeyHash: mezu.HashSecret(secret)}
	ch.Create(key, rec)
	ch.Create(record.KeyID(in.ID), key)
	ch.Create(keyKey(rec.KeyHash), key)
	ch.Require(prj.Key, prj.Revision)
	ch.Audit(sc.Target(record.KindServiceAccount, in.ID, in.Name), nil, in)
	out = api.ServiceAccountCreated{ServiceAccount: in, Key: secret}
	return out, s.records.CountUp(ctx, ch, prj.Value.ID, quotaAccounts, func(n *record.Children) *int { return &n.Accounts })
}

// GetServiceAccount reads one.
func (s *Configuration) GetServiceAccount(ctx context.Context, c access.Caller, p access.Path) (mezu.ServiceAccount, error) {
	_, acc, err := s.account(ctx, c, api.OpGetServiceAccount, p)
	if err != nil {
		return mezu.ServiceAccount{}, err
	}
	return s.shownAccount(ctx, acc.Value)
}

// UpdateServiceAccount changes permissions and default environment. What is taken
// away is gone at the next call; Warpgates that the account let in go on.
func (s *Configuration) UpdateServiceAccount(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.ServiceAccount) error) (mezu.ServiceAccount, error) {
	var out access.Account
	_, err := s.records.Commit(ctx, access.By(c, api.OpUpdateServiceAccount.ID), func(ch *record.Change) error {
		sc, acc, err := s.account(ctx, c, api.OpUpdateServiceAccount, p)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, acc.Revision); err != nil {
			return err
		}
		out = acc.Value
		out.Account.Permissions = slices.Clone(out.Account.Permissions)
		if err := with(&out.Account); err != nil {
			return err
		}
		if err := record.FixedName(acc.Value.Account.Name, out.Account.Name); err != nil {
			return err
		}
		if err := out.Account.Validate(); err != nil {
			return err
		}
		added := slices.DeleteFunc(slices.Clone(out.Account.Permissions), func(p mezu.Permission) bool { return slices.Contains(acc.Value.Account.Permissions, p) })
		if err := sc.MayGrant(added); err != nil {
			return err
		}
		sc.RequireAuthority(ch)
		out.Account.Meta = s.records.Touch(acc.Value.Account.Meta, acc.Revision)
		out.Lost = acc.Value.Lost.After(acc.Value.Account.Permissions, out.Account.Permissions)
		ch.Update(acc.Key, acc.Revision, out)
		ch.Audit(out.Target(), acc.Value.Account, out.Account)
		return nil
	})
	if err != nil {
		return out.Account, err
	}
	return s.shownAccount(ctx, out)
}

// DeleteServiceAccount ends an account and its key, and cuts the Warpgates that it
// let in.
func (s *Configuration) DeleteServiceAccount(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	_, acc, err := s.account(ctx, c, api.OpDeleteServiceAccount, p)
	if err != nil {
		return err
	}
	if err := record.CheckRevision(ifMatch, acc.Revision); err != nil {
		return err
	}
	err = s.removeAccount(ctx, access.By(c, api.OpDeleteServiceAccount.ID), acc.Key, ifMatch)
	if errors.Is(err, store.ErrNotFound) {
		return record.NotFound("service account", "")
	}
	return err
}

// removeAccount deletes an account by its key in the store, in the revision
// ifMatch or any.
func (s *Configuration) removeAccount(ctx context.Context, a record.Author, key string, ifMatch uint64) error {
	var task record.Task
	_, err := s.records.Commit(ctx, a, func(ch *record.Change) error {
		acc, err := record.Get[access.Account](ctx, s.records, key)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, acc.Revision); err != nil {
			return err
		}
		// With its project an account's counters went, and it goes itself.
		prj, err := record.Get[string](ctx, s.records, record.KeyID(acc.Value.Project))
		if err != nil {
			return err
		}
		ch.Require(prj.Key, prj.Revision)
		task = record.Task{Kind: record.TaskAccount, ID: acc.Value.Account.ID, Project: acc.Value.Project}
		dropAccount(ch, acc)
		ch.Enqueue(task)
		ch.Audit(acc.Value.Target(), acc.Value.Account, nil)
		return s.records.Count(ctx, ch, acc.Value.Project, func(n *record.Children) { n.Accounts-- })
	})
	if err != nil {
		return err
	}
	return s.records.Finish(ctx, task)
}

// dropAccount removes an account and all that leads to it.
func dropAccount(ch *record.Change, acc record.Record[access.Account]) {
	ch.Remove(acc.Key, acc.Revision)
	ch.Drop(record.KeyID(acc.Value.Account.ID))
	ch.Drop(keyKey(acc.Value.KeyHash))
	if acc.Value.PreviousHash != "" {
		ch.Drop(keyKey(acc.Value.PreviousHash))
	}
	ch.Drop(keyUsed(acc.Value.Account.ID))
}

// noteUse writes down that a key was used, at most once in useInterval. It is a
// remark for people: when it can't be written the call goes on.
func (s *Configuration) noteUse(ctx context.Context, of record.Record[access.Account]) {
	id := of.Value.Account.ID
	used, err := record.Optional[time.Time](ctx, s.records, keyUsed(id))
	if err != nil || s.records.Now().Sub(used.Value) < useInterval {
		return
	}
	_, err = s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		acc, err := record.Optional[access.Account](ctx, s.records, of.Key)
		if err != nil || acc.Value.Account.ID != id {
			return err // deleted meanwhile, and perhaps made anew
		}
		ch.Require(acc.Key, acc.Revision)
		ch.Put(keyUsed(id), s.records.Stamp())
		return nil
	})
	if err != nil {
		s.records.Log.Warn("noting the use of a key", "service_account", id, "error", err)
	}
}

func (s *Configuration) account(ctx context.Context, c access.Caller, op api.Operation, p access.Path) (access.Scope, record.Record[access.Account], error) {
	sc, err := s.access.InProject(ctx, c, op, p)
	if err != nil {
		return sc, record.Record[access.Account]{}, err
	}
	acc, err := record.Child[access.Account](ctx, s.records, access.AccountsOf(sc.Project.Value.ID), p.Item, "service account", "")
	return sc, acc, err
}
