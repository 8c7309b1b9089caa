package identity

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// indexEntry is the value of an index record whose key says everything.
const indexEntry = 1

// entries are the index records of a user in a directory: by mail, by status, by role, and by
// role and status. The zero user has none.
func (s *Identity) entries(directory string, u user) map[string]any {
	id := u.User.ID
	if id == "" {
		return nil
	}
	out := map[string]any{
		s.mailEntry(directory, u.User.Profile.Email): id,
		statusOf(directory, u.User.Status) + id:      indexEntry,
	}
	for _, g := range u.Grants {
		out[holdersOf(directory, g)+id] = indexEntry
		out[holdersInStatus(directory, g, u.User.Status)+id] = indexEntry
	}
	return out
}

// index plans the change of a user's index records from what it was to what it is;
// the zero user is none. A mail address that another user of the directory has is
// refused: here, or by the transaction if that user gets it meanwhile.
func (s *Identity) index(ctx context.Context, ch *record.Change, directory string, was, is user) error {
	old, now := s.entries(directory, was), s.entries(directory, is)
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if _, stays := now[key]; !stays {
			ch.Drop(key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		switch _, known := old[key]; {
		case known:
		case now[key] != indexEntry: // the mail address
			taken, err := record.Optional[string](ctx, s.records, key)
			if err != nil {
				return err
			}
			if taken.Revision != 0 {
				return takenMail(taken.Value)
			}
			ch.Create(key, now[key])
		default:
			ch.Put(key, now[key])
		}
	}
	return nil
}

// takenMail says which user has a mail address already.
func takenMail(user string) error {
	return &mezu.Error{Code: mezu.CodeConflict, Field: "profile.email", Detail: "user " + user + " of the directory has this mail address already", Hint: "filter=email=ADDRESS lists that user"}
}

// grants turns roles in their written form into grants. Roles that the user has stay. A new
// one must exist, and belong to the directory's project if it has one. was is nil for a new
// user.
func (s *Identity) grants(ctx context.Context, ch *record.Change, sc access.Scope, was *user, roles []string) ([]roleGrant, error) {
	var out []roleGrant
	projects := map[string]record.Record[mezu.Project]{}
	required := map[string]bool{}
	for _, grant := range roles {
		name, role, err := mezu.SplitGrant("roles", grant)
		if err != nil {
			return nil, err
		}
		prj, known := projects[name]
		if !known {
			if prj, err = s.grantingProject(ctx, sc, name); err != nil {
				return nil, err
			}
			projects[name] = prj
		}
		g := roleGrant{Project: prj.Value.ID, Role: role}
		if was == nil || !slices.Contains(was.Grants, g) {
			if _, exists := prj.Value.Roles[role]; !exists {
				return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "roles", Detail: "there is no role " + grant + " to be granted here",
					Hint: "add it to the project's roles first; users of a project's directory get roles of that project"}
			}
			// A role that is being removed is not granted.
			if !required[prj.Key] {
				ch.Require(prj.Key, prj.Revision)
				required[prj.Key] = true
			}
		}
		out = append(out, g)
	}
	return out, nil
}

// grantingProject finds a project whose roles the users of the directory can have. If there
// is none with the name it gives the zero project.
func (s *Identity) grantingProject(ctx context.Context, sc access.Scope, name string) (record.Record[mezu.Project], error) {
	if own := sc.Project; own.Revision != 0 {
		if own.Value.Name != name {
			return record.Record[mezu.Project]{}, nil
		}
		return own, nil
	}
	return record.Optional[mezu.Project](ctx, s.records, access.ProjectsOf(sc.Organization.Value.ID)+name)
}

// projectName is the name of an organization's project, empty if it is gone.
func (s *Identity) projectName(ctx context.Context, organization, id string) (string, error) {
	key, err := record.Optional[string](ctx, s.records, record.KeyID(id))
	if err != nil {
		return "", err
	}
	name, _ := strings.CutPrefix(key.Value, access.ProjectsOf(organization))
	return name, nil
}

// ListUsers lists a directory's users, or those that a filter selects. Every filter has an
// index, so that a page costs the same in a directory of any size.
func (s *Identity) ListUsers(ctx context.Context, c access.Caller, p access.Path, filter mezu.UserFilter, page record.Paging) (api.List[mezu.User], error) {
	none := api.List[mezu.User]{Items: []mezu.User{}}
	sc, err := s.access.InDirectory(ctx, c, p.Either(api.OpListUsers, api.OpListOrganizationUsers), p)
	if err != nil {
		return none, err
	}
	dir := sc.Directory.Value.ID
	names := projectNames{}
	var wanted *roleGrant
	if filter.Role != "" {
		project, role, err := mezu.SplitGrant("filter", filter.Role)
		if err != nil {
			return none, err
		}
		prj, err := s.grantingProject(ctx, sc, project)
		if err != nil {
			return none, err
		}
		// Nobody has a role of a project that doesn't exist.
		wanted = &roleGrant{Project: prj.Value.ID, Role: role}
	}
	show := func(u user) (mezu.User, error) {
		if filter.Status != "" && u.User.Status != filter.Status || wanted != nil && !slices.Contains(u.Grants, *wanted) {
			return mezu.User{}, record.ErrGone // changed since the index was read
		}
		return s.shownUser(ctx, sc, names, u)
	}
	showID := func(id string) (mezu.User, error) {
		u, err := record.Get[user](ctx, s.records, usersOf(dir)+id)
		if errors.Is(err, store.ErrNotFound) {
			err = record.ErrGone
		}
		if err != nil {
			return mezu.User{}, err
		}
		return show(u.Value)
	}
	byIndex := func(prefix string) (api.List[mezu.User], error) {
		return record.List(ctx, s.records, prefix, page, func(f record.Record[int]) (mezu.User, error) {
			return showID(strings.TrimPrefix(f.Key, prefix))
		})
	}
	switch {
	case filter.Email != "":
		return record.Lookup(ctx, s.records, s.mailEntry(dir, filter.Email), page, func(f record.Record[string]) (mezu.User, error) {
			return showID(f.Value)
		})
	case wanted != nil && filter.Status != "":
		return byIndex(holdersInStatus(dir, *wanted, filter.Status))
	case wanted != nil:
		return byIndex(holdersOf(dir, *wanted))
	case filter.Status != "":
		return byIndex(statusOf(dir, filter.Status))
	}
	return record.List(ctx, s.records, usersOf(dir), page, func(f record.Record[user]) (mezu.User, error) { return show(f.Value) })
}
