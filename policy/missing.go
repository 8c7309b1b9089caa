package policy

import "strings"

// Missing is what a user lacks for a route. Its lists may belong to the table and must not be
// changed.
type Missing struct {
	// Roles: one of them is needed.
	Roles []string `json:"roles,omitempty"`
	// Permissions: all of them are needed.
	Permissions []string `json:"permissions,omitempty"`
	// AnyPermissions: one of them is needed.
	AnyPermissions []string `json:"any_permissions,omitempty"`
}

// String says it in words, empty if nothing is missing.
func (m *Missing) String() string {
	if m == nil {
		return ""
	}
	var out []string
	add := func(one, some string, names []string) {
		switch len(names) {
		case 0:
		case 1:
			out = append(out, "the "+one+" "+names[0])
		default:
			out = append(out, some+" "+strings.Join(names, ", "))
		}
	}
	add("role", "one of the roles", m.Roles)
	add("permission", "the permissions", m.Permissions)
	add("permission", "one of the permissions", m.AnyPermissions)
	return strings.Join(out, "; ")
}
