// Package projects is "mezu projects": one file a verb, each an options value, a
// constructor that only parses, and a run that only acts.
//
// What may not live here: other nouns. It imports the domain, api and the
// packages of cli that every command uses; cli imports it.
package projects

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu projects".
func Command(inv *invocation.Invocation) *cli.Command {
	return &cli.Command{
		Name: "projects", Aliases: []string{"project"}, Usage: "List, show, create, change and delete projects", Category: "configuration",
		Subcommands: []*cli.Command{
			newList(inv, runList), newShow(inv, runShow), newCreate(inv, runCreate), newUpdate(inv, runUpdate), newDelete(inv, runDelete),
		},
	}
}

// Names lists the projects of the organization in the context, for completion.
func Names(ctx context.Context, inv *invocation.Invocation) ([]string, error) {
	client, organization, err := connect(inv)
	if err != nil {
		return nil, err
	}
	var names []string
	for p, err := range api.All[mezu.Project](ctx, client, api.OpListProjects, organization) {
		if err != nil {
			return nil, err
		}
		names = append(names, p.Name)
	}
	return names, nil
}

// completeName proposes the projects for the first argument of a command.
func completeName(inv *invocation.Invocation) cli.BashCompleteFunc {
	return invocation.Complete(func(ctx context.Context) ([]string, error) { return Names(ctx, inv) })
}

// connect gives the client and the organization that the context names.
func connect(inv *invocation.Invocation) (*api.Client, string, error) {
	s, err := inv.Settings()
	if err != nil {
		return nil, "", err
	}
	client, err := inv.Client(s)
	if err != nil {
		return nil, "", err
	}
	organization, err := s.RequireOrganization()
	return client, organization, err
}

// columns are what tables show of a project.
func columns() []terminal.Column[mezu.Project] {
	return []terminal.Column[mezu.Project]{
		{Head: "NAME", Value: func(p mezu.Project) string { return p.Name }},
		{Head: "DISPLAY NAME", Value: func(p mezu.Project) string { return p.DisplayName }},
		{Head: "ROLES", Value: roleNames},
		{Head: "CREATED", Value: func(p mezu.Project) string { return p.CreatedAt.UTC().Format(time.RFC3339) }},
	}
}

// details are the lines of one project.
func details() []terminal.Column[mezu.Project] {
	return append([]terminal.Column[mezu.Project]{
		{Head: "ORGANIZATION", Value: func(p mezu.Project) string { return p.Organization }},
	}, append(columns(),
		terminal.Column[mezu.Project]{Head: "UPDATED", Value: func(p mezu.Project) string { return p.UpdatedAt.UTC().Format(time.RFC3339) }},
		terminal.Column[mezu.Project]{Head: "REVISION", Value: func(p mezu.Project) string { return strconv.FormatUint(p.Revision, 10) }},
		terminal.Column[mezu.Project]{Head: "ID", Value: func(p mezu.Project) string { return p.ID }},
	)...)
}

func roleNames(p mezu.Project) string {
	names := make([]string, 0, len(p.Roles))
	for name := range p.Roles {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
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

func roleFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "role", Usage: "a role that users can be granted, as `NAME=PERMISSION,…` (repeatable)"}
}

func displayNameFlag() cli.Flag {
	return &cli.StringFlag{Name: "display-name", Usage: "`TEXT` for people"}
}
