package mezu

// Organization is the top of everything; it owns projects, team members,
// billing and organization-wide directories. Its name is global.
type Organization struct {
	Meta
	// Name is unique in the installation: lower-case letters, digits and hyphens. It is fixed at
	// creation.
	Name string `json:"name"`
	// DisplayName is for people, at most MaxDisplayName bytes; if empty, Name is shown.
	DisplayName string `json:"display_name,omitempty"`
	// DeviceLogin says whether the organization's members may log in a machine without a
	// browser by a code that they type elsewhere; if nil, they may. Whoever belongs to one
	// organization that forbids it may not at all, because such a login is for all of them.
	DeviceLogin *bool `json:"device_login,omitempty"`
}

// AllowsDeviceLogin reports whether members may log in a machine by a code.
func (o *Organization) AllowsDeviceLogin() bool { return o.DeviceLogin == nil || *o.DeviceLogin }

// MaxDisplayName bounds free text that lists and pages show on one line.
const MaxDisplayName = 100

// Validate checks what a client may set.
func (o *Organization) Validate() error {
	if err := ValidateName("name", o.Name); err != nil {
		return err
	}
	return validateText("display_name", o.DisplayName, MaxDisplayName)
}

// Role is what a member may do in an organization.
type Role string

// Roles of members, most powerful first.
const (
	RoleOwner     Role = "owner"
	RoleAdmin     Role = "admin"
	RoleDeveloper Role = "developer"
	RoleViewer    Role = "viewer"
	RoleBilling   Role = "billing"
)

// Validate checks that the role is one of the five. field is what the error names.
func (r Role) Validate(field string) error {
	switch r {
	case RoleOwner, RoleAdmin, RoleDeveloper, RoleViewer, RoleBilling:
		return nil
	}
	return Invalid(field, "a role is one of owner, admin, developer, viewer, billing, not %q", r)
}

// Member is a person who works in an organization. A client can set the role only: a
// person becomes a member by an Invitation.
type Member struct {
	Meta
	// Organization is its name.
	Organization string `json:"organization,omitempty"`
	// Person is the id of the person, the same in every organization.
	Person string `json:"person,omitempty"`
	// Email is the person's address. It is empty for the developer of "mezu dev", and for
	// an operator who gave none.
	Email string `json:"email,omitempty"`
	// Role is what the person may do in the organization.
	Role Role `json:"role"`
}

// Validate checks what a client may set.
func (m *Member) Validate() error { return m.Role.Validate("role") }

// Operator is a person who runs an installation: edges, join tokens, who may
// create organizations. Operators read no tenant data. The id is the person's.
type Operator struct {
	Meta
	// Email is the person's address, empty if they gave none.
	Email string `json:"email,omitempty"`
}
