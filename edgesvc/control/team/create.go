package team

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
)

// mayCreateOrganizations decides who may create organizations: operators, and members if the
// installation's setting allows it.
func (s *Team) mayCreateOrganizations(c access.Caller) error {
	if _, err := access.Admit(api.OpCreateOrganization, c); err != nil {
		return err
	}
	if !c.Operator && !s.cfg.MembersMayCreateOrganizations {
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "only operators of this installation create organizations", Hint: "ask an operator, or to be invited into an organization"}
	}
	return nil
}

// Reachers decide about operations of teams that a setting allows.
func (s *Team) Reachers() map[string]access.Reacher {
	return map[string]access.Reacher{api.OpCreateOrganization.ID: func(_ context.Context, c access.Caller, _ access.Path) (access.Scope, error) {
		return access.Scope{}, s.mayCreateOrganizations(c)
	}}
}
