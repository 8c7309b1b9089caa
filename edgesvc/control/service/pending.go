package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// pendingKind is what a change left to do that did not fit its transaction.
type pendingKind string

const (
	// pendingAccount: cut the Warpgates that a deleted account let in.
	pendingAccount pendingKind = "account"
	// pendingEnvironment: cut the Warpgates of a deleted environment.
	pendingEnvironment pendingKind = "environment"
	// pendingBundles: publish the bundles of a project's environments.
	pendingBundles pendingKind = "bundles"
	// pendingProject: remove the service accounts of a deleted project.
	pendingProject pendingKind = "project"
	// pendingRoles: take roles that a project lost from users who got them
	// meanwhile.
	pendingRoles pendingKind = "roles"
	// pendingEdge: forget what a deleted edge held.
	pendingEdge pendingKind = "edge"
	// pendingMember: cut the Warpgates that a removed member let in.
	pendingMember pendingKind = "member"
	// pendingOrganization: forget the members and invitations of a deleted
	// organization.
	pendingOrganization pendingKind = "organization"
)

// pending is written in the transaction of the change that owes it and removed
// when it is done, so that a process that ends in between leaves it to the next.
// Doing it twice does no harm.
type pending struct {
	Kind    pendingKind `json:"kind"`
	ID      string      `json:"id"`
	Project string      `json:"project,omitempty"`
	// Organization and Person are a removed member's, Organization and Roles of
	// roles that a project lost.
	Organization string   `json:"organization,omitempty"`
	Person       string   `json:"person,omitempty"`
	Roles        []string `json:"roles,omitempty"`
}

func (c *change) owe(p pending) { c.put(keyPending(p.Kind, p.ID), p) }

// settle does what is owed.
func (s *Service) settle(ctx context.Context, p pending) error {
	key := keyPending(p.Kind, p.ID)
	before, err := optional[pending](ctx, s, key)
	if err != nil || before.Revision == 0 {
		return err
	}
	switch p.Kind {
	case pendingAccount:
		err = s.cutAccount(ctx, p)
	case pendingEnvironment:
		err = s.cutWarpgates(ctx, p.ID, "")
	case pendingBundles:
		err = each(ctx, s, environmentsOf(p.ID), func(f found[mezu.Environment]) error { return s.republish(ctx, f.Value.ID) })
	case pendingProject:
		err = s.cutAccounts(ctx, p.ID)
	case pendingRoles:
		err = s.takeRoles(ctx, p)
	case pendingEdge:
		err = s.forgetEdge(ctx, p.ID)
	case pendingMember:
		err = s.cutMember(ctx, p)
	case pendingOrganization:
		err = s.forgetOrganization(ctx, p.ID)
	}
	if err != nil {
		return fmt.Errorf("finishing %s of %s: %w", p.Kind, p.ID, err)
	}
	// The revision tells whether more was owed meanwhile; then that stays.
	_, err = s.housekeep(ctx, store.Txn{Checks: []store.Check{{Key: key, Revision: before.Revision}}, Ops: []store.Op{{Key: key, Delete: true}}})
	return err
}

// Settle does everything that is owed, as after a start.
func (s *Service) Settle(ctx context.Context) error {
	var owed []pending
	err := each(ctx, s, prefixPending, func(f found[pending]) error {
		owed = append(owed, f.Value)
		return nil
	})
	return errors.Join(err, s.settleAll(ctx, owed))
}

// settleAll does all of it; what can't be done does not keep the rest from being done.
func (s *Service) settleAll(ctx context.Context, owed []pending) error {
	var err error
	for _, p := range owed {
		err = errors.Join(err, s.settle(ctx, p))
	}
	return err
}

// cutAccount removes the Warpgates that an account let in.
func (s *Service) cutAccount(ctx context.Context, p pending) error {
	return each(ctx, s, environmentsOf(p.Project), func(f found[mezu.Environment]) error {
		return s.cutWarpgates(ctx, f.Value.ID, p.ID)
	})
}

// cutWarpgates removes an environment's Warpgates: those that one account let in,
// or all for an empty account.
func (s *Service) cutWarpgates(ctx context.Context, environment, account string) error {
	return each(ctx, s, warpgatesOf(environment), func(f found[warpgate]) error {
		if account != "" && f.Value.RegisteredBy != account {
			return nil
		}
		return s.removeWarpgate(ctx, internal, environment, f.Value.ID, 0)
	})
}

// forgetEdge drops the presence that an edge reported.
func (s *Service) forgetEdge(ctx context.Context, id string) error {
	if _, err := s.housekeep(ctx, store.Txn{Ops: []store.Op{{Key: keySilent(id), Delete: true}}}); err != nil {
		return err
	}
	return each(ctx, s, presenceOf(id), func(f found[string]) error {
		return s.forgetPresence(ctx, id, f.Value)
	})
}
