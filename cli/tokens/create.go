package tokens

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

type createOptions struct {
	*invocation.Invocation
	Token mezu.Token
	Life  time.Duration
	// KeyFile is where the token goes; if empty, it is shown.
	KeyFile string
}

func newCreate(inv *invocation.Invocation, run func(context.Context, *createOptions) error) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Make a token and show it, this once", ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "permission", Usage: "let it do `VERB` only, such as projects.read (repeatable)", DefaultText: "all that you may"},
			invocation.SpanFlag("expires-in", "let it end after `TIME`, at most 90d", mezu.DefaultTokenLife, ""),
			invocation.SecretFlag(),
		},
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "NAME")
			if err != nil {
				return err
			}
			o := &createOptions{Invocation: inv, Token: mezu.Token{Name: args[0]}, Life: invocation.Span(c, "expires-in")}
			if o.KeyFile, err = inv.SecretFile(c); err != nil {
				return err
			}
			for _, verb := range c.StringSlice("permission") {
				o.Token.Permissions = append(o.Token.Permissions, mezu.Permission(verb))
			}
			if o.Life <= 0 || o.Life > mezu.MaxTokenLife {
				return exit.Usagef("--expires-in is more than 0s and at most %v, not %v", mezu.Duration(mezu.MaxTokenLife), mezu.Duration(o.Life))
			}
			if err := o.Token.Validate(); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

// clockSlack is taken off the longest life: the control plane's clock may be behind this one's.
const clockSlack = time.Minute

func runCreate(ctx context.Context, o *createOptions) error {
	p, err := collection.AtTop(o.Invocation)
	if err != nil {
		return err
	}
	file, err := invocation.ReserveSecret(o.KeyFile)
	if err != nil {
		return err
	}
	defer file.Discard()
	if o.Life != mezu.DefaultTokenLife { // which the control plane counts by its own clock
		o.Token.ExpiresAt = o.Clock().Add(min(o.Life, mezu.MaxTokenLife-clockSlack)).UTC().Truncate(time.Second)
	}
	made, err := api.Invoke[api.TokenCreated](ctx, p.Client, api.OpCreateToken, o.Token)
	if err != nil {
		return err
	}
	o.Sayf("made a token at %s; it ends on %s, and commands that use it say so a week before", p.Text, made.ExpiresAt.Local().Format(time.DateOnly))
	kept, err := o.KeepSecret(file, made.Secret, "it", "mezu tokens delete "+made.ID+", and make another")
	switch {
	case err != nil:
		return err
	case kept:
		return terminal.WriteRecord(o.Streams, o.Flags.Output, made.Token, noun().Details)
	}
	o.Warnf("the token is not shown again; keep it where only the machine that needs it reads it")
	o.Mask(made.Secret)
	lines := []terminal.Column[api.TokenCreated]{{Head: "TOKEN", Value: func(c api.TokenCreated) string { return c.Secret }}}
	return terminal.WriteRecord(o.Streams, o.Flags.Output, made, append(lines, terminal.Of(noun().Details, func(c api.TokenCreated) mezu.Token { return c.Token })...))
}
