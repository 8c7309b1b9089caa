package mezu

// Directory is a pool of end-user accounts, owned by a project or, if Project
// is empty, by an organization.
type Directory struct {
	Meta
	Name         string         `json:"name"`
	Organization string         `json:"organization,omitempty"`
	Project      string         `json:"project,omitempty"`
	Signup       SignupMode     `json:"signup,omitempty"`
	MFA          MFAMode        `json:"mfa,omitempty"`
	Password     PasswordPolicy `json:"password,omitzero"`
}

// SignupMode says who may make an account. If empty, SignupInvite.
type SignupMode string

// Sign-up modes.
const (
	SignupOpen   SignupMode = "open"
	SignupInvite SignupMode = "invite"
	SignupClosed SignupMode = "closed"
)

// MFAMode says whether a second factor is asked for. If empty, MFAOptional.
type MFAMode string

// Second-factor modes.
const (
	MFAOff      MFAMode = "off"
	MFAOptional MFAMode = "optional"
	MFARequired MFAMode = "required"
)

// PasswordPolicy is what a directory asks of passwords.
type PasswordPolicy struct {
	// MinLength in characters; if zero, MinPasswordLength.
	MinLength int `json:"min_length,omitempty"`
}

// Password lengths after NIST SP 800-63B-4: 15 characters when the password is
// the only factor, 8 beside a second one.
const (
	MinPasswordLength        = 15
	MinPasswordLengthWithMFA = 8
	MaxMinPasswordLength     = 64
)

// Validate checks what a client may set.
func (d *Directory) Validate() error {
	if err := ValidateName("name", d.Name); err != nil {
		return err
	}
	switch d.Signup {
	case "", SignupOpen, SignupInvite, SignupClosed:
	default:
		return Invalid("signup", "is one of open, invite, closed, not %q", d.Signup)
	}
	least := MinPasswordLength
	switch d.MFA {
	case "", MFAOff, MFAOptional:
	case MFARequired:
		least = MinPasswordLengthWithMFA
	default:
		return Invalid("mfa", "is one of off, optional, required, not %q", d.MFA)
	}
	if n := d.Password.MinLength; n != 0 && (n < least || n > MaxMinPasswordLength) {
		return Invalid("password.min_length", "is between %d and %d", least, MaxMinPasswordLength)
	}
	return nil
}
