package main

import (
	"context"
	"time"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/keyfile"
	"github.com/mezusphere/mezu/cmd/process"
)

const joinTokenUsage = `mezusphere join-token - make a token with which one edge enrols

Usage:
   mezusphere join-token create --api URL [FLAGS]

The token works once, within ten minutes. The running control plane makes it,
asked by an operator.

Flags:
` + operatorUsage + `   --key-file FILE    write the token to FILE, which must not be there, instead
                      of printing it
   --json             print token and expiry as JSON

Example:
   mezusphere join-token create --token-file operator --key-file join
`

// joinToken is "mezusphere join-token create".
func (p *program) joinToken(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "create" {
		if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
			return p.help(joinTokenUsage)
		}
		return wrong("mezusphere join-token has one command, create")
	}
	f, o := p.operatorFlags("join-token create")
	var asJSON bool
	var path string
	f.BoolVar(&asJSON, "json", false, "")
	f.StringVar(&path, keyfile.FlagName, "", "")
	if _, err := p.parseOperator(ctx, f, o, args[1:], 0, joinTokenUsage); err != nil {
		return err
	}
	file, err := keyfile.Reserve(path)
	if err != nil {
		return err
	}
	defer file.Discard()
	drain, _, stop := process.Signals(ctx)
	defer stop()
	client, err := o.client(0)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	t, err := api.Invoke[api.JoinTokenResponse](drain, client, api.OpCreateJoinToken, nil)
	if err != nil {
		return err
	}
	kept, err := file.Keep(t.Token)
	if err != nil {
		return err
	}
	if asJSON && kept {
		return p.WriteLine(map[string]time.Time{"expires_at": t.ExpiresAt})
	}
	if asJSON {
		return p.WriteLine(t)
	}
	if kept {
		p.Sayf("the token in %s lets one edge enrol until %s", file.Path(), t.ExpiresAt.Local().Format("15:04:05"))
		return nil
	}
	p.Sayf("this token lets one edge enrol until %s", t.ExpiresAt.Local().Format("15:04:05"))
	p.Mask(t.Token)
	return p.Printf("%s\n", t.Token)
}
