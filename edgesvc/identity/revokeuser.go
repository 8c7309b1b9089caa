package identity

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// RevokeUser ends all sessions that a user has now. It is never refused. Above the
// organization's quota, one statement ends all sessions of the user's directory, and replaces
// the statements about its users until now.
func (s *Identity) RevokeUser(ctx context.Context, ch *record.Change, organization, directory, id string) error {
	// Stamps are cut to the millisecond. A grant of the same millisecond is older than the
	// change.
	from := s.records.Stamp().Add(time.Millisecond)
	r := mezu.Revocation{Kind: mezu.RevokeUser, Subject: id, Scope: directory, NotBefore: from, Until: from.Add(mezu.MaxGrantLife)}
	key := record.KeyRevocation(r.Kind, organization, directory, id)
	was, err := record.Optional[record.StreamRecord](ctx, s.records, key)
	if err != nil {
		return err
	}
	if was.Revision != 0 {
		// If the clock went back, the later time stays.
		r = record.MergeRevocations(r, mezu.Revocation{NotBefore: was.Value.NotBefore, Until: was.Value.Until})
		s.records.AddRevocation(ch, key, r)
		return nil
	}
	all, err := record.Optional[int](ctx, s.records, record.KeyEnded(organization))
	if err != nil {
		return err
	}
	own, err := record.Optional[int](ctx, s.records, record.KeyEnded(directory))
	if err != nil {
		return err
	}
	if all.Value < s.records.Most(record.QuotaRevocations) {
		ch.Update(all.Key, all.Revision, all.Value+1)
		ch.Update(own.Key, own.Revision, own.Value+1)
		s.records.AddRevocation(ch, key, r)
		return nil
	}
	s.records.Log.Warn("ending all sessions of a directory: more users were ended within the life of a session than the quota has room for",
		"quota", record.QuotaRevocations.Name, "organization", organization, "directory", directory)
	ch.Update(all.Key, all.Revision, max(all.Value-own.Value, 0))
	ch.Update(own.Key, own.Revision, 0)
	s.records.AddRevocation(ch, record.KeyRevocation(mezu.RevokeDirectory, organization, directory),
		mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: directory, Scope: directory, NotBefore: r.NotBefore, Until: r.Until})
	return nil
}
