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
	return s.latest(ctx, ch, record.KeyRevocation(mezu.RevokeUser, organization, directory, user), record.KeyRevocation(mezu.RevokeDirectory, organization, directory))
}

// latest is the last moment before which one of some revocations ends grants, those of the change
// itself included. The change depends on it.
func (s *Identity) latest(ctx context.Context, ch *record.Change, keys ...string) (last time.Time, err error) {
	for _, key := range keys {
		r, err := record.Optional[record.StreamHead](ctx, s.records, key)
		if err != nil {
			return last, err
		}
		ch.Require(key, r.Revision)
		for _, at := range []time.Time{r.Value.NotBefore, ch.RevokedBefore(key)} {
			if at.After(last) {
				last = at
			}
		}
	}
	return last, nil
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
	// plan makes the revocation of a subject. Grants that were issued since an earlier one, of it or
	// of its directory, are dated to the moment of that, so this is a later one.
	plan := func(e ending, key string) (add func(), before bool, err error) {
		last, err := s.latest(ctx, ch, key, over)
		if err != nil {
			return nil, false, err
		}
		was, err := record.Optional[record.StreamHead](ctx, s.records, key)
		if err != nil {
			return nil, false, err
		}
		from := s.records.Stamp().Add(aheadOfGrants)
		if !from.After(last) {
			from = last.Add(time.Millisecond)
		}
		r := mezu.Revocation{Kind: e.kind, Subject: e.id, Scope: directory, NotBefore: from, Until: from.Add(e.life)}
		r = record.MergeRevocations(r, mezu.Revocation{Until: was.Value.Until})
		return func() { s.records.AddRevocation(ch, key, r) }, was.Revision != 0, nil
	}
	var fresh []func()
	for _, e := range all {
		add, before, err := plan(e, record.KeyRevocation(e.kind, organization, directory, e.id))
		if err != nil {
			return err
		}
		if before {
			add()
		} else {
			fresh = append(fresh, add)
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
	add, _, err := plan(ending{mezu.RevokeDirectory, directory, mezu.MaxGrantLife}, over)
	if err == nil {
		add()
	}
	return err
}
