package mezu

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// validateText checks free text for one line of a page or terminal: UTF-8, no
// control or formatting characters or line separators, at most max bytes.
func validateText(field, s string, max int) error {
	if len(s) > max {
		return Invalid(field, "at most %d bytes, this has %d", max, len(s))
	}
	if !utf8.ValidString(s) {
		return Invalid(field, "is not UTF-8")
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return Invalid(field, "has a control character")
		}
	}
	return nil
}

// MaxEmail is the longest address that SMTP can carry (RFC 5321, 4.5.3.1.3,
// less the angle brackets).
const MaxEmail = 254

// ValidateEmail checks the outer form of a mail address; whether it exists is
// proved by a mail, not by syntax.
func ValidateEmail(field, s string) error {
	if err := validateText(field, s, MaxEmail); err != nil {
		return err
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(s, " <>\"\\,;:()[]") || strings.Contains(domain, "@") {
		return Invalid(field, "is not a mail address")
	}
	return nil
}

// CanonicalEmail is the form in which addresses are compared and looked up: lower case. No
// mail provider of today tells mailboxes apart by case. Two accounts for one mailbox would be
// a way around every rule about addresses.
func CanonicalEmail(s string) string { return strings.ToLower(s) }

// maxGrantName is the longest name of a role or a permission, which are sent in a header and
// in a token.
const maxGrantName = 64

// validateGrantName checks a role's or permission's name: [a-z0-9._-]{1,64}.
func validateGrantName(field, s string) error {
	if s == "" || len(s) > maxGrantName {
		return Invalid(field, "a role or permission has 1 to %d characters", maxGrantName)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return Invalid(field, "a role or permission has only a-z, 0-9, '.', '_' and '-', not %q", s)
		}
	}
	return nil
}
