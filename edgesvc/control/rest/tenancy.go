package rest

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// listed adapts a listing at a resource path.
func listed[T any](do func(context.Context, access.Caller, access.Path, record.Paging) (api.List[T], error)) func(context.Context, *request) (api.List[T], error) {
	return func(ctx context.Context, req *request) (api.List[T], error) {
		page, err := req.paging()
		if err != nil {
			return api.List[T]{}, err
		}
		return do(ctx, req.caller, req.path, page)
	}
}

// shown adapts the reading of one record.
func shown[T any](do func(context.Context, access.Caller, access.Path) (T, error)) func(context.Context, *request) (T, error) {
	return func(ctx context.Context, req *request) (T, error) { return do(ctx, req.caller, req.path) }
}

// created adapts the creation of a record from a body.
func created[In, Out any](do func(context.Context, access.Caller, access.Path, In, record.Idempotency) (Out, error)) func(context.Context, *request, In) (Out, error) {
	return func(ctx context.Context, req *request, in In) (Out, error) {
		return do(ctx, req.caller, req.path, in, req.idempotency())
	}
}

// patched adapts a merge patch.
func patched[T, Out any](do func(context.Context, access.Caller, access.Path, uint64, func(*T) error) (Out, error)) func(context.Context, *request, uint64, func(*T) error) (Out, error) {
	return func(ctx context.Context, req *request, ifMatch uint64, with func(*T) error) (Out, error) {
		return do(ctx, req.caller, req.path, ifMatch, with)
	}
}

// removed adapts a deletion.
func removed(do func(context.Context, access.Caller, access.Path, uint64) error) func(context.Context, *request) error {
	return func(ctx context.Context, req *request) error {
		ifMatch, err := req.ifMatch()
		if err != nil {
			return err
		}
		return do(ctx, req.caller, req.path, ifMatch)
	}
}

func (r *rest) bindTenancy() {
	s := r.service
	write(r, api.OpBootstrap, api.MaxBody, func(ctx context.Context, req *request, in api.BootstrapRequest) (api.TokenResponse, error) {
		return s.Bootstrap(ctx, req.caller, in)
	})
	read(r, api.OpSelf, func(ctx context.Context, req *request) (api.Self, error) { return s.Self(ctx, req.caller) })

	read(r, api.OpListTokens, listed(func(ctx context.Context, c access.Caller, _ access.Path, page record.Paging) (api.List[mezu.Token], error) {
		return s.ListTokens(ctx, c, page)
	}))
	write(r, api.OpCreateToken, api.MaxBody, func(ctx context.Context, req *request, in mezu.Token) (api.TokenCreated, error) {
		return s.CreateToken(ctx, req.caller, in, req.idempotency())
	})
	read(r, api.OpGetToken, shown(s.GetToken))
	remove(r, api.OpDeleteToken, removed(s.DeleteToken))
	remove(r, api.OpEndLogins, func(ctx context.Context, req *request) error { return s.EndLogins(ctx, req.caller) })

	create(r, api.OpCreateLoginLink, func(ctx context.Context, req *request) (api.LoginLink, error) {
		return s.CreateLoginLink(ctx, req.caller, req.idempotency())
	})
	create(r, api.OpCreatePersonLoginLink, func(ctx context.Context, req *request) (api.LoginLink, error) {
		return s.CreatePersonLoginLink(ctx, req.caller, req.path, req.idempotency())
	})

	read(r, api.OpListOperators, listed(func(ctx context.Context, c access.Caller, _ access.Path, page record.Paging) (api.List[mezu.Operator], error) {
		return s.ListOperators(ctx, c, page)
	}))
	write(r, api.OpCreateOperator, api.MaxBody, func(ctx context.Context, req *request, in api.OperatorRequest) (mezu.Operator, error) {
		return s.CreateOperator(ctx, req.caller, in, req.idempotency())
	})
	read(r, api.OpGetOperator, shown(s.GetOperator))
	remove(r, api.OpDeleteOperator, removed(s.DeleteOperator))

	read(r, api.OpListOrganizations, listed(func(ctx context.Context, c access.Caller, _ access.Path, page record.Paging) (api.List[mezu.Organization], error) {
		return s.ListOrganizations(ctx, c, page)
	}))
	write(r, api.OpCreateOrganization, api.MaxBody, func(ctx context.Context, req *request, in mezu.Organization) (mezu.Organization, error) {
		return s.CreateOrganization(ctx, req.caller, in, req.idempotency())
	})
	read(r, api.OpGetOrganization, shown(s.GetOrganization))
	patch(r, api.OpUpdateOrganization, patched(s.UpdateOrganization))
	remove(r, api.OpDeleteOrganization, removed(s.DeleteOrganization))

	read(r, api.OpListMembers, listed(s.ListMembers))
	read(r, api.OpGetMember, shown(s.GetMember))
	patch(r, api.OpUpdateMember, patched(s.UpdateMember))
	remove(r, api.OpDeleteMember, removed(s.DeleteMember))

	read(r, api.OpListInvitations, listed(s.ListInvitations))
	write(r, api.OpCreateInvitation, api.MaxBody, created(s.CreateInvitation))
	read(r, api.OpGetInvitation, shown(s.GetInvitation))
	remove(r, api.OpDeleteInvitation, removed(s.DeleteInvitation))
	write(r, api.OpRedeemInvitation, api.MaxBody, func(ctx context.Context, req *request, in api.RedeemRequest) (api.RedeemResponse, error) {
		return s.RedeemInvitation(ctx, req.caller, in, req.idempotency())
	})

	read(r, api.OpListProjects, listed(s.ListProjects))
	write(r, api.OpCreateProject, api.MaxBody, created(s.CreateProject))
	read(r, api.OpGetProject, shown(s.GetProject))
	patch(r, api.OpUpdateProject, patched(s.UpdateProject))
	remove(r, api.OpDeleteProject, removed(s.DeleteProject))
	write(r, api.OpApplyProject, api.MaxApplyBody, func(ctx context.Context, req *request, in api.ApplyRequest) (api.ApplyResponse, error) {
		return s.Apply(ctx, req.caller, req.path, in)
	})
	read(r, api.OpExportProject, shown(s.Export))

	read(r, api.OpListEnvironments, listed(s.ListEnvironments))
	write(r, api.OpCreateEnvironment, api.MaxBody, created(s.CreateEnvironment))
	read(r, api.OpGetEnvironment, shown(s.GetEnvironment))
	patch(r, api.OpUpdateEnvironment, patched(s.UpdateEnvironment))
	remove(r, api.OpDeleteEnvironment, removed(s.DeleteEnvironment))

	read(r, api.OpListServiceAccounts, listed(s.ListServiceAccounts))
	write(r, api.OpCreateServiceAccount, api.MaxBody, created(s.CreateServiceAccount))
	read(r, api.OpGetServiceAccount, shown(s.GetServiceAccount))
	patch(r, api.OpUpdateServiceAccount, patched(s.UpdateServiceAccount))
	write(r, api.OpRotateServiceAccount, api.MaxBody, created(s.RotateServiceAccount))
	remove(r, api.OpDeleteServiceAccount, removed(s.DeleteServiceAccount))
}

func (r *rest) bindRoutes() {
	s := r.service
	read(r, api.OpListRoutes, shown(s.ListRoutes))
	write(r, api.OpReplaceRoutes, api.MaxRoutesBody, func(ctx context.Context, req *request, in api.RoutesReplace) (api.RoutesState, error) {
		ifMatch, err := req.ifMatch()
		if err != nil {
			return api.RoutesState{}, err
		}
		return s.ReplaceRoutes(ctx, req.caller, req.path, ifMatch, in.Routes)
	})
	write(r, api.OpCreateRoute, api.MaxBody, created(s.CreateRoute))
	read(r, api.OpGetRoute, shown(s.GetRoute))
	patch(r, api.OpUpdateRoute, patched(s.UpdateRoute))
	remove(r, api.OpDeleteRoute, removed(s.DeleteRoute))

	read(r, api.OpListWebhooks, listed(s.ListWebhooks))
	write(r, api.OpCreateWebhook, api.MaxBody, created(s.CreateWebhook))
	read(r, api.OpGetWebhook, shown(s.GetWebhook))
	patch(r, api.OpUpdateWebhook, patched(s.UpdateWebhook))
	remove(r, api.OpDeleteWebhook, removed(s.DeleteWebhook))
	write(r, api.OpSetWebhookSecret, api.MaxBody, func(ctx context.Context, req *request, in api.WebhookSecretRequest) (mezu.Webhook, error) {
		return s.SetWebhookSecret(ctx, req.caller, req.path, in)
	})
}
