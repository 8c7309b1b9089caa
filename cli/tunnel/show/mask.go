package show

import (
	"slices"
	"strings"
)

// path is a path with its query as lines show it: values that may be secrets are not.
func (l *Lines) path(path string) string {
	mask := "******"
	if l.Unicode {
		mask = "••••••"
	}
	return Mask(path, mask)
}

// Mask puts mask in the place of each value of a query that may be a secret.
func Mask(path, mask string) string {
	before, query, ok := strings.Cut(path, "?")
	if !ok {
		return path
	}
	pairs := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		switch {
		case ok && value != "" && secret(name, value):
			pairs[i] = name + "=" + mask
		case !ok && long(pair):
			pairs[i] = mask // a token as the whole query
		}
	}
	return before + "?" + strings.Join(pairs, "&")
}

// secret reports whether a parameter may be one, by its name or its form.
func secret(name, value string) bool {
	name = strings.ToLower(name)
	exactly := []string{"code", "state", "key", "sig", "sid", "pw", "otp", "pin", "nonce", "ticket"}
	part := []string{"token", "secret", "passw", "pwd", "auth", "apikey", "api_key", "api-key", "signature", "session", "jwt", "credential", "assertion", "access_key", "private", "csrf", "samlre"}
	return slices.Contains(exactly, name) || slices.ContainsFunc(part, func(p string) bool { return strings.Contains(name, p) }) || long(value)
}

// leastSecret is the length from which an unbroken run of letters and digits is taken for a
// secret: 120 bits in base64.
const leastSecret = 20

// long reports whether a value looks made by a machine: long, and letters with digits.
func long(value string) bool {
	if len(value) < leastSecret || strings.ContainsAny(value, " /+.%") && !strings.HasPrefix(value, "eyJ") {
		return false
	}
	return strings.ContainsAny(value, "0123456789") && strings.ContainsFunc(value, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
}
