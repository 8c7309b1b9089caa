package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// WatchDirectories watches the directories of a project, or of an organization.
func (s *Identity) WatchDirectories(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watchAs(ctx, s.access, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Directory, mezu.Directory], err error) {
		sc, err := s.access.inOwner(ctx, c, p.either(api.OpWatchDirectories, api.OpWatchOrganizationDirectories), p)
		return collection[mezu.Directory, mezu.Directory]{prefix: directoriesOf(sc.owner), show: plain[mezu.Directory]}, err
	})
}

// WatchUsers watches the users of a directory. A login is a change of the user.
func (s *Identity) WatchUsers(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watchAs(ctx, s.access, c, last, sink, func(ctx context.Context, c Caller) (w collection[user, mezu.User], err error) {
		sc, err := s.access.inDirectory(ctx, c, p.either(api.OpWatchUsers, api.OpWatchOrganizationUsers), p)
		show := func(ctx context.Context, f found[user]) (mezu.User, error) {
			return s.shownUser(ctx, sc, projectNames{}, f.Value)
		}
		return collection[user, mezu.User]{prefix: usersOf(sc.directory.Value.ID), show: show}, err
	})
}
