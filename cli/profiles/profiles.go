// Package profiles is "mezu profiles" and "mezu use": the connections to control planes that
// this machine remembers, and what commands work in by default.
//
// What may not live here: how profiles are kept (package profile), and how somebody logs in
// (package login). It imports the domain, api, cli/login to log out, and the packages of cli
// that every command uses; cli imports it.
package profiles

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/login"
	"github.com/mezusphere/mezu/cli/terminal"
)

// category is where the help shows these commands.
const category = "login"

// Commands are profiles and use.
func Commands(inv *invocation.Invocation) []*cli.Command {
	return []*cli.Command{
		newUse(inv, runUse),
		{
			Name: "profiles", Usage: "List and delete the profiles of this machine", Category: category,
			Subcommands: []*cli.Command{newList(inv, runList), newDelete(inv, runDelete)},
		},
	}
}

type listOptions struct{ *invocation.Invocation }

func newList(inv *invocation.Invocation, run func(context.Context, *listOptions) error) *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List profiles",
		Before: inv.Is(invocation.Shows | invocation.Named),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &listOptions{inv})
		},
	}
}

// row is a profile as it is listed. What it keeps secret is not read: a keyring would ask
// for its password.
type row struct {
	Name         string `json:"name"`
	API          string `json:"api"`
	Organization string `json:"organization,omitempty"`
	Project      string `json:"project,omitempty"`
	Environment  string `json:"environment,omitempty"`
	// Kept is where the token is: "the keyring", or a file; empty after a logout.
	Kept string `json:"kept_in,omitempty"`
	// Default says that commands use it when none is named.
	Default bool `json:"default,omitempty"`
}

func runList(_ context.Context, o *listOptions) error {
	names, err := o.Profiles.Names()
	if err != nil {
		return err
	}
	current, err := o.Profiles.Default()
	if err != nil {
		return err
	}
	var rows []row
	for _, name := range names {
		p, err := o.Profiles.Load(name)
		if err != nil {
			o.Warnf("profile %s can't be read: %s", name, terminal.Clean(err.Error()))
			continue
		}
		rows = append(rows, row{name, p.API, p.Organization, p.Project, p.Environment, o.Profiles.CredentialPlace(name, *p), name == current})
	}
	if len(names) == 0 {
		o.Sayf("there are no profiles; mezu login --api URL makes one")
	}
	return terminal.WriteList(o.Streams, o.Flags.Output, rows, []terminal.Column[row]{
		{Head: "NAME", Rank: terminal.Name, Value: func(r row) string { return r.Name }},
		{Head: "DEFAULT", Value: func(r row) string { return map[bool]string{true: "yes", false: "no"}[r.Default] }},
		{Head: "API", Value: func(r row) string { return r.API }},
		{Head: "WORKS IN", Value: func(r row) string { return contextOf(r.Organization, r.Project, r.Environment) }},
		{Head: "TOKEN IN", Rank: terminal.Detail, Value: func(r row) string { return r.Kept }},
	})
}

// contextOf writes the names that are set as a path.
func contextOf(organization, project, environment string) string {
	out := organization
	for _, name := range []string{project, environment} {
		if name != "" {
			out += "/" + name
		}
	}
	return out
}

type deleteOptions struct {
	*invocation.Invocation
	Name string
	Yes  bool
}

func newDelete(inv *invocation.Invocation, run func(context.Context, *deleteOptions) error) *cli.Command {
	return &cli.Command{
		Name: "delete", Aliases: []string{"rm"}, Usage: "Delete a profile, and end its login", ArgsUsage: "NAME",
		BashComplete: invocation.Complete(func(context.Context) ([]string, error) { return inv.Profiles.Names() }),
		Flags:        []cli.Flag{&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", DisableDefaultText: true}},
		Before:       inv.Is(invocation.Silent),
		Action: func(c *cli.Context) error {
			args, err := invocation.Described(c, invocation.Argument{Name: "NAME", Is: "the name of a profile"})
			if err != nil {
				return err
			}
			return run(c.Context, &deleteOptions{inv, args[0], c.Bool("yes")})
		},
	}
}

func runDelete(ctx context.Context, o *deleteOptions) error {
	_, err := o.Profiles.Load(o.Name)
	switch known, listed := o.Profiles.Names(); {
	case err == nil:
	case listed == nil && slices.Contains(known, o.Name):
		o.Warnf("profile %s can't be read: %s", o.Name, terminal.Clean(err.Error()))
	default:
		return err
	}
	current, err := o.Profiles.Default()
	if err != nil {
		return err
	}
	if err := o.confirm(ctx); err != nil {
		return err
	}
	if err := login.End(ctx, o.Invocation, o.Name, ""); err != nil {
		return err
	}
	if err := o.Profiles.Remove(o.Name); err != nil {
		return err
	}
	o.Sayf("deleted profile %s", o.Name)
	if current == o.Name {
		o.Sayf("no profile is the default now; --profile NAME names one, and mezu login chooses one")
	}
	return nil
}

// confirm asks whether the profile is meant.
func (o *deleteOptions) confirm(ctx context.Context) error {
	if o.Yes {
		return nil
	}
	if err := o.Confirmable("deleting profile " + o.Name); err != nil {
		return err
	}
	return o.Confirm(ctx, "Delete profile "+o.Name+", and end its login?", "deleted")
}
