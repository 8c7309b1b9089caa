package team

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// ListOrganizations lists the organizations that the caller belongs to.
func (s *Team) ListOrganizations(ctx context.Context, c access.Caller, page record.Paging) (api.List[mezu.Organization], error) {
	if _, err := access.Admit(api.OpListOrganizations, c); err != nil {
		return api.List[mezu.Organization]{}, err
	}
	return record.List(ctx, s.records, membershipsOf(c.ID), page, func(key record.Record[string]) (mezu.Organization, error) {
		org, err := record.Get[mezu.Organization](ctx, s.records, key.Value)
		if errors.Is(err, store.ErrNotFound) || err == nil && org.Value.ID != key.Key[len(membershipsOf(c.ID)):] {
			err = record.ErrGone // it is deleted, but the membership isn't yet
		}
		return org.Value, err
	})
}

// MayLogInDevices reports whether no organization of a person forbids it. A person without
// any may.
func (s *Team) MayLogInDevices(ctx context.Context, person string) (bool, error) {
	may := true
	err := record.Each(ctx, s.records, membershipsOf(person), func(key record.Record[string]) error {
		org, err := record.Optional[mezu.Organization](ctx, s.records, key.Value)
		// A membership outlives its organization for a moment, in which another may take the name.
		may = may && (org.Value.AllowsDeviceLogin() || org.Value.ID != key.Key[len(membershipsOf(person)):])
		return err
	})
	return may, err
}

// CreateOrganization makes an organization of which the caller is the owner.
func (s *Team) CreateOrganization(ctx context.Context, c access.Caller, in mezu.Organization, o record.Idempotency) (mezu.Organization, error) {
	var out mezu.Organization
	if err := s.mayCreateOrganizations(c); err != nil {
		return out, err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateOrganization.ID), func(ch *record.Change) (err error) {
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (mezu.Organization, error) {
			return s.addOrganization(ctx, ch, c, in)
		})
		return err
	})
	return out, err
}

func (s *Team) addOrganization(ctx context.Context, ch *record.Change, c access.Caller, in mezu.Organization) (mezu.Organization, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	key := access.KeyOrganization(in.Name)
	if err := s.records.RefuseTaken(ctx, key, "organization", in.Name); err != nil {
		return in, err
	}
	in.Meta = s.records.Meta(mezu.PrefixOrganization)
	ch.Create(key, in)
	ch.Create(record.KeyID(in.ID), key)
	ch.Audit(record.About(record.KindOrganization, in.ID, in.Name), nil, in)
	s.newMember(ch, record.Record[mezu.Organization]{Value: in, Key: key}, c.ID, mezu.RoleOwner)
	return in, s.records.Count(ctx, ch, in.ID, func(n *record.Children) { n.Owners, n.Members = 1, 1 })
}

// GetOrganization reads one.
func (s *Team) GetOrganization(ctx context.Context, c access.Caller, p access.Path) (mezu.Organization, error) {
	sc, err := s.access.InOrganization(ctx, c, api.OpGetOrganization, p)
	return sc.Organization.Value, err
}

// UpdateOrganization changes one. with edits a copy; names are fixed.
func (s *Team) UpdateOrganization(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.Organization) error) (mezu.Organization, error) {
	var out mezu.Organization
	_, err := s.records.Commit(ctx, access.By(c, api.OpUpdateOrganization.ID), func(ch *record.Change) error {
		sc, err := s.access.InOrganization(ctx, c, api.OpUpdateOrganization, p)
		if err != nil {
			return err
		}
		org := sc.Organization
		if err := record.CheckRevision(ifMatch, org.Revision); err != nil {
			return err
		}
		out = org.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := record.FixedName(org.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Meta = s.records.Touch(org.Value.Meta, org.Revision)
		ch.Update(org.Key, org.Revision, out)
		ch.Audit(sc.Target(record.KindOrganization, out.ID, out.Name), org.Value, out)
		return nil
	})
	return out, err
}

// DeleteOrganization removes an organization without projects and directories, its
// members and its invitations.
func (s *Team) DeleteOrganization(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	var task record.Task
	_, err := s.records.Commit(ctx, access.By(c, api.OpDeleteOrganization.ID), func(ch *record.Change) error {
		sc, err := s.access.InOrganization(ctx, c, api.OpDeleteOrganization, p)
		if err != nil {
			return err
		}
		org := sc.Organization
		id := org.Value.ID
		if err := record.CheckRevision(ifMatch, org.Revision); err != nil {
			return err
		}
		below, err := record.Optional[record.Children](ctx, s.records, record.KeyChildren(id))
		if err != nil {
			return err
		}
		if err := below.Value.Refuse("the organization", "projects", below.Value.Projects); err != nil {
			return err
		}
		ch.Remove(org.Key, org.Revision)
		ch.Drop(record.KeyID(id))
		ch.Remove(record.KeyChildren(id), below.Revision)
		ch.Audit(record.About(record.KindOrganization, id, org.Value.Name), org.Value, nil)
		sc.RequireAuthority(ch)
		task = record.Task{Kind: record.TaskOrganization, ID: id}
		ch.Enqueue(task)
		return nil
	})
	if err != nil {
		return err
	}
	return s.records.Finish(ctx, task)
}
