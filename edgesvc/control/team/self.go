package team

import (
	"context"
	"errors"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Self tells the caller who it is.
func (s *Team) Self(ctx context.Context, c access.Caller) (api.Self, error) {
	if _, err := access.Admit(api.OpSelf, c); err != nil {
		return api.Self{}, err
	}
	self := api.Self{Kind: string(c.Kind), ID: c.ID, Organization: c.Organization, Project: c.Project, Operator: c.Operator, Permissions: c.Permissions, ExpiresAt: c.ExpiresAt}
	if c.Operator {
		self.Kind = string(access.Operator)
	}
	var err error
	if c.Kind == access.ServiceAccount {
		err = s.nameAccount(ctx, &self)
		return self, err
	}
	if c.Kind != access.Member {
		return self, nil
	}
	if c.Token.Value.Family == "" {
		self.TokenID = c.Credential
	}
	if self.LoginEndsAt, err = s.access.LoginEnd(ctx, c); err != nil {
		return self, err
	}
	if self.Email, err = s.address(ctx, c.ID); err != nil || !c.Holds(mezu.PermOrganizationsRead) {
		return self, err
	}
	// A token that may not list organizations doesn't learn of them here.
	page, err := s.records.Store.List(ctx, membershipsOf(c.ID), "", api.MaxSelfOrganizations)
	if err != nil {
		return self, err
	}
	for _, r := range page.Records {
		m, err := record.Get[access.Membership](ctx, s.records, access.KeyMember(r.Key[len(membershipsOf(c.ID)):], c.ID))
		if errors.Is(err, store.ErrNotFound) {
			continue // it is ending
		}
		if err != nil {
			return self, err
		}
		rights := slices.DeleteFunc(slices.Clone(access.PermissionsOf(m.Value.Role)), func(p mezu.Permission) bool { return !c.Holds(p) })
		self.Organizations = append(self.Organizations, api.SelfMember{Organization: m.Value.Organization, Role: m.Value.Role, Permissions: rights})
	}
	return self, nil
}

// nameAccount adds the names of a service account and of where it belongs. What is just being
// deleted has none.
func (s *Team) nameAccount(ctx context.Context, self *api.Self) error {
	account, err := record.ByID[access.Account](ctx, s.records, self.ID)
	if err == nil {
		self.Name = account.Value.Account.Name
		var project record.Record[mezu.Project]
		if project, err = record.ByID[mezu.Project](ctx, s.records, account.Value.Project); err == nil {
			self.ProjectName, self.OrganizationName = project.Value.Name, project.Value.Organization
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
