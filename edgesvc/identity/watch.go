package identity

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// WatchDirectories watches the directories of a project, or of an organization.
func (s *Identity) WatchDirectories(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[mezu.Directory, mezu.Directory], err error) {
		sc, err := s.access.InOwner(ctx, c, p.Either(api.OpWatchDirectories, api.OpWatchOrganizationDirectories), p)
		return record.Collection[mezu.Directory, mezu.Directory]{Prefix: access.DirectoriesOf(sc.Owner), Show: record.Plain[mezu.Directory]}, err
	})
}

// WatchUsers watches the users of a directory. A login is a change of the user.
func (s *Identity) WatchUsers(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[user, mezu.User], err error) {
		sc, err := s.access.InDirectory(ctx, c, p.Either(api.OpWatchUsers, api.OpWatchOrganizationUsers), p)
		show := func(ctx context.Context, f record.Record[user]) (mezu.User, error) {
			return s.shownUser(ctx, sc, projectNames{}, f.Value)
		}
		return record.Collection[user, mezu.User]{Prefix: usersOf(sc.Directory.Value.ID), Show: show}, err
	})
}
