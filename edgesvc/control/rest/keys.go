package rest

import (
	"context"

	"github.com/mezusphere/mezu/api"
)

// bindKeys binds what operators do to the installation's keys.
func (r *rest) bindKeys() {
	s := r.service
	read(r, api.OpShowKeys, func(ctx context.Context, req *request) (api.KeyStatus, error) {
		return s.ShowKeys(ctx, req.caller)
	})
	write(r, api.OpProposeKeys, api.MaxBody, func(ctx context.Context, req *request, in api.RotationRequest) (api.KeyProposal, error) {
		return s.ProposeKeys(ctx, req.caller, in)
	})
	write(r, api.OpInstallKeys, api.MaxBody, func(ctx context.Context, req *request, in api.KeyEndorsement) (api.KeyStatus, error) {
		return s.InstallKeys(ctx, req.caller, in)
	})
	read(r, api.OpRotateSealKeys, func(ctx context.Context, req *request) (api.KeyStatus, error) {
		return s.RotateSealKeys(ctx, req.caller)
	})
	r.bindBackup()
}
