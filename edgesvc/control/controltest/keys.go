package controltest

import (
	"path/filepath"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
)

// RotateKeys is one rotation as the command makes it.
func (in *Installation) RotateKeys(op *api.Client, what api.Rotation) api.KeyStatus {
	in.T.Helper()
	p := Call[api.KeyProposal](in.T, op, api.OpProposeKeys, api.RotationRequest{What: what})
	e, err := ca.Endorse(filepath.Join(in.Dir, "offline"), p, in.Clock.Now)
	if err != nil {
		in.T.Fatal(err)
	}
	return Call[api.KeyStatus](in.T, op, api.OpInstallKeys, e)
}
