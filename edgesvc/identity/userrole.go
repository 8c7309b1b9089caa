package identity

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// DropRoles plans the removal of roles from a project, or of all with the project. A role
// that a user has is not removed, because a later role of the same name would give the user
// its permissions. A task takes back what is granted in this very moment.
//
// It is called for every change of roles, also one that only adds, which must wait until an
// earlier removal is done.
func (s *Identity) DropRoles(ctx context.Context, ch *record.Change, sc access.Scope, roles []string) ([]record.Task, error) {
	slices.Sort(roles)
	org, prj := sc.Organization.Value.ID, sc.Project.Value.ID
	task := record.Task{Kind: record.TaskRoles, ID: prj, Organization: org, Roles: roles}
	earlier, err := record.Optional[record.Task](ctx, s.records, record.KeyTask(task.Kind, task.ID))
	if err != nil {
		return nil, err
	}
	if earlier.Revision != 0 {
		return nil, unfinishedRoles()
	}
	if len(roles) == 0 {
		return nil, nil
	}
	for _, role := range roles {
		err := s.eachDirectory(ctx, org, prj, func(dir mezu.Directory) error {
			page, err := s.records.Store.List(ctx, holdersOf(dir.ID, roleGrant{prj, role}), "", 1)
			if err == nil && len(page.Records) > 0 {
				err = &mezu.Error{Code: mezu.CodeConflict, Field: "roles", Detail: "users of the directory " + dir.Name + " have the role " + role,
					Hint: "take it from them first; filter=role=" + sc.Project.Value.Name + "/" + role + " finds them"}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	ch.Enqueue(task)
	return []record.Task{task}, nil
}

// unfinishedRoles refuses a change while an earlier removal is not done. Otherwise users who
// had a removed role would have it again when a role of the same name is added.
func unfinishedRoles() error {
	return &mezu.Error{Code: mezu.CodeConflict, Field: "roles", Detail: "an earlier removal of roles is not finished", Hint: "try again in a moment"}
}

// RemovedRoles are the names in was that are not in is.
func RemovedRoles(was, is map[string]mezu.ProjectRole) []string {
	var out []string
	for name := range maps.Keys(was) {
		if _, stays := is[name]; !stays {
			out = append(out, name)
		}
	}
	return out
}

// eachDirectory visits the directories whose users can have roles of a project: its
// own and those of the organization.
func (s *Identity) eachDirectory(ctx context.Context, organization, project string, visit func(mezu.Directory) error) error {
	for _, owner := range []string{project, organization} {
		err := record.Each(ctx, s.records, access.DirectoriesOf(owner), func(f record.Record[mezu.Directory]) error { return visit(f.Value) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Tasks are the handlers of tasks that changes of roles enqueue.
func (s *Identity) Tasks() record.TaskHandlers {
	return record.TaskHandlers{record.TaskRoles: s.takeRoles}
}

// takeRoles takes removed roles from users who got them at the moment of the removal.
func (s *Identity) takeRoles(ctx context.Context, p record.Task) error {
	return s.eachDirectory(ctx, p.Organization, p.ID, func(dir mezu.Directory) error {
		for _, role := range p.Roles {
			g := roleGrant{p.ID, role}
			prefix := holdersOf(dir.ID, g)
			err := record.Each(ctx, s.records, prefix, func(f record.Record[int]) error {
				return s.takeRole(ctx, p.Organization, dir.ID, strings.TrimPrefix(f.Key, prefix), g)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Identity) takeRole(ctx context.Context, organization, directory, id string, g roleGrant) error {
	_, err := s.records.Publish(ctx, record.Internal(), func(ch *record.Change) error {
		was, err := record.Optional[user](ctx, s.records, usersOf(directory)+id)
		if err != nil || !slices.Contains(was.Value.Grants, g) {
			return err
		}
		is := was.Value
		is.Grants = slices.DeleteFunc(slices.Clone(is.Grants), func(has roleGrant) bool { return has == g })
		is.User.Meta = s.records.Touch(is.User.Meta, is.User.Revision)
		if err := s.index(ctx, ch, directory, was.Value, is); err != nil {
			return err
		}
		ch.Update(was.Key, was.Revision, is)
		return s.RevokeUser(ctx, ch, organization, directory, id)
	})
	return err
}
