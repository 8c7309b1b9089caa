package collection

import (
	"context"
	"net/url"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type listOptions struct {
	*invocation.Invocation
	Operations
	Query url.Values
}

// NewList is "mezu NOUN list".
func (n Noun[T]) NewList(inv *invocation.Invocation) *cli.Command { return n.newList(inv, n.runList) }

func (n Noun[T]) newList(inv *invocation.Invocation, run func(context.Context, *listOptions) error) *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List " + n.Many, Flags: slices.Concat(n.PathFlags, n.Filters),
		Before: inv.Is(invocation.Shows | invocation.Named),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			o := &listOptions{Invocation: inv}
			var err error
			if o.Operations, err = n.where(c); err != nil {
				return err
			}
			if n.Query != nil {
				if o.Query, err = n.Query(c); err != nil {
					return err
				}
			}
			return run(c.Context, o)
		},
	}
}

func (n Noun[T]) runList(ctx context.Context, o *listOptions) error {
	p, err := o.In(o.Invocation)
	if err != nil {
		return err
	}
	items, err := n.all(ctx, p, o.List, o.Query)
	if err != nil {
		return err
	}
	o.Wakes(o.Invocation, p)
	if len(items) == 0 {
		if len(o.Query) > 0 {
			o.Sayf("%s has no such %s", p.Text, n.Many)
		} else {
			empty := n.Empty
			if n.EmptyFor != nil {
				empty = n.EmptyFor(ctx, p.Client)
			}
			o.Sayf("%s has no %s; %s", p.Text, n.Many, empty)
		}
		if o.Flags.Output == terminal.Table {
			return nil
		}
	}
	return terminal.WriteList(o.Streams, o.Flags.Output, items, n.Columns)
}

// oneOptions are the options of a command on one record.
type oneOptions struct {
	*invocation.Invocation
	Operations
	Name string
	// command is the command as it is typed, without the argument.
	command string
}

// named reads the argument that names the record of a command.
func (n Noun[T]) named(inv *invocation.Invocation, c *cli.Context) (oneOptions, error) {
	args, err := invocation.Described(c, invocation.Argument{Name: n.arg(), Is: n.wanted("of")})
	if err != nil {
		return oneOptions{}, err
	}
	at, err := n.where(c)
	return oneOptions{inv, at, args[0], c.Command.HelpName}, err
}

// NewShow is "mezu NOUN show".
func (n Noun[T]) NewShow(inv *invocation.Invocation) *cli.Command { return n.newShow(inv, n.runShow) }

func (n Noun[T]) newShow(inv *invocation.Invocation, run func(context.Context, *oneOptions) error) *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "Show " + article(n.One), ArgsUsage: n.arg(), BashComplete: n.complete(inv), Flags: n.PathFlags,
		Before: inv.Is(invocation.Shows | invocation.Named),
		Action: func(c *cli.Context) error {
			o, err := n.named(inv, c)
			if err != nil {
				return err
			}
			return run(c.Context, &o)
		},
	}
}

func (n Noun[T]) runShow(ctx context.Context, o *oneOptions) error {
	p, params, err := n.at(ctx, o)
	if err != nil {
		return err
	}
	item, err := api.Invoke[T](ctx, p.Client, o.Get, nil, params...)
	if err != nil {
		return err
	}
	o.Wakes(o.Invocation, p)
	return terminal.WriteRecord(o.Streams, o.Flags.Output, item, n.Details)
}

func article(noun string) string {
	switch noun[0] {
	case 'a', 'e', 'i', 'o':
		return "an " + noun
	}
	return "a " + noun
}
