package mezu

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// WAFSettings say how strict the web application firewall is. A route's replace its
// environment's as a whole.
type WAFSettings struct {
	// Paranoia is the level of the OWASP Core Rule Set, 1 to MaxParanoia: each finds more
	// attacks, and takes more of what is none for one. If zero, 1.
	Paranoia int `json:"paranoia,omitempty"`
	// Threshold is the anomaly score from which a request is an attack, 1 to MaxWAFThreshold. If
	// zero, DefaultWAFThreshold, which one critical rule reaches.
	Threshold int `json:"threshold,omitempty"`
	// Exclude are rules that don't look at something, at most MaxWAFExclusions.
	Exclude []WAFExclusion `json:"exclude,omitempty"`
	// Body bounds what is looked at of a body, in bytes after it was inflated, at most MaxWAFBody.
	// If zero, DefaultWAFBody. In block mode a larger body is refused.
	Body Size `json:"body,omitempty"`
}

// WAFExclusion takes a rule off a part of requests.
type WAFExclusion struct {
	// Rule is the number of the rule, such as 942100.
	Rule int `json:"rule"`
	// Target is what the rule doesn't look at any more, such as ARGS:comment or
	// REQUEST_COOKIES:theme; if empty, the rule is off.
	Target string `json:"target,omitempty"`
}

// ParseWAFExclusion reads an exclusion as people type it: RULE, or RULE=TARGET.
func ParseWAFExclusion(s string) (WAFExclusion, error) {
	rule, target, aimed := strings.Cut(s, "=")
	n, err := strconv.Atoi(rule)
	if err != nil || aimed && target == "" {
		return WAFExclusion{}, Invalid("", "is the number of a rule, or RULE=TARGET such as 942100=ARGS:comment, not %q", s)
	}
	return WAFExclusion{Rule: n, Target: target}, nil
}

// Respond answers a request in the workload's place.
type Respond struct {
	// Status is that of the answer, 200 to 599; if zero, 200.
	Status int `json:"status,omitempty"`
	// ContentType is what the body is; if empty, text/plain; charset=utf-8.
	ContentType string `json:"content_type,omitempty"`
	// Body is the answer's body, at most MaxRespondBody.
	Body string `json:"body,omitempty"`
}

// Maintenance closes an environment to its visitors: they get 503 maintenance.
type Maintenance struct {
	// Message is what visitors read, at most MaxMaintenanceMessage; if empty, a sentence of the
	// edge's own.
	Message string `json:"message,omitempty"`
	// RetryAfter is when they may try again, 1s to MaxRetryAfter; if zero, DefaultRetryAfter.
	RetryAfter Duration `json:"retry_after,omitempty"`
	// AllowIPs are ranges of client addresses that pass all the same, at most MaxRouteIPs.
	AllowIPs []string `json:"allow_ips,omitempty"`
}

// Limits and defaults of what the edge does with the traffic of a route.
const (
	// MaxParanoia is the highest level of the Core Rule Set.
	MaxParanoia = 4
	// DefaultWAFThreshold is the Core Rule Set's own.
	DefaultWAFThreshold = 5
	// MaxWAFThreshold is what twenty critical rules reach; no attack is above it for long.
	MaxWAFThreshold = 100
	// MaxWAFExclusions bounds what one set of rules is built of.
	MaxWAFExclusions = 100
	// MaxWAFTarget is the length of a target: the name of a collection and of a field.
	MaxWAFTarget = 128
	// DefaultWAFBody is above nearly all forms and calls.
	DefaultWAFBody = Size(64 << 10)
	// MaxWAFBody bounds the time that one body takes to look through.
	MaxWAFBody = Size(64 << 10)
	// MaxRespondBody bounds what a bundle carries for an answer: a sentence or a small page.
	MaxRespondBody = 4 << 10
	// MaxMaintenanceMessage is a few sentences.
	MaxMaintenanceMessage = 1 << 10
	// DefaultRetryAfter is how long programs wait during maintenance.
	DefaultRetryAfter = Duration(120e9)
	// MaxRetryAfter is the longest maintenance that makes sense to announce.
	MaxRetryAfter = Duration(24 * 3600e9)
)

// validate checks the settings; nil has none.
func (s *WAFSettings) validate(field string) error {
	switch {
	case s == nil:
		return nil
	case s.Paranoia < 0 || s.Paranoia > MaxParanoia:
		return Invalid(field+".paranoia", "is between 1 and %d", MaxParanoia)
	case s.Threshold < 0 || s.Threshold > MaxWAFThreshold:
		return Invalid(field+".threshold", "is between 1 and %d", MaxWAFThreshold)
	case s.Body < 0 || s.Body > MaxWAFBody:
		return Invalid(field+".body", "is at most %s", sizeText(MaxWAFBody))
	case len(s.Exclude) > MaxWAFExclusions:
		return Invalid(field+".exclude", "at most %d", MaxWAFExclusions)
	}
	for i, e := range s.Exclude {
		here := indexed(field+".exclude", i)
		if e.Rule < firstCRSRule || e.Rule > lastCRSRule {
			return Invalid(here+".rule", "is the number of a rule that looks for attacks, between %d and %d", firstCRSRule, lastCRSRule)
		}
		if !validWAFTarget(e.Target) {
			return Invalid(here+".target", "is a collection and a name, such as ARGS:comment, or a collection such as REQUEST_URI alone, not %q", e.Target)
		}
	}
	return nil
}

// firstCRSRule and lastCRSRule are between which the Core Rule Set numbers the rules that look at
// requests. What is below sets it up, and what is above judges the score and responses.
const firstCRSRule, lastCRSRule = 911_000, 948_999

// wafCollections are the parts of a request of which a rule may leave one out. Those that are true
// have fields with names; of another there is only the whole, and rules with a name there don't compile.
var wafCollections = map[string]bool{
	"ARGS": true, "ARGS_NAMES": true, "REQUEST_COOKIES": true, "REQUEST_COOKIES_NAMES": true, "REQUEST_HEADERS": true, "FILES": true, "FILES_NAMES": true, "XML": true,
	"REQUEST_FILENAME": false, "REQUEST_URI": false, "REQUEST_BODY": false,
}

// validWAFTarget reports whether a target is one of the collections, with or without the name of
// a field. What else SecLang can say there is left out: a quote or a comma would end the target.
func validWAFTarget(t string) bool {
	if t == "" {
		return true
	}
	collection, name, named := strings.Cut(t, ":")
	if fields, known := wafCollections[collection]; len(t) > MaxWAFTarget || !known || named && (name == "" || !fields) {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-_.[]*", c) >= 0) {
			return false
		}
	}
	return true
}

// validate checks an answer; nil is none.
func (a *Respond) validate(field string) error {
	switch {
	case a == nil:
		return nil
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return Invalid(field+".status", "is between 200 and 599, not %d", a.Status)
	case len(a.Body) > MaxRespondBody:
		return Invalid(field+".body", "at most %d bytes, this has %d", MaxRespondBody, len(a.Body))
	case len(a.ContentType) > MaxRouteHeaderLen || !ValidHeaderValue(a.ContentType) || a.ContentType != strings.TrimSpace(a.ContentType):
		return Invalid(field+".content_type", "is a plain value, such as application/json")
	case a.Body != "" && (a.Status == 204 || a.Status == 304 || a.Status == 205):
		return Invalid(field+".body", "an answer with status %d has none", a.Status)
	}
	return nil
}

// validate checks a maintenance; nil is none.
func (m *Maintenance) validate(field string) error {
	switch {
	case m == nil:
		return nil
	case len(m.Message) > MaxMaintenanceMessage:
		return Invalid(field+".message", "at most %d bytes, this has %d", MaxMaintenanceMessage, len(m.Message))
	case m.RetryAfter != 0 && (m.RetryAfter < Duration(1e9) || m.RetryAfter > MaxRetryAfter):
		return Invalid(field+".retry_after", "is between 1s and %s", MaxRetryAfter)
	}
	return validateIPRanges(field+".allow_ips", m.AllowIPs)
}

// Breaks is the first rule for the values of its fields that the route breaks. No such route can be
// written. One that an earlier build has stored is closed, alone: the rest of its bundle is served.
func (r *Route) Breaks() error {
	for _, e := range r.excesses() {
		if !e.served {
			return Invalid(e.field, "is at most %s, not %s", e.most, e.has)
		}
	}
	return r.misfit()
}

// misfit is Breaks without limits.
func (r *Route) misfit() error {
	for _, err := range []error{
		r.breaksEdits(), r.breaksStrip(),
		r.CORS.validate("cors"), r.RateLimit.validateBurst("rate_limit"), r.WAFSettings.validate("waf_settings"), r.Redirect.validate("redirect"), r.Respond.validate("respond"), r.breaksWebhook(), r.breaksAnswer(),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// breaksAnswer: a route has one answer.
func (r *Route) breaksAnswer() error {
	if r.Redirect != nil && r.Respond != nil {
		return Invalid("respond", "a route has either redirect or respond")
	}
	return nil
}

// Answers reports whether the edge answers the route's requests itself.
func (r *Route) Answers() bool { return r.Redirect != nil || r.Respond != nil }

// Webhook is the name of the webhook whose signature lets a request pass, empty if no signature
// does.
func (r *Route) Webhook() string {
	if len(r.AuthMethods) != 1 {
		return ""
	}
	name, is := strings.CutPrefix(r.AuthMethods[0], webhookMethod)
	if !is {
		return ""
	}
	return name
}

// webhookMethod begins an auth method that is the signature of a webhook.
const webhookMethod = "webhook:"

// breaksWebhook: a signature says nothing of a user, so it stands alone.
func (r *Route) breaksWebhook() error {
	if !slices.ContainsFunc(r.AuthMethods, func(m string) bool { return strings.HasPrefix(m, webhookMethod) }) {
		return nil
	}
	switch {
	case len(r.AuthMethods) > 1:
		return Invalid("auth_methods", "a webhook stands alone: its sender has no session and no token")
	case r.Auth != AuthRequired:
		return Invalid("auth", "is required where a webhook's signature is checked")
	case len(r.Roles)+len(r.Permissions)+len(r.AnyPermissions) > 0:
		return Invalid("auth_methods", "a webhook's sender is no user and has no roles or permissions")
	}
	return nil
}

// validateBurst checks what a limit lets through at once; nil is no limit.
func (l *RateLimit) validateBurst(field string) error {
	if l != nil && (l.Burst < 0 || l.Burst > MaxRateRequests) {
		return Invalid(field+".burst", "is between 1 and %d, not %d", MaxRateRequests, l.Burst)
	}
	return nil
}

// Breaks is Route.Breaks for this field alone.
func (c *CORS) Breaks() error { return c.validate("cors") }

// validate checks a cross-origin policy; nil is none.
func (c *CORS) validate(field string) error {
	if c == nil {
		return nil
	}
	if c.MaxAge < 0 {
		return Invalid(field+".max_age", "is not negative")
	}
	star := ""
	for i, o := range c.AllowOrigins {
		if why := badOrigin(o); why != "" {
			return Invalid(indexed(field+".allow_origins", i), "%q %s", o, why)
		}
		if strings.Contains(o, "*") {
			star = "allow_origins"
		}
	}
	for _, l := range []struct {
		name string
		list []string
	}{{"allow_methods", c.AllowMethods}, {"allow_headers", c.AllowHeaders}, {"expose_headers", c.ExposeHeaders}} {
		for i, s := range l.list {
			switch {
			case s == "*":
				star = l.name
			case l.name == "allow_methods":
				if err := ValidateMethod(s); err != nil {
					return Invalid(indexed(field+"."+l.name, i), "%v", err)
				}
			case !ValidHeaderName(s):
				return Invalid(indexed(field+"."+l.name, i), "%q is no name", s)
			}
		}
	}
	if star != "" && c.AllowCredentials {
		return Invalid(field+"."+star, "names all with *, which is refused beside allow_credentials; name each")
	}
	return nil
}

// badOrigin says what is wrong with an allowed origin, empty if nothing is: a scheme, a host in
// its canonical form and a port that is not the scheme's own, since browsers send it so (RFC 6454,
// 6.2). A host may begin with "*." for all below it, where two labels follow at least.
func badOrigin(o string) string {
	if o == "*" {
		return ""
	}
	if o == "null" {
		return "stands for every page that hides where it is; no origin can be told from another by it"
	}
	scheme, rest, ok := strings.Cut(o, "://")
	if !ok || scheme == "" || rest == "" {
		return "is no origin such as https://app.example.com"
	}
	host := rest
	if below, wild := strings.CutPrefix(rest, "*."); wild {
		if host = below; scheme != "https" {
			return "names all hosts below one, which goes with https only"
		}
		name, _, _ := strings.Cut(below, ":")
		if strings.Count(name, ".") < 1 {
			return "needs two labels behind the *, such as https://*.example.com"
		}
	}
	u, err := url.Parse(scheme + "://" + host)
	switch {
	case err != nil || strings.ContainsAny(host, "*/?#@ ") || u.Host != host || u.Hostname() == "":
		return "is no origin: a scheme, a host and maybe a port, without a path"
	case o != strings.ToLower(o) || !ascii(o):
		return "is written in lower case, and a host beyond ASCII as browsers send it (xn--…)"
	case strings.HasSuffix(u.Hostname(), "."):
		return "ends in a dot, which no browser sends"
	case u.Port() == "" && strings.HasSuffix(host, ":"), u.Port() == "443" && scheme == "https", u.Port() == "80" && scheme == "http":
		return "has the scheme's own port, which browsers leave out"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != p {
			return "has a port that there is not"
		}
	}
	if (scheme == "https" || scheme == "http") && !sentHost(strings.TrimSuffix(host, ":"+u.Port())) {
		return "has a host that no browser sends: a name, or an address in its usual form, is expected"
	}
	return ""
}

// sentHost reports whether a host is as browsers send it: what ends in a number is an IPv4 address to
// them (URL Standard, 3.5).
func sentHost(host string) bool {
	if canonical, err := CanonicalHost(host); err != nil || canonical != host {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return true
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
