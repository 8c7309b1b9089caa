package team

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
)

// MayCreateOrganizations decides who may create organizations: operators, and members if the
// installation's setting allows it.
func (s *Team) MayCreateOrganizations(c access.Caller) error {
	if _, err := access.Admit(api.OpCreateOrganization, c); err != nil {
		return err
	}
	if !c.Operator && !s.cfg.MembersMayCreateOrganizations {
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "only operators of this installation create organizations", Hint: "ask an operator, or to be invited into an organization"}
	}
	return nil
}
