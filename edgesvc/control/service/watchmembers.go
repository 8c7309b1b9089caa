package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// WatchMembers watches an organization's members.
func (s *Team) WatchMembers(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watchAs(ctx, s.access, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Member, mezu.Member], err error) {
		sc, err := s.access.inOrganization(ctx, c, api.OpWatchMembers, p)
		show := func(ctx context.Context, f found[mezu.Member]) (mezu.Member, error) {
			return s.shownMember(ctx, f.Value)
		}
		return collection[mezu.Member, mezu.Member]{prefix: membersOf(sc.organization.Value.ID), show: show}, err
	})
}
