package projects

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type createOptions struct {
	*invocation.Invocation
	Project mezu.Project
}

func newCreate(inv *invocation.Invocation, run func(context.Context, *createOptions) error) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Create a project", ArgsUsage: "NAME",
		Flags: []cli.Flag{displayNameFlag(), roleFlag()},
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "NAME")
			if err != nil {
				return err
			}
			roles, err := parseRoles(c.StringSlice("role"))
			if err != nil {
				return err
			}
			o := &createOptions{inv, mezu.Project{Name: args[0], DisplayName: c.String("display-name"), Roles: roles}}
			if err := o.Project.Validate(); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func runCreate(ctx context.Context, o *createOptions) error {
	client, organization, err := connect(o.Invocation)
	if err != nil {
		return err
	}
	p, err := api.Invoke[mezu.Project](ctx, client, api.OpCreateProject, o.Project, organization)
	if err != nil {
		return err
	}
	o.Sayf("created project %s in %s", terminal.Clean(p.Name), organization)
	return terminal.WriteRecord(o.Streams, o.Flags.Output, p, details())
}
