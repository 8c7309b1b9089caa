package service

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
)

// revokeUser ends the sessions that a user has now, everywhere. It is never refused: past
// the quota of an organization all sessions of the user's directory end in one
// statement, which stands for those of its users until now.
func (s *Identity) revokeUser(ctx context.Context, ch *change, organization, directory, id string) error {
	// Stamps are cut to the millisecond; a grant of this very one is older than
	// the change.
	from := s.records.stamp().Add(time.Millisecond)
	r := mezu.Revocation{Kind: mezu.RevokeUser, Subject: id, Scope: directory, NotBefore: from, Until: from.Add(mezu.MaxGrantLife)}
	key := keyRevocation(r.Kind, organization, directory, id)
	was, err := optional[streamRecord](ctx, s.records, key)
	if err != nil {
		return err
	}
	if was.Revision != 0 {
		// A clock that went back takes nothing back.
		r = merged(r, mezu.Revocation{NotBefore: was.Value.NotBefore, Until: was.Value.Until})
		s.records.stateRevocation(ch, key, r)
		return nil
	}
	all, err := optional[int](ctx, s.records, keyEnded(organization))
	if err != nil {
		return err
	}
	own, err := optional[int](ctx, s.records, keyEnded(directory))
	if err != nil {
		return err
	}
	if all.Value < s.records.mostRevocations() {
		ch.update(all.Key, all.Revision, all.Value+1)
		ch.update(own.Key, own.Revision, own.Value+1)
		s.records.stateRevocation(ch, key, r)
		return nil
	}
	s.records.log.Warn("ending all sessions of a directory: more users were ended within the life of a session than the quota has room for",
		"quota", "revocations", "organization", organization, "directory", directory)
	ch.update(all.Key, all.Revision, max(all.Value-own.Value, 0))
	ch.update(own.Key, own.Revision, 0)
	s.records.stateRevocation(ch, keyRevocation(mezu.RevokeDirectory, organization, directory),
		mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: directory, Scope: directory, NotBefore: r.NotBefore, Until: r.Until})
	return nil
}
