package directories

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/logo"
)

type logoOptions struct {
	*invocation.Invocation
	collection.Operations
	Name, File string // without a file, the logo is taken away
	Call       api.Operation
}

func newLogo(inv *invocation.Invocation, run func(context.Context, *logoOptions) error) *cli.Command {
	n := noun()
	return &cli.Command{
		Name: "logo", Usage: "Give the pages of a directory a logo: a PNG, JPEG or GIF image", ArgsUsage: "NAME FILE",
		BashComplete: invocation.Complete(func(ctx context.Context) ([]string, error) { return n.Names(ctx, inv) }),
		Flags:        append(n.PathFlags, &cli.BoolFlag{Name: "remove", Usage: "take the logo away, in place of FILE", DisableDefaultText: true}),
		Before:       inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			names := []invocation.Argument{{Name: "NAME", Is: "the name of a directory"}, {Name: "FILE", Is: "an image"}}
			if c.Bool("remove") {
				names = names[:1]
			}
			args, err := invocation.Described(c, names...)
			if err != nil {
				return err
			}
			o := &logoOptions{Invocation: inv, Name: args[0]}
			calls := [...]api.Operation{api.OpDeleteLogo, api.OpDeleteOrganizationLogo}
			if len(args) > 1 {
				o.File, calls = args[1], [...]api.Operation{api.OpSetLogo, api.OpSetOrganizationLogo}
			}
			if o.Call = calls[0]; c.Bool("shared") {
				o.Call = calls[1]
			}
			if err := mezu.ValidateName("name", o.Name); err != nil {
				return err
			}
			o.Operations, err = n.Where(c)
			if err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func runLogo(ctx context.Context, o *logoOptions) error {
	p, err := o.In(o.Invocation)
	if err != nil {
		return err
	}
	what := "directory " + terminal.Clean(o.Name) + " of " + p.Text
	if o.File == "" {
		if err := p.Client.Do(ctx, api.Call{Operation: o.Call, Params: p.With(o.Name)}, nil); err != nil {
			return err
		}
		o.Sayf("took the logo of %s away", what)
		return nil
	}
	// What is no image is refused here, so that it is not sent.
	image, err := logo.Read(o.Path(o.File))
	if err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	dir, err := api.Invoke[mezu.Directory](ctx, p.Client, o.Call, api.Image(image), p.With(o.Name)...)
	if err != nil {
		return err
	}
	o.Sayf("gave %s a logo", what)
	return terminal.WriteRecord(o.Streams, o.Flags.Output, dir, noun().Details)
}
