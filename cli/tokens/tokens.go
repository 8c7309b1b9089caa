// Package tokens is "mezu tokens": the bearer tokens of whoever is logged in, on the command
// line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package tokens

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu tokens".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, make and revoke your own tokens", n.NewList(inv), n.NewShow(inv), newCreate(inv, runCreate), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.Token] {
	columns := columns()
	meta := collection.Meta(func(t mezu.Token) mezu.Meta { return t.Meta })
	return collection.Noun[mezu.Token]{
		Name: "tokens", One: "token", Many: "tokens", Arg: "NAME|ID",
		Operations: collection.Operations{In: collection.AtTop, List: api.OpListTokens, Get: api.OpGetToken, Delete: api.OpDeleteToken},
		Label:      func(t mezu.Token) string { return t.ID },
		Check:      func(id string) error { return mezu.ValidateID("id", mezu.PrefixToken, id) },
		Called:     func(t mezu.Token) string { return t.Name },
		Columns:    columns, Details: slices.Concat(columns[:4], meta[:1]),
		Empty:    "mezu tokens create NAME makes one; a login has its own, which is none of these",
		Deletion: collection.Deletion[mezu.Token]{Note: "which opens nothing then", Title: func(t mezu.Token) string { return cmp.Or(t.Name, t.ID) }, Keep: keepOwn},
	}
}

func columns() []terminal.Column[mezu.Token] {
	return []terminal.Column[mezu.Token]{
		{Head: "ID", Rank: terminal.Handle, Value: func(t mezu.Token) string { return t.ID }},
		{Head: "NAME", Value: func(t mezu.Token) string { return t.Name }},
		{Head: "EXPIRES", At: func(t mezu.Token) time.Time { return t.ExpiresAt }},
		{Head: "PERMISSIONS", Value: permissions},
		{Head: "CREATED", Rank: terminal.Detail, At: func(t mezu.Token) time.Time { return t.CreatedAt }},
	}
}

func permissions(t mezu.Token) string {
	if t.Permissions == nil {
		return "all of yours"
	}
	out := make([]string, len(t.Permissions))
	for i, p := range t.Permissions {
		out[i] = string(p)
	}
	return strings.Join(out, ",")
}

// keepOwn refuses to revoke the token that the command calls with: what it is for would end in
// the middle, and nobody could make another.
func keepOwn(ctx context.Context, client *api.Client, id string) error {
	self, err := api.Invoke[api.Self](ctx, client, api.OpSelf, nil)
	if err == nil && self.TokenID == id {
		err = &mezu.Error{Code: mezu.CodeConflict, Detail: id + " is the token that this command uses", Hint: "revoke it with another one, or mezu logout"}
	}
	return err
}
