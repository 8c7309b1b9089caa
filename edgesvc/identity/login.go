package identity

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// NoteLogin stores an attempt to log in as a user of a directory, both given by id. The newest
// mezu.MaxLogins are kept. It is for the login flows; no operation of the API reaches it. If
// the user is gone it says mezu.CodeNotFound.
func (s *Identity) NoteLogin(ctx context.Context, directory, id string, l mezu.Login) error {
	if err := l.Validate(); err != nil {
		return err
	}
	_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		u, err := record.Get[user](ctx, s.records, usersOf(directory)+id)
		if errors.Is(err, store.ErrNotFound) {
			return record.NotFound("user", "")
		}
		if err != nil {
			return err
		}
		history, err := record.Optional[[]mezu.Login](ctx, s.records, keyLogins(directory, id))
		if err != nil {
			return err
		}
		kept := append([]mezu.Login{l}, history.Value...)
		ch.Update(history.Key, history.Revision, kept[:min(len(kept), mezu.MaxLogins)])
		if l.Outcome != mezu.LoginSucceeded {
			ch.Require(u.Key, u.Revision)
			return nil
		}
		u.Value.User.LastLoginAt = l.Time
		ch.Update(u.Key, u.Revision, u.Value)
		return nil
	})
	return err
}

// ListLogins shows the last attempts to log in as a user, the newest first.
func (s *Identity) ListLogins(ctx context.Context, c access.Caller, p access.Path) (api.List[mezu.Login], error) {
	out := api.List[mezu.Login]{Items: []mezu.Login{}}
	sc, err := s.access.InDirectory(ctx, c, p.Either(api.OpGetLogins, api.OpGetOrganizationLogins), p)
	if err != nil {
		return out, err
	}
	u, err := s.user(ctx, sc, p)
	if err != nil {
		return out, err
	}
	history, err := record.Optional[[]mezu.Login](ctx, s.records, keyLogins(sc.Directory.Value.ID, u.Value.User.ID))
	out.Items = append(out.Items, history.Value...)
	return out, err
}
