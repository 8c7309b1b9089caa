package rest

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
)

// bindUsers binds what is about end users. Each operation exists for the directories of a
// project and for those of an organization; the resource path tells the service which is
// meant.
func (r *rest) bindUsers() {
	s := r.service
	for _, op := range []api.Operation{api.OpListDirectories, api.OpListOrganizationDirectories} {
		read(r, op, listed(s.ListDirectories))
	}
	for _, op := range []api.Operation{api.OpCreateDirectory, api.OpCreateOrganizationDirectory} {
		write(r, op, api.MaxBody, created(s.CreateDirectory))
	}
	for _, op := range []api.Operation{api.OpGetDirectory, api.OpGetOrganizationDirectory} {
		read(r, op, shown(s.GetDirectory))
	}
	for _, op := range []api.Operation{api.OpUpdateDirectory, api.OpUpdateOrganizationDirectory} {
		patch(r, op, patched(s.UpdateDirectory))
	}
	for _, op := range []api.Operation{api.OpDeleteDirectory, api.OpDeleteOrganizationDirectory} {
		remove(r, op, removed(s.DeleteDirectory))
	}
	for _, op := range []api.Operation{api.OpListUsers, api.OpListOrganizationUsers} {
		read(r, op, func(ctx context.Context, req *request) (api.List[mezu.User], error) {
			page, err := req.paging()
			if err != nil {
				return api.List[mezu.User]{}, err
			}
			filter, err := mezu.ParseUserFilter(req.ctx.Query("filter"))
			if err != nil {
				return api.List[mezu.User]{}, err
			}
			return s.ListUsers(ctx, req.caller, req.path, filter, page)
		})
	}
	for _, op := range []api.Operation{api.OpCreateUser, api.OpCreateOrganizationUser} {
		write(r, op, api.MaxBody, created(s.CreateUser))
	}
	for _, op := range []api.Operation{api.OpGetUser, api.OpGetOrganizationUser} {
		read(r, op, shown(s.GetUser))
	}
	for _, op := range []api.Operation{api.OpUpdateUser, api.OpUpdateOrganizationUser} {
		patch(r, op, patched(s.UpdateUser))
	}
	for _, op := range []api.Operation{api.OpDeleteUser, api.OpDeleteOrganizationUser} {
		remove(r, op, removed(s.DeleteUser))
	}
	for _, op := range []api.Operation{api.OpGetLogins, api.OpGetOrganizationLogins} {
		read(r, op, shown(s.ListLogins))
	}
	for _, op := range []api.Operation{api.OpInviteUser, api.OpInviteOrganizationUser} {
		write(r, op, api.MaxBody, mailed(s.InviteUser))
	}
	for _, op := range []api.Operation{api.OpResetUser, api.OpResetOrganizationUser} {
		write(r, op, api.MaxBody, mailed(s.ResetUser))
	}
	for _, op := range []api.Operation{api.OpGetUserSessions, api.OpGetOrganizationUserSessions} {
		read(r, op, shown(s.ListUserSessions))
	}
	for _, op := range []api.Operation{api.OpEndUserSessions, api.OpEndOrganizationUserSessions} {
		remove(r, op, removed(s.EndUserSessions))
	}
	for _, op := range []api.Operation{api.OpEndUserSession, api.OpEndOrganizationUserSession} {
		remove(r, op, removed(s.EndUserSession))
	}
}

// mailed adapts what mails something to a user.
func mailed(do func(context.Context, access.Caller, access.Path, api.UserMail) (api.UserMailed, error)) func(context.Context, *request, api.UserMail) (api.UserMailed, error) {
	return func(ctx context.Context, req *request, in api.UserMail) (api.UserMailed, error) {
		return do(ctx, req.caller, req.path, in)
	}
}
