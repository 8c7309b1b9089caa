package projects

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type showOptions struct {
	*invocation.Invocation
	Name string
}

func newShow(inv *invocation.Invocation, run func(context.Context, *showOptions) error) *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "Show a project", ArgsUsage: "NAME", BashComplete: completeName(inv),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "NAME")
			if err != nil {
				return err
			}
			return run(c.Context, &showOptions{Invocation: inv, Name: args[0]})
		},
	}
}

func runShow(ctx context.Context, o *showOptions) error {
	client, organization, err := connect(o.Invocation)
	if err != nil {
		return err
	}
	p, err := api.Invoke[mezu.Project](ctx, client, api.OpGetProject, nil, organization, o.Name)
	if err != nil {
		return err
	}
	return terminal.WriteRecord(o.Streams, o.Flags.Output, p, details())
}
