package mezu

import "time"

// Invitation asks one person, known by a mail address, into an organization. It is
// redeemed once, by its code, by whoever proves to be that person or is new.
type Invitation struct {
	Meta
	// Organization is its name.
	Organization string `json:"organization,omitempty"`
	// Email is the invited person's address.
	Email string `json:"email"`
	// Role is what the person becomes.
	Role Role `json:"role"`
	// InvitedBy is the id of the person who invited. The invitation is valid as
	// long as that person may give its role.
	InvitedBy string `json:"invited_by,omitempty"`
	// ExpiresAt is until when it can be redeemed, InvitationLife after it was made.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

const (
	// InvitationLife is how long an invitation can be redeemed: people are away
	// for less than a week, and mailboxes are read by others later.
	InvitationLife = 7 * 24 * time.Hour
	// MaxInvitationAttempts is how often the right code may come with a wrong
	// address before the invitation is void: enough for somebody with three
	// addresses, too few to try a company's directory with a stolen link.
	MaxInvitationAttempts = 5
)

// Validate checks what a client may set.
func (i *Invitation) Validate() error {
	if err := ValidateEmail("email", i.Email); err != nil {
		return err
	}
	return i.Role.Validate("role")
}
