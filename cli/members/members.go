// Package members is "mezu members": the members of an organization and the invitations to
// it, on the command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package members

import (
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

// Command is "mezu members".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, invite, change and remove members of an organization",
		n.NewList(inv), n.NewShow(inv), newInvite(inv, runInvite), invitations(inv), n.NewUpdate(inv, []cli.Flag{roleFlag()}, patchOf), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.Member] {
	columns := []terminal.Column[mezu.Member]{
		{Head: "ID", Rank: terminal.Handle, Value: func(m mezu.Member) string { return m.ID }},
		{Head: "EMAIL", Value: func(m mezu.Member) string { return m.Email }},
		{Head: "ROLE", Value: func(m mezu.Member) string { return string(m.Role) }},
		{Head: "SINCE", Rank: terminal.Detail, At: func(m mezu.Member) time.Time { return m.CreatedAt }},
	}
	meta := collection.Meta(func(m mezu.Member) mezu.Meta { return m.Meta })
	return collection.Noun[mezu.Member]{
		Name: "members", One: "member", Many: "members", Arg: "EMAIL|ID",
		Operations: collection.Operations{In: collection.InOrganization, List: api.OpListMembers, Watch: api.OpWatchMembers, Get: api.OpGetMember, Update: api.OpUpdateMember, Delete: api.OpDeleteMember},
		Label:      func(m mezu.Member) string { return m.ID },
		Check:      check,
		Called:     func(m mezu.Member) string { return m.Email },
		Columns:    columns,
		Details: slices.Concat(columns[:3], []terminal.Column[mezu.Member]{
			{Head: "PERSON", Value: func(m mezu.Member) string { return m.Person }},
		}, meta[:len(meta)-1]), // the id comes first
		Empty:    "mezu members invite EMAIL asks somebody in",
		Deletion: collection.Deletion[mezu.Member]{Note: "and cut the Warpgates that they let in", Title: func(m mezu.Member) string { return m.Email }, Goes: goes},
	}
}

// check refuses what the control plane takes for no member: it takes an address, the id of the
// membership and that of the person. To be found in a list instead would need the right to list, which
// members don't need to see their own membership and to leave.
func check(who string) error {
	if strings.Contains(who, "@") {
		return mezu.ValidateEmail("member", who)
	}
	if mezu.ValidateID("member", mezu.PrefixPerson, who) == nil {
		return nil
	}
	return mezu.ValidateID("member", mezu.PrefixMember, who)
}

func roleFlag() cli.Flag {
	return &cli.StringFlag{Name: "role", Usage: "`ROLE` is owner, admin, developer, viewer or billing"}
}

func patchOf(c *cli.Context) (map[string]any, error) {
	if !c.IsSet("role") {
		return nil, nil
	}
	role := mezu.Role(c.String("role"))
	return map[string]any{"role": role}, role.Validate("role")
}

// invitations is "mezu members invitations".
func invitations(inv *invocation.Invocation) *cli.Command {
	columns := []terminal.Column[mezu.Invitation]{
		{Head: "ID", Rank: terminal.Handle, Value: func(i mezu.Invitation) string { return i.ID }},
		{Head: "EMAIL", Value: func(i mezu.Invitation) string { return i.Email }},
		{Head: "ROLE", Value: func(i mezu.Invitation) string { return string(i.Role) }},
		{Head: "INVITED BY", Rank: terminal.ID, Value: func(i mezu.Invitation) string { return i.InvitedBy }},
		{Head: "EXPIRES", At: func(i mezu.Invitation) time.Time { return i.ExpiresAt }},
	}
	n := collection.Noun[mezu.Invitation]{
		Name: "invitations", One: "invitation", Many: "open invitations", Arg: "EMAIL|ID",
		Operations: collection.Operations{In: collection.InOrganization, List: api.OpListInvitations, Get: api.OpGetInvitation, Delete: api.OpDeleteInvitation},
		Label:      func(i mezu.Invitation) string { return i.ID },
		Check:      func(id string) error { return mezu.ValidateID("id", mezu.PrefixInvitation, id) },
		Called:     func(i mezu.Invitation) string { return i.Email },
		Columns:    columns, Details: columns,
		Empty: "mezu members invite EMAIL asks somebody in", Deletion: collection.Deletion[mezu.Invitation]{Note: "whose link then opens nothing", Title: func(i mezu.Invitation) string { return "of " + i.Email }},
	}
	return n.Command("List, show and withdraw invitations that nobody has redeemed", n.NewList(inv), n.NewShow(inv), n.NewDelete(inv))
}

// goes refuses to take the last owner away.
func goes(ctx context.Context, client *api.Client, m mezu.Member, params []string) ([]string, error) {
	if m.Role != mezu.RoleOwner {
		return nil, nil
	}
	for other, err := range api.Matching[mezu.Member](ctx, client, api.OpListMembers, nil, params[:len(params)-1]...) {
		if err != nil || other.Role == mezu.RoleOwner && other.ID != m.ID {
			return nil, nil
		}
	}
	return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: terminal.Clean(m.Email) + " is the last owner, and an organization has at least one",
		Hint: "mezu members update EMAIL --role owner makes somebody else owner first, or delete the organization"}
}
