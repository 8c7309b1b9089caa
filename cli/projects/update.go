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

type updateOptions struct {
	*invocation.Invocation
	Name string
	// Patch is the merge patch (RFC 7396).
	Patch map[string]any
	// Revision is what the record must have; if zero, any.
	Revision uint64
}

func newUpdate(inv *invocation.Invocation, run func(context.Context, *updateOptions) error) *cli.Command {
	return &cli.Command{
		Name: "update", Usage: "Change a project; what is not named stays as it is", ArgsUsage: "NAME", BashComplete: completeName(inv),
		Flags: []cli.Flag{
			displayNameFlag(), roleFlag(),
			&cli.StringSliceFlag{Name: "remove-role", Usage: "take the role `NAME` away (repeatable)"},
			&cli.Uint64Flag{Name: "if-revision", Usage: "only if the project still has revision `N`, else exit 5", DefaultText: "any"},
		},
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "NAME")
			if err != nil {
				return err
			}
			o := &updateOptions{Invocation: inv, Name: args[0], Revision: c.Uint64("if-revision")}
			if o.Patch, err = patchOf(c); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
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
	if len(patch) == 0 {
		e := exit.Usagef("nothing to change is named")
		e.Hint = c.Command.HelpName + " --help"
		return nil, e
	}
	return patch, nil
}

func runUpdate(ctx context.Context, o *updateOptions) error {
	client, organization, err := connect(o.Invocation)
	if err != nil {
		return err
	}
	var p mezu.Project
	err = client.Do(ctx, api.Call{Operation: api.OpUpdateProject, Params: []string{organization, o.Name}, Body: o.Patch, IfMatch: o.Revision}, &p)
	if err != nil {
		return err
	}
	o.Sayf("changed project %s in %s", terminal.Clean(p.Name), organization)
	return terminal.WriteRecord(o.Streams, o.Flags.Output, p, details())
}
