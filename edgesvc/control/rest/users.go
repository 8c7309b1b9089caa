package rest

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
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
}
