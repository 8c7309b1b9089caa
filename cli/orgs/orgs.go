// Package orgs is "mezu orgs": organizations on the command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package orgs

import (
	"context"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu orgs".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, create, change and delete organizations",
		n.NewList(inv), n.NewShow(inv), n.NewCreate(inv, flags(), fromFlags), n.NewUpdate(inv, flags(), patchOf), n.NewDelete(inv))
}

// Names lists the organizations of the caller, for completion.
func Names(ctx context.Context, inv *invocation.Invocation) ([]string, error) {
	return noun().Names(ctx, inv)
}

func noun() collection.Noun[mezu.Organization] {
	columns := []terminal.Column[mezu.Organization]{
		{Head: "NAME", Rank: terminal.Name, Value: func(o mezu.Organization) string { return o.Name }},
		{Head: "DISPLAY NAME", Value: func(o mezu.Organization) string { return o.DisplayName }},
		{Head: "DEVICE LOGIN", Rank: terminal.Detail, Value: func(o mezu.Organization) string {
			if o.AllowsDeviceLogin() {
				return "on"
			}
			return "off"
		}},
		{Head: "CREATED", Rank: terminal.Detail, At: func(o mezu.Organization) time.Time { return o.CreatedAt }},
	}
	return collection.Noun[mezu.Organization]{
		Name: "orgs", One: "organization", Many: "organizations",
		Operations: collection.Operations{In: collection.AtTop, List: api.OpListOrganizations, Get: api.OpGetOrganization, Create: api.OpCreateOrganization, Update: api.OpUpdateOrganization, Delete: api.OpDeleteOrganization},
		Label:      func(o mezu.Organization) string { return o.Name }, Columns: columns,
		Details:  slices.Concat(columns[:3], collection.Meta(func(o mezu.Organization) mezu.Meta { return o.Meta })),
		EmptyFor: empty, Deletion: collection.Deletion[mezu.Organization]{Note: "with its members; its projects go first", Typed: true, Goes: goes},
	}
}

// empty says how somebody comes to an organization.
func empty(ctx context.Context, client *api.Client) string {
	if self, err := api.Invoke[api.Self](ctx, client, api.OpSelf, nil); err == nil && self.Operator {
		return "mezu orgs create NAME makes one"
	}
	return "ask an owner for an invitation, or an operator for an organization"
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "display-name", Usage: "`TEXT` for people"},
		&cli.StringFlag{Name: "device-login", Usage: "whether members may log in a machine by a code: `true` or false"},
	}
}

func fromFlags(c *cli.Context, name string) (any, error) {
	o := mezu.Organization{Name: name, DisplayName: c.String("display-name")}
	on, err := deviceLogin(c)
	if err != nil {
		return nil, err
	}
	o.DeviceLogin = on
	return o, o.Validate()
}

func patchOf(c *cli.Context) (map[string]any, error) {
	patch := map[string]any{}
	if c.IsSet("display-name") {
		patch["display_name"] = c.String("display-name")
	}
	on, err := deviceLogin(c)
	if on != nil {
		patch["device_login"] = *on
	}
	return patch, err
}

// deviceLogin is the flag of that name, nil if it was not given.
func deviceLogin(c *cli.Context) (*bool, error) {
	if !c.IsSet("device-login") {
		return nil, nil
	}
	on := c.String("device-login") == "true"
	if !on && c.String("device-login") != "false" {
		return nil, exit.Usagef("--device-login is true or false, not %q", c.String("device-login"))
	}
	return &on, nil
}

// goes says what goes with an organization. Its projects and directories have to go before it.
func goes(ctx context.Context, client *api.Client, o mezu.Organization, params []string) ([]string, error) {
	what := "organization " + terminal.Clean(o.Name)
	has, first := collection.Counted(ctx, client, api.OpListProjects, "project", "projects", func(p mezu.Project) string { return p.Name }, params...)
	if has != "" {
		return nil, collection.StillHas(what, has, first, "mezu projects delete NAME --org "+o.Name)
	}
	has, first = collection.Counted(ctx, client, api.OpListOrganizationDirectories, "directory", "directories", func(d mezu.Directory) string { return d.Name }, params...)
	if has != "" {
		return nil, collection.StillHas(what, has, first, "mezu directories delete NAME --shared --org "+o.Name)
	}
	members, _ := collection.Counted(ctx, client, api.OpListMembers, "member", "members", func(m mezu.Member) string { return m.Email }, params...)
	invitations, _ := collection.Counted(ctx, client, api.OpListInvitations, "invitation", "invitations", func(i mezu.Invitation) string { return i.Email }, params...)
	return collection.Present(members, invitations), nil
}
