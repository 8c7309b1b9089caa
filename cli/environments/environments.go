// Package environments is "mezu environments": the deployment targets of a project on the
// command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package environments

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
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
		}, columns, []terminal.Column[mezu.Environment]{{Head: "ADDRESSES", Value: addresses}}, collection.Meta(func(e mezu.Environment) mezu.Meta { return e.Meta })),
		Empty: "mezu environments create NAME makes one", Deletion: collection.Deletion[mezu.Environment]{Note: "with its routes, its endpoint and the certificates of its Warpgates", Typed: true, Goes: goes},
	}
}

func state(e mezu.Environment) string {
	switch {
	case !e.IsEnabled():
		return "off"
	case e.Maintenance != nil:
		return "maintenance"
	}
	return "on"
}

// addresses says from where the environment may be used.
func addresses(e mezu.Environment) string {
	var out []string
	if len(e.AllowIPs) > 0 {
		out = append(out, strings.Join(e.AllowIPs, ","))
	}
	if len(e.DenyIPs) > 0 {
		out = append(out, "not "+strings.Join(e.DenyIPs, ","))
	}
	return strings.Join(out, " ")
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "directory", Usage: "let users of the directory `NAME` log in; empty for nobody"},
		&cli.StringFlag{Name: "waf", Usage: "`MODE` of routes that name none: off, detect or block"},
		&cli.StringFlag{Name: "waf-paranoia", Usage: "for routes without settings: look for attacks at the level `N`, 1 to 4"},
		&cli.StringFlag{Name: "waf-threshold", Usage: "for routes without settings: take a request for an attack from the score `N` on"},
		&cli.StringSliceFlag{Name: "waf-exclude", Usage: "for routes without settings: leave out `RULE`, or RULE=TARGET such as 942100=ARGS:comment (repeatable)"},
		&cli.StringFlag{Name: "waf-body", Usage: "for routes without settings: look at bodies up to `SIZE`"},
		&cli.StringSliceFlag{Name: "allow-ip", Usage: "let clients at `RANGE` alone use it (repeatable); empty for all"},
		&cli.StringSliceFlag{Name: "deny-ip", Usage: "refuse clients at `RANGE` (repeatable); empty for none"},
		&cli.StringFlag{Name: "maintenance", Usage: "close it to visitors, who read `MESSAGE`; empty opens it"},
		&cli.StringFlag{Name: "maintenance-retry-after", Usage: "with --maintenance: visitors may try again after `TIME`"},
		&cli.StringSliceFlag{Name: "maintenance-allow-ip", Usage: "with --maintenance: let clients at `RANGE` in all the same (repeatable)"},
	}
}

func createFlags() []cli.Flag {
	return append(flags(), &cli.BoolFlag{Name: "disabled", Usage: "switched off at first", DisableDefaultText: true})
}

func fromFlags(c *cli.Context, name string) (any, error) {
	e := mezu.Environment{Name: name, Directory: c.String("directory"), WAF: mezu.WAFMode(c.String("waf")), AllowIPs: ranges(c, "allow-ip"), DenyIPs: ranges(c, "deny-ip")}
	if c.Bool("disabled") {
		e.Enabled = new(bool)
	}
	var err error
	if e.Maintenance, err = maintenance(c); err != nil {
		return nil, err
	}
	settings, err := firewall(c)
	if err == nil && settings != nil {
		var data []byte
		if data, err = json.Marshal(settings); err == nil {
			err = json.Unmarshal(data, &e.WAFSettings)
		}
	}
	if err != nil {
		return nil, mezu.Below("waf_settings", err)
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
	for flag, field := range map[string]string{"allow-ip": "allow_ips", "deny-ip": "deny_ips"} {
		if c.IsSet(flag) {
			patch[field] = ranges(c, flag)
		}
	}
	settings, err := firewall(c)
	if err != nil {
		return nil, mezu.Below("waf_settings", err)
	}
	if settings != nil {
		patch["waf_settings"] = settings
	}
	m, err := maintenance(c)
	if c.IsSet("maintenance") {
		patch["maintenance"] = m
	}
	return patch, err
}

// firewall are the settings of the firewall that flags name, nil if none does; those that are to go
// are nil themselves.
func firewall(c *cli.Context) (map[string]any, error) {
	var out map[string]any
	for flag, field := range map[string]string{"waf-paranoia": "paranoia", "waf-threshold": "threshold", "waf-body": "body", "waf-exclude": "exclude"} {
		if !c.IsSet(flag) {
			continue
		}
		if out == nil {
			out = map[string]any{}
		}
		out[field] = nil
		switch values, value := ranges(c, flag), c.String(flag); {
		case flag == "waf-exclude" && values != nil:
			list := make([]mezu.WAFExclusion, 0, len(values))
			for _, v := range values {
				x, err := mezu.ParseWAFExclusion(v)
				if err != nil {
					return nil, exit.Usagef("--%s %v", flag, err)
				}
				list = append(list, x)
			}
			out[field] = list
		case flag == "waf-exclude" || value == "":
		case flag == "waf-body":
			out[field] = value
		default:
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, exit.Usagef("--%s is a number, not %q", flag, value)
			}
			out[field] = n
		}
	}
	return out, nil
}

// ranges are the values of a flag for ranges of addresses, nil for a single empty one.
func ranges(c *cli.Context, flag string) []string {
	values := c.StringSlice(flag)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil
	}
	return values
}

// maintenance is what the flags say of it, nil for none. Its other flags don't begin one by
// themselves.
func maintenance(c *cli.Context) (*mezu.Maintenance, error) {
	if c.String("maintenance") == "" {
		for _, more := range []string{"maintenance-retry-after", "maintenance-allow-ip"} {
			if c.IsSet(more) {
				return nil, exit.Usagef("--%s goes with --maintenance MESSAGE", more)
			}
		}
		return nil, nil
	}
	m := &mezu.Maintenance{Message: c.String("maintenance"), AllowIPs: ranges(c, "maintenance-allow-ip")}
	if after := c.String("maintenance-retry-after"); after != "" {
		if err := m.RetryAfter.UnmarshalText([]byte(after)); err != nil {
			return nil, mezu.Below("maintenance.retry_after", err)
		}
	}
	return m, nil
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
