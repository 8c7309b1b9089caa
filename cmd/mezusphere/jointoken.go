package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"log/slog"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cmd/process"
)

const joinTokenUsage = `Usage:
   mezusphere join-token create --api URL [FLAGS]

Makes a token with which one edge enrols, once, within ten minutes, and prints it. Asks the
running control plane, as an operator.

Flags:
   --api URL          the control plane (MEZU_API)
   --token-file FILE  the operator's token in FILE
   --token TOKEN      the same as an argument, which process lists show (MEZU_TOKEN)
   --ca-file FILE     trust the certificates in FILE instead of the system's (MEZU_CA_FILE)
   --json             print token and expiry as JSON
`

// joinOptions are the flags of "join-token create".
type joinOptions struct {
	api, token, tokenFile, caFile string
	json                          bool
}

// joinToken is "mezusphere join-token create".
func (p *program) joinToken(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "create" {
		if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
			return p.Printf("%s", joinTokenUsage)
		}
		return wrong("mezusphere join-token has one command, create")
	}
	o, err := p.parseJoin(args[1:])
	if err != nil {
		return err
	}
	drain, _, stop := process.Signals(ctx)
	defer stop()
	t, err := o.create(drain)
	if err != nil {
		return err
	}
	if o.json {
		return p.WriteLine(t)
	}
	p.Sayf("this token lets one edge enrol until %s", t.ExpiresAt.Local().Format("15:04:05"))
	return p.Printf("%s\n", t.Token)
}

func (p *program) parseJoin(args []string) (*joinOptions, error) {
	o := &joinOptions{api: p.getenv("MEZU_API"), token: p.getenv("MEZU_TOKEN"), caFile: p.getenv("MEZU_CA_FILE")}
	log := slog.New(slog.NewTextHandler(p.Err, nil))
	f := flag.NewFlagSet("join-token create", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.api, "api", o.api, "")
	f.StringVar(&o.tokenFile, "token-file", "", "")
	f.Func("token", "", func(v string) error {
		process.WarnArgument(log, "--token")
		o.token = v
		return nil
	})
	f.StringVar(&o.caFile, "ca-file", o.caFile, "")
	f.BoolVar(&o.json, "json", false, "")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, errors.Join(p.Printf("%s", joinTokenUsage), err)
		}
		return nil, wrong("%v", err)
	}
	if f.NArg() > 0 {
		return nil, wrong("mezusphere join-token create takes no argument, not %q", f.Arg(0))
	}
	if o.tokenFile != "" {
		var err error
		if o.token, err = process.SecretFile(o.tokenFile, log); err != nil {
			return nil, err
		}
	}
	if o.api == "" {
		return nil, wrong("--api is missing")
	}
	if o.token == "" {
		return nil, wrong("an operator's token is missing: --token-file or MEZU_TOKEN")
	}
	return o, nil
}

// create asks the control plane.
func (o *joinOptions) create(ctx context.Context) (api.JoinTokenResponse, error) {
	config := &tls.Config{}
	if o.caFile != "" {
		roots, err := invocation.Roots(o.caFile)
		if err != nil {
			return api.JoinTokenResponse{}, err
		}
		config.RootCAs = roots
	}
	client, err := api.NewClient(api.ClientConfig{
		BaseURL: o.api, TLS: config, UserAgent: "mezusphere/" + version, Token: func() (string, error) { return o.token, nil },
	})
	if err != nil {
		return api.JoinTokenResponse{}, err
	}
	defer client.CloseIdle()
	return api.Invoke[api.JoinTokenResponse](ctx, client, api.OpCreateJoinToken, nil)
}
