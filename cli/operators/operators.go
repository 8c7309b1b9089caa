// Package operators is "mezu operators": the persons who run an installation, on the command
// line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package operators

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu operators".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	create := n.NewCreate(inv, nil, func(_ *cli.Context, who string) (any, error) {
		if err := check(who); err != nil {
			return nil, err
		}
		if strings.Contains(who, "@") {
			return api.OperatorRequest{Email: who}, nil
		}
		return api.OperatorRequest{Person: who}, nil
	})
	create.Usage = "Make a person operator whom the installation knows"
	remove := n.NewDelete(inv)
	remove.Usage = "Take a person's being operator away"
	return n.Command("List, show, make and remove those who run the installation", n.NewList(inv), n.NewShow(inv), create, remove)
}

func noun() collection.Noun[mezu.Operator] {
	columns := []terminal.Column[mezu.Operator]{
		{Head: "ID", Rank: terminal.Handle, Value: func(o mezu.Operator) string { return o.ID }},
		{Head: "EMAIL", Value: func(o mezu.Operator) string { return o.Email }},
		{Head: "SINCE", Rank: terminal.Detail, At: func(o mezu.Operator) time.Time { return o.CreatedAt }},
	}
	meta := collection.Meta(func(o mezu.Operator) mezu.Meta { return o.Meta })
	return collection.Noun[mezu.Operator]{
		Name: "operators", One: "operator", Many: "operators", Arg: "EMAIL|ID",
		Operations: collection.Operations{In: collection.AtTop, List: api.OpListOperators, Get: api.OpGetOperator, Create: api.OpCreateOperator, Delete: api.OpDeleteOperator},
		Label:      func(o mezu.Operator) string { return cmp.Or(o.Email, o.ID) },
		Check:      check,
		Called:     func(o mezu.Operator) string { return o.Email },
		Columns:    columns, Details: slices.Concat(columns[:2], meta[:len(meta)-1]), // the id comes first
		Empty:    "mezusphere operator reset, on a machine of the control plane, makes one",
		Deletion: collection.Deletion[mezu.Operator]{Note: "who stays a member where they are one", Keep: keepLast},
	}
}

// check refuses what is neither an address nor an id.
func check(who string) error {
	if strings.Contains(who, "@") {
		return mezu.ValidateEmail("email", who)
	}
	prefix, _, _ := strings.Cut(who, "_") // those of earlier installations have another one
	if mezu.ValidateID("id", prefix, who) != nil {
		return exit.Usagef("an operator is named by address or id, not %q", who)
	}
	return nil
}

// keepLast refuses to remove the last operator. The control plane would, too, when somebody has
// confirmed.
func keepLast(ctx context.Context, client *api.Client, who string) error {
	if _, err := api.Invoke[mezu.Operator](ctx, client, api.OpGetOperator, nil, who); err != nil {
		return err
	}
	var all api.List[mezu.Operator]
	if err := client.Do(ctx, api.Call{Operation: api.OpListOperators, Query: url.Values{"page_size": {"2"}}}, &all); err != nil {
		return err
	}
	if len(all.Items) == 1 {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: terminal.Clean(who) + " is the last operator, and an installation keeps one", Hint: "mezu operators create EMAIL, for somebody else, first"}
	}
	return nil
}
