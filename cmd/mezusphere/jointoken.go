package main

import (
	"context"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cmd/process"
)

const joinTokenUsage = `Usage:
   mezusphere join-token create --api URL [FLAGS]

Makes a token with which one edge enrols, once, within ten minutes, and prints it. Asks the
running control plane, as an operator.

Flags:
` + operatorUsage + `   --json             print token and expiry as JSON
`

// joinToken is "mezusphere join-token create".
func (p *program) joinToken(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "create" {
		if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
			return p.Printf("%s", joinTokenUsage)
		}
		return wrong("mezusphere join-token has one command, create")
	}
	f, o := p.operatorFlags("join-token create")
	var asJSON bool
	f.BoolVar(&asJSON, "json", false, "")
	if _, err := p.parseOperator(ctx, f, o, args[1:], 0, joinTokenUsage); err != nil {
		return err
	}
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
	if asJSON {
		return p.WriteLine(t)
	}
	p.Sayf("this token lets one edge enrol until %s", t.ExpiresAt.Local().Format("15:04:05"))
	p.Mask(t.Token)
	return p.Printf("%s\n", t.Token)
}
