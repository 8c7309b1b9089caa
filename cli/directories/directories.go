// Package directories is "mezu directories": the pools of end-user accounts of a project
// or, with --shared, of an organization on the command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package directories

import (
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu directories".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, create, change and delete directories of users",
		n.NewList(inv), n.NewShow(inv), n.NewCreate(inv, flags(), fromFlags), n.NewUpdate(inv, flags(), patchOf), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.Directory] {
	columns := []terminal.Column[mezu.Directory]{
		{Head: "NAME", Value: func(d mezu.Directory) string { return d.Name }},
		{Head: "SIGNUP", Value: func(d mezu.Directory) string { return string(d.Signup) }},
		{Head: "MFA", Value: func(d mezu.Directory) string { return string(d.MFA) }},
		{Head: "PASSWORD", Value: passwords},
	}
	return collection.Noun[mezu.Directory]{
		Name: "directories", One: "directory", Many: "directories",
		Operations: ofProject(), PathFlags: []cli.Flag{SharedFlag()},
		Where: func(c *cli.Context) (collection.Operations, error) {
			if c.Bool("shared") {
				return ofOrganization(), nil
			}
			return ofProject(), nil
		},
		Label: func(d mezu.Directory) string { return d.Name }, Columns: columns,
		Details: slices.Concat([]terminal.Column[mezu.Directory]{
			{Head: "ORGANIZATION", Value: func(d mezu.Directory) string { return d.Organization }},
			{Head: "PROJECT", Value: func(d mezu.Directory) string { return d.Project }},
		}, columns, collection.Meta(func(d mezu.Directory) mezu.Meta { return d.Meta })),
		Empty: "mezu directories create NAME makes one", DeleteNote: "which no environment may name and no user be in",
	}
}

// SharedFlag chooses the directories of the organization in place of the project's.
func SharedFlag() cli.Flag {
	return &cli.BoolFlag{Name: "shared", Usage: "of the organization, for all of its projects", DisableDefaultText: true}
}

func ofProject() collection.Operations {
	return collection.Operations{In: collection.InProject, List: api.OpListDirectories, Get: api.OpGetDirectory, Create: api.OpCreateDirectory,
		Update: api.OpUpdateDirectory, Delete: api.OpDeleteDirectory}
}

func ofOrganization() collection.Operations {
	return collection.Operations{In: collection.InOrganization, List: api.OpListOrganizationDirectories, Get: api.OpGetOrganizationDirectory,
		Create: api.OpCreateOrganizationDirectory, Update: api.OpUpdateOrganizationDirectory, Delete: api.OpDeleteOrganizationDirectory}
}

func passwords(d mezu.Directory) string {
	if d.Password.MinLength == 0 {
		return ""
	}
	return "at least " + strconv.Itoa(d.Password.MinLength)
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "signup", Usage: "who may make an account: `MODE` is open, invite or closed"},
		&cli.StringFlag{Name: "mfa", Usage: "whether a second factor is asked for: `MODE` is off, optional or required"},
		&cli.IntFlag{Name: "min-password", Usage: "passwords have `N` characters at least", DefaultText: strconv.Itoa(mezu.MinPasswordLength)},
	}
}

func fromFlags(c *cli.Context, name string) (any, error) {
	d := mezu.Directory{Name: name, Signup: mezu.SignupMode(c.String("signup")), MFA: mezu.MFAMode(c.String("mfa"))}
	d.Password.MinLength = c.Int("min-password")
	return d, d.Validate()
}

func patchOf(c *cli.Context) (map[string]any, error) {
	patch := map[string]any{}
	for _, field := range []string{"signup", "mfa"} {
		if c.IsSet(field) {
			patch[field] = c.String(field)
		}
	}
	if c.IsSet("min-password") {
		patch["password"] = map[string]any{"min_length": c.Int("min-password")}
	}
	return patch, nil
}
