package access

import (
	"context"
	"maps"

	"github.com/mezusphere/mezu/api"
)

// Reacher decides about an operation where its path alone does not tell where it goes.
type Reacher func(context.Context, Caller, Path) (Scope, error)

// SetReachers sets those of the nouns, by the ids of their operations.
func (s *Access) SetReachers(of ...map[string]Reacher) {
	s.reachers = map[string]Reacher{}
	for _, more := range of {
		maps.Copy(s.reachers, more)
	}
}

// Reach decides whether a caller may call an operation where the call goes, before a byte
// of its body is read; the operation decides again, at the data. It gives the id of the
// organization of that place, empty if it lies in none.
func (s *Access) Reach(ctx context.Context, op api.Operation, c Caller, p Path) (organization string, err error) {
	var sc Scope
	switch by := s.reachers[op.ID]; {
	case by != nil:
		sc, err = by(ctx, c, p)
	case p.Environment != "":
		sc, err = s.InEnvironment(ctx, c, op, p)
	case p.Directory != "":
		sc, err = s.InDirectory(ctx, c, op, p)
	case p.Project != "":
		sc, err = s.InProject(ctx, c, op, p)
	case p.Organization != "":
		sc, err = s.InOrganization(ctx, c, op, p)
	default:
		_, err = Admit(op, c)
	}
	return sc.Organization.Value.ID, err
}
