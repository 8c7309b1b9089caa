package service

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// ListOrganizations lists those that the caller belongs to.
func (s *Team) ListOrganizations(ctx context.Context, c Caller, page Paging) (api.List[mezu.Organization], error) {
	if _, err := admit(api.OpListOrganizations, c); err != nil {
		return api.List[mezu.Organization]{}, err
	}
	return list(ctx, s.records, membershipsOf(c.ID), page, func(key found[string]) (mezu.Organization, error) {
		org, err := get[mezu.Organization](ctx, s.records, key.Value)
		if errors.Is(err, store.ErrNotFound) || err == nil && org.Value.ID != key.Key[len(membershipsOf(c.ID)):] {
			err = errGone // deleted, and the membership not yet
		}
		return org.Value, err
	})
}

// CreateOrganization makes an organization of which the caller is the owner.
func (s *Team) CreateOrganization(ctx context.Context, c Caller, in mezu.Organization, o Once) (mezu.Organization, error) {
	var out mezu.Organization
	if err := s.mayFound(c); err != nil {
		return out, err
	}
	_, err := s.records.commit(ctx, by(c, api.OpCreateOrganization.ID), func(ch *change) (err error) {
		out, err = once(ctx, s.records, ch, by(c, api.OpCreateOrganization.ID), o, false, func() (mezu.Organization, error) {
			return s.addOrganization(ctx, ch, c, in)
		})
		return err
	})
	return out, err
}

func (s *Team) addOrganization(ctx context.Context, ch *change, c Caller, in mezu.Organization) (mezu.Organization, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	key := keyOrganization(in.Name)
	if err := s.records.free(ctx, key, "organization", in.Name); err != nil {
		return in, err
	}
	in.Meta = s.records.meta(mezu.PrefixOrganization)
	ch.create(key, in)
	ch.create(keyID(in.ID), key)
	ch.audit(about(kindOrganization, in.ID, in.Name), nil, in)
	s.newMember(ch, found[mezu.Organization]{Value: in, Key: key}, c.ID, mezu.RoleOwner)
	return in, s.records.count(ctx, ch, in.ID, func(n *children) { n.Owners, n.Members = 1, 1 })
}

// GetOrganization reads one.
func (s *Team) GetOrganization(ctx context.Context, c Caller, p Place) (mezu.Organization, error) {
	sc, err := s.access.inOrganization(ctx, c, api.OpGetOrganization, p)
	return sc.organization.Value, err
}

// UpdateOrganization changes one. with edits a copy; names are fixed.
func (s *Team) UpdateOrganization(ctx context.Context, c Caller, p Place, ifMatch uint64, with func(*mezu.Organization) error) (mezu.Organization, error) {
	var out mezu.Organization
	_, err := s.records.commit(ctx, by(c, api.OpUpdateOrganization.ID), func(ch *change) error {
		sc, err := s.access.inOrganization(ctx, c, api.OpUpdateOrganization, p)
		if err != nil {
			return err
		}
		org := sc.organization
		if err := matches(ifMatch, org.Revision); err != nil {
			return err
		}
		out = org.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := fixedName(org.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Meta = s.records.touch(org.Value.Meta, org.Revision)
		ch.update(org.Key, org.Revision, out)
		ch.audit(sc.target(kindOrganization, out.ID, out.Name), org.Value, out)
		return nil
	})
	return out, err
}

// DeleteOrganization removes an organization without projects and directories, its
// members and its invitations.
func (s *Team) DeleteOrganization(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	var owed task
	_, err := s.records.commit(ctx, by(c, api.OpDeleteOrganization.ID), func(ch *change) error {
		sc, err := s.access.inOrganization(ctx, c, api.OpDeleteOrganization, p)
		if err != nil {
			return err
		}
		org := sc.organization
		id := org.Value.ID
		if err := matches(ifMatch, org.Revision); err != nil {
			return err
		}
		below, err := optional[children](ctx, s.records, keyChildren(id))
		if err != nil {
			return err
		}
		if err := below.Value.refuse("the organization", "projects", below.Value.Projects); err != nil {
			return err
		}
		ch.remove(org.Key, org.Revision)
		ch.drop(keyID(id))
		ch.remove(keyChildren(id), below.Revision)
		ch.audit(about(kindOrganization, id, org.Value.Name), org.Value, nil)
		sc.stand(ch)
		owed = task{Kind: taskOrganization, ID: id}
		ch.enqueue(owed)
		return nil
	})
	if err != nil {
		return err
	}
	return s.records.settle(ctx, owed)
}
