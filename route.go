package mezu

import (
	"maps"
	"slices"
	"sort"
	"strings"
)

// MatchMode is how a route matches a canonical path.
type MatchMode string

// The three modes, in the order in which they are tried.
const (
	// MatchExact matches the path as a whole.
	MatchExact MatchMode = "exact"
	// MatchRegexp matches an RE2 expression anchored at both ends; routes are
	// tried by descending priority, ties by the bytes of the pattern.
	MatchRegexp MatchMode = "regexp"
	// MatchPrefix matches every path that starts with the value as written;
	// the longest wins.
	MatchPrefix MatchMode = "prefix"
)

// AuthMode says whether a route needs a logged-in user.
type AuthMode string

// Auth modes. If empty, AuthNone.
const (
	AuthNone     AuthMode = "none"
	AuthOptional AuthMode = "optional"
	AuthRequired AuthMode = "required"
)

// WAFMode is what the web application firewall does with an attack.
type WAFMode string

// WAF modes. If empty, the environment's, and WAFOff there.
const (
	WAFOff    WAFMode = "off"
	WAFDetect WAFMode = "detect"
	WAFBlock  WAFMode = "block"
)

func (m WAFMode) validate(field string) error {
	switch m {
	case "", WAFOff, WAFDetect, WAFBlock:
		return nil
	}
	return Invalid(field, "is one of off, detect, block, not %q", m)
}

// Route is one rule of an environment: a match and an upstream, with its
// policy. Exactly one of Exact, Prefix and Regexp is set.
type Route struct {
	Meta
	// Name identifies the route across changes of its match, and is unique in the environment. If
	// empty, its identity is its match with its methods and headers.
	Name string `json:"name,omitempty"`
	// Exact matches this path as a whole, at most MaxMatchValue.
	Exact string `json:"exact,omitempty"`
	// Prefix matches every path that starts with it as written; the longest wins. At most
	// MaxMatchValue.
	Prefix string `json:"prefix,omitempty"`
	// Regexp matches paths by an RE2 expression, anchored at both ends. At most
	// MaxMatchValue.
	Regexp string `json:"regexp,omitempty"`
	// Methods restricts the route to these, at most MaxRouteMethods; if empty, all.
	Methods []string `json:"methods,omitempty"`
	// Headers are exact values that the request must carry, by name, at most MaxRouteHeaders.
	Headers map[string]string `json:"headers,omitempty"`
	// Priority orders regexp routes, highest first, up to MaxPriority either side of 0.
	Priority int `json:"priority,omitempty"`
	// Upstream is where the Warpgate forwards to, such as localhost:8080, https://localhost:8443,
	// h2c://localhost:9000 or unix:/run/app.sock; if empty, its own --upstream.
	Upstream string `json:"upstream,omitempty"`

	// Auth says whether the route needs a logged-in user; if empty, AuthNone.
	Auth AuthMode `json:"auth,omitempty"`
	// AuthMethods are how a user may be known: session, bearer, service_account or basic; or
	// webhook:NAME alone, which lets pass what the provider of that webhook has signed. If empty, the
	// first three. A narrower choice of them and basic are not enforced yet.
	AuthMethods []string `json:"auth_methods,omitempty"`
	// Roles lists roles of which a user needs at least one.
	Roles []string `json:"roles,omitempty"`
	// Permissions lists permissions of which a user needs every one.
	Permissions []string `json:"permissions,omitempty"`
	// AnyPermissions lists permissions of which a user needs at least one.
	AnyPermissions []string `json:"any_permissions,omitempty"`

	// CORS is the cross-origin policy; if nil, the workload's own counts.
	CORS *CORS `json:"cors,omitempty"`
	// RateLimit bounds the requests of one client at each edge; if nil, nothing does.
	RateLimit *RateLimit `json:"rate_limit,omitempty"`
	// WAF is what the firewall does with an attack; if empty, as the environment says.
	WAF WAFMode `json:"waf,omitempty"`
	// WAFSettings say how strict the firewall is; if nil, as the environment says.
	WAFSettings *WAFSettings `json:"waf_settings,omitempty"`
	// AllowIPs are the ranges of client addresses that may use the route, such as 10.0.0.0/8, at
	// most MaxRouteIPs; if empty, all may.
	AllowIPs []string `json:"allow_ips,omitempty"`
	// DenyIPs are ranges of client addresses that may not, at most MaxRouteIPs. It wins over
	// AllowIPs.
	DenyIPs []string `json:"deny_ips,omitempty"`

	// EncodedSlashes lets %2F and %5C through, matched as those three
	// characters.
	EncodedSlashes bool `json:"encoded_slashes,omitempty"`
	// HostHeader replaces the Host that the workload sees.
	HostHeader string `json:"host_header,omitempty"`
	// WebSocket allows upgrades; if nil, they are allowed.
	WebSocket *bool `json:"websocket,omitempty"`
	// StripPrefix is taken off the path before the workload sees it, where a segment ends; a slash at
	// its end doesn't count. What is left begins with a slash.
	StripPrefix string `json:"strip_prefix,omitempty"`
	// Redirect answers in place of the workload.
	Redirect *Redirect `json:"redirect,omitempty"`
	// Respond answers in place of the workload with what it says.
	Respond *Respond `json:"respond,omitempty"`
	// Retries is how many further Warpgates a replayable request is tried on, 0 to MaxRetries; if
	// nil, DefaultRetries.
	Retries *int `json:"retries,omitempty"`
	// MaxBody bounds a request body, in bytes, at most MaxBodyLimit; if zero, the route sets no
	// limit.
	MaxBody Size `json:"max_body,omitempty"`
	// Timeout bounds the wait for the head of the workload's response, at most MaxTimeout. It
	// begins when the request is admitted, includes the wait for a connection, and begins again
	// whenever a part of the body is sent. If zero, DefaultTimeout.
	Timeout Duration `json:"timeout,omitempty"`
	// IdleTimeout bounds the silence inside bodies and upgraded streams, no byte in either
	// direction, at most MaxIdleTimeout. If zero, DefaultIdleTimeout.
	IdleTimeout Duration `json:"idle_timeout,omitempty"`
	// RequestHeaders changes what the workload sees.
	RequestHeaders *HeaderEdits `json:"request_headers,omitempty"`
	// ResponseHeaders changes what the client sees of the route's answers, its redirect and its respond
	// included. Refusals stay as they are.
	ResponseHeaders *HeaderEdits `json:"response_headers,omitempty"`
}

// CORS is the cross-origin policy of a route.
type CORS struct {
	// AllowOrigins are the origins that may read answers, such as https://app.example.com; at
	// least one, at most MaxRouteEdits.
	AllowOrigins []string `json:"allow_origins"`
	// AllowMethods are the methods that they may use beside the simple ones.
	AllowMethods []string `json:"allow_methods,omitempty"`
	// AllowHeaders are the request headers that they may set.
	AllowHeaders []string `json:"allow_headers,omitempty"`
	// ExposeHeaders are the response headers that they may read.
	ExposeHeaders []string `json:"expose_headers,omitempty"`
	// AllowCredentials lets them send cookies.
	AllowCredentials bool `json:"allow_credentials,omitempty"`
	// MaxAge is how long a browser may keep the answer to a preflight, at most MaxCORSAge.
	MaxAge Duration `json:"max_age,omitempty"`
}

// RateLimit allows so many Requests per time span, counted by user, address or key.
type RateLimit struct {
	// Requests are how many are let through, 1 to MaxRateRequests.
	Requests int `json:"requests"`
	// Burst is how many may come at once, 1 to MaxRateRequests; if zero, Requests.
	Burst int `json:"burst,omitempty"`
	// Per is the span in which they are, 1s to MaxRatePer.
	Per Duration `json:"per"`
	// By is whose requests are counted together.
	By LimitBy `json:"by"`
}

// LimitBy is whose requests a rate limit counts together.
type LimitBy string

// What requests are counted by. An address of IPv6 counts with its /64.
const (
	LimitByUser LimitBy = "user" // each user whom the route's auth makes known, else each address
	LimitByIP   LimitBy = "ip"   // each client address
	LimitByKey  LimitBy = "key"  // each credential of a program; so far each client address
)

// Redirect answers a request without a workload.
type Redirect struct {
	// To is where to go, a URL with http or https, or a path. In it, {path} stands for the path of
	// the request, without the route's strip_prefix, and {query}, behind a ? or an &, for its query.
	To string `json:"to"`
	// Status is that of the answer: 301, 302, 303, 307 or 308; if zero, 302.
	Status int `json:"status,omitempty"`
}

// RedirectStatuses are the statuses that a redirect may have.
func RedirectStatuses() []int { return []int{301, 302, 303, 307, 308} }

// HeaderEdits removes fields, then sets others. Of the trailers behind a body it takes both away.
type HeaderEdits struct {
	// Set are fields by name that are set to a value in place of all lines that there are, at most
	// MaxRouteEdits.
	Set map[string]string `json:"set,omitempty"`
	// Remove are names of fields that are taken away, at most MaxRouteEdits.
	Remove []string `json:"remove,omitempty"`
}

// ReservedPath is the prefix of the edge's own pages and endpoints on every host.
// No route matches below it and nothing below it reaches a workload.
const ReservedPath = "/.mezu/"

// Limits and defaults of one route. With these lengths, 10,000 routes of usual size fit
// MaxRoutesBytes.
const (
	MaxMatchValue     = 1 << 10
	MaxRouteMethods   = 16
	MaxRouteHeaders   = 16
	MaxRouteHeaderLen = 1 << 10
	MaxRouteIPs       = 1000
	MaxRouteAuth      = 16
	MaxRetries        = 5
	MaxPriority       = 1_000_000
	// DefaultRetries covers the loss of one Warpgate out of several.
	DefaultRetries = 1
	// DefaultTimeout is Envoy's request time-out for an edge.
	DefaultTimeout = Duration(300e9)
	// DefaultIdleTimeout is Envoy's stream idle time-out for an edge.
	DefaultIdleTimeout = Duration(300e9)
)

// Limits of all routes of an environment together.
const (
	MaxRoutes      = 10_000
	MaxRoutesBytes = 8 << 20
)

// Mode is the matching mode of a valid route.
func (r *Route) Mode() MatchMode {
	switch {
	case r.Exact != "":
		return MatchExact
	case r.Regexp != "":
		return MatchRegexp
	}
	return MatchPrefix
}

// Value is the path, prefix or pattern to match.
func (r *Route) Value() string {
	switch r.Mode() {
	case MatchExact:
		return r.Exact
	case MatchRegexp:
		return r.Regexp
	}
	return r.Prefix
}

// AllowsWebSocket reports whether upgrades are allowed.
func (r *Route) AllowsWebSocket() bool { return r.WebSocket == nil || *r.WebSocket }

// MethodKey is the set of methods as one comparable string, and HeaderKey that
// of header conditions.
func (r *Route) MethodKey() string {
	if len(r.Methods) < 2 {
		return strings.Join(r.Methods, "")
	}
	var few [MaxRouteMethods]string
	m := append(few[:0], r.Methods...)
	slices.Sort(m)
	return strings.Join(m, ",")
}

// HeaderKey is the set of header conditions as one comparable string.
func (r *Route) HeaderKey() string {
	if len(r.Headers) == 0 {
		return ""
	}
	lines := make([]string, 0, len(r.Headers))
	for k, v := range r.Headers {
		lines = append(lines, strings.ToLower(k)+":"+v)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// Identity is what makes two routes of an environment the same one: the name if
// given, else mode, value, methods and headers.
func (r *Route) Identity() string {
	if r.Name != "" {
		return "name\x00" + r.Name
	}
	return r.matchKey()
}

// matchKey is what the route matches, as one comparable string.
func (r *Route) matchKey() string {
	return strings.Join([]string{string(r.Mode()), r.Value(), r.MethodKey(), r.HeaderKey()}, "\x00")
}

// SameMatch reports whether two routes match the same requests, so that nothing would choose
// between them.
func (r *Route) SameMatch(other *Route) bool { return r.matchKey() == other.matchKey() }

// Label names a route for readers: by its name, else by mode and value.
func (r *Route) Label() string {
	if r.Name != "" {
		return r.Name
	}
	return string(r.Mode()) + " " + r.Value()
}

// Validate checks one route by itself when it is written. ValidateRoutes checks all routes
// together.
func (r *Route) Validate() error {
	if err := r.validateForm(); err != nil {
		return err
	}
	if err := r.validateLimits(); err != nil {
		return err
	}
	if r.Mode() != MatchRegexp {
		return nil
	}
	p, err := CompilePattern(r.Regexp)
	if err == nil && p.Refused != nil {
		return p.Refused
	}
	return err
}

// validateForm checks the rules that every build has had. No stored route can fail them.
func (r *Route) validateForm() error {
	if err := r.validateShape(); err != nil || r.Mode() != MatchRegexp {
		return err
	}
	_, err := parsePattern(r.Regexp)
	return err
}

// validateShape is validateForm without parsing the pattern.
func (r *Route) validateShape() error {
	if r.Name != "" {
		if err := ValidateName("name", r.Name); err != nil {
			return err
		}
	}
	if err := r.validateMatch(); err != nil {
		return err
	}
	if err := r.validateAuth(); err != nil {
		return err
	}
	return r.validateHandling()
}

func (r *Route) validateMatch() error {
	set := 0
	for _, v := range []string{r.Exact, r.Prefix, r.Regexp} {
		if v != "" {
			set++
		}
	}
	if set != 1 {
		return Invalid("", "a route has exactly one of exact, prefix and regexp, this has %d", set)
	}
	field, value := string(r.Mode()), r.Value()
	if len(value) > MaxMatchValue {
		return Invalid(field, "at most %d bytes, this has %d", MaxMatchValue, len(value))
	}
	if r.Mode() != MatchRegexp {
		if err := r.validatePath(field, value); err != nil {
			return err
		}
	}
	if r.Priority != 0 && r.Mode() != MatchRegexp {
		return Invalid("priority", "orders regexp routes only; %s routes have a fixed order", r.Mode())
	}
	if r.Priority < -MaxPriority || r.Priority > MaxPriority {
		return Invalid("priority", "is between %d and %d", -MaxPriority, MaxPriority)
	}
	return r.validateConditions()
}

// validatePath checks the value of an exact or prefix route.
func (r *Route) validatePath(field, value string) error {
	if !strings.HasPrefix(value, "/") {
		return Invalid(field, "a path starts with '/', not %q", value)
	}
	canonical, err := CanonicalPath(value)
	if err != nil {
		return Invalid(field, "can never match: %v", err)
	}
	if canonical.Path != value {
		return Invalid(field, "can never match, because paths are matched in canonical form; write %q", canonical.Path)
	}
	if canonical.EncodedSlash && !r.EncodedSlashes {
		return Invalid(field, "has %%2F or %%5C and can never match without encoded_slashes: true")
	}
	if strings.HasPrefix(value, ReservedPath) {
		return Invalid(field, "can never match: %s is the edge's own", ReservedPath)
	}
	return nil
}

// validateConditions checks methods and header conditions.
func (r *Route) validateConditions() error {
	if len(r.Methods) > MaxRouteMethods {
		return Invalid("methods", "at most %d", MaxRouteMethods)
	}
	for i, m := range r.Methods {
		if err := ValidateMethod(m); err != nil {
			return at("methods", err)
		}
		if slices.Contains(r.Methods[:i], m) {
			return Invalid("methods", "names %s twice", m)
		}
	}
	if len(r.Headers) == 0 {
		return nil // most routes: they need no memory for names
	}
	if len(r.Headers) > MaxRouteHeaders {
		return Invalid("headers", "at most %d", MaxRouteHeaders)
	}
	lower := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(r.Headers)) {
		v := r.Headers[k]
		if !ValidHeaderName(k) || len(k) > MaxRouteHeaderLen || len(v) > MaxRouteHeaderLen || !ValidHeaderValue(v) {
			return Invalid("headers", "%q is not a header with a plain value of at most %d bytes", k, MaxRouteHeaderLen)
		}
		if v != strings.Trim(v, " \t") {
			return Invalid("headers", "the value of %q can never match, because spaces around values are no part of them", k)
		}
		if lower[strings.ToLower(k)] {
			return Invalid("headers", "names %q twice", k)
		}
		lower[strings.ToLower(k)] = true
	}
	return nil
}

func (r *Route) validateAuth() error {
	switch r.Auth {
	case "", AuthNone, AuthOptional, AuthRequired:
	default:
		return Invalid("auth", "is one of none, optional, required, not %q", r.Auth)
	}
	if len(r.AuthMethods) > MaxRouteAuth {
		return Invalid("auth_methods", "at most %d", MaxRouteAuth)
	}
	for _, m := range r.AuthMethods {
		name, webhook := strings.CutPrefix(m, webhookMethod)
		switch {
		case m == "session", m == "bearer", m == "service_account", m == "basic":
		case webhook && ValidateName("", name) == nil:
		default:
			return Invalid("auth_methods", "is one of session, bearer, service_account, basic, webhook:<name>, not %q", m)
		}
	}
	// An empty list reads like "nobody", but would act like a missing one: "everybody".
	if r.AuthMethods != nil && len(r.AuthMethods) == 0 {
		return Invalid("auth_methods", "is empty; leave it out to allow the default methods")
	}
	needs := []struct {
		field string
		names []string
	}{{"roles", r.Roles}, {"permissions", r.Permissions}, {"any_permissions", r.AnyPermissions}}
	for _, need := range needs {
		if need.names != nil && len(need.names) == 0 {
			return Invalid(need.field, "is empty; leave it out to ask for none")
		}
		if len(need.names) > MaxRolePermissions {
			return Invalid(need.field, "at most %d", MaxRolePermissions)
		}
		for _, name := range need.names {
			if err := validateGrantName(need.field, name); err != nil {
				return err
			}
		}
		if len(need.names) > 0 && r.Auth != AuthRequired {
			return Invalid(need.field, "needs auth: required, or anonymous users could never pass")
		}
	}
	if err := validateIPRanges("allow_ips", r.AllowIPs); err != nil {
		return err
	}
	if err := validateIPRanges("deny_ips", r.DenyIPs); err != nil {
		return err
	}
	if l := r.RateLimit; l != nil {
		if l.Requests < 1 || l.Per < Duration(1e9) {
			return Invalid("rate_limit", "needs requests of at least 1 and per of at least 1s")
		}
		if l.By != LimitByUser && l.By != LimitByIP && l.By != LimitByKey {
			return Invalid("rate_limit.by", "is one of user, ip, key, not %q", l.By)
		}
	}
	if c := r.CORS; c != nil && len(c.AllowOrigins) == 0 {
		return Invalid("cors.allow_origins", "at least one origin is needed")
	}
	return r.WAF.validate("waf")
}

func (r *Route) validateHandling() error {
	if r.Upstream != "" {
		if _, err := ParseUpstream(r.Upstream); err != nil {
			return at("upstream", err)
		}
	}
	if r.HostHeader != "" {
		if _, err := CanonicalHost(r.HostHeader); err != nil {
			return Invalid("host_header", "is not a host name with an optional port")
		}
	}
	if r.StripPrefix != "" && !strings.HasPrefix(r.StripPrefix, "/") {
		return Invalid("strip_prefix", "starts with '/'")
	}
	if d := r.Redirect; d != nil {
		if d.To == "" || !ValidHeaderValue(d.To) {
			return Invalid("redirect.to", "is a URL or a path")
		}
		if d.Status != 0 && !slices.Contains(RedirectStatuses(), d.Status) {
			return Invalid("redirect.status", "is one of 301, 302, 303, 307, 308")
		}
	}
	if r.Retries != nil && (*r.Retries < 0 || *r.Retries > MaxRetries) {
		return Invalid("retries", "is between 0 and %d", MaxRetries)
	}
	if r.MaxBody < 0 {
		return Invalid("max_body", "is not negative")
	}
	if r.Timeout < 0 {
		return Invalid("timeout", "is not negative")
	}
	if r.IdleTimeout < 0 {
		return Invalid("idle_timeout", "is not negative")
	}
	if err := r.RequestHeaders.validate("request_headers"); err != nil {
		return err
	}
	return r.ResponseHeaders.validate("response_headers")
}

// validate checks edits; nil means none.
func (e *HeaderEdits) validate(field string) error {
	if e == nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(e.Set)) {
		if !ValidHeaderName(k) || !ValidHeaderValue(e.Set[k]) {
			return Invalid(field+".set", "%q can't be set", k)
		}
	}
	for _, k := range e.Remove {
		if !ValidHeaderName(k) {
			return Invalid(field+".remove", "%q can't be removed", k)
		}
	}
	return nil
}
