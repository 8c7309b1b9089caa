package service

import (
	"context"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

func noMember() error { return notFound("member", "") }

// findMember finds a membership by its id, the person's id or the person's address.
func (s *Team) findMember(ctx context.Context, org, ref string) (found[membership], error) {
	if strings.HasPrefix(ref, mezu.PrefixMember+"_") {
		return child[membership](ctx, s.records, membersOf(org), ref, "member", "")
	}
	id, err := s.personID(ctx, ref)
	if err != nil {
		return found[membership]{}, err
	}
	if id == "" {
		return found[membership]{}, noMember()
	}
	m, err := optional[membership](ctx, s.records, keyMember(org, id))
	if err == nil && m.Revision == 0 {
		err = noMember()
	}
	return m, err
}

// memberOrSelf finds the membership that a path names. What is asked of the caller
// for another's is not asked for his own; self says that it is.
func (s *Team) memberOrSelf(ctx context.Context, c Caller, op api.Operation, p Place) (sc scope, m found[membership], self bool, err error) {
	sc, r, err := s.access.enter(ctx, c, op, p)
	if err != nil {
		return sc, m, false, err
	}
	m, err = s.findMember(ctx, sc.organization.Value.ID, p.Item)
	self = err == nil && m.Value.Person == c.ID && c.holds(r.permission)
	if !self && !slices.Contains(sc.grants, r.permission) {
		err = forbidden(op, r, c)
	}
	return sc, m, self, err
}

func (s *Team) shownMember(ctx context.Context, m mezu.Member) (mezu.Member, error) {
	var err error
	m.Email, err = s.address(ctx, m.Person)
	return m, err
}

// ListMembers lists an organization's.
func (s *Team) ListMembers(ctx context.Context, c Caller, p Place, page Paging) (api.List[mezu.Member], error) {
	sc, err := s.access.inOrganization(ctx, c, api.OpListMembers, p)
	if err != nil {
		return api.List[mezu.Member]{}, err
	}
	return list(ctx, s.records, membersOf(sc.organization.Value.ID), page, func(f found[mezu.Member]) (mezu.Member, error) {
		return s.shownMember(ctx, f.Value)
	})
}

// GetMember reads one. Everybody reads his own.
func (s *Team) GetMember(ctx context.Context, c Caller, p Place) (mezu.Member, error) {
	_, m, _, err := s.memberOrSelf(ctx, c, api.OpGetMember, p)
	if err != nil {
		return mezu.Member{}, err
	}
	return s.shownMember(ctx, m.Value.Member)
}

// UpdateMember changes a role. What was given out in the member's name ends with the
// verbs that it rests on. Nobody gives or takes a role above his own, and an
// organization keeps an owner.
func (s *Team) UpdateMember(ctx context.Context, c Caller, p Place, ifMatch uint64, with func(*mezu.Member) error) (mezu.Member, error) {
	var out membership
	_, err := s.records.commit(ctx, by(c, api.OpUpdateMember.ID), func(ch *change) error {
		sc, err := s.access.inOrganization(ctx, c, api.OpUpdateMember, p)
		if err != nil {
			return err
		}
		m, err := s.findMember(ctx, sc.organization.Value.ID, p.Item)
		if err != nil {
			return err
		}
		if err := matches(ifMatch, m.Revision); err != nil {
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
			if err := sc.mayGive(role); err != nil {
				return err
			}
		}
		out.Meta = s.records.touch(m.Value.Meta, m.Revision)
		out.Lost = m.Value.Lost.after(permissionsOf(m.Value.Role), permissionsOf(out.Role))
		sc.stand(ch)
		ch.update(m.Key, m.Revision, out)
		ch.audit(sc.target(kindMember, out.ID, ""), m.Value.Member, out.Member)
		return s.countOwners(ctx, ch, sc, m.Value.Role, out.Role)
	})
	if err != nil {
		return out.Member, err
	}
	return s.shownMember(ctx, out.Member)
}

// countOwners follows a member from one role to another, empty for none, and
// refuses to leave an organization without an owner. The counter is part of every
// change of an owner, so that of two owners who leave at once one stays.
func (s *Team) countOwners(ctx context.Context, ch *change, sc scope, from, to mezu.Role) error {
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
	err := s.records.count(ctx, ch, sc.organization.Value.ID, func(n *children) {
		n.Owners += owners
		left = n.Owners
	})
	if err == nil && left < 1 {
		err = &mezu.Error{Code: mezu.CodeConflict, Detail: "an organization has at least one owner, and this is the last", Hint: "make somebody else owner first, or delete the organization"}
	}
	return err
}

// DeleteMember removes a member, or lets the caller himself leave, and cuts the
// Warpgates that he let in by enrolment tokens.
func (s *Team) DeleteMember(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	var owed task
	_, err := s.records.commit(ctx, by(c, api.OpDeleteMember.ID), func(ch *change) error {
		sc, m, leaves, err := s.memberOrSelf(ctx, c, api.OpDeleteMember, p)
		if err != nil {
			return err
		}
		if err := matches(ifMatch, m.Revision); err != nil {
			return err
		}
		if err := sc.mayGive(m.Value.Role); !leaves && err != nil {
			return err
		}
		owed = task{Kind: taskMember, ID: m.Value.ID, Organization: sc.organization.Value.ID, Person: m.Value.Person}
		sc.stand(ch)
		ch.remove(m.Key, m.Revision)
		ch.drop(keyID(m.Value.ID))
		ch.drop(membershipsOf(m.Value.Person) + sc.organization.Value.ID)
		ch.enqueue(owed)
		ch.audit(sc.target(kindMember, m.Value.ID, ""), m.Value.Member, nil)
		if err := s.records.count(ctx, ch, sc.organization.Value.ID, func(n *children) { n.Members-- }); err != nil {
			return err
		}
		return s.countOwners(ctx, ch, sc, m.Value.Role, "")
	})
	if err != nil {
		return err
	}
	return s.records.settle(ctx, owed)
}

// newMember adds a membership to a change; who adds an owner counts him too.
func (s *Team) newMember(ch *change, org found[mezu.Organization], person string, role mezu.Role) mezu.Member {
	m := mezu.Member{Meta: s.records.meta(mezu.PrefixMember), Organization: org.Value.Name, Person: person, Role: role}
	key := keyMember(org.Value.ID, person)
	ch.create(key, m)
	ch.create(keyID(m.ID), key)
	ch.create(membershipsOf(person)+org.Value.ID, org.Key)
	return m
}

// teamTasks are what a team's changes enqueue.
func (s *Team) teamTasks() taskHandlers {
	return taskHandlers{taskOrganization: func(ctx context.Context, t task) error { return s.forgetOrganization(ctx, t.ID) }}
}

// forgetOrganization drops what a deleted organization leaves: its members and
// invitations.
func (s *Team) forgetOrganization(ctx context.Context, org string) error {
	err := each(ctx, s.records, membersOf(org), func(f found[mezu.Member]) error {
		_, err := s.records.commit(ctx, internal(), func(ch *change) error {
			ch.drop(f.Key)
			ch.drop(keyID(f.Value.ID))
			ch.drop(membershipsOf(f.Value.Person) + org)
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, s.records, invitationsOf(org), func(f found[invitation]) error {
		_, err := s.records.commit(ctx, internal(), func(ch *change) error {
			ch.drop(f.Key)
			unlink(ch, f.Value)
			return nil
		})
		return err
	})
}

// teamJobs remove what has ended of invitations.
func (s *Team) teamJobs() []job {
	return []job{{name: "sweeping invitations", every: SweepInterval, run: s.sweepInvitations}}
}

// quotaMembers bounds how many members an organization has.
var quotaMembers = quota{name: "members", owner: "the organization", fallback: 1000, max: anyNumber}
