package team

import (
	"context"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

func noMember() error { return record.NotFound("member", "") }

// findMember finds a membership by its id, the person's id or the person's address.
func (s *Team) findMember(ctx context.Context, org, ref string) (record.Record[access.Membership], error) {
	if strings.HasPrefix(ref, mezu.PrefixMember+"_") {
		return record.Child[access.Membership](ctx, s.records, access.MembersOf(org), ref, "member", "")
	}
	id, err := s.personID(ctx, ref)
	if err != nil {
		return record.Record[access.Membership]{}, err
	}
	if id == "" {
		return record.Record[access.Membership]{}, noMember()
	}
	m, err := record.Optional[access.Membership](ctx, s.records, access.KeyMember(org, id))
	if err == nil && m.Revision == 0 {
		err = noMember()
	}
	return m, err
}

// memberOrSelf finds the membership that a path names. For their own, which self tells,
// callers don't need the permission that they need for another's.
func (s *Team) memberOrSelf(ctx context.Context, c access.Caller, op api.Operation, p access.Path) (sc access.Scope, m record.Record[access.Membership], self bool, err error) {
	sc, r, err := s.access.Enter(ctx, c, op, p)
	if err != nil {
		return sc, m, false, err
	}
	m, err = s.findMember(ctx, sc.Organization.Value.ID, p.Item)
	self = err == nil && m.Value.Person == c.ID && c.Holds(r.Permission)
	if !self && !slices.Contains(sc.Grants, r.Permission) {
		err = access.Forbidden(op, r, c)
	}
	return sc, m, self, err
}

func (s *Team) shownMember(ctx context.Context, m mezu.Member) (mezu.Member, error) {
	var err error
	m.Email, err = s.address(ctx, m.Person)
	return m, err
}

// ListMembers lists an organization's.
func (s *Team) ListMembers(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.Member], error) {
	sc, err := s.access.InOrganization(ctx, c, api.OpListMembers, p)
	if err != nil {
		return api.List[mezu.Member]{}, err
	}
	return record.List(ctx, s.records, access.MembersOf(sc.Organization.Value.ID), page, func(f record.Record[mezu.Member]) (mezu.Member, error) {
		return s.shownMember(ctx, f.Value)
	})
}

// GetMember reads one membership. All members can read their own.
func (s *Team) GetMember(ctx context.Context, c access.Caller, p access.Path) (mezu.Member, error) {
	_, m, _, err := s.memberOrSelf(ctx, c, api.OpGetMember, p)
	if err != nil {
		return mezu.Member{}, err
	}
	return s.shownMember(ctx, m.Value.Member)
}

// UpdateMember changes a role. What the member has given out, such as tokens, ends with the
// verbs that it needs. Nobody can give or take a role above their own, and an organization
// keeps an owner.
func (s *Team) UpdateMember(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.Member) error) (mezu.Member, error) {
	var out access.Membership
	_, err := s.records.Commit(ctx, access.By(c, api.OpUpdateMember.ID), func(ch *record.Change) error {
		sc, err := s.access.InOrganization(ctx, c, api.OpUpdateMember, p)
		if err != nil {
			return err
		}
		m, err := s.findMember(ctx, sc.Organization.Value.ID, p.Item)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, m.Revision); err != nil {
			return err
		}
		out = m.Value
		if err := with(&out.Member); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		for _, role := range []mezu.Role{m.Value.Role, out.Role} {
			if err := sc.MayGive(role); err != nil {
				return err
			}
		}
		out.Meta = s.records.Touch(m.Value.Meta, m.Revision)
		out.Lost = m.Value.Lost.After(access.PermissionsOf(m.Value.Role), access.PermissionsOf(out.Role))
		sc.RequireAuthority(ch)
		ch.Update(m.Key, m.Revision, out)
		ch.Audit(sc.Target(record.KindMember, out.ID, ""), m.Value.Member, out.Member)
		return s.countOwners(ctx, ch, sc, m.Value.Role, out.Role)
	})
	if err != nil {
		return out.Member, err
	}
	return s.shownMember(ctx, out.Member)
}

// countOwners updates the number of owners when a member changes from one role to another;
// an empty role is none. It refuses to leave an organization without an owner. Every change
// of an owner writes the counter, so that of two owners who leave at once one stays.
func (s *Team) countOwners(ctx context.Context, ch *record.Change, sc access.Scope, from, to mezu.Role) error {
	owners := 0
	if from == mezu.RoleOwner {
		owners--
	}
	if to == mezu.RoleOwner {
		owners++
	}
	if owners == 0 {
		return nil
	}
	left := 0
	err := s.records.Count(ctx, ch, sc.Organization.Value.ID, func(n *record.Children) {
		n.Owners += owners
		left = n.Owners
	})
	if err == nil && left < 1 {
		err = &mezu.Error{Code: mezu.CodeConflict, Detail: "an organization has at least one owner, and this is the last", Hint: "make somebody else owner first, or delete the organization"}
	}
	return err
}

// DeleteMember removes a member, or lets the caller leave, and cuts the Warpgates that came
// in by the member's enrolment tokens.
func (s *Team) DeleteMember(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	var task record.Task
	_, err := s.records.Commit(ctx, access.By(c, api.OpDeleteMember.ID), func(ch *record.Change) error {
		sc, m, leaves, err := s.memberOrSelf(ctx, c, api.OpDeleteMember, p)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, m.Revision); err != nil {
			return err
		}
		if err := sc.MayGive(m.Value.Role); !leaves && err != nil {
			return err
		}
		task = record.Task{Kind: record.TaskMember, ID: m.Value.ID, Organization: sc.Organization.Value.ID, Person: m.Value.Person}
		sc.RequireAuthority(ch)
		ch.Remove(m.Key, m.Revision)
		ch.Drop(record.KeyID(m.Value.ID))
		ch.Drop(membershipsOf(m.Value.Person) + sc.Organization.Value.ID)
		ch.Enqueue(task)
		ch.Audit(sc.Target(record.KindMember, m.Value.ID, ""), m.Value.Member, nil)
		if err := s.records.Count(ctx, ch, sc.Organization.Value.ID, func(n *record.Children) { n.Members-- }); err != nil {
			return err
		}
		return s.countOwners(ctx, ch, sc, m.Value.Role, "")
	})
	if err != nil {
		return err
	}
	return s.records.Finish(ctx, task)
}

// newMember adds a membership to a change. For an owner, its caller must call countOwners too.
func (s *Team) newMember(ch *record.Change, org record.Record[mezu.Organization], person string, role mezu.Role) mezu.Member {
	m := mezu.Member{Meta: s.records.Meta(mezu.PrefixMember), Organization: org.Value.Name, Person: person, Role: role}
	key := access.KeyMember(org.Value.ID, person)
	ch.Create(key, m)
	ch.Create(record.KeyID(m.ID), key)
	ch.Create(membershipsOf(person)+org.Value.ID, org.Key)
	return m
}

// Tasks are the handlers of tasks that a team's changes enqueue.
func (s *Team) Tasks() record.TaskHandlers {
	return record.TaskHandlers{record.TaskOrganization: func(ctx context.Context, t record.Task) error { return s.forgetOrganization(ctx, t.ID) }}
}

// forgetOrganization drops what a deleted organization leaves: its members and
// invitations.
func (s *Team) forgetOrganization(ctx context.Context, org string) error {
	err := record.Each(ctx, s.records, access.MembersOf(org), func(f record.Record[mezu.Member]) error {
		_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
			ch.Drop(f.Key)
			ch.Drop(record.KeyID(f.Value.ID))
			ch.Drop(membershipsOf(f.Value.Person) + org)
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	return record.Each(ctx, s.records, invitationsOf(org), func(f record.Record[invitation]) error {
		_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
			ch.Drop(f.Key)
			s.unlink(ch, f.Value)
			return nil
		})
		return err
	})
}

// Jobs remove invitations that have ended.
func (s *Team) Jobs() []record.Job {
	return []record.Job{
		{Name: "sweeping invitations", Every: record.SweepInterval, Run: s.sweepInvitations},
		{Name: "completing mails", Every: record.SweepInterval, Run: s.completeMails},
	}
}

// quotaMembers bounds how many members an organization has.
var quotaMembers = record.Quota{Name: "members", Owner: "the organization", Fallback: 1000, Max: record.AnyNumber}
