package forward

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxShownQuery bounds the query in an event: a screen shows less of it.
	maxShownQuery = 1 << 10
	masked        = "••••••"
)

// maskQuery gives a query as others may see it: without the values of parameters that may
// hold a secret, by their names or by what they look like, and not longer than is shown.
func maskQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for i, pair := range strings.FieldsFunc(query[1:], func(c rune) bool { return c == '&' || c == ';' }) {
		b.WriteByte("?&"[min(i, 1)])
		name, value, has := strings.Cut(pair, "=")
		b.WriteString(name)
		switch {
		case !has:
		case value != "" && (secretName(name) || secretValue(value)):
			b.WriteByte('=')
			b.WriteString(masked)
		default:
			b.WriteByte('=')
			b.WriteString(value)
		}
		if b.Len() > maxShownQuery {
			break
		}
	}
	out := b.String()
	if len(out) <= maxShownQuery {
		return out
	}
	out = out[:maxShownQuery]
	for !utf8.ValidString(out) && len(out) > maxShownQuery-utf8.UTFMax {
		out = out[:len(out)-1]
	}
	return out + "…"
}

// secretName reports whether a parameter of this name may hold a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	if slices.Contains([]string{"code", "key", "sig", "sid", "otp", "pin", "pwd", "jwt", "state", "nonce"}, name) {
		return true
	}
	return slices.ContainsFunc([]string{"token", "secret", "passw", "apikey", "api_key", "api-key", "auth", "signature", "session", "credential", "assertion", "ticket", "%"},
		func(part string) bool { return strings.Contains(name, part) })
}

// longSecret is the length from which a value without a blank or a dot is taken for a secret.
const longSecret = 40

// secretValue reports whether a value looks like a token: a JWT, or many characters of one
// word.
func secretValue(value string) bool {
	return strings.HasPrefix(value, "eyJ") || len(value) >= longSecret && !strings.ContainsAny(value, "+%. /,:")
}
