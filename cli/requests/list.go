package requests

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/local"
)

// defaultLimit is how many requests are listed unless --limit says otherwise.
const defaultLimit = 50

type listOptions struct {
	*command
	Filter string
	Limit  int
	Follow bool
}

// list is "mezu requests list".
func (o *command) list() *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List the requests that are kept, newest first", Category: o.Category,
		Description: "With -f they are shown oldest first, and then what comes, until interrupted.",
		Flags: []cli.Flag{
			filterFlag(),
			&cli.IntFlag{Name: "limit", Aliases: []string{"L"}, Usage: "show at most `N`", Value: defaultLimit},
			flag("follow", "go on with what comes", "f"),
		},
		Before: o.Is(invocation.Shows | invocation.Named),
		Action: func(line *cli.Context) error {
			if _, err := invocation.Arguments(line); err != nil {
				return err
			}
			l := &listOptions{o, line.String("filter"), line.Int("limit"), line.Bool("follow")}
			if l.Limit < 0 || l.Limit == 0 && !l.Follow || l.Limit > mezu.MaxExchanges {
				return exit.Usagef("--limit is 1 to %d, not %d", mezu.MaxExchanges, l.Limit)
			}
			if l.Follow {
				return l.follow(line.Context)
			}
			return l.run(line.Context)
		},
	}
}

func (l *listOptions) run(ctx context.Context) error {
	c, err := l.client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	items, state, err := page(ctx, c, local.RequestsQuery{Filter: l.Filter}, l.Limit)
	if err != nil {
		return err
	}
	if l.Flags.Output == terminal.Table && l.OutTerminal {
		err = l.lines(items, several(items))
	} else {
		err = terminal.WriteList(l.Streams, l.Flags.Output, items, columns())
	}
	if err != nil {
		return err
	}
	if len(items) == 0 && l.Flags.Output == terminal.Table {
		if l.Filter != "" && state.Kept > 0 {
			l.Sayf("none of the %d requests that are kept fits", state.Kept)
		} else {
			l.Sayf("there are no requests yet; mezu tunnel list has the addresses")
		}
	}
	l.state(state)
	return nil
}

// several reports whether requests are of more than one tunnel.
func several(items []mezu.Exchange) bool {
	return slices.ContainsFunc(items, func(e mezu.Exchange) bool { return e.TunnelID != items[0].TunnelID })
}

// lines writes requests for people.
func (l *listOptions) lines(items []mezu.Exchange, several bool) error {
	if len(items) == 0 {
		return nil
	}
	if err := l.Printf("%s\n", l.heading(several)); err != nil {
		return err
	}
	for _, e := range items {
		if err := l.Printf("%s\n", l.line(e, several)); err != nil {
			return err
		}
	}
	return nil
}

// page asks for requests, newest first, page by page until there are enough.
func page(ctx context.Context, c *local.Client, q local.RequestsQuery, most int) ([]mezu.Exchange, local.InspectorState, error) {
	all := []mezu.Exchange{}
	var state local.InspectorState
	for most > 0 {
		q.PageSize = min(most-len(all), local.MaxPage)
		got, err := c.Requests(ctx, q)
		if err != nil {
			return nil, state, err
		}
		if len(all) == 0 {
			state = got.InspectorState
		}
		all = append(all, got.Items...)
		if got.NextPageToken == "" || len(got.Items) == 0 || len(all) >= most {
			break
		}
		q.PageToken = got.NextPageToken
	}
	return all[:min(len(all), most)], state, nil
}

// state says what is kept and, whatever the output, what isn't.
func (l *listOptions) state(s local.InspectorState) {
	if l.Flags.Output == terminal.Table && l.OutTerminal && s.Kept > 0 {
		l.Sayf("%d of %d kept, %s of %s, %d pinned", s.Kept, s.MaxKept, show.Size(s.Bytes), show.Size(s.MaxBytes), s.Pinned)
	}
	switch {
	case s.Depth == mezu.DepthHeads:
		l.Signf(terminal.Caution, "there are so many requests now that bodies are not kept")
	case s.Depth == mezu.DepthNone:
		l.Signf(terminal.Caution, "there are so many requests now that only those that failed are kept")
	}
	if s.LeftOut > 0 {
		l.Signf(terminal.Caution, "%s requests were only counted, because there were too many at a time", show.Count(s.LeftOut))
	}
}
