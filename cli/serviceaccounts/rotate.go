package serviceaccounts

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type rotateOptions struct {
	*invocation.Invocation
	Name    string
	Overlap mezu.Duration
	KeyFile string // as of create
}

func newRotate(inv *invocation.Invocation, run func(context.Context, *rotateOptions) error) *cli.Command {
	n := noun()
	return &cli.Command{
		Name: "rotate", Usage: "Give a service account a new key and show it, this once", ArgsUsage: "NAME",
		BashComplete: invocation.Complete(func(ctx context.Context) ([]string, error) { return n.Names(ctx, inv) }),
		Flags: []cli.Flag{
			invocation.SpanFlag("overlap", "let the key before be good for `TIME` more; 0s ends it now", time.Duration(mezu.DefaultKeyOverlap), ""),
			invocation.SecretFlag(),
		},
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			args, err := invocation.Described(c, invocation.Argument{Name: "NAME", Is: "the name of a service account"})
			if err != nil {
				return err
			}
			o := &rotateOptions{Invocation: inv, Name: args[0], Overlap: mezu.Duration(invocation.Span(c, "overlap"))}
			if o.KeyFile, err = inv.SecretFile(c); err != nil {
				return err
			}
			if o.Overlap > mezu.MaxKeyOverlap {
				return exit.Usagef("--overlap is between 0s and %v, not %v", mezu.MaxKeyOverlap, o.Overlap)
			}
			return run(c.Context, o)
		},
	}
}

func runRotate(ctx context.Context, o *rotateOptions) error {
	p, err := collection.InProject(o.Invocation)
	if err != nil {
		return err
	}
	file, err := invocation.ReserveSecret(o.KeyFile)
	if err != nil {
		return err
	}
	defer file.Discard()
	body := api.RotateRequest{Overlap: &o.Overlap}
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, p.Client, api.OpRotateServiceAccount, body, p.With(o.Name)...)
	if err != nil {
		return err
	}
	o.Sayf("service account %s of %s has a new key; the one before ends in %v", terminal.Clean(made.Name), p.Text, o.Overlap)
	return showKey(o.Invocation, file, made)
}
