package rest

import "github.com/mezusphere/mezu/api"

// bindPeople binds what is about end users. Each operation exists for the
// directories of a project and for those of an organization; the place tells the
// service which is meant.
func (r *rest) bindPeople() {
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
}
