package users

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type loginsOptions struct {
	about
	Logins api.Operation
}

func newLogins(inv *invocation.Invocation, n collection.Noun[mezu.User], run func(context.Context, *loginsOptions) error) *cli.Command {
	return &cli.Command{
		Name: "logins", Usage: "Show the last logins of a user, the newest first", ArgsUsage: "USER", Flags: n.PathFlags,
		Before: inv.Is(invocation.Shows),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "USER")
			if err != nil {
				return err
			}
			o := &loginsOptions{about: about{Invocation: inv, User: args[0]}, Logins: api.OpGetLogins}
			if c.Bool("shared") {
				o.Logins = api.OpGetOrganizationLogins
			}
			if err := o.read(c); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func runLogins(ctx context.Context, o *loginsOptions) error {
	p, id, err := o.find(ctx)
	if err != nil {
		return err
	}
	list, err := api.Invoke[api.List[mezu.Login]](ctx, p.Client, o.Logins, nil, p.With(id)...)
	if err != nil {
		return err
	}
	if len(list.Items) == 0 {
		o.Sayf("%s has never tried to log in", terminal.Clean(o.User))
	}
	return terminal.WriteList(o.Streams, o.Flags.Output, list.Items, []terminal.Column[mezu.Login]{
		{Head: "TIME", At: func(l mezu.Login) time.Time { return l.Time }},
		{Head: "OUTCOME", Value: func(l mezu.Login) string { return string(l.Outcome) }},
		{Head: "METHOD", Value: func(l mezu.Login) string { return l.Method }},
		{Head: "FROM", Value: func(l mezu.Login) string { return l.Address }},
	})
}
