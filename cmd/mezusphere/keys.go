package main

import (
	"context"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/seal"
)

const keysUsage = `mezusphere keys - show and rotate the keys of an installation

Usage:
   mezusphere keys show [FLAGS]
   mezusphere keys rotate --what WHAT [--offline DIR] [FLAGS]
   mezusphere keys add-seal-key FILE

show says which keys sign and seal, and until when. add-seal-key puts a new key
before those in the seal key file FILE. WHAT is

   signing  new statement keys and a new issuing CA
   root     a new CA root beside the old, with an issuer
   prune    drop the CA roots whose overlap is over
   seal     a new data key for the store

The first three need --offline. All but add-seal-key ask the running control
plane, as an operator. What --offline names is read here, where this command
runs, and no key of it leaves this machine. New keys sign five minutes later; old
ones verify for thirty days. Nothing is interrupted.

Flags:
` + operatorUsage + `   --what WHAT        what to rotate
   --offline DIR      the folder with the offline roots that the first start
                      made
   --json             print the state of the keys as JSON

Example:
   mezusphere keys rotate --what signing --offline roots --token-file operator
`

// keys is "mezusphere keys".
func (p *program) keys(ctx context.Context, args []string) error {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "show", "rotate":
		return p.askKeys(ctx, name, args)
	case "add-seal-key":
		return p.addSealKey(args)
	case "--help", "-h":
		return p.help(keysUsage)
	}
	return wrong("mezusphere keys has the commands show, rotate and add-seal-key")
}

// sealRotation is the one rotation that does not need the offline roots.
const sealRotation = "seal"

func (p *program) askKeys(ctx context.Context, name string, args []string) error {
	f, o := p.operatorFlags("keys " + name)
	var what, offline string
	var asJSON bool
	f.BoolVar(&asJSON, "json", false, "")
	if name == "rotate" {
		f.StringVar(&what, "what", "", "")
		f.StringVar(&offline, "offline", "", "")
	}
	if _, err := p.parseOperator(ctx, f, o, args, 0, keysUsage); err != nil {
		return err
	}
	if name == "rotate" {
		if err := checkRotation(what, offline); err != nil {
			return err
		}
	}
	drain, _, stop := process.Signals(ctx)
	defer stop()
	client, err := o.client(0)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	status, err := rotateKeys(drain, client, what, offline)
	if err != nil {
		return err
	}
	if asJSON {
		return p.WriteLine(status)
	}
	return p.showKeys(status)
}

func checkRotation(what, offline string) error {
	switch api.Rotation(what) {
	case "":
		return wrong("mezusphere keys rotate needs what to rotate: --what signing, root, prune or seal")
	case api.RotateSigning, api.RotateRoot, api.RotatePrune:
		if offline == "" {
			return wrong("mezusphere keys rotate --what %s needs the offline roots, which sign new keys: --offline DIR", what)
		}
	case sealRotation:
	default:
		return wrong("--what is signing, root, prune or seal, not %q", what)
	}
	return nil
}

// rotateKeys does one rotation, or none, and gives the state after it.
func rotateKeys(ctx context.Context, client *api.Client, what, offline string) (api.KeyStatus, error) {
	switch what {
	case "":
		return api.Invoke[api.KeyStatus](ctx, client, api.OpShowKeys, nil)
	case sealRotation:
		return api.Invoke[api.KeyStatus](ctx, client, api.OpRotateSealKeys, nil)
	}
	proposal, err := api.Invoke[api.KeyProposal](ctx, client, api.OpProposeKeys, api.RotationRequest{What: api.Rotation(what)})
	if err != nil {
		return api.KeyStatus{}, err
	}
	endorsed, err := ca.Endorse(offline, proposal, nil)
	if err != nil {
		return api.KeyStatus{}, err
	}
	return api.Invoke[api.KeyStatus](ctx, client, api.OpInstallKeys, endorsed)
}

func (p *program) showKeys(s api.KeyStatus) error {
	if !s.ActiveAt.IsZero() {
		p.Sayf("the new keys begin to sign at %s", s.ActiveAt.Local().Format(time.TimeOnly))
	}
	if s.Seal.OldKeys > 0 {
		p.Sayf("records are being sealed under the new key")
	}
	return p.Printf("keyset %d until %s, CA roots: %d\nstore sealed under %s since %s, older data keys: %d\ndata keys wrapped under %s\n",
		s.KeysetVersion, s.NotAfter.Format(time.DateOnly), s.Roots, s.Seal.Key, s.Seal.Since.Format(time.DateOnly), s.Seal.OldKeys,
		strings.Join(s.Seal.WrappedBy, ", "))
}

// addSealKey is the first of the two steps that replace the key outside the store.
func (p *program) addSealKey(args []string) error {
	f, _ := p.operatorFlags("keys add-seal-key")
	rest, err := p.parse(f, args, 1, keysUsage)
	if err != nil {
		return err
	}
	id, err := (&seal.File{Path: rest[0]}).Add()
	if remedy := atomicfile.Remedy(err); remedy != "" {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: err.Error(), Hint: remedy, Cause: err}
	}
	if err != nil {
		return err
	}
	p.Sayf("key %s is the first in %s now. Copy the file to every control plane, then: mezusphere keys rotate --what seal", id, rest[0])
	return nil
}
