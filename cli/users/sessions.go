package users

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

type sessionsOptions struct {
	about
	// Session is the one to end; if empty and not All, none is.
	Session string
	All     bool

	Get, End, EndAll api.Operation
}

func newSessions(inv *invocation.Invocation, n collection.Noun[mezu.User], run func(context.Context, *sessionsOptions) error) *cli.Command {
	return &cli.Command{
		Name: "sessions", Usage: "Show the sessions of a user, or end one or all of them", ArgsUsage: "USER",
		Flags: append(n.PathFlags[:len(n.PathFlags):len(n.PathFlags)],
			&cli.StringFlag{Name: "end", Usage: "end the session `ID`"},
			&cli.BoolFlag{Name: "end-all", Usage: "end all sessions", DisableDefaultText: true},
		),
		Before: func(c *cli.Context) error {
			if c.IsSet("end") || c.Bool("end-all") {
				return inv.Is(invocation.Silent)(c)
			}
			return inv.Is(invocation.Shows | invocation.Named)(c)
		},
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "USER")
			if err != nil {
				return err
			}
			o := &sessionsOptions{about: about{Invocation: inv, User: args[0]}, Session: c.String("end"), All: c.Bool("end-all"),
				Get: api.OpGetUserSessions, End: api.OpEndUserSession, EndAll: api.OpEndUserSessions}
			if c.Bool("shared") {
				o.Get, o.End, o.EndAll = api.OpGetOrganizationUserSessions, api.OpEndOrganizationUserSession, api.OpEndOrganizationUserSessions
			}
			if c.IsSet("end") {
				if o.All {
					return exit.Usagef("--end and --end-all exclude each other")
				}
				if err := mezu.ValidateID("end", mezu.PrefixSession, o.Session); err != nil {
					return err
				}
			}
			if err := o.read(c); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func runSessions(ctx context.Context, o *sessionsOptions) error {
	p, id, err := o.find(ctx)
	if err != nil {
		return err
	}
	user := terminal.Clean(o.User)
	switch {
	case o.All:
		if err := p.Client.Do(ctx, api.Call{Operation: o.EndAll, Params: p.With(id)}, nil); err != nil {
			return err
		}
		o.Sayf("ended all sessions of %s", user)
		return nil
	case o.Session != "":
		if err := p.Client.Do(ctx, api.Call{Operation: o.End, Params: p.With(id, o.Session)}, nil); err != nil {
			return err
		}
		o.Sayf("ended session %s of %s", o.Session, user)
		return nil
	}
	list, err := api.Invoke[api.List[api.UserSession]](ctx, p.Client, o.Get, nil, p.With(id)...)
	if err != nil {
		return err
	}
	if len(list.Items) == 0 {
		o.Sayf("%s is not logged in anywhere", user)
	}
	return terminal.WriteList(o.Streams, o.Flags.Output, list.Items, []terminal.Column[api.UserSession]{
		{Head: "ID", Rank: terminal.Handle, Value: func(s api.UserSession) string { return s.ID }},
		{Head: "ENVIRONMENT", Value: func(s api.UserSession) string { return s.Environment }},
		{Head: "LOGGED IN", Rank: terminal.Detail, At: func(s api.UserSession) time.Time { return s.LoggedInAt }},
		{Head: "LAST SEEN", At: func(s api.UserSession) time.Time { return s.RefreshedAt }},
		{Head: "METHOD", Rank: terminal.Detail, Value: func(s api.UserSession) string { return s.Method }},
		{Head: "FROM", Value: func(s api.UserSession) string { return s.Address }},
		{Head: "BROWSER", Rank: terminal.Detail, Value: func(s api.UserSession) string { return s.Agent }},
	})
}
