package identity

import (
	"context"
	"hash/crc32"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
)

// user is a user as it is stored. The name of the directory is left out, because it follows
// from the record's key. Roles have the ids of their projects, so that a later project of the
// same name gets nothing. The revision is the user's own and counts changes through the API,
// because logins write the record too.
type user struct {
	User   mezu.User   `json:"user"`
	Grants []roleGrant `json:"grants,omitempty"`
}

// roleGrant is a role that a user has, in a project by its id.
type roleGrant struct {
	Project string `json:"project"`
	Role    string `json:"role"`
}

// countParts is over how many records the count of a directory's users is spread, so that
// users who sign up at the same time seldom write the same one. The deletion of a directory
// that had users checks and drops all of them in one transaction.
const countParts = 32

// countUsers adds n to a directory's count of users, in a part that depends on an id.
// A part may be negative; only the sum counts.
func (s *Identity) countUsers(ctx context.Context, ch *record.Change, directory, id string, n int) error {
	part, err := record.Optional[int](ctx, s.records, keyUserCount(directory, int(crc32.ChecksumIEEE([]byte(id))%countParts)))
	if err != nil {
		return err
	}
	if n > 0 {
		if err := s.roomForUsers(ctx, directory, part.Value, n); err != nil {
			return err
		}
	}
	ch.Update(part.Key, part.Revision, part.Value+n)
	known, err := record.Optional[record.Children](ctx, s.records, record.KeyChildren(directory))
	if err != nil || known.Value.HadUsers {
		return err
	}
	return s.records.Count(ctx, ch, directory, func(c *record.Children) { c.HadUsers = true })
}

// roomForUsers refuses n further users if the directory's quota is exceeded. All parts fill
// alike: while this one is under half of its share there is room, and else all are added up.
// If several users are made at the same time, some may exceed the quota.
func (s *Identity) roomForUsers(ctx context.Context, directory string, part, n int) error {
	if (part+n)*countParts*2 <= s.records.Most(quotaUsers) {
		return nil
	}
	total := n
	err := record.Each(ctx, s.records, userCountsOf(directory), func(f record.Record[int]) error {
		total += f.Value
		return nil
	})
	if err != nil {
		return err
	}
	return s.records.Within(quotaUsers, total)
}

// withoutUsers plans the end of a directory's count, or refuses while it counts
// anyone.
func (s *Identity) withoutUsers(ctx context.Context, ch *record.Change, directory string) error {
	total := 0
	for i := range countParts {
		part, err := record.Optional[int](ctx, s.records, keyUserCount(directory, i))
		if err != nil {
			return err
		}
		total += part.Value
		ch.Require(part.Key, part.Revision)
		if part.Revision != 0 {
			ch.Drop(part.Key)
		}
	}
	if total != 0 {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "the directory still has users", Hint: "delete them first"}
	}
	return nil
}

// CreateUser makes a user. A directory has at most one user with a mail address. also plans
// what else the change does; if nil, nothing.
func (s *Identity) CreateUser(ctx context.Context, c access.Caller, p access.Path, in mezu.User, o record.Idempotency, also func(*record.Change, access.Scope, Holder) error) (mezu.User, error) {
	var out mezu.User
	op := p.Either(api.OpCreateUser, api.OpCreateOrganizationUser)
	_, err := s.records.Commit(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, err := s.access.InDirectory(ctx, c, op, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (mezu.User, error) {
			u, err := s.addUser(ctx, ch, sc, in)
			if err != nil || also == nil {
				return u, err
			}
			return u, also(ch, sc, made(sc, u))
		})
		return err
	})
	return out, err
}

func (s *Identity) addUser(ctx context.Context, ch *record.Change, sc access.Scope, in mezu.User) (mezu.User, error) {
	out, err := s.newUser(ctx, ch, sc, in)
	if err != nil {
		return in, err
	}
	ch.Audit(sc.Target(record.KindUser, out.ID, ""), nil, auditUser(out, nil))
	return out, s.countUsers(ctx, ch, sc.Directory.Value.ID, out.ID, 1)
}

// newUser plans a user and its index records.
func (s *Identity) newUser(ctx context.Context, ch *record.Change, sc access.Scope, in mezu.User) (mezu.User, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	if in.Status == "" {
		in.Status = mezu.UserActive
	}
	dir := sc.Directory.Value
	in.Meta, in.Directory = s.records.Meta(mezu.PrefixUser), ""
	u := user{User: in}
	var err error
	if u.Grants, err = s.grants(ctx, ch, sc, nil, in.Roles); err != nil {
		return in, err
	}
	if err := s.index(ctx, ch, dir.ID, user{}, u); err != nil {
		return in, err
	}
	u.User.Roles = nil
	ch.Create(usersOf(dir.ID)+in.ID, u)
	ch.Require(sc.Directory.Key, sc.Directory.Revision)
	in.Directory = dir.Name
	return in, nil
}

// user finds the user that a path names.
func (s *Identity) user(ctx context.Context, sc access.Scope, p access.Path) (record.Record[user], error) {
	if mezu.ValidateID("", mezu.PrefixUser, p.Item) != nil {
		return record.Record[user]{}, record.NotFound("user", "users are named by id; find one by mail with filter=email=ADDRESS")
	}
	u, err := record.Optional[user](ctx, s.records, usersOf(sc.Directory.Value.ID)+p.Item)
	if err == nil && u.Revision == 0 {
		err = record.NotFound("user", "users are named by id; find one by mail with filter=email=ADDRESS")
	}
	return u, err
}

// GetUser reads one.
func (s *Identity) GetUser(ctx context.Context, c access.Caller, p access.Path) (mezu.User, error) {
	sc, err := s.access.InDirectory(ctx, c, p.Either(api.OpGetUser, api.OpGetOrganizationUser), p)
	if err != nil {
		return mezu.User{}, err
	}
	u, err := s.user(ctx, sc, p)
	if err != nil {
		return mezu.User{}, err
	}
	return s.shownUser(ctx, sc, projectNames{}, u.Value)
}

// projectNames are names of projects that were looked up, by id.
type projectNames map[string]string

// shownUser is a user as the API shows it.
func (s *Identity) shownUser(ctx context.Context, sc access.Scope, names projectNames, u user) (mezu.User, error) {
	out := u.User
	out.Directory = sc.Directory.Value.Name
	for _, g := range u.Grants {
		name, known := names[g.Project]
		if !known {
			var err error
			if name, err = s.projectName(ctx, sc.Organization.Value.ID, g.Project); err != nil {
				return out, err
			}
			names[g.Project] = name
		}
		// Grants of a project that is gone are being removed.
		if name != "" {
			out.Roles = append(out.Roles, name+"/"+g.Role)
		}
	}
	return out, nil
}

// userToChange admits the caller to the change of a user, and gives the user as stored and as
// shown.
func (s *Identity) userToChange(ctx context.Context, c access.Caller, op api.Operation, p access.Path, ifMatch uint64) (sc access.Scope, was record.Record[user], before mezu.User, err error) {
	if sc, err = s.access.InDirectory(ctx, c, op, p); err != nil {
		return sc, was, before, err
	}
	if was, err = s.user(ctx, sc, p); err != nil {
		return sc, was, before, err
	}
	if err = record.CheckRevision(ifMatch, was.Value.User.Revision); err != nil {
		return sc, was, before, err
	}
	before, err = s.shownUser(ctx, sc, projectNames{}, was.Value)
	return sc, was, before, err
}

// UpdateUser changes a user. The sessions of a user who may not log in any more, or who gets
// another address, end. Those of one who has lost a role go on without it.
func (s *Identity) UpdateUser(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.User) error) (mezu.User, error) {
	var out mezu.User
	op := p.Either(api.OpUpdateUser, api.OpUpdateOrganizationUser)
	_, err := s.records.Publish(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, was, before, err := s.userToChange(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		out = before
		if err := with(&out); err != nil {
			return err
		}
		if err := s.changeUser(ctx, ch, sc, was, before, &out); err != nil {
			return err
		}
		if barred(before, out) || NormalizeMail(before.Profile.Email) != NormalizeMail(out.Profile.Email) {
			return s.accounts.EndAll(ctx, ch, account.Ref{Pool: sc.Directory.Value.ID, ID: out.ID})
		}
		return nil
	})
	return out, err
}

// changeUser plans the change of a user to out.
func (s *Identity) changeUser(ctx context.Context, ch *record.Change, sc access.Scope, was record.Record[user], before mezu.User, out *mezu.User) error {
	if out.Status == "" {
		return mezu.Invalid("status", "is one of active, inactive, suspended")
	}
	if err := out.Validate(); err != nil {
		return err
	}
	dir := sc.Directory.Value
	out.Meta = s.records.Touch(was.Value.User.Meta, was.Value.User.Revision)
	out.Directory = dir.Name
	is := user{User: *out}
	is.User.Directory, is.User.Roles = "", nil
	var err error
	if is.Grants, err = s.grants(ctx, ch, sc, &was.Value, out.Roles); err != nil {
		return err
	}
	if err := s.index(ctx, ch, dir.ID, was.Value, is); err != nil {
		return err
	}
	ch.Update(was.Key, was.Revision, is)
	ch.Audit(sc.Target(record.KindUser, out.ID, ""), auditUser(before, nil), auditUser(*out, &before))
	lost := slices.ContainsFunc(was.Value.Grants, func(g roleGrant) bool { return !slices.Contains(is.Grants, g) })
	moved := NormalizeMail(before.Profile.Email) != NormalizeMail(out.Profile.Email)
	if barred(before, *out) || lost || moved {
		return s.RevokeUser(ctx, ch, sc.Organization.Value.ID, dir.ID, out.ID)
	}
	return nil
}

// barred reports whether a change takes a user's right to log in.
func barred(before, out mezu.User) bool {
	return out.Status != mezu.UserActive && out.Status != before.Status
}

// DeleteUser removes a user and ends its sessions.
func (s *Identity) DeleteUser(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	op := p.Either(api.OpDeleteUser, api.OpDeleteOrganizationUser)
	_, err := s.records.Publish(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, was, before, err := s.userToChange(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		dir, id := sc.Directory.Value.ID, before.ID
		if err := s.index(ctx, ch, dir, was.Value, user{}); err != nil {
			return err
		}
		ch.Remove(was.Key, was.Revision)
		ch.Drop(keyLogins(dir, id))
		s.accounts.Drop(ch, account.Ref{Pool: dir, ID: id})
		ch.Audit(sc.Target(record.KindUser, id, ""), auditUser(before, nil), nil)
		if err := s.RevokeUser(ctx, ch, sc.Organization.Value.ID, dir, id); err != nil {
			return err
		}
		return s.countUsers(ctx, ch, dir, id, -1)
	})
	return err
}

// auditedUser is what the audit shows of a user: what the user may do, and which parts of the
// profile changed, but nothing that tells who it is, because audit records are kept in the
// archive longer than the user in the store.
type auditedUser struct {
	Status  mezu.UserStatus `json:"status"`
	Roles   []string        `json:"roles,omitempty"`
	Changed []string        `json:"changed,omitempty"`
}

// auditUser is one side of an audit record; before is what the side is compared with.
func auditUser(u mezu.User, before *mezu.User) auditedUser {
	out := auditedUser{Status: u.Status, Roles: u.Roles}
	if before == nil {
		return out
	}
	for _, part := range []struct{ name, was, is string }{
		{"profile.name", before.Profile.Name, u.Profile.Name},
		{"profile.email", before.Profile.Email, u.Profile.Email},
		{"profile.display_name", before.Profile.DisplayName, u.Profile.DisplayName},
	} {
		if part.was != part.is {
			out.Changed = append(out.Changed, part.name)
		}
	}
	return out
}

// Quotas of directories and users.
var (
	// The removal of a role looks into each directory whose users can have the role.
	quotaDirectories = record.Quota{Name: "directories", Owner: "the owner", Fallback: 100, Max: record.AnyNumber}
	// As many as etcd has room for.
	quotaUsers = record.Quota{Name: "users", Owner: "the directory", Fallback: 1_000_000, Max: record.AnyNumber}
)
