package login

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type acceptOptions struct {
	loginOptions
	// Code is a code, or a link with one; if empty, standard input has it.
	Code string
	// Email is that of somebody who has no login yet. The token that they get goes into KeyFile, too;
	// if empty, into none.
	Email, KeyFile string
}

// newInvitations is "mezu invitations". Those who invite have "mezu members invitations".
func newInvitations(inv *invocation.Invocation, run func(context.Context, *acceptOptions) error) *cli.Command {
	return &cli.Command{
		Name: "invitations", Aliases: []string{"invitation"}, Usage: "Accept an invitation into an organization", Category: category,
		Subcommands: []*cli.Command{{
			Name: "accept", Usage: "Join an organization by the link of an invitation", ArgsUsage: "[LINK|CODE]",
			Description: "An invitation is for one address: that of the login. --email names it for somebody who has none\n" +
				"yet, and keeps the token that they get in a profile. Without LINK or CODE, standard input has it.",
			Flags: []cli.Flag{&cli.StringFlag{Name: "email", Usage: "`ADDRESS` that was invited, of somebody without a login"}, invocation.SecretFlag()},
			Action: func(c *cli.Context) error {
				given, err := optional(c, "LINK|CODE")
				if err != nil {
					return err
				}
				o := &acceptOptions{loginOptions: loginOptions{Invocation: inv}, Code: given, Email: c.String("email")}
				if o.KeyFile, err = inv.SecretFile(c); err != nil {
					return err
				}
				if o.KeyFile != "" && o.Email == "" {
					return exit.Usagef("--key-file is for the token that --email brings; a login makes none")
				}
				if o.Email != "" {
					if err := mezu.ValidateEmail("email", o.Email); err != nil {
						return err
					}
				}
				return run(c.Context, o)
			},
		}},
	}
}

func runAccept(ctx context.Context, o *acceptOptions) error {
	var own invocation.Settings
	var err error
	if o.Email == "" {
		if own, err = o.Settings(); err != nil { // before the link names a control plane
			return err
		}
	}
	code, err := code(ctx, o.Invocation, o.Code)
	if err != nil {
		return err
	}
	if o.Email != "" {
		return o.comeIn(ctx, o.KeyFile, func(ctx context.Context, caller *api.Client) (api.TokenResponse, error) {
			got, err := api.Invoke[api.RedeemResponse](ctx, caller, api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: o.Email})
			return api.TokenResponse{Token: got.Token, ExpiresAt: got.ExpiresAt}, err
		})
	}
	client, self, err := o.loggedIn(ctx, own)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	if self.Email == "" {
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: called(self) + " has no address, and an invitation is for one", Hint: "mezu login as the person who was invited"}
	}
	got, err := api.Invoke[api.RedeemResponse](ctx, client, api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: self.Email})
	if err != nil {
		return err
	}
	o.Sayf("%s is %s of %s now", terminal.Clean(self.Email), got.Member.Role, terminal.Clean(got.Member.Organization))
	return terminal.WriteRecord(o.Streams, o.Flags.Output, got.Member, []terminal.Column[mezu.Member]{
		{Head: "ORGANIZATION", Rank: terminal.Name, Value: func(m mezu.Member) string { return m.Organization }},
		{Head: "ROLE", Value: func(m mezu.Member) string { return string(m.Role) }},
		{Head: "ID", Value: func(m mezu.Member) string { return m.ID }},
	})
}

// loggedIn is who is logged in at the control plane of a link. Somebody else may have made the
// link: MEZU_TOKEN goes to the control plane of own alone, which are the settings without it.
func (o *loginOptions) loggedIn(ctx context.Context, own invocation.Settings) (*api.Client, api.Self, error) {
	name, p, err := choose(o.Invocation)
	if err != nil {
		return nil, api.Self{}, err
	}
	if own.Credential.Token != "" && own.API != p.API && !oneOf(own.API, p.API) {
		e := exit.Usagef("the link is of %s, and nothing says that MEZU_TOKEN is for it", terminal.Clean(p.API))
		e.Hint = "--api " + terminal.Clean(p.API) + ", if it is; else unset MEZU_TOKEN"
		return nil, api.Self{}, e
	}
	client, err := o.Client(invocation.Settings{API: p.API, CAFile: p.CAFile, Profile: name, Credential: own.Credential})
	if err != nil {
		return nil, api.Self{}, err
	}
	self, err := api.Invoke[api.Self](ctx, client, api.OpSelf, nil)
	return client, self, err
}
