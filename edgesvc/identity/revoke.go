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
	var last time.Time
	for _, key := range []string{
		record.KeyRevocation(mezu.RevokeUser, organization, directory, user), record.KeyRevocation(mezu.RevokeDirectory, organization, directory),
	} {
		r, err := record.Optional[record.StreamHead](ctx, s.records, key)
		if err != nil {
			return last, err
		}
		ch.Require(key, r.Revision)
		if r.Value.NotBefore.After(last) {
			last = r.Value.NotBefore
		}
	}
	return last, nil
}

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
	// Stamps are cut to the millisecond. A grant of the same millisecond is older than the
	// change.
	from := s.records.Stamp().Add(time.Millisecond)
	var fresh []func()
	for _, e := range all {
		r := mezu.Revocation{Kind: e.kind, Subject: e.id, Scope: directory, NotBefore: from, Until: from.Add(e.life)}
		key := record.KeyRevocation(r.Kind, organization, directory, e.id)
		was, err := record.Optional[record.StreamRecord](ctx, s.records, key)
		if err != nil {
			return err
		}
		if was.Revision != 0 {
			// If the clock went back, the later time stays.
			r = record.MergeRevocations(r, mezu.Revocation{NotBefore: was.Value.NotBefore, Until: was.Value.Until})
			s.records.AddRevocation(ch, key, r)
			continue
		}
		fresh = append(fresh, func() { s.records.AddRevocation(ch, key, r) })
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
	s.records.AddRevocation(ch, record.KeyRevocation(mezu.RevokeDirectory, organization, directory),
		mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: directory, Scope: directory, NotBefore: from, Until: from.Add(mezu.MaxGrantLife)})
	return nil
}
