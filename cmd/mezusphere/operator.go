package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cmd/process"
)

// operatorUsage is the help of the flags of all commands that call a running control
// plane.
const operatorUsage = `   --api URL          the control plane (MEZU_API)
   --token-file FILE  the operator's token in FILE
   --token TOKEN      the same as an argument, which process lists show
                      (MEZU_TOKEN)
   --ca-file FILE     trust the certificates in FILE instead of the system's
                      (MEZU_CA_FILE)
`

// operatorOptions are the values of these flags.
type operatorOptions struct {
	api, token, tokenFile, caFile string
	// ends says that the token ends soon.
	ends func(time.Time)
}

// operatorFlags makes a command's set of flags, with these in it.
func (p *program) operatorFlags(command string) (*flag.FlagSet, *operatorOptions) {
	o := &operatorOptions{api: p.getenv("MEZU_API"), token: p.getenv("MEZU_TOKEN"), caFile: p.getenv("MEZU_CA_FILE")}
	var once sync.Once
	o.ends = func(at time.Time) {
		once.Do(func() {
			p.Warnf("the token in use ends on %s; mezu tokens create NAME makes another", at.Local().Format("2006-01-02 15:04"))
		})
	}
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.api, "api", o.api, "")
	f.StringVar(&o.tokenFile, "token-file", "", "")
	f.Func("token", "", func(v string) error {
		process.WarnArgument(slog.New(slog.NewTextHandler(p.Err, nil)), "--token")
		o.token = v
		return nil
	})
	f.StringVar(&o.caFile, "ca-file", o.caFile, "")
	return f, o
}

// parse parses flags, which may come before and after the arguments. There have to be so
// many of those.
func (p *program) parse(f *flag.FlagSet, args []string, want int, usage string) ([]string, error) {
	var rest []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, errors.Join(p.help(usage), err)
			}
			return nil, process.FlagError(f, err, helpCommand)
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		rest, args = append(rest, args[0]), args[1:]
	}
	switch {
	case len(rest) > want && want == 0:
		return nil, wrong("mezusphere %s takes no argument, not %q", f.Name(), rest[0])
	case len(rest) < want:
		return nil, wrong("mezusphere %s needs a FILE", f.Name())
	case len(rest) > want:
		return nil, wrong("mezusphere %s takes one FILE, not also %q", f.Name(), rest[want])
	}
	return rest, nil
}

// parseOperator is parse for a command that calls the control plane.
func (p *program) parseOperator(ctx context.Context, f *flag.FlagSet, o *operatorOptions, args []string, want int, usage string) ([]string, error) {
	rest, err := p.parse(f, args, want, usage)
	if err != nil {
		return nil, err
	}
	if o.tokenFile != "" {
		if o.token, err = process.SecretFile(ctx, o.tokenFile, slog.New(slog.NewTextHandler(p.Err, nil))); err != nil {
			return nil, err
		}
	}
	if o.token, err = process.SecretVariable("MEZU_TOKEN", o.token); err != nil {
		return nil, err
	}
	if o.api == "" {
		return nil, wrong("mezusphere %s needs the control plane: --api URL, or MEZU_API", f.Name())
	}
	if o.token == "" {
		return nil, wrong("mezusphere %s needs an operator's token: --token-file FILE, or MEZU_TOKEN", f.Name())
	}
	return rest, nil
}

// client makes a client of the control plane. If timeout is zero, it has its default.
func (o *operatorOptions) client(timeout time.Duration) (*api.Client, error) {
	config := &tls.Config{}
	if o.caFile != "" {
		roots, err := invocation.Roots(o.caFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots
	}
	return api.NewClient(api.ClientConfig{
		BaseURL: o.api, TLS: config, UserAgent: "mezusphere/" + version, Timeout: timeout, Ends: o.ends, Token: func() (string, error) { return o.token, nil },
	})
}
