package projects

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type deleteOptions struct {
	*invocation.Invocation
	Name     string
	Yes      bool
	Revision uint64 // as for update
}

func newDelete(inv *invocation.Invocation, run func(context.Context, *deleteOptions) error) *cli.Command {
	return &cli.Command{
		Name: "delete", Aliases: []string{"rm"}, Usage: "Delete a project without environments", ArgsUsage: "NAME", BashComplete: completeName(inv),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", DisableDefaultText: true},
			&cli.Uint64Flag{Name: "if-revision", Usage: "only if the project still has revision `N`, else exit 5", DefaultText: "any"},
		},
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "NAME")
			if err != nil {
				return err
			}
			return run(c.Context, &deleteOptions{inv, args[0], c.Bool("yes"), c.Uint64("if-revision")})
		},
	}
}

func runDelete(ctx context.Context, o *deleteOptions) error {
	client, organization, err := connect(o.Invocation)
	if err != nil {
		return err
	}
	if err := mezu.ValidateName("name", o.Name); err != nil {
		return err
	}
	if err := o.confirm(ctx, organization); err != nil {
		return err
	}
	call := api.Call{Operation: api.OpDeleteProject, Params: []string{organization, o.Name}, IfMatch: o.Revision}
	if err := client.Do(ctx, call, nil); err != nil {
		return err
	}
	o.Sayf("deleted project %s of %s", o.Name, organization)
	return nil
}

// confirm asks for the name to be typed again.
func (o *deleteOptions) confirm(ctx context.Context, organization string) error {
	if o.Yes {
		return nil
	}
	if !o.CanPrompt() {
		e := exit.Usagef("deleting project %s of %s has to be confirmed", o.Name, terminal.Clean(organization))
		e.Hint = "add --yes"
		return e
	}
	answer, err := o.Ask(ctx, "This deletes project "+o.Name+" of "+terminal.Clean(organization)+" for good. Type its name to go on:")
	if err != nil {
		return err
	}
	if answer != o.Name {
		return exit.Usagef("%q is not the project's name; nothing was deleted", terminal.Clean(answer))
	}
	return nil
}
