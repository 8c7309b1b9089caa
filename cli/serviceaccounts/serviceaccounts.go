// Package serviceaccounts is "mezu service-accounts": the machine credentials of a project on
// the command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package serviceaccounts

import (
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

// Command is "mezu service-accounts".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, create, change, rotate and delete service accounts",
		n.NewList(inv), n.NewShow(inv), newCreate(inv, runCreate), n.NewUpdate(inv, flags(), patchOf), newRotate(inv, runRotate), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.ServiceAccount] {
	columns := columns()
	return collection.Noun[mezu.ServiceAccount]{
		Name: "service-accounts", One: "service account", Many: "service accounts",
		Operations: collection.Operations{In: collection.InProject, List: api.OpListServiceAccounts, Watch: api.OpWatchServiceAccounts, Get: api.OpGetServiceAccount, Update: api.OpUpdateServiceAccount, Delete: api.OpDeleteServiceAccount},
		Label:      func(a mezu.ServiceAccount) string { return a.Name }, Columns: columns, Details: details(),
		Empty:    "mezu service-accounts create NAME --permission warpgate.register makes one",
		Deletion: collection.Deletion[mezu.ServiceAccount]{Note: "whose key ends, with the certificates of the Warpgates that it let in"},
	}
}

func columns() []terminal.Column[mezu.ServiceAccount] {
	return []terminal.Column[mezu.ServiceAccount]{
		{Head: "NAME", Rank: terminal.Name, Value: func(a mezu.ServiceAccount) string { return a.Name }},
		{Head: "PERMISSIONS", Value: permissions},
		{Head: "ENVIRONMENT", Value: func(a mezu.ServiceAccount) string { return a.Environment }},
		{Head: "KEY PREFIX", Rank: terminal.Detail, Value: func(a mezu.ServiceAccount) string { return a.KeyPrefix }},
		{Head: "LAST USED", Rank: terminal.Detail, At: func(a mezu.ServiceAccount) time.Time { return a.LastUsedAt }},
	}
}

func details() []terminal.Column[mezu.ServiceAccount] {
	return slices.Concat(columns(), collection.Meta(func(a mezu.ServiceAccount) mezu.Meta { return a.Meta }))
}

func permissions(a mezu.ServiceAccount) string {
	out := make([]string, len(a.Permissions))
	for i, p := range a.Permissions {
		out[i] = string(p)
	}
	return strings.Join(out, ",")
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "permission", Usage: "let it do `VERB`, such as warpgate.register (repeatable)"},
		&cli.StringFlag{Name: "default-environment", Usage: "Warpgates with its key serve the environment `NAME` unless they name one", DefaultText: mezu.EnvironmentProduction},
	}
}

// patchOf makes the merge patch that the flags ask for. The list of permissions is replaced,
// not added to.
func patchOf(c *cli.Context) (map[string]any, error) {
	patch := map[string]any{}
	if c.IsSet("permission") {
		patch["permissions"] = permissionsOf(c.StringSlice("permission"))
	}
	if c.IsSet("default-environment") {
		patch["environment"] = c.String("default-environment")
	}
	return patch, nil
}

func permissionsOf(values []string) []mezu.Permission {
	out := make([]mezu.Permission, len(values))
	for i, v := range values {
		out[i] = mezu.Permission(v)
	}
	return out
}
