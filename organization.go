package mezu

// Organization is the top of everything; it owns projects, team members,
// billing and organization-wide directories. Its name is global.
type Organization struct {
	Meta
	Name string `json:"name"`
	// DisplayName is for people; if empty, Name is shown.
	DisplayName string `json:"display_name,omitempty"`
}

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

// Member is a person of the team in an organization.
type Member struct {
	Meta
	Organization string `json:"organization,omitempty"`
	Email        string `json:"email"`
	Role         Role   `json:"role"`
}

// Validate checks what a client may set.
func (m *Member) Validate() error {
	if err := ValidateEmail("email", m.Email); err != nil {
		return err
	}
	switch m.Role {
	case RoleOwner, RoleAdmin, RoleDeveloper, RoleViewer, RoleBilling:
		return nil
	}
	return Invalid("role", "a role is one of owner, admin, developer, viewer, billing, not %q", m.Role)
}

// Operator is a person who runs an installation: edges, join tokens, who may
// create organizations. Operators read no tenant data.
type Operator struct {
	Meta
	Email string `json:"email,omitempty"`
}
