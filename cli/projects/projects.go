// Package projects is "mezu projects": what a project looks like on the command line, and
// which flags make and change one. What all nouns have in common is in package
// collection.
//
// What may not live here: other nouns. It imports the domain, api and the
// packages of cli that every command uses; cli imports it.
package projects

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu projects".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, create, change and delete projects",
		n.NewList(inv), n.NewShow(inv), n.NewCreate(inv, createFlags(), fromFlags), n.NewUpdate(inv, updateFlags(), patchOf), n.NewDelete(inv))
}

// Names lists the projects of the organization in the context, for completion.
func Names(ctx context.Context, inv *invocation.Invocation) ([]string, error) {
	return noun().Names(ctx, inv)
}

func noun() collection.Noun[mezu.Project] {
	columns := []terminal.Column[mezu.Project]{
		{Head: "NAME", Rank: terminal.Name, Value: func(p mezu.Project) string { return p.Name }},
		{Head: "DISPLAY NAME", Value: func(p mezu.Project) string { return p.DisplayName }},
		{Head: "ROLES", Rank: terminal.Detail, Value: roleNames},
		{Head: "CREATED", Rank: terminal.Detail, At: func(p mezu.Project) time.Time { return p.CreatedAt }},
	}
	return collection.Noun[mezu.Project]{
		Name: "projects", One: "project", Many: "projects",
		Operations: collection.Operations{In: collection.InOrganization, List: api.OpListProjects, Watch: api.OpWatchProjects, Get: api.OpGetProject, Create: api.OpCreateProject, Update: api.OpUpdateProject, Delete: api.OpDeleteProject},
		Label:      func(p mezu.Project) string { return p.Name }, Columns: columns,
		Details: slices.Concat([]terminal.Column[mezu.Project]{
			{Head: "ORGANIZATION", Value: func(p mezu.Project) string { return p.Organization }},
		}, columns[:3], collection.Meta(func(p mezu.Project) mezu.Meta { return p.Meta })),
		Empty: "mezu projects create NAME makes one", Deletion: collection.Deletion[mezu.Project]{Note: "with its service accounts; its environments go first", Typed: true, Goes: goes},
	}
}

func roleNames(p mezu.Project) string {
	names := make([]string, 0, len(p.Roles))
	for name := range p.Roles {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func createFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "display-name", Usage: "`TEXT` for people"},
		&cli.StringSliceFlag{Name: "role", Usage: "a role that users can be granted, as `NAME=PERMISSION,…` (repeatable)"},
	}
}

func fromFlags(c *cli.Context, name string) (any, error) {
	roles, err := parseRoles(c.StringSlice("role"))
	if err != nil {
		return nil, err
	}
	p := mezu.Project{Name: name, DisplayName: c.String("display-name"), Roles: roles}
	return p, p.Validate()
}

func updateFlags() []cli.Flag {
	return append(createFlags(), &cli.StringSliceFlag{Name: "remove-role", Usage: "take the role `NAME` away (repeatable)"})
}

// patchOf makes the merge patch that the flags ask for.
func patchOf(c *cli.Context) (map[string]any, error) {
	patch := map[string]any{}
	if c.IsSet("display-name") {
		patch["display_name"] = c.String("display-name")
	}
	set, err := parseRoles(c.StringSlice("role"))
	if err != nil {
		return nil, err
	}
	roles := map[string]any{}
	for name, role := range set {
		roles[name] = role
	}
	for _, name := range c.StringSlice("remove-role") {
		if _, both := roles[name]; both {
			return nil, exit.Usagef("the role %q is both set and removed", name)
		}
		roles[name] = nil
	}
	if len(roles) > 0 {
		patch["roles"] = roles
	}
	return patch, nil
}

// parseRoles reads the values of --role, each NAME=PERMISSION,… .
func parseRoles(values []string) (map[string]mezu.ProjectRole, error) {
	roles := make(map[string]mezu.ProjectRole, len(values))
	for _, v := range values {
		name, list, ok := strings.Cut(v, "=")
		if _, twice := roles[name]; !ok || name == "" || twice {
			return nil, exit.Usagef("--role is NAME=PERMISSION,… with each name once, not %q", v)
		}
		role := mezu.ProjectRole{Permissions: []string{}}
		if list != "" {
			role.Permissions = strings.Split(list, ",")
		}
		roles[name] = role
	}
	return roles, mezu.ValidateRoles("role", roles)
}

// goes says what goes with a project. Its environments and directories have to go before it.
func goes(ctx context.Context, client *api.Client, p mezu.Project, params []string) ([]string, error) {
	what, flag := "project "+terminal.Clean(p.Name), " --project "+p.Name
	has, first := collection.Counted(ctx, client, api.OpListEnvironments, "environment", "environments", func(e mezu.Environment) string { return e.Name }, params...)
	if has != "" {
		return nil, collection.StillHas(what, has, first, "mezu environments delete NAME"+flag)
	}
	has, first = collection.Counted(ctx, client, api.OpListDirectories, "directory", "directories", func(d mezu.Directory) string { return d.Name }, params...)
	if has != "" {
		return nil, collection.StillHas(what, has, first, "mezu directories delete NAME"+flag)
	}
	accounts, _ := collection.Counted(ctx, client, api.OpListServiceAccounts, "service account", "service accounts", func(a mezu.ServiceAccount) string { return a.Name }, params...)
	return collection.Present(accounts), nil
}
