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
	// KeyFile is where the link goes; if empty, it is shown.
	KeyFile string
}

func newInvite(inv *invocation.Invocation, run func(context.Context, *inviteOptions) error) *cli.Command {
	return &cli.Command{
		Name: "invite", Usage: "Invite a person and show the link, this once", ArgsUsage: "EMAIL", Flags: []cli.Flag{roleFlag(), invocation.SecretFlag()},
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "EMAIL")
			if err != nil {
				return err
			}
			o := &inviteOptions{Invocation: inv, Invitation: mezu.Invitation{Email: args[0], Role: mezu.Role(c.String("role"))}}
			if o.KeyFile, err = inv.SecretFile(c); err != nil {
				return err
			}
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
	file, err := invocation.ReserveSecret(o.KeyFile)
	if err != nil {
		return err
	}
	defer file.Discard()
	made, err := api.Invoke[api.InvitationCreated](ctx, p.Client, api.OpCreateInvitation, o.Invitation, p.Params...)
	if err != nil {
		return err
	}
	o.Sayf("invited %s to %s as %s; the link works once, with that address", terminal.Clean(made.Email), p.Text, made.Role)
	columns := []terminal.Column[mezu.Invitation]{
		{Head: "EMAIL", Value: func(i mezu.Invitation) string { return i.Email }},
		{Head: "ROLE", Value: func(i mezu.Invitation) string { return string(i.Role) }},
		{Head: "EXPIRES", At: func(i mezu.Invitation) time.Time { return i.ExpiresAt }},
		{Head: "ID", Value: func(i mezu.Invitation) string { return i.ID }},
	}
	kept, err := o.KeepSecret(file, made.Link, "the link", "mezu members invitations delete "+made.ID+", and invite again")
	switch {
	case err != nil:
		return err
	case kept:
		return terminal.WriteRecord(o.Streams, o.Flags.Output, made.Invitation, columns)
	}
	o.Mask(made.Link, made.Code)
	link := []terminal.Column[api.InvitationCreated]{{Head: "LINK", Value: func(i api.InvitationCreated) string { return i.Link }}}
	return terminal.WriteRecord(o.Streams, o.Flags.Output, made, append(link, terminal.Of(columns, func(i api.InvitationCreated) mezu.Invitation { return i.Invitation })...))
}
