package users

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

type linkOptions struct {
	about
	Mail api.UserMail
	Send api.Operation
	// What is mailed, in a message.
	What string
	// KeyFile is where a link goes that is not mailed; if empty, it is shown.
	KeyFile string
}

// verb is a command that mails a link to a user.
type verb struct {
	name, usage, what string
	project, wide     api.Operation
}

func inviteVerb() verb {
	return verb{"invite", "Mail an inactive user another invitation", "an invitation", api.OpInviteUser, api.OpInviteOrganizationUser}
}

func resetVerb() verb {
	return verb{"reset-password", "Mail a user a link to choose a new password", "a link to choose a new password", api.OpResetUser, api.OpResetOrganizationUser}
}

func newLink(inv *invocation.Invocation, n collection.Noun[mezu.User], v verb, run func(context.Context, *linkOptions) error) *cli.Command {
	return &cli.Command{
		Name: v.name, Usage: v.usage, ArgsUsage: "USER", Flags: append(n.PathFlags[:len(n.PathFlags):len(n.PathFlags)], languageFlag()),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "USER")
			if err != nil {
				return err
			}
			o := &linkOptions{about: about{Invocation: inv, User: args[0]}, Mail: mailOf(inv, c), Send: v.project, What: v.what}
			if c.Bool("shared") {
				o.Send = v.wide
			}
			if o.KeyFile, err = inv.SecretFile(c); err != nil {
				return err
			}
			if err := o.read(c); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func languageFlag() cli.Flag {
	return &cli.StringFlag{Name: "language", Usage: "of the mail: `TAG` is en or de", DefaultText: "en"}
}

// mailOf is what is mailed. The environment is that of the flag only: the one that is worked
// with need not be one whose pages the users of the directory see.
func mailOf(inv *invocation.Invocation, c *cli.Context) api.UserMail {
	return api.UserMail{Environment: inv.Flags.Environment, Language: c.String("language")}
}

func runLink(ctx context.Context, o *linkOptions) error {
	p, id, err := o.find(ctx)
	if err != nil {
		return err
	}
	file, err := invocation.ReserveSecret(o.KeyFile)
	if err != nil {
		return err
	}
	defer file.Discard()
	out, err := api.Invoke[api.UserMailed](ctx, p.Client, o.Send, o.Mail, p.With(id)...)
	if err != nil {
		return err
	}
	if out.Link == "" {
		o.Sayf("mailed %s to %s", o.What, terminal.Clean(o.User))
	} else {
		o.Warnf("%s sends no mail: hand the link to %s yourself; whoever has it can set the password", p.Client.BaseURL(), terminal.Clean(o.User))
	}
	if out.Link != "" {
		kept, err := o.KeepSecret(file, out.Link, "the link", "mezu users reset-password "+terminal.Clean(o.User)+", which makes another")
		if err != nil {
			return err
		}
		if kept {
			out.Link = ""
		}
	}
	o.Mask(out.Link)
	return terminal.WriteRecord(o.Streams, o.Flags.Output, out, []terminal.Column[api.UserMailed]{
		{Head: "LINK", Value: func(m api.UserMailed) string { return m.Link }},
		{Head: "ENVIRONMENT", Value: func(m api.UserMailed) string { return m.Environment }},
		{Head: "GOOD UNTIL", At: func(m api.UserMailed) time.Time { return m.ExpiresAt }},
	})
}
