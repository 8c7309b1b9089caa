package service

import (
	"context"

	"github.com/mezusphere/mezu/api"
)

// Reach decides whether a caller may call an operation where the call goes, before a byte
// of its body is read; the operation decides again, at the data. It gives the id of the
// organization of that place, empty if it lies in none.
func (s *Service) Reach(ctx context.Context, op api.Operation, c Caller, p Place) (organization string, err error) {
	var sc scope
	switch {
	case op.ID == api.OpApplyProject.ID:
		sc, err = s.inApply(ctx, c, p)
	case op.ID == api.OpCreateOrganization.ID:
		err = s.mayFound(c)
	case p.Environment != "":
		sc, err = s.inEnvironment(ctx, c, op, p)
	case p.Directory != "":
		sc, err = s.inDirectory(ctx, c, op, p)
	case p.Project != "":
		sc, err = s.inProject(ctx, c, op, p)
	case p.Organization != "":
		sc, err = s.inOrganization(ctx, c, op, p)
	default:
		_, err = admit(op, c)
	}
	return sc.organization.Value.ID, err
}
