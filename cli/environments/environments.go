// Package environments is "mezu environments": the deployment targets of a project on the
// command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package environments

import (
	"context"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu environments".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, create, change, switch and delete environments",
		n.NewList(inv), n.NewShow(inv), n.NewCreate(inv, createFlags(), fromFlags), n.NewUpdate(inv, flags(), patchOf),
		n.NewSet(inv, "enable", "Switch an environment on", "switched on", map[string]any{"enabled": true}),
		n.NewSet(inv, "disable", "Switch an environment off: it answers 503 until it is switched on", "switched off", map[string]any{"enabled": false}),
		n.NewDelete(inv))
}

// Names lists the environments of the project in the context, for completion.
func Names(ctx context.Context, inv *invocation.Invocation) ([]string, error) {
	return noun().Names(ctx, inv)
}

func noun() collection.Noun[mezu.Environment] {
	columns := []terminal.Column[mezu.Environment]{
		{Head: "NAME", Rank: terminal.Name, Value: func(e mezu.Environment) string { return e.Name }},
		{Head: "STATE", Value: state},
		{Head: "URL", Value: func(e mezu.Environment) string { return e.URL }},
		{Head: "DIRECTORY", Rank: terminal.Detail, Value: func(e mezu.Environment) string { return e.Directory }},
		{Head: "WAF", Rank: terminal.Detail, Value: func(e mezu.Environment) string { return string(e.WAF) }},
	}
	return collection.Noun[mezu.Environment]{
		Name: "environments", One: "environment", Many: "environments",
		Operations: collection.Operations{In: collection.InProject, List: api.OpListEnvironments, Watch: api.OpWatchEnvironments, Get: api.OpGetEnvironment, Create: api.OpCreateEnvironment, Update: api.OpUpdateEnvironment, Delete: api.OpDeleteEnvironment},
		Label:      func(e mezu.Environment) string { return e.Name }, Columns: columns,
		Details: slices.Concat([]terminal.Column[mezu.Environment]{
			{Head: "ORGANIZATION", Value: func(e mezu.Environment) string { return e.Organization }},
			{Head: "PROJECT", Value: func(e mezu.Environment) string { return e.Project }},
			{Head: "CREATED BY", Value: func(e mezu.Environment) string { return e.CreatedBy }},
		}, columns, collection.Meta(func(e mezu.Environment) mezu.Meta { return e.Meta })),
		Empty: "mezu environments create NAME makes one", Deletion: collection.Deletion[mezu.Environment]{Note: "with its routes, its endpoint and the certificates of its Warpgates", Typed: true, Goes: goes},
	}
}

func state(e mezu.Environment) string {
	if e.IsEnabled() {
		return "on"
	}
	return "off"
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "directory", Usage: "let users of the directory `NAME` log in; empty for nobody"},
		&cli.StringFlag{Name: "waf", Usage: "`MODE` of routes that name none: off, detect or block"},
	}
}

func createFlags() []cli.Flag {
	return append(flags(), &cli.BoolFlag{Name: "disabled", Usage: "switched off at first", DisableDefaultText: true})
}

func fromFlags(c *cli.Context, name string) (any, error) {
	e := mezu.Environment{Name: name, Directory: c.String("directory"), WAF: mezu.WAFMode(c.String("waf"))}
	if c.Bool("disabled") {
		e.Enabled = new(bool)
	}
	return e, e.Validate()
}

func patchOf(c *cli.Context) (map[string]any, error) {
	patch := map[string]any{}
	for flag, field := range map[string]string{"directory": "directory", "waf": "waf"} {
		if c.IsSet(flag) {
			patch[field] = c.String(flag)
		}
	}
	return patch, nil
}

// goes says what goes with an environment.
func goes(ctx context.Context, client *api.Client, e mezu.Environment, params []string) ([]string, error) {
	routes := ""
	if s, err := api.Invoke[api.RoutesState](ctx, client, api.OpListRoutes, nil, params...); err == nil && len(s.Routes) > 0 {
		routes = "its routes (" + strconv.Itoa(len(s.Routes)) + ")"
	}
	warpgates, _ := collection.Counted(ctx, client, api.OpListWarpgates, "Warpgate", "Warpgates", func(w mezu.Warpgate) string { return w.ID }, params...)
	address := ""
	if e.URL != "" {
		address = "its address " + terminal.Clean(e.URL)
	}
	return collection.Present(routes, warpgates, address), nil
}
