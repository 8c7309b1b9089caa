package forward

import (
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
	if len(query) <= maxShownQuery && !hasSecret(query) {
		return strings.TrimSuffix(query, "?") // one that is empty
	}
	var b strings.Builder
	b.WriteByte('?')
	for rest := query[1:]; ; {
		at := strings.IndexAny(rest, separators)
		pair := rest
		if at >= 0 {
			pair = rest[:at]
		}
		if name, value, _ := strings.Cut(pair, "="); secret(name, value) {
			b.WriteString(name)
			b.WriteByte('=')
			b.WriteString(masked)
		} else {
			b.WriteString(pair)
		}
		if at < 0 || b.Len() > maxShownQuery {
			break
		}
		b.WriteByte(rest[at])
		rest = rest[at+1:]
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

// separators are between the parameters of a query.
const separators = "&;"

// hasSecret reports whether one of a query's parameters is masked.
func hasSecret(query string) bool {
	for rest := strings.TrimPrefix(query, "?"); rest != ""; {
		at := strings.IndexAny(rest, separators)
		pair := rest
		if rest = ""; at >= 0 {
			pair, rest = pair[:at], pair[at+1:]
		}
		if name, value, _ := strings.Cut(pair, "="); secret(name, value) {
			return true
		}
	}
	return false
}

// secret reports whether a parameter may hold a secret.
func secret(name, value string) bool { return value != "" && (secretName(name) || secretValue(value)) }

// secretName reports whether a parameter of this name may hold a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "code", "key", "sig", "sid", "otp", "pin", "pwd", "jwt", "state", "nonce":
		return true
	}
	for _, part := range [...]string{"token", "secret", "passw", "apikey", "api_key", "api-key", "auth", "signature", "session", "credential", "assertion", "ticket", "%"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// longSecret is the length from which a value without a blank or a dot is taken for a secret.
const longSecret = 40

// secretValue reports whether a value looks like a token: a JWT, or many characters of one
// word.
func secretValue(value string) bool {
	return strings.HasPrefix(value, "eyJ") || len(value) >= longSecret && !strings.ContainsAny(value, "+%. /,:")
}
