package identity

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
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

// Require makes a change depend on what was read of a holder: one who has lost a role since, or
// was suspended, is read again. It does nothing for a holder whom the change makes.
func (h Holder) Require(ch *record.Change) {
	if h.record.Revision != 0 {
		ch.Require(h.record.Key, h.record.Revision)
	}
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

// HolderAt admits the caller to a user of a path, of whose revision the call may insist.
func (s *Identity) HolderAt(ctx context.Context, c access.Caller, op api.Operation, p access.Path, ifMatch uint64) (access.Scope, Holder, error) {
	sc, err := s.access.InDirectory(ctx, c, op, p)
	if err != nil {
		return sc, Holder{}, err
	}
	u, err := s.user(ctx, sc, p)
	if err == nil {
		err = record.CheckRevision(ifMatch, u.Value.User.Revision)
	}
	return sc, holder(sc.Directory.Value.ID, u), err
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
	return made(sc, out), err
}

// made is a user whom a change makes.
func made(sc access.Scope, u mezu.User) Holder {
	u.Directory = sc.Directory.Value.ID
	return Holder{User: u}
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

// strangerLife is how long attempts for addresses that nobody has are kept, of which nobody
// reads anything.
const strangerLife = time.Hour

// Jobs remove what nobody needs any more.
func (s *Identity) Jobs() []record.Job {
	return []record.Job{{Name: "sweeping attempts of strangers", Every: record.SweepInterval, Run: func(ctx context.Context) error {
		return record.Sweep(ctx, s.records, prefixStranger, func(l []mezu.Login) bool {
			return len(l) == 0 || s.records.Now().Sub(l[0].Time) >= strangerLife
		})
	}}}
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

// EnvironmentIn finds an environment that can name a directory of the scope: by its name, and
// if the directory is the organization's, by PROJECT/NAME.
func (s *Identity) EnvironmentIn(ctx context.Context, sc access.Scope, name string) (mezu.Environment, error) {
	unknown := mezu.Invalid("environment", "there is no environment %q", name)
	prj, wide := sc.Project.Value, sc.Project.Revision == 0
	project, rest, both := strings.Cut(name, "/")
	switch {
	case both:
		name = rest
	case wide:
		return mezu.Environment{}, mezu.Invalid("environment", "is PROJECT/NAME for the directory of an organization, not %q", name)
	default:
		project = prj.Name
	}
	if mezu.ValidateName("", project) != nil || mezu.ValidateName("", name) != nil || !wide && project != prj.Name {
		return mezu.Environment{}, unknown
	}
	if wide {
		found, err := record.Optional[mezu.Project](ctx, s.records, access.ProjectsOf(sc.Organization.Value.ID)+project)
		if err != nil {
			return mezu.Environment{}, err
		}
		prj = found.Value
	}
	env, err := record.Optional[mezu.Environment](ctx, s.records, access.EnvironmentsOf(prj.ID)+name)
	if err == nil && env.Revision == 0 {
		err = unknown
	}
	return env.Value, err
}

// EachEnvironment shows the environments that can name a directory of the scope, until visit
// has seen enough and says false.
func (s *Identity) EachEnvironment(ctx context.Context, sc access.Scope, visit func(mezu.Environment) bool) error {
	enough := errors.New("seen enough")
	inProject := func(project string) error {
		return record.Each(ctx, s.records, access.EnvironmentsOf(project), func(f record.Record[mezu.Environment]) error {
			if !visit(f.Value) {
				return enough
			}
			return nil
		})
	}
	var err error
	if sc.Project.Revision != 0 {
		err = inProject(sc.Project.Value.ID)
	} else {
		err = record.Each(ctx, s.records, access.ProjectsOf(sc.Organization.Value.ID), func(f record.Record[mezu.Project]) error { return inProject(f.Value.ID) })
	}
	if errors.Is(err, enough) {
		return nil
	}
	return err
}
