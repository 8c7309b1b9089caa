// Package routes is "mezu routes": the routes of an environment on the command line, which
// edges and Warpgates run them, and how they decide about a request.
//
// What may not live here: other nouns, and how a request is judged (package policy). It
// imports the domain, api, policy and the packages of cli that every command uses; cli
// imports it.
package routes

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu routes".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	create := n.NewCreate(inv, flagsOf(), fromFlags)
	create.Usage, create.ArgsUsage = "Add a route", "[NAME]"
	return n.Command("List, show, add, change, delete and try the routes of an environment",
		newList(inv, runList), n.NewShow(inv), create, n.NewUpdate(inv, updateFlags(), patchOf), n.NewDelete(inv), newTest(inv, runTest))
}

func noun() collection.Noun[mezu.Route] {
	columns := columns()
	return collection.Noun[mezu.Route]{
		Name: "routes", One: "route", Many: "routes", Arg: "ROUTE", Nameless: true, InForce: true,
		Operations: collection.Operations{In: collection.InEnvironment, List: api.OpListRoutes, Watch: api.OpWatchRoutes, Get: api.OpGetRoute, Create: api.OpCreateRoute, Update: api.OpUpdateRoute, Delete: api.OpDeleteRoute},
		Label:      reference, Check: checkReference, Columns: columns,
		Details: slices.Concat(columns, []terminal.Column[mezu.Route]{
			{Head: "PRIORITY", Value: func(r mezu.Route) string { return number(r.Priority) }},
			{Head: "HEADERS", Value: headers},
			{Head: "ROLES", Value: func(r mezu.Route) string { return strings.Join(r.Roles, ",") }},
			{Head: "PERMISSIONS", Value: func(r mezu.Route) string { return strings.Join(r.Permissions, ",") }},
			{Head: "NOT ENFORCED YET", Value: func(r mezu.Route) string { return strings.Join(r.Unenforced(), ",") }},
		}, collection.Meta(func(r mezu.Route) mezu.Meta { return r.Meta })),
		Empty:    "mezu routes create --prefix / makes one",
		Deletion: collection.Deletion[mezu.Route]{Title: func(r mezu.Route) string { return string(r.Mode()) + " " + r.Value() }},
		All: func(ctx context.Context, p collection.Path) ([]mezu.Route, error) {
			state, err := state(ctx, p)
			return state.Routes, err
		},
	}
}

// state reads the routes of an environment, and which edges and Warpgates run them.
func state(ctx context.Context, p collection.Path) (api.RoutesState, error) {
	return api.Invoke[api.RoutesState](ctx, p.Client, api.OpListRoutes, nil, p.Params...)
}

// columns are the columns of a table of routes. The first is what commands name a route by.
func columns() []terminal.Column[mezu.Route] {
	return []terminal.Column[mezu.Route]{
		{Head: "ROUTE", Rank: terminal.Handle, Value: reference},
		{Head: "MATCH", Value: func(r mezu.Route) string { return string(r.Mode()) + " " + r.Value() }},
		{Head: "METHODS", Rank: terminal.Detail, Value: func(r mezu.Route) string { return strings.Join(r.Methods, ",") }},
		{Head: "UPSTREAM", Value: func(r mezu.Route) string { return r.Upstream }},
		{Head: "AUTH", Value: func(r mezu.Route) string { return string(r.Auth) }},
	}
}

// reference is what a command names a route by: its name, or else its id.
func reference(r mezu.Route) string {
	if r.Name != "" {
		return r.Name
	}
	return r.ID
}

func checkReference(ref string) error {
	if mezu.ValidateID("", mezu.PrefixRoute, ref) == nil {
		return nil
	}
	return mezu.ValidateName("route", ref)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func headers(r mezu.Route) string {
	var out []string
	for name, value := range r.Headers {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
