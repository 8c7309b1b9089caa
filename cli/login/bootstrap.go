package login

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
)

type bootstrapOptions struct {
	loginOptions
	// Code is a code, or a link with one; if empty, standard input has it.
	Code  string
	Email string
	// KeyFile is where the token goes, beside the profile; if empty, nowhere.
	KeyFile string
}

func newBootstrap(inv *invocation.Invocation, run func(context.Context, *bootstrapOptions) error) *cli.Command {
	return &cli.Command{
		Name: "bootstrap", Usage: "Become operator by a bootstrap link, without a browser", Category: category, ArgsUsage: "[LINK]",
		Description: "A new installation prints such a link, and mezusphere operator reset makes another. It works once. The\n" +
			"token that comes of it is kept in a profile, as by mezu login; -o json shows it, this once, and --key-file\n" +
			"keeps it for another program. Without LINK and --code, standard input has one of them.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "code", Usage: "`CODE` is what stands behind # in the link"},
			&cli.StringFlag{Name: "email", Usage: "`ADDRESS` of the first operator, by which others know them"},
			invocation.SecretFlag(),
		},
		Action: func(c *cli.Context) error {
			link, err := optional(c, "LINK")
			if err != nil {
				return err
			}
			o := &bootstrapOptions{loginOptions: loginOptions{Invocation: inv}, Code: c.String("code"), Email: c.String("email")}
			if o.KeyFile, err = inv.SecretFile(c); err != nil {
				return err
			}
			if link != "" {
				if o.Code != "" {
					return exit.Usagef("LINK and --code exclude each other")
				}
				o.Code = link
			}
			if o.Email != "" {
				if err := mezu.ValidateEmail("email", o.Email); err != nil {
					return err
				}
			}
			return run(c.Context, o)
		},
	}
}

func runBootstrap(ctx context.Context, o *bootstrapOptions) error {
	code, err := code(ctx, o.Invocation, o.Code)
	if err != nil {
		return err
	}
	return o.comeIn(ctx, o.KeyFile, func(ctx context.Context, caller *api.Client) (api.TokenResponse, error) {
		return api.Invoke[api.TokenResponse](ctx, caller, api.OpBootstrap, api.BootstrapRequest{Code: code, Email: o.Email})
	})
}

// came is what somebody has who came in by a code.
type came struct {
	API     string `json:"api"`
	Profile string `json:"profile"`
	// Token is empty if a file has it.
	Token     string    `json:"token,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// comeIn has a code exchanged for a token, which nobody else has, and keeps it in a profile, and in
// a file if there is to be one.
func (o *loginOptions) comeIn(ctx context.Context, keyFile string, redeem func(context.Context, *api.Client) (api.TokenResponse, error)) error {
	s, p, caller, err := o.begin(ctx)
	if err != nil {
		return err
	}
	defer caller.CloseIdle()
	file, err := invocation.ReserveSecret(keyFile)
	if err != nil {
		return err
	}
	defer file.Discard()
	calling, cancel := invocation.Outlast(ctx)
	got, err := redeem(calling, caller)
	cancel()
	if err != nil {
		return err
	}
	o.Mask(got.Token)
	s.Credential = profile.Credential{Token: got.Token}
	kept, unkept := o.KeepSecret(file, got.Token, "the token", "mezu tokens create NAME --key-file FILE makes another")
	if err := o.finish(ctx, s, p, caller); err != nil {
		if kept && unkept == nil {
			return err
		}
		o.Warnf("the token is not kept; it is shown this once: mezu login --with-token takes it")
		if shown := o.Printf("%s\n", got.Token); shown != nil {
			return shown
		}
		return err
	}
	o.Sayf("this token ends on %s, and commands say so a week before; mezu tokens create NAME makes another", got.ExpiresAt.Local().Format(time.DateOnly))
	if o.Getenv("MEZU_TOKEN") != "" {
		o.Warnf("MEZU_TOKEN is set, and commands use that instead of this token")
	}
	if o.Flags.Output == terminal.Table || unkept != nil {
		return unkept
	}
	out := came{API: s.API, Profile: s.Profile, ExpiresAt: got.ExpiresAt}
	if !kept {
		out.Token = got.Token
	}
	return o.WriteValue(o.Flags.Output, out)
}
