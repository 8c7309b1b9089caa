package identity

import (
	"context"
	"errors"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Holder is a user as the login flows see one: who has an account, and may or may not log in
// with it. No operation of the API gives one.
type Holder struct {
	User   mezu.User // without roles
	record record.Record[user]
}

// Account is the account of a holder in a directory.
func (h Holder) Account() account.Ref {
	return account.Ref{Pool: h.User.Directory, ID: h.User.ID}
}

// RolesIn are the roles that a holder has in a project, by its id.
func (h Holder) RolesIn(project string) []string {
	var out []string
	for _, g := range h.record.Value.Grants {
		if g.Project == project {
			out = append(out, g.Role)
		}
	}
	return out
}

func holder(directory string, u record.Record[user]) Holder {
	h := Holder{User: u.Value.User, record: u}
	h.User.Directory = directory // its id: flows know no names
	return h
}

// Holder finds a user of a directory, both by id, or says store.ErrNotFound.
func (s *Identity) Holder(ctx context.Context, directory, id string) (Holder, error) {
	if mezu.ValidateID("", mezu.PrefixUser, id) != nil {
		return Holder{}, store.ErrNotFound
	}
	u, err := record.Get[user](ctx, s.records, usersOf(directory)+id)
	return holder(directory, u), err
}

// HolderByMail finds a directory's user by mail address, or says store.ErrNotFound.
func (s *Identity) HolderByMail(ctx context.Context, directory, address string) (Holder, error) {
	id, err := record.Get[string](ctx, s.records, s.mailEntry(directory, address))
	if err != nil {
		return Holder{}, err
	}
	h, err := s.Holder(ctx, directory, id.Value)
	if err == nil && NormalizeMail(h.User.Profile.Email) != NormalizeMail(address) {
		err = store.ErrNotFound // the user has another address now
	}
	return h, err
}

// SignUp plans a user who has proved an address, and with that logs in at a moment.
func (s *Identity) SignUp(ctx context.Context, ch *record.Change, sc access.Scope, p mezu.Profile, at time.Time) (Holder, error) {
	out, err := s.addUser(ctx, ch, sc, mezu.User{Profile: p, Status: mezu.UserActive, LastLoginAt: at})
	h := Holder{User: out}
	h.User.Directory = sc.Directory.Value.ID
	return h, err
}

// ChangeHolder plans what a user changes of their own: the profile with its address, and the
// status if an invited user comes.
func (s *Identity) ChangeHolder(ctx context.Context, ch *record.Change, sc access.Scope, was Holder, with func(*mezu.User)) (Holder, error) {
	before, err := s.shownUser(ctx, sc, projectNames{}, was.record.Value)
	if err != nil {
		return was, err
	}
	out := before
	with(&out)
	if err := s.changeUser(ctx, ch, sc, was.record, before, &out); err != nil {
		return was, err
	}
	h := was
	h.User.Profile, h.User.Status = out.Profile, out.Status
	return h, nil
}

// NoteLogin plans that an attempt to log in as a user is remembered, and with one that
// succeeded when that was. Of an address that nobody has, the zero Holder, the same is
// written elsewhere, so that it takes as long.
func (s *Identity) NoteLogin(ctx context.Context, ch *record.Change, directory string, h Holder, l mezu.Login) error {
	if err := l.Validate(); err != nil {
		return err
	}
	key := keyLogins(directory, h.User.ID)
	if h.User.ID == "" {
		key = keyStranger(directory, l.Address)
	}
	history, err := record.Optional[[]mezu.Login](ctx, s.records, key)
	if err != nil {
		return err
	}
	kept := append([]mezu.Login{l}, history.Value...)
	ch.Update(history.Key, history.Revision, kept[:min(len(kept), mezu.MaxLogins)])
	if h.User.ID == "" || l.Outcome != mezu.LoginSucceeded {
		return nil
	}
	if _, changed, _ := record.Planned[user](ch, h.record.Key); changed || h.record.Revision == 0 {
		return nil // a user who is being made has no earlier login
	}
	now, err := record.Get[user](ctx, s.records, h.record.Key)
	if errors.Is(err, store.ErrNotFound) {
		return record.NotFound("user", "")
	}
	if err != nil {
		return err
	}
	now.Value.User.LastLoginAt = l.Time
	ch.Update(now.Key, now.Revision, now.Value)
	return nil
}

// LoginsOf are the last attempts to log in as a user, the newest first.
func (s *Identity) LoginsOf(ctx context.Context, h Holder) ([]mezu.Login, error) {
	history, err := record.Optional[[]mezu.Login](ctx, s.records, keyLogins(h.User.Directory, h.User.ID))
	return history.Value, err
}

// ProjectOf finds the project of an environment.
func (s *Identity) ProjectOf(ctx context.Context, env record.Record[mezu.Environment]) (mezu.Project, error) {
	_, prj, err := s.access.OwnersOf(ctx, env)
	return prj.Value, err
}

// Scope finds a directory by its id, with the project and organization that it belongs to.
func (s *Identity) Scope(ctx context.Context, directory string) (access.Scope, error) {
	return s.access.ToDirectory(ctx, directory)
}
