package doctor

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// masked stands for a secret.
const masked = "••••••"

// mask takes secrets out of texts: those that are known, and what looks like one.
type mask struct {
	known  *strings.Replacer
	shapes []*regexp.Regexp
}

// shortestSecret is the length below which a value is no secret, but a word that would be cut out
// of everything.
const shortestSecret = 6

func newMask(secrets ...string) *mask {
	var pairs []string
	// A longer one that begins with a shorter one goes first.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, s := range secrets {
		if len(s) < shortestSecret {
			continue
		}
		pairs = append(pairs, s, masked)
		if escaped := url.QueryEscape(s); escaped != s {
			pairs = append(pairs, escaped, masked)
		}
	}
	return &mask{known: strings.NewReplacer(pairs...), shapes: shapes()}
}

// shapes are those of secrets. The groups of each are kept.
func shapes() []*regexp.Regexp {
	return []*regexp.Regexp{
		// Our own tokens and keys.
		regexp.MustCompile(`()\bmezu[a-z]*_[A-Za-z0-9_-]{16,}`),
		// JSON web tokens.
		regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`),
		// Private keys.
		regexp.MustCompile(`(?s)()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`),
		// Names and passwords in addresses.
		regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^/\s"'@]+(@)`),
		// The values of queries, and fragments, which links have for secrets.
		regexp.MustCompile(`(https?://[^\s"'?#]*[?#])[^\s"']+`),
		// Fields that are there for secrets. The value goes on to the end of the word, or of the line
		// behind a scheme.
		regexp.MustCompile(`(?i)((?:authorization|cookie|password|passwd|secret|token|api[_-]?key|basic_auth)\w*\\?["']?\s*[:=]\s*\\?["']?)(?:(?:basic|bearer)\s+)?[^\s"',;}\\]+`),
	}
}

// text is a text without secrets.
func (m *mask) text(s string) string {
	s = m.known.Replace(s)
	for _, shape := range m.shapes {
		s = shape.ReplaceAllString(s, "${1}"+masked+"${2}")
	}
	return s
}

// maskURL is an address without name and password.
func maskURL(u *url.URL) string {
	out := *u
	out.User = nil
	shown := out.String()
	if u.User != nil {
		return strings.Replace(shown, "://", "://"+masked+"@", 1)
	}
	return shown
}
