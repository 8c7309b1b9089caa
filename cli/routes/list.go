package routes

import (
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type listOptions struct {
	*invocation.Invocation
	// Applied lists who runs the routes in the place of them.
	Applied bool
}

func newList(inv *invocation.Invocation, run func(context.Context, *listOptions) error) *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List routes, and say which edges and Warpgates run them",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "applied", Usage: "list the edges and Warpgates instead, with what they run", DisableDefaultText: true}},
		Before: inv.Is(invocation.Shows | invocation.Named),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &listOptions{inv, c.Bool("applied")})
		},
	}
}

func runList(ctx context.Context, o *listOptions) error {
	p, err := collection.InEnvironment(o.Invocation)
	if err != nil {
		return err
	}
	s, err := state(ctx, p)
	if err != nil {
		return err
	}
	noun().Wakes(o.Invocation, p)
	for _, w := range s.Warnings {
		o.Warnf("%s", terminal.Clean(w))
	}
	if o.Applied {
		return terminal.WriteList(o.Streams, o.Flags.Output, s.Applied, appliedColumns())
	}
	if len(s.Routes) == 0 {
		o.Sayf("%s has no routes; mezu routes create --prefix / makes one", p.Text)
	}
	if err := terminal.WriteList(o.Streams, o.Flags.Output, s.Routes, columns()); err != nil || o.Flags.Output != terminal.Table {
		return err
	}
	for _, line := range applied(s, time.Now()) {
		o.Sayf("%s", line)
	}
	return nil
}

// appliedColumns are those of the edges and Warpgates that run routes.
func appliedColumns() []terminal.Column[api.Applied] {
	return []terminal.Column[api.Applied]{
		{Head: "ID", Rank: terminal.Handle, Value: func(a api.Applied) string { return a.ID }},
		{Head: "NAME", Value: func(a api.Applied) string { return a.Name }},
		{Head: "BEHIND", Value: func(a api.Applied) string { return strconv.Itoa(a.Behind) }},
		{Head: "SINCE", At: func(a api.Applied) time.Time { return a.Since }},
		{Head: "POSITION", Rank: terminal.Detail, Value: func(a api.Applied) string {
			if a.Position.IsZero() {
				return ""
			}
			return a.Position.String()
		}},
	}
}

// applied says which edges and Warpgates run the present routes, and how far others are behind.
func applied(s api.RoutesState, now time.Time) []string {
	if len(s.Applied) == 0 {
		return []string{"no edge and no Warpgate runs them; they are at " + s.Position.String()}
	}
	out := api.Whose(s.Applied)
	for i, a := range s.Applied {
		what := " runs them"
		switch {
		case a.Position.IsZero():
			what = " runs nothing yet"
		case a.Position.Compare(s.Position) < 0:
			what = " is " + a.Lag().Text(now)
		}
		out[i] = terminal.Clean(out[i]) + what
	}
	return out
}
