package mezu

import (
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// UserStatus says whether an account may log in. Only an active one may.
type UserStatus string

// Statuses of a user.
const (
	UserActive    UserStatus = "active"
	UserInactive  UserStatus = "inactive"  // not yet, or not any more, in use
	UserSuspended UserStatus = "suspended" // kept out by somebody
)

func (s UserStatus) validate(field string) error {
	switch s {
	case UserActive, UserInactive, UserSuspended:
		return nil
	}
	return Invalid(field, "is one of active, inactive, suspended, not %q", s)
}

// User is one end-user account in a directory. Users have no name of their own:
// they are addressed by id and found by mail.
type User struct {
	Meta
	// Directory is the name of the directory, set by the server.
	Directory string `json:"directory,omitempty"`
	// Status says whether the account may log in; if empty at creation, UserActive.
	Status UserStatus `json:"status,omitempty"`
	// Profile is who it is.
	Profile Profile `json:"profile"`
	// Roles are grants of the form project/role, at most MaxUserRoles. A user of a project's
	// directory is granted roles of that project alone.
	Roles []string `json:"roles,omitempty"`
	// LastLoginAt is when the user last logged in. It does not move the
	// revision.
	LastLoginAt time.Time `json:"last_login_at,omitzero"`
}

// MaxUserRoles bounds the roles of one user over all projects. To replace one role takes
// four writes of index records. Replacing all at once must fit the 64 operations of one
// transaction, together with the user, their mail, their status, a revocation and the audit
// record.
const MaxUserRoles = 12

// Profile is what users say of themselves.
type Profile struct {
	// Name is the user's full name, at most MaxDisplayName bytes.
	Name string `json:"name,omitempty"`
	// Email is the user's address, which one user of a directory has. Letters of either case are
	// the same. It is kept as it was written.
	Email string `json:"email"`
	// DisplayName is what the user wants to be called, at most MaxDisplayName bytes.
	DisplayName string `json:"display_name,omitempty"`
}

// Validate checks what a client may set.
func (u *User) Validate() error {
	if u.Status != "" {
		if err := u.Status.validate("status"); err != nil {
			return err
		}
	}
	if err := ValidateEmail("profile.email", u.Profile.Email); err != nil {
		return err
	}
	if err := validateText("profile.name", u.Profile.Name, MaxDisplayName); err != nil {
		return err
	}
	if err := validateText("profile.display_name", u.Profile.DisplayName, MaxDisplayName); err != nil {
		return err
	}
	if len(u.Roles) > MaxUserRoles {
		return Invalid("roles", "at most %d roles, not %d", MaxUserRoles, len(u.Roles))
	}
	for i, role := range u.Roles {
		if _, _, err := SplitGrant("roles", role); err != nil {
			return err
		}
		if slices.Contains(u.Roles[:i], role) {
			return Invalid("roles", "names %q twice", role)
		}
	}
	return nil
}

// ValidateProfileName checks a name as Validate does.
func ValidateProfileName(field, name string) error { return validateText(field, name, MaxDisplayName) }

// SplitGrant splits the grant of a role to a user, project/role.
func SplitGrant(field, grant string) (project, role string, err error) {
	project, role, ok := strings.Cut(grant, "/")
	if !ok {
		return "", "", Invalid(field, "a role is granted as project/role, such as shop/staff")
	}
	if err := ValidateName(field, project); err != nil {
		return "", "", err
	}
	return project, role, validateGrantName(field, role)
}

// UserFilter selects the users for whom every condition that is set holds.
type UserFilter struct {
	Email  string
	Status UserStatus
	Role   string // project/role
}

// MaxFilter bounds the text of a filter. It fits the longest address, status and role, with
// their names.
const MaxFilter = 512

// ParseUserFilter reads conditions such as "status=suspended,role=shop/staff", each at
// most once. The empty text selects everybody.
func ParseUserFilter(text string) (UserFilter, error) {
	const field = "filter"
	var f UserFilter
	if text == "" {
		return f, nil
	}
	if len(text) > MaxFilter {
		return f, Invalid(field, "at most %d bytes, this has %d", MaxFilter, len(text))
	}
	seen := map[string]bool{}
	for _, condition := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(condition, "=")
		if !ok {
			return UserFilter{}, Invalid(field, "is made of email=, status= and role=, separated by commas")
		}
		if seen[name] {
			return UserFilter{}, Invalid(field, "names %s twice", name)
		}
		seen[name] = true
		var err error
		switch name {
		case "email":
			f.Email, err = value, ValidateEmail(field, value)
		case "status":
			f.Status = UserStatus(value)
			err = f.Status.validate(field)
		case "role":
			f.Role = value
			_, _, err = SplitGrant(field, value)
		default:
			err = Invalid(field, "users are filtered by email, status and role, not by %q", name)
		}
		if err != nil {
			return UserFilter{}, err
		}
	}
	return f, nil
}

// String is the notation that ParseUserFilter reads.
func (f UserFilter) String() string {
	var out []string
	for _, c := range [][2]string{{"email", f.Email}, {"status", string(f.Status)}, {"role", f.Role}} {
		if c[1] != "" {
			out = append(out, c[0]+"="+c[1])
		}
	}
	return strings.Join(out, ",")
}

// Login is one attempt to log in as a user.
type Login struct {
	// Time is when it was.
	Time time.Time `json:"time"`
	// Address is the IP address from which it came.
	Address string `json:"address"`
	// Agent is what the browser calls itself, cut to MaxAgent bytes; perhaps empty.
	Agent string `json:"agent,omitempty"`
	// Method is how the user was authenticated, such as password.
	Method string `json:"method"`
	// Outcome is what became of it.
	Outcome LoginOutcome `json:"outcome"`
}

// MaxAgent bounds what is kept of a browser's name: enough for those that browsers have.
const MaxAgent = 256

// ShortAgent is what is kept of a browser's name: printable characters, MaxAgent bytes at
// most.
func ShortAgent(agent string) string {
	var b strings.Builder
	for _, r := range agent {
		if b.Len()+utf8.RuneLen(r) > MaxAgent {
			break
		}
		if r != utf8.RuneError && unicode.IsPrint(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// LoginOutcome is the outcome of an attempt to log in.
type LoginOutcome string

// Outcomes of attempts.
const (
	LoginSucceeded LoginOutcome = "succeeded"
	LoginFailed    LoginOutcome = "failed"  // the proof was wrong
	LoginRefused   LoginOutcome = "refused" // the proof was right, the user may not
)

// MaxLogins is how many attempts of one user are kept: the newest.
const MaxLogins = 50

// Validate checks an attempt as it is stored.
func (l *Login) Validate() error {
	if l.Time.IsZero() {
		return Invalid("time", "an attempt has a time")
	}
	if addr, err := netip.ParseAddr(l.Address); err != nil || addr.Zone() != "" {
		return Invalid("address", "%q is not an IP address", l.Address)
	}
	if err := validateGrantName("method", l.Method); err != nil {
		return Invalid("method", "%q is not the name of a method", l.Method)
	}
	switch l.Outcome {
	case LoginSucceeded, LoginFailed, LoginRefused:
		return nil
	}
	return Invalid("outcome", "is one of succeeded, failed, refused, not %q", l.Outcome)
}
