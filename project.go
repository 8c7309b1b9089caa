package mezu

import (
	"maps"
	"slices"
)

// Project is one service or application of an organization; it groups
// environments, Warpgates, service accounts and directories.
type Project struct {
	Meta
	// Name is unique in the organization: lower-case letters, digits and hyphens. It is fixed at
	// creation.
	Name string `json:"name"`
	// Organization is the name of the owner, set by the server.
	Organization string `json:"organization,omitempty"`
	// DisplayName is for people, at most MaxDisplayName bytes; if empty, Name is shown.
	DisplayName string `json:"display_name,omitempty"`
	// Roles are what users of the project can be granted, by name, at most MaxRoles.
	Roles map[string]ProjectRole `json:"roles,omitempty"`
}

// ProjectRole is a named set of permissions of the workload's own making.
type ProjectRole struct {
	// Permissions are what the role gives, in the workload's own words, at most
	// MaxRolePermissions.
	Permissions []string `json:"permissions"`
}

// Limits of roles and permissions, so that a user's roles fit the 4 KiB that
// identity headers may take together.
const (
	MaxRoles           = 100
	MaxRolePermissions = 100
)

// Validate checks what a client may set.
func (p *Project) Validate() error {
	if err := ValidateName("name", p.Name); err != nil {
		return err
	}
	if err := validateText("display_name", p.DisplayName, MaxDisplayName); err != nil {
		return err
	}
	return ValidateRoles("roles", p.Roles)
}

// ValidateRoles checks the role table of a project.
func ValidateRoles(field string, roles map[string]ProjectRole) error {
	if len(roles) > MaxRoles {
		return Invalid(field, "at most %d roles, not %d", MaxRoles, len(roles))
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if err := validateGrantName(field+"."+name, name); err != nil {
			return err
		}
		if err := roles[name].validate(); err != nil {
			return at(field+"."+name, err)
		}
	}
	return nil
}

func (r ProjectRole) validate() error {
	if len(r.Permissions) > MaxRolePermissions {
		return Invalid("", "at most %d permissions, not %d", MaxRolePermissions, len(r.Permissions))
	}
	for _, p := range r.Permissions {
		if err := validateGrantName("permissions", p); err != nil {
			return err
		}
	}
	return nil
}
