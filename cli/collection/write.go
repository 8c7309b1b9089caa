package collection

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type createOptions struct {
	*invocation.Invocation
	Operations
	Body any
	Wait bool // until it is in force
}

// NewCreate is "mezu NOUN create ARG". body makes the record from argument and flags, and
// validates it.
func (n Noun[T]) NewCreate(inv *invocation.Invocation, flags []cli.Flag, body func(c *cli.Context, arg string) (any, error)) *cli.Command {
	return n.newCreate(inv, flags, body, n.runCreate)
}

func (n Noun[T]) newCreate(inv *invocation.Invocation, flags []cli.Flag, body func(*cli.Context, string) (any, error), run func(context.Context, *createOptions) error) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Create " + article(n.One), ArgsUsage: n.arg(), Flags: slices.Concat(n.PathFlags, flags, n.waitFlags()),
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			arg := ""
			if !n.Nameless || c.NArg() > 0 {
				args, err := invocation.Described(c, invocation.Argument{Name: n.arg(), Is: n.wanted("for")})
				if err != nil {
					return err
				}
				arg = args[0]
			}
			o := &createOptions{Invocation: inv, Wait: Waits(c)}
			var err error
			if o.Operations, err = n.where(c); err != nil {
				return err
			}
			if o.Body, err = body(c, arg); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func (n Noun[T]) runCreate(ctx context.Context, o *createOptions) error {
	p, err := o.In(o.Invocation)
	if err != nil {
		return err
	}
	made, err := api.Invoke[written[T]](ctx, p.Client, o.Create, o.Body, p.Params...)
	if err != nil {
		return err
	}
	made.warn(o.Invocation)
	o.Sayf("created %s %s in %s", n.One, terminal.Clean(n.Label(made.item)), p.Text)
	if err := terminal.WriteRecord(o.Streams, o.Flags.Output, made.item, n.Details); err != nil || !o.Wait {
		return err
	}
	return InForce(ctx, o.Invocation, mezu.Position{}, p)
}

// written is a record as a write answers with it, and the warnings beside it, if there are any.
type written[T any] struct {
	item     T
	warnings []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (w *written[T]) UnmarshalJSON(data []byte) error {
	var beside struct {
		Warnings []string `json:"warnings"`
	}
	err := errors.Join(json.Unmarshal(data, &w.item), json.Unmarshal(data, &beside))
	w.warnings = beside.Warnings
	return err
}

func (w *written[T]) warn(inv *invocation.Invocation) {
	for _, text := range w.warnings {
		inv.Warnf("%s", terminal.Clean(text))
	}
}

type updateOptions struct {
	oneOptions
	// Patch is the merge patch (RFC 7396).
	Patch map[string]any
	// Revision is the revision that the record must have; if zero, any.
	Revision uint64
	// Done says in the message what happened.
	Done string
	Wait bool // as for create
}

// NewUpdate is "mezu NOUN update ARG". patch makes a merge patch from the flags. An empty
// patch is refused.
func (n Noun[T]) NewUpdate(inv *invocation.Invocation, flags []cli.Flag, patch func(*cli.Context) (map[string]any, error)) *cli.Command {
	return n.newUpdate(inv, flags, patch, n.runUpdate)
}

func (n Noun[T]) newUpdate(inv *invocation.Invocation, flags []cli.Flag, patch func(*cli.Context) (map[string]any, error), run func(context.Context, *updateOptions) error) *cli.Command {
	c := n.newPatch(inv, "changed", patch, run)
	c.Name, c.Usage = "update", "Change "+article(n.One)+"; what is not named stays as it is"
	c.Flags = append(flags, c.Flags...)
	return c
}

// NewSet is a verb that sends one fixed patch, such as "enable". done is the message about
// it, such as "switched on".
func (n Noun[T]) NewSet(inv *invocation.Invocation, verb, usage, done string, patch map[string]any) *cli.Command {
	c := n.newPatch(inv, done, func(*cli.Context) (map[string]any, error) { return patch, nil }, n.runUpdate)
	c.Name, c.Usage = verb, usage
	return c
}

// NewAct is a verb with an operation of its own that has no body, such as "drain". done is
// the message about it.
func (n Noun[T]) NewAct(inv *invocation.Invocation, verb, usage, done string, op api.Operation) *cli.Command {
	return &cli.Command{
		Name: verb, Usage: usage, ArgsUsage: n.arg(), BashComplete: n.complete(inv), Flags: n.PathFlags,
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			o, err := n.named(inv, c)
			if err != nil {
				return err
			}
			return n.runAct(c.Context, &o, op, done)
		},
	}
}

func (n Noun[T]) runAct(ctx context.Context, o *oneOptions, op api.Operation, done string) error {
	if err := n.check(o.Name); err != nil {
		return err
	}
	p, params, err := n.at(ctx, o)
	if err != nil {
		return err
	}
	item, err := api.Invoke[T](ctx, p.Client, op, nil, params...)
	if err != nil {
		return err
	}
	o.Sayf("%s %s %s of %s", done, n.One, terminal.Clean(n.Label(item)), p.Text)
	return terminal.WriteRecord(o.Streams, o.Flags.Output, item, n.Details)
}

// newPatch is a command that patches the record that its argument names.
func (n Noun[T]) newPatch(inv *invocation.Invocation, done string, patch func(*cli.Context) (map[string]any, error), run func(context.Context, *updateOptions) error) *cli.Command {
	return &cli.Command{
		ArgsUsage: n.arg(), BashComplete: n.complete(inv), Flags: slices.Concat(n.PathFlags, []cli.Flag{ifRevision(n.One)}, n.waitFlags()),
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			one, err := n.named(inv, c)
			if err != nil {
				return err
			}
			o := &updateOptions{oneOptions: one, Revision: c.Uint64("if-revision"), Done: done, Wait: Waits(c)}
			if o.Patch, err = patch(c); err != nil {
				return err
			}
			if len(o.Patch) == 0 {
				return NothingNamed(c)
			}
			return run(c.Context, o)
		},
	}
}

func (n Noun[T]) runUpdate(ctx context.Context, o *updateOptions) error {
	p, params, err := n.at(ctx, &o.oneOptions)
	if err != nil {
		return err
	}
	var is written[T]
	call := api.Call{Operation: o.Update, Params: params, Body: o.Patch, IfMatch: o.Revision}
	if err := p.Client.Do(ctx, call, &is); err != nil {
		return err
	}
	is.warn(o.Invocation)
	o.Sayf("%s %s %s in %s", o.Done, n.One, terminal.Clean(n.Label(is.item)), p.Text)
	if err := terminal.WriteRecord(o.Streams, o.Flags.Output, is.item, n.Details); err != nil || !o.Wait {
		return err
	}
	return InForce(ctx, o.Invocation, mezu.Position{}, p)
}
