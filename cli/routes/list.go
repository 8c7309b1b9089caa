package routes

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type listOptions struct {
	*invocation.Invocation
}

func newList(inv *invocation.Invocation, run func(context.Context, *listOptions) error) *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List routes, and say which edges and Warpgates run them",
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &listOptions{inv})
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
	for _, w := range s.Warnings {
		o.Warnf("%s", terminal.Clean(w))
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, s)
	}
	if len(s.Routes) == 0 {
		o.Sayf("%s has no routes; mezu routes create --prefix / makes one", p.Text)
	} else if err := terminal.WriteList(o.Streams, o.Flags.Output, s.Routes, columns()); err != nil {
		return err
	}
	for _, line := range applied(s, time.Now()) {
		o.Sayf("%s", line)
	}
	return nil
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
