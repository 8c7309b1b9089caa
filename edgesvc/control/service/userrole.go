package service

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
)

// dropRoles plans the removal of roles from a project, or of all with the project. A
// role that someone has is not removed: its permissions would come back to him with
// the next role of the name. Grants of this very moment are taken back afterwards, by
// what the change owes.
//
// It is called for every change of roles: one that adds them waits for the end of a
// removal, too.
func (s *Identity) dropRoles(ctx context.Context, ch *change, sc scope, roles []string) ([]task, error) {
	slices.Sort(roles)
	org, prj := sc.organization.Value.ID, sc.project.Value.ID
	owed := task{Kind: taskRoles, ID: prj, Organization: org, Roles: roles}
	earlier, err := optional[task](ctx, s.records, keyTask(owed.Kind, owed.ID))
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
			page, err := s.records.store.List(ctx, holdersOf(dir.ID, roleGrant{prj, role}), "", 1)
			if err == nil && len(page.Records) > 0 {
				err = &mezu.Error{Code: mezu.CodeConflict, Field: "roles", Detail: "users of the directory " + dir.Name + " have the role " + role,
					Hint: "take it from them first; filter=role=" + sc.project.Value.Name + "/" + role + " finds them"}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	ch.enqueue(owed)
	return []task{owed}, nil
}

// unfinishedRoles refuses a change while an earlier removal is not done: a role that
// came back would find those who had it.
func unfinishedRoles() error {
	return &mezu.Error{Code: mezu.CodeConflict, Field: "roles", Detail: "an earlier removal of roles is not finished", Hint: "try again in a moment"}
}

// removedRoles are the names that was has and is lacks.
func removedRoles(was, is map[string]mezu.ProjectRole) []string {
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
		err := each(ctx, s.records, directoriesOf(owner), func(f found[mezu.Directory]) error { return visit(f.Value) })
		if err != nil {
			return err
		}
	}
	return nil
}

// identityTasks are what changes of roles enqueue.
func (s *Identity) identityTasks() taskHandlers { return taskHandlers{taskRoles: s.takeRoles} }

// takeRoles takes removed roles from users who were granted them in the moment of the
// removal.
func (s *Identity) takeRoles(ctx context.Context, p task) error {
	return s.eachDirectory(ctx, p.Organization, p.ID, func(dir mezu.Directory) error {
		for _, role := range p.Roles {
			g := roleGrant{p.ID, role}
			prefix := holdersOf(dir.ID, g)
			err := each(ctx, s.records, prefix, func(f found[int]) error {
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
	_, err := s.records.publish(ctx, internal(), func(ch *change) error {
		was, err := optional[user](ctx, s.records, usersOf(directory)+id)
		if err != nil || !slices.Contains(was.Value.Grants, g) {
			return err
		}
		is := was.Value
		is.Grants = slices.DeleteFunc(slices.Clone(is.Grants), func(has roleGrant) bool { return has == g })
		is.User.Meta = s.records.touch(is.User.Meta, is.User.Revision)
		if err := s.index(ctx, ch, directory, was.Value, is); err != nil {
			return err
		}
		ch.update(was.Key, was.Revision, is)
		return s.revokeUser(ctx, ch, organization, directory, id)
	})
	return err
}
