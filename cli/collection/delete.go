package collection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Deletion is what the commands of a noun know of deleting its records.
type Deletion[T any] struct {
	// Note says in help what else ends with a record.
	Note string
	// Title is what a person is asked about, such as "prefix /"; if nil, the argument as typed.
	Title func(T) string
	// Typed: others' things go with the record, so its name is typed and not just "y".
	Typed bool
	// Keep refuses to delete a record that has to stay, confirmed or not, before anything is
	// asked; if nil, the control plane alone decides. label is the record's.
	Keep func(ctx context.Context, client *api.Client, label string) error
	// Goes says what goes with the record, such as "its 3 members", or is the error why it can't
	// be deleted. What the caller may not read is left out: the control plane judges in any
	// case. params are those of the record's path.
	Goes func(ctx context.Context, client *api.Client, item T, params []string) ([]string, error)
}

type deleteOptions struct {
	oneOptions
	Yes      bool
	Revision uint64 // as for update
	Wait     bool   // as for create
}

// NewDelete is "mezu NOUN delete ARG". It asks, unless it is told not to: first the control plane
// what there is, and then whether that is to go.
func (n Noun[T]) NewDelete(inv *invocation.Invocation) *cli.Command {
	return n.newDelete(inv, n.runDelete)
}

func (n Noun[T]) newDelete(inv *invocation.Invocation, run func(context.Context, *deleteOptions) error) *cli.Command {
	usage := "Delete " + article(n.One)
	if n.Deletion.Note != "" {
		usage += ", " + n.Deletion.Note
	}
	return &cli.Command{
		Name: "delete", Aliases: []string{"rm"}, Usage: usage, ArgsUsage: n.arg(), BashComplete: n.complete(inv),
		Flags: slices.Concat(n.PathFlags, []cli.Flag{
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", DisableDefaultText: true},
			ifRevision(n.One),
		}, n.waitFlags()),
		Before: inv.Is(invocation.Silent),
		Action: func(c *cli.Context) error {
			o, err := n.named(inv, c)
			if err != nil {
				return err
			}
			return run(c.Context, &deleteOptions{o, c.Bool("yes"), c.Uint64("if-revision"), Waits(c)})
		},
	}
}

func (n Noun[T]) runDelete(ctx context.Context, o *deleteOptions) error {
	if err := n.check(o.Name); err != nil {
		return err
	}
	p, params, err := n.at(ctx, &o.oneOptions)
	if err != nil {
		return err
	}
	if n.Deletion.Keep != nil {
		if err := n.Deletion.Keep(ctx, p.Client, params[len(params)-1]); err != nil {
			return err
		}
	}
	title := terminal.Clean(o.Name)
	if !o.Yes {
		if title, err = n.confirm(ctx, o, p, params); err != nil {
			return err
		}
	}
	call := api.Call{Operation: o.Delete, Params: params, IfMatch: o.Revision}
	if err := p.Client.Do(ctx, call, nil); err != nil {
		return err
	}
	o.Sayf("deleted %s", n.what(title, p))
	if !o.Wait {
		return nil
	}
	return InForce(ctx, o.Invocation, mezu.Position{}, p)
}

// what is a record in a message, with where it is.
func (n Noun[T]) what(title string, p Path) string {
	out := n.One + " " + title
	if len(p.Params) > 0 {
		out += " of " + p.Text
	}
	return out
}

// confirm looks at the record and what goes with it, and asks whether that is meant.
func (n Noun[T]) confirm(ctx context.Context, o *deleteOptions, p Path, params []string) (title string, err error) {
	title = terminal.Clean(o.Name)
	there, err := api.Invoke[revised[T]](ctx, p.Client, o.Get, nil, params...)
	if err != nil {
		return title, err
	}
	item := there.item
	if o.Revision != 0 && o.Revision != there.revision {
		return title, &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: fmt.Sprintf("%s has revision %d, not %d", n.what(title, p), there.revision, o.Revision), Hint: "read it again, and repeat the change"}
	}
	if n.Deletion.Title != nil {
		title = terminal.Clean(n.Deletion.Title(item))
	}
	var goes []string
	if n.Deletion.Goes != nil {
		if goes, err = n.Deletion.Goes(ctx, p.Client, item, params); err != nil {
			return title, err
		}
	}
	all := and(append([]string{n.what(title, p)}, goes...))
	if err := o.Confirmable("deleting " + all); err != nil {
		return title, err
	}
	if n.Deletion.Typed {
		return title, o.typed(ctx, "This deletes "+all+".")
	}
	question := "Delete " + n.what(title, p)
	if len(goes) > 0 {
		question += ", " + and(goes)
	} else if n.Deletion.Note != "" {
		question += ", " + n.Deletion.Note
	}
	return title, o.Confirm(ctx, question+"?", "deleted")
}

// revised is a record with its revision.
type revised[T any] struct {
	item     T
	revision uint64
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *revised[T]) UnmarshalJSON(data []byte) error {
	var meta mezu.Meta
	err := errors.Join(json.Unmarshal(data, &r.item), json.Unmarshal(data, &meta))
	r.revision = meta.Revision
	return err
}

// typed asks for the name of the record.
func (o *deleteOptions) typed(ctx context.Context, what string) error {
	answer, err := o.Ask(ctx, what+" Type "+terminal.Clean(o.Name)+":")
	if err != nil {
		return err
	}
	if answer != o.Name {
		return exit.Usagef("%q is not its name; nothing was deleted", terminal.Clean(answer))
	}
	return nil
}

// maxCounted is how many records are counted of those that go with another one. Nobody reads a
// number of more digits, and the pages of a list take time.
const maxCounted = 999

// Counted is how many records a list of the API has, in words such as "its 3 members", and the names
// of the first ones. It is empty if there are none, or the caller may not list them.
func Counted[T any](ctx context.Context, client *api.Client, list api.Operation, one, many string, name func(T) string, params ...string) (goes string, first []string) {
	n := 0
	for item, err := range api.Matching[T](ctx, client, list, nil, params...) {
		if err != nil {
			return "", nil
		}
		if n++; n > maxCounted {
			return fmt.Sprintf("its %s, more than %d", many, maxCounted), first
		}
		if len(first) < maxNamed {
			first = append(first, terminal.Clean(name(item)))
		}
	}
	switch n {
	case 0:
		return "", nil
	case 1:
		return "its " + one, first
	}
	return "its " + strconv.Itoa(n) + " " + many, first
}

// maxNamed is how many names a message has: enough to see which ones are meant.
const maxNamed = 3

// Present leaves empty ones out of what Counted gave.
func Present(goes ...string) []string {
	return slices.DeleteFunc(goes, func(s string) bool { return s == "" })
}

// StillHas is the error for a record that can't go before others do. hint is what deletes these.
func StillHas(what, goes string, first []string, hint string) error {
	goes = strings.TrimPrefix(goes, "its ")
	if len(first) == 1 {
		goes = "1 " + goes
	}
	return &mezu.Error{Code: mezu.CodeConflict, Detail: what + " still has " + goes + ": " + strings.Join(first, ", "), Hint: hint}
}

// and joins words as a sentence does.
func and(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return words[0]
}
