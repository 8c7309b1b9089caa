package mezu

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Directory is a pool of end-user accounts, owned by a project or, if Project
// is empty, by an organization.
type Directory struct {
	Meta
	// Name is unique in the project or organization that owns the directory: lower-case letters,
	// digits and hyphens. It is fixed at creation.
	Name string `json:"name"`
	// Organization is the name of the one that it is in.
	Organization string `json:"organization,omitempty"`
	// Project is the name of the owner; if empty, the organization is the owner.
	Project string `json:"project,omitempty"`
	// Signup says who may make an account; if empty, SignupInvite.
	Signup SignupMode `json:"signup,omitempty"`
	// Domains are the mail domains whose addresses may sign up, in lower case, at most
	// MaxDirectoryDomains; if empty, all may.
	Domains []string `json:"domains,omitempty"`
	// MFA says whether a second factor is asked for; if empty, MFAOptional. No second factor is
	// enforced yet.
	MFA MFAMode `json:"mfa,omitempty"`
	// Password is what is asked of passwords.
	Password PasswordPolicy `json:"password,omitzero"`
	// Require lists what users must say of themselves, beside their mail address.
	Require []ProfileField `json:"require,omitempty"`
	// Terms are what users accept.
	Terms Terms `json:"terms,omitzero"`
	// Session is how long a login lasts.
	Session SessionPolicy `json:"session,omitzero"`
	// Brand is how pages and mails look.
	Brand Brand `json:"brand,omitzero"`
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
	// MinLength in characters, at most MaxMinPasswordLength; if zero, MinPasswordLength, which is
	// the least, too. Where a second factor is required the least is MinPasswordLengthWithMFA.
	MinLength int `json:"min_length,omitempty"`
}

// Password lengths after NIST SP 800-63B-4: 15 characters when the password is
// the only factor, 8 beside a second one.
const (
	MinPasswordLength        = 15
	MinPasswordLengthWithMFA = 8
	MaxMinPasswordLength     = 64
)

// ProfileField is a field of Profile that a directory may require.
type ProfileField string

// Fields of a profile that may be required.
const (
	RequireName        ProfileField = "name"
	RequireDisplayName ProfileField = "display_name"
)

// Terms are the terms of use that users accept. If a directory has none, both are empty.
type Terms struct {
	// URL is where they can be read: an https address of at most MaxTermsURL.
	URL string `json:"url,omitempty"`
	// Version names their wording, in at most MaxTermsVersion visible ASCII characters. Who has
	// accepted another version is asked anew at the next login.
	Version string `json:"version,omitempty"`
}

// SessionPolicy is how long a login lasts.
type SessionPolicy struct {
	// Idle ends a session that was not used for so long, MinSession to MaxSession and no longer
	// than Absolute; if zero, DefaultSessionIdle, or Absolute if that is shorter.
	Idle Duration `json:"idle,omitempty"`
	// Absolute ends a session so long after the login, however much it is used: MinSession to
	// MaxSession; if zero, DefaultSessionAbsolute.
	Absolute Duration `json:"absolute,omitempty"`
}

// Brand is how the hosted pages of a directory look.
type Brand struct {
	// Name stands on the pages and in mails, at most MaxBrandName characters; if empty, the
	// project's.
	Name string `json:"name,omitempty"`
	// Color is written #rrggbb.
	Color string `json:"color,omitempty"`
	// Logo is the SHA-256 of the logo's image in hexadecimal, empty if there is none. The
	// server sets it: the image has an operation of its own.
	Logo string `json:"logo,omitempty"`
}

// Limits and defaults of a directory.
const (
	// MaxDirectoryDomains bounds the mail domains. An organization has a few.
	MaxDirectoryDomains = 50
	// MaxTermsURL bounds the address of terms: pages and mails repeat it.
	MaxTermsURL = 2 << 10
	// MaxTermsVersion bounds the version, which is kept with every account.
	MaxTermsVersion = 64
	// MaxBrandName bounds the name, in characters: it fits a heading on a telephone.
	MaxBrandName = 64
	// MaxLogo bounds the image of a logo in bytes, as it is sent and as it is kept. It is in
	// every page of somebody who comes for the first time.
	MaxLogo = 256 << 10
	// maxRequired is how many fields of a profile there are to require.
	maxRequired = 2
	// MinSession and MaxSession bound the spans of sessions. Below the least a session would
	// end while somebody fills in a form.
	MinSession = Duration(5 * time.Minute)
	MaxSession = Duration(MaxGrantLife)
	// DefaultSessionIdle and DefaultSessionAbsolute are those of NIST SP 800-63B-4 for one
	// factor, with a week in place of 30 days.
	DefaultSessionIdle     = Duration(24 * time.Hour)
	DefaultSessionAbsolute = Duration(7 * 24 * time.Hour)
)

// PasswordLength is how many characters a password has at least.
func (d *Directory) PasswordLength() int {
	if n := d.Password.MinLength; n != 0 {
		return n
	}
	return MinPasswordLength
}

// SessionAbsolute is how long after a login its session ends.
func (d *Directory) SessionAbsolute() time.Duration {
	if span := d.Session.Absolute; span != 0 {
		return time.Duration(span)
	}
	return time.Duration(DefaultSessionAbsolute)
}

// SessionIdle is after how long without use a session ends.
func (d *Directory) SessionIdle() time.Duration {
	if span := d.Session.Idle; span != 0 {
		return time.Duration(span)
	}
	return min(time.Duration(DefaultSessionIdle), d.SessionAbsolute())
}

// AdmitsDomain reports whether addresses of the domain of this mail address may sign up.
func (d *Directory) AdmitsDomain(email string) bool {
	if len(d.Domains) == 0 {
		return true
	}
	_, domain, _ := strings.Cut(CanonicalEmail(email), "@")
	return slices.Contains(d.Domains, domain)
}

// Lacks lists what the directory requires and a profile doesn't say.
func (d *Directory) Lacks(p Profile) []ProfileField {
	var out []ProfileField
	for _, f := range d.Require {
		if f == RequireName && strings.TrimSpace(p.Name) == "" || f == RequireDisplayName && strings.TrimSpace(p.DisplayName) == "" {
			out = append(out, f)
		}
	}
	return out
}

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
	if err := validateDomains("domains", d.Domains); err != nil {
		return err
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
	for i, f := range d.Require {
		if f != RequireName && f != RequireDisplayName {
			return Invalid("require", "is a list of name and display_name, not %q", f)
		}
		if slices.Contains(d.Require[:i], f) {
			return Invalid("require", "names %s twice", f)
		}
	}
	if err := d.Terms.validate(); err != nil {
		return at("terms", err)
	}
	if err := d.validateSession(); err != nil {
		return err
	}
	return at("brand", d.Brand.validate())
}

// validateDomains checks a list of mail domains.
func validateDomains(field string, domains []string) error {
	if len(domains) > MaxDirectoryDomains {
		return Invalid(field, "at most %d", MaxDirectoryDomains)
	}
	for i, name := range domains {
		host, err := CanonicalHost(name)
		if err != nil || isAddress(host) {
			return Invalid(field, "%q is not the domain of a mail address, such as acme.example", name)
		}
		if host != name {
			return Invalid(field, "%q is written in lower case and without a dot at its end: %q", name, host)
		}
		if slices.Contains(domains[:i], name) {
			return Invalid(field, "names %s twice", name)
		}
	}
	return nil
}

// isAddress reports whether a canonical host is an IP address.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func (t *Terms) validate() error {
	switch {
	case *t == Terms{}:
		return nil
	case t.URL == "":
		return Invalid("url", "is needed beside a version")
	case t.Version == "":
		return Invalid("version", "is needed beside a URL: it says which terms users have accepted")
	case len(t.Version) > MaxTermsVersion || !isVisible(t.Version):
		return Invalid("version", "has 1 to %d visible ASCII characters and no space", MaxTermsVersion)
	case len(t.URL) > MaxTermsURL:
		return Invalid("url", "at most %d bytes, this has %d", MaxTermsURL, len(t.URL))
	}
	return validatePage("url", t.URL)
}

// isVisible reports whether s has visible ASCII characters only.
func isVisible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// validatePage checks the absolute address of a page to which people are sent: https, or
// http on the machine itself.
func validatePage(field, address string) error {
	u, err := url.Parse(address)
	if err != nil || !isVisible(address) || u.Opaque != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return Invalid(field, "is an absolute address such as https://acme.example/terms")
	}
	host, err := CanonicalHost(u.Host)
	if err != nil {
		return Invalid(field, "has no valid host")
	}
	if local := host == "localhost" || host == "127.0.0.1" || host == "[::1]"; u.Scheme == "http" && !local {
		return Invalid(field, "is https; only localhost may be http")
	}
	return nil
}

// validateSession checks the spans of sessions, of which either may be a default.
func (d *Directory) validateSession() error {
	for _, s := range []struct {
		field string
		span  Duration
	}{{"session.idle", d.Session.Idle}, {"session.absolute", d.Session.Absolute}} {
		if s.span != 0 && (s.span < MinSession || s.span > MaxSession) {
			return Invalid(s.field, "is between %s and %s", MinSession, MaxSession)
		}
	}
	if d.SessionIdle() > d.SessionAbsolute() {
		return Invalid("session.idle", "is at most session.absolute, which is %s", Duration(d.SessionAbsolute()))
	}
	return nil
}

// colorLength is the length of #rrggbb.
const colorLength = len("#rrggbb")

func (b *Brand) validate() error {
	if utf8.RuneCountInString(b.Name) > MaxBrandName {
		return Invalid("name", "at most %d characters", MaxBrandName)
	}
	if err := validateText("name", b.Name, utf8.UTFMax*MaxBrandName); err != nil {
		return err
	}
	if b.Name != strings.TrimSpace(b.Name) {
		return Invalid("name", "neither begins nor ends with a space")
	}
	hex, marked := strings.CutPrefix(b.Color, "#")
	if b.Color != "" && (!marked || len(b.Color) != colorLength || strings.Trim(hex, "0123456789abcdefABCDEF") != "") {
		return Invalid("color", "is written #rrggbb, such as #0b5fff")
	}
	return nil
}
