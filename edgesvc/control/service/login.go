package service

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// NoteLogin writes down an attempt to log in as a user of a directory, both by id. The
// newest mezu.MaxLogins are kept. It is for the login flows; no operation reaches it.
// Of a user that is gone nothing is noted: mezu.CodeNotFound.
func (s *Identity) NoteLogin(ctx context.Context, directory, id string, l mezu.Login) error {
	if err := l.Validate(); err != nil {
		return err
	}
	_, err := s.records.commit(ctx, internal(), func(ch *change) error {
		u, err := get[user](ctx, s.records, usersOf(directory)+id)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("user", "")
		}
		if err != nil {
			return err
		}
		history, err := optional[[]mezu.Login](ctx, s.records, keyLogins(directory, id))
		if err != nil {
			return err
		}
		kept := append([]mezu.Login{l}, history.Value...)
		ch.update(history.Key, history.Revision, kept[:min(len(kept), mezu.MaxLogins)])
		if l.Outcome != mezu.LoginSucceeded {
			ch.require(u.Key, u.Revision)
			return nil
		}
		u.Value.User.LastLoginAt = l.Time
		ch.update(u.Key, u.Revision, u.Value)
		return nil
	})
	return err
}

// ListLogins shows the last attempts to log in as a user, the newest first.
func (s *Identity) ListLogins(ctx context.Context, c Caller, p Place) (api.List[mezu.Login], error) {
	out := api.List[mezu.Login]{Items: []mezu.Login{}}
	sc, err := s.access.inDirectory(ctx, c, p.either(api.OpGetLogins, api.OpGetOrganizationLogins), p)
	if err != nil {
		return out, err
	}
	u, err := s.user(ctx, sc, p)
	if err != nil {
		return out, err
	}
	history, err := optional[[]mezu.Login](ctx, s.records, keyLogins(sc.directory.Value.ID, u.Value.User.ID))
	out.Items = append(out.Items, history.Value...)
	return out, err
}
