package serviceaccounts

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type createOptions struct {
	*invocation.Invocation
	Account mezu.ServiceAccount
	// KeyFile is where the key goes; if empty, it is shown.
	KeyFile string
}

func newCreate(inv *invocation.Invocation, run func(context.Context, *createOptions) error) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Create a service account and show its key, this once", ArgsUsage: "NAME", Flags: append(flags(), invocation.SecretFlag()),
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			args, err := invocation.Described(c, invocation.Argument{Name: "NAME", Is: "a name for the service account"})
			if err != nil {
				return err
			}
			o := &createOptions{Invocation: inv, Account: mezu.ServiceAccount{Name: args[0], Permissions: permissionsOf(c.StringSlice("permission")), Environment: c.String("default-environment")}}
			if o.KeyFile, err = inv.SecretFile(c); err != nil {
				return err
			}
			if err := o.Account.Validate(); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func runCreate(ctx context.Context, o *createOptions) error {
	p, err := collection.InProject(o.Invocation)
	if err != nil {
		return err
	}
	file, err := invocation.ReserveSecret(o.KeyFile)
	if err != nil {
		return err
	}
	defer file.Discard()
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, p.Client, api.OpCreateServiceAccount, o.Account, p.Params...)
	if err != nil {
		return err
	}
	o.Sayf("created service account %s in %s", terminal.Clean(made.Name), p.Text)
	return showKey(o.Invocation, file, made)
}

// showKey writes an account with its key. In a piped table the key is the first line, so
// that "| head -1 | cut -f2" gives the key alone. A key that is in a file is not shown.
func showKey(inv *invocation.Invocation, file *invocation.KeyFile, made api.ServiceAccountCreated) error {
	kept, err := inv.KeepSecret(file, made.Key, "its key", "mezu service-accounts rotate "+made.Name)
	switch {
	case err != nil:
		return err
	case kept:
		return terminal.WriteRecord(inv.Streams, inv.Flags.Output, made.ServiceAccount, details())
	}
	inv.Warnf("the key is not shown again; keep it where only the machine that needs it reads it")
	inv.Mask(made.Key)
	lines := []terminal.Column[api.ServiceAccountCreated]{{Head: "KEY", Value: func(c api.ServiceAccountCreated) string { return c.Key }}}
	account := func(c api.ServiceAccountCreated) mezu.ServiceAccount { return c.ServiceAccount }
	return terminal.WriteRecord(inv.Streams, inv.Flags.Output, made, append(lines, terminal.Of(details(), account)...))
}
