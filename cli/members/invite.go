package members

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type inviteOptions struct {
	*invocation.Invocation
	Invitation mezu.Invitation
}

func newInvite(inv *invocation.Invocation, run func(context.Context, *inviteOptions) error) *cli.Command {
	return &cli.Command{
		Name: "invite", Usage: "Invite a person and show the link, this once", ArgsUsage: "EMAIL", Flags: []cli.Flag{roleFlag()},
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "EMAIL")
			if err != nil {
				return err
			}
			o := &inviteOptions{inv, mezu.Invitation{Email: args[0], Role: mezu.Role(c.String("role"))}}
			if o.Invitation.Role == "" {
				o.Invitation.Role = mezu.RoleDeveloper
			}
			if err := o.Invitation.Validate(); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func runInvite(ctx context.Context, o *inviteOptions) error {
	p, err := collection.InOrganization(o.Invocation)
	if err != nil {
		return err
	}
	made, err := api.Invoke[api.InvitationCreated](ctx, p.Client, api.OpCreateInvitation, o.Invitation, p.Params...)
	if err != nil {
		return err
	}
	o.Sayf("invited %s to %s as %s; the link works once, with that address", terminal.Clean(made.Email), p.Text, made.Role)
	o.Mask(made.Link, made.Code)
	return terminal.WriteRecord(o.Streams, o.Flags.Output, made, []terminal.Column[api.InvitationCreated]{
		{Head: "LINK", Value: func(i api.InvitationCreated) string { return i.Link }},
		{Head: "EMAIL", Value: func(i api.InvitationCreated) string { return i.Email }},
		{Head: "ROLE", Value: func(i api.InvitationCreated) string { return string(i.Role) }},
		{Head: "EXPIRES", At: func(i api.InvitationCreated) time.Time { return i.ExpiresAt }},
		{Head: "ID", Value: func(i api.InvitationCreated) string { return i.ID }},
	})
}
