package webhooks

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/namedfile"
)

// maxInput bounds what is read of a file or of standard input: a secret and the end of its line.
const maxInput = mezu.MaxWebhookSecret + 2

type setSecretOptions struct {
	*invocation.Invocation
	Name string
	// File has the secret; if empty, standard input has it.
	File string
	// Only ends the secrets before. Without a File nothing is read then.
	Only bool
}

func newSetSecret(inv *invocation.Invocation, run func(context.Context, *setSecretOptions) error) *cli.Command {
	n := noun()
	return &cli.Command{
		Name: "set-secret", Usage: "Give a webhook the secret that its provider signs with", ArgsUsage: "NAME",
		Description: "The secret comes from a file or on standard input, never as an argument, and is never shown. The one\n" +
			"before stays valid beside it until --only, or until another one comes.",
		BashComplete: invocation.Complete(func(ctx context.Context) ([]string, error) { return n.Names(ctx, inv) }),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "secret-file", Usage: "read the secret from `FILE`, else from standard input"},
			&cli.BoolFlag{Name: "only", Usage: "end the secret before; without --secret-file keep the newest alone", DisableDefaultText: true},
		},
		Before: inv.Is(invocation.Named),
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 { // it may be the secret, which is not to be repeated
				e := exit.Usagef("mezu webhooks set-secret takes one argument, the name of a webhook")
				e.Hint = "the secret comes on standard input: mezu webhooks set-secret NAME < FILE"
				return e
			}
			args, err := invocation.Described(c, invocation.Argument{Name: "NAME", Is: "the name of a webhook"})
			if err != nil {
				return err
			}
			return run(c.Context, &setSecretOptions{Invocation: inv, Name: args[0], File: c.String("secret-file"), Only: c.Bool("only")})
		},
	}
}

func runSetSecret(ctx context.Context, o *setSecretOptions) error {
	p, err := collection.InEnvironment(o.Invocation)
	if err != nil {
		return err
	}
	in := api.WebhookSecretRequest{Only: o.Only}
	if in.Secret, err = o.secret(ctx); err != nil {
		return err
	}
	w, err := api.Invoke[mezu.Webhook](ctx, p.Client, api.OpSetWebhookSecret, in, p.With(o.Name)...)
	if err != nil {
		return err
	}
	o.Sayf("webhook %s of %s %s", terminal.Clean(w.Name), p.Text, takes(w.Secrets))
	return terminal.WriteRecord(o.Streams, o.Flags.Output, w, noun().Details)
}

// takes says what a webhook with so many secrets takes.
func takes(secrets int) string {
	switch secrets {
	case 0:
		return "has no secret yet, and routes that name it answer 503"
	case 1:
		return "takes what its newest secret has signed"
	}
	return "takes what its newest secret and the one before have signed"
}

// secret reads the secret, without the end of its line. It is empty where none is to be set.
func (o *setSecretOptions) secret(ctx context.Context) (string, error) {
	var data []byte
	var err error
	switch {
	case o.File != "":
		data, err = namedfile.ReadPipe(ctx, o.Path(o.File), maxInput)
		if err != nil {
			return "", namedfile.Unread("secret-file", "name a file that has the secret and nothing else", err)
		}
	case o.Only:
		return "", nil
	default:
		if data, err = o.ReadAll(ctx, maxInput+1); err != nil {
			return "", err
		}
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if secret == "" {
		return "", &mezu.Error{Code: mezu.CodeInvalid, Field: "secret", Detail: "there is none in it", Hint: "mezu webhooks set-secret " + o.Name + " < FILE"}
	}
	if len(secret) > mezu.MaxWebhookSecret {
		return "", mezu.Invalid("secret", "has at most %d bytes", mezu.MaxWebhookSecret)
	}
	return secret, nil
}
