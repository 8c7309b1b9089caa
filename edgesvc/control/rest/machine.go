package rest

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

func (r *rest) bindMachines() {
	s := r.service
	read(r, api.OpListWarpgates, listed(s.ListWarpgates))
	read(r, api.OpGetWarpgate, shown(s.GetWarpgate))
	remove(r, api.OpDeleteWarpgate, removed(s.DeleteWarpgate))
	read(r, api.OpDrainWarpgate, shown(s.DrainWarpgate))
	read(r, api.OpUndrainWarpgate, shown(s.UndrainWarpgate))
	write(r, api.OpCreateEnrolmentToken, api.MaxBody, created(s.CreateEnrolmentToken))
	write(r, api.OpRegisterWarpgate, api.MaxBody, func(ctx context.Context, req *request, in api.RegisterRequest) (api.RegisterResponse, error) {
		return s.RegisterWarpgate(ctx, req.caller, in)
	})
	write(r, api.OpRenewWarpgate, api.MaxBody, func(ctx context.Context, req *request, in api.RenewRequest) (api.RegisterResponse, error) {
		return s.RenewWarpgate(ctx, req.caller, in)
	})
	write(r, api.OpWarpgateTargets, api.MaxBody, func(ctx context.Context, req *request, in api.WarpgateTargetsRequest) (struct{}, error) {
		return struct{}{}, s.TakeTargets(ctx, req.caller, in)
	})

	read(r, api.OpListEdges, listed(func(ctx context.Context, c access.Caller, _ access.Path, page record.Paging) (api.List[mezu.Edge], error) {
		return s.ListEdges(ctx, c, page)
	}))
	read(r, api.OpGetEdge, shown(s.GetEdge))
	remove(r, api.OpDeleteEdge, removed(s.DeleteEdge))
	create(r, api.OpCreateJoinToken, func(ctx context.Context, req *request) (api.JoinTokenResponse, error) {
		return s.CreateJoinToken(ctx, req.caller, req.idempotency())
	})
	write(r, api.OpEnrolEdge, api.MaxBody, func(ctx context.Context, req *request, in api.EnrolRequest) (api.EnrolResponse, error) {
		return s.EnrolEdge(ctx, req.caller, in)
	})
	write(r, api.OpRenewEdge, api.MaxBody, func(ctx context.Context, req *request, in api.RenewRequest) (api.EnrolResponse, error) {
		return s.RenewEdge(ctx, req.caller, in)
	})
	write(r, api.OpPublicCertificate, api.MaxBody, func(ctx context.Context, req *request, in api.PublicCertificateRequest) (api.PublicCertificateChain, error) {
		return s.PublicCertificate(ctx, req.caller, in)
	})
	write(r, api.OpEdgeReport, api.MaxBody, func(ctx context.Context, req *request, in api.EdgeReport) (struct{}, error) {
		return struct{}{}, s.ReportEdge(ctx, req.caller, in)
	})
	write(r, api.OpEdgeRevocations, api.MaxBody, func(ctx context.Context, req *request, in api.EdgeRevocations) (api.RevocationsTaken, error) {
		return s.TakeRevocations(ctx, req.caller, in)
	})
	write(r, api.OpEdgePage, api.MaxBody, func(ctx context.Context, req *request, in api.EdgePageRequest) (api.EdgePage, error) {
		return s.EdgePage(ctx, req.caller, in)
	})
	write(r, api.OpEdgeRefresh, api.MaxBody, func(ctx context.Context, req *request, in api.EdgeRefreshRequest) (api.EdgeRefreshed, error) {
		return s.EdgeRefresh(ctx, req.caller, in)
	})
	write(r, api.OpEdgeLogout, api.MaxBody, func(ctx context.Context, req *request, in api.EdgeLogouts) (struct{}, error) {
		return struct{}{}, s.EdgeLogout(ctx, req.caller, in)
	})
	r.bindStream()
}
