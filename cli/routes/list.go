package routes

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
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
	for _, line := range applied(s) {
		o.Sayf("%s", line)
	}
	return nil
}

// applied says which edges and Warpgates run the present routes, and which are behind.
func applied(s api.RoutesState) []string {
	if len(s.Applied) == 0 {
		return []string{"no edge and no Warpgate runs them; they are at " + s.Position.String()}
	}
	var out []string
	for _, a := range s.Applied {
		if a.Position.Compare(s.Position) < 0 {
			at := "nothing yet"
			if a.Position != (mezu.Position{}) {
				at = a.Position.String()
			}
			out = append(out, terminal.Clean(a.ID)+" runs "+at+", behind "+s.Position.String())
		} else {
			out = append(out, terminal.Clean(a.ID)+" runs them")
		}
	}
	return out
}
