package projects

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type listOptions struct {
	*invocation.Invocation
}

func newList(inv *invocation.Invocation, run func(context.Context, *listOptions) error) *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List the projects of the organization",
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &listOptions{inv})
		},
	}
}

func runList(ctx context.Context, o *listOptions) error {
	client, organization, err := connect(o.Invocation)
	if err != nil {
		return err
	}
	var projects []mezu.Project
	for p, err := range api.All[mezu.Project](ctx, client, api.OpListProjects, organization) {
		if err != nil {
			return err
		}
		projects = append(projects, p)
	}
	if len(projects) == 0 {
		o.Sayf("%s has no projects; mezu projects create NAME makes one", organization)
		if o.Flags.Output == terminal.Table {
			return nil
		}
	}
	return terminal.WriteList(o.Streams, o.Flags.Output, projects, columns())
}
