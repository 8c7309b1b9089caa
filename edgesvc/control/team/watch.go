package team

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// WatchMembers watches an organization's members.
func (s *Team) WatchMembers(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[mezu.Member, mezu.Member], err error) {
		sc, err := s.access.InOrganization(ctx, c, api.OpWatchMembers, p)
		show := func(ctx context.Context, f record.Record[mezu.Member]) (mezu.Member, error) {
			return s.shownMember(ctx, f.Value)
		}
		return record.Collection[mezu.Member, mezu.Member]{Prefix: access.MembersOf(sc.Organization.Value.ID), Show: show}, err
	})
}
