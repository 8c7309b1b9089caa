package identity

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// NotBefore is before when all grants of a user are void, zero if none are. The change
// depends on that.
func (s *Identity) NotBefore(ctx context.Context, ch *record.Change, organization, directory, user string) (time.Time, error) {
	own, err := s.revoked(ctx, ch, record.KeyRevocation(mezu.RevokeUser, organization, directory, user))
	if err != nil {
		return time.Time{}, err
	}
	wide, err := s.revoked(ctx, ch, record.KeyRevocation(mezu.RevokeDirectory, organization, directory))
	return record.Latest(own.Value.NotBefore, wide.Value.NotBefore), err
}

// revoked reads the revocation of a subject, with what the change itself revokes. The change
// depends on it.
func (s *Identity) revoked(ctx context.Context, ch *record.Change, key string) (record.Record[record.StreamHead], error) {
	r, err := record.Optional[record.StreamHead](ctx, s.records, key)
	if err == nil {
		ch.Require(key, r.Revision)
		r.Value.NotBefore = record.Latest(r.Value.NotBefore, ch.RevokedBefore(key))
	}
	return r, err
}

// aheadOfGrants is how much later than now a revocation ends grants. A grant that was planned
// after the revocation and written before it, or by a control plane whose clock is ahead by as
// much, ends with it. Those that are issued later are dated behind it. Edges and Warpgates take
// them, for it is well within grant.Skew: their clocks may be behind by the rest.
const aheadOfGrants = 2 * time.Minute

// ending is a user or session whose grants end.
type ending struct {
	kind mezu.RevocationKind
	id   string
	life time.Duration // of what ends
}

// RevokeUser ends all grants that a user has now. Sessions that go on get new ones. It is
// never refused. Above the organization's quota, one statement ends all grants of the user's
// directory, and replaces the statements about its users and sessions until now.
func (s *Identity) RevokeUser(ctx context.Context, ch *record.Change, organization, directory, id string) error {
	return s.revoke(ctx, ch, organization, directory, ending{mezu.RevokeUser, id, mezu.MaxGrantLife})
}

// RevokeSessions ends sessions, each of which would have gone on until a moment. The rest is
// as of RevokeUser. It is called once in a change.
func (s *Identity) RevokeSessions(ctx context.Context, ch *record.Change, organization, directory string, sessions map[string]time.Time) error {
	var all []ending
	for id, until := range sessions {
		if life := min(until.Sub(s.records.Stamp()), mezu.MaxGrantLife); life > 0 {
			all = append(all, ending{mezu.RevokeSession, id, life})
		}
	}
	return s.revoke(ctx, ch, organization, directory, all...)
}

func (s *Identity) revoke(ctx context.Context, ch *record.Change, organization, directory string, all ...ending) error {
	over := record.KeyRevocation(mezu.RevokeDirectory, organization, directory)
	wide, err := s.revoked(ctx, ch, over)
	if err != nil {
		return err
	}
	// Grants that were issued since an earlier revocation, of the subject or of its directory, are
	// dated to the moment of that, so this is a later one.
	add := func(e ending, key string, was record.StreamHead) {
		from := record.Latest(s.records.Stamp().Add(aheadOfGrants), record.Latest(was.NotBefore, wide.Value.NotBefore).Add(time.Millisecond))
		s.records.AddRevocation(ch, key, mezu.Revocation{Kind: e.kind, Subject: e.id, Scope: directory, NotBefore: from, Until: record.Latest(from.Add(e.life), was.Until)})
	}
	var fresh []func()
	for _, e := range all {
		key := record.KeyRevocation(e.kind, organization, directory, e.id)
		was, err := s.revoked(ctx, ch, key)
		if err != nil {
			return err
		}
		if was.Value.NotBefore.After(wide.Value.NotBefore) {
			add(e, key, was.Value)
		} else { // there is none, or that of the directory took its place, with which the count began anew
			fresh = append(fresh, func() { add(e, key, was.Value) })
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	total, err := record.Optional[int](ctx, s.records, record.KeyEnded(organization))
	if err != nil {
		return err
	}
	own, err := record.Optional[int](ctx, s.records, record.KeyEnded(directory))
	if err != nil {
		return err
	}
	if total.Value+len(fresh) <= s.records.Most(record.QuotaRevocations) {
		ch.Update(total.Key, total.Revision, total.Value+len(fresh))
		ch.Update(own.Key, own.Revision, own.Value+len(fresh))
		for _, add := range fresh {
			add()
		}
		return nil
	}
	s.records.Log.Warn("ending all grants of a directory: more users and sessions were ended within the life of a session than the quota has room for",
		"quota", record.QuotaRevocations.Name, "organization", organization, "directory", directory)
	ch.Update(total.Key, total.Revision, max(total.Value-own.Value, 0))
	ch.Update(own.Key, own.Revision, 0)
	add(ending{mezu.RevokeDirectory, directory, mezu.MaxGrantLife}, over, wide.Value)
	return nil
}
