package service

import (
	"context"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
)

// Reach decides whether a caller may call an operation where the call goes, before a byte
// of its body is read; the operation decides again, at the data. It gives the id of the
// organization of that place, empty if it lies in none.
func (s *Service) Reach(ctx context.Context, op api.Operation, c access.Caller, p access.Path) (organization string, err error) {
	var sc access.Scope
	switch {
	case op.ID == api.OpApplyProject.ID:
		sc, err = s.InApply(ctx, c, p)
	case op.ID == api.OpCreateOrganization.ID:
		err = s.MayCreateOrganizations(c)
	case p.Environment != "":
		sc, err = s.InEnvironment(ctx, c, op, p)
	case p.Directory != "":
		sc, err = s.InDirectory(ctx, c, op, p)
	case p.Project != "":
		sc, err = s.InProject(ctx, c, op, p)
	case p.Organization != "":
		sc, err = s.InOrganization(ctx, c, op, p)
	default:
		_, err = access.Admit(op, c)
	}
	return sc.Organization.Value.ID, err
}
