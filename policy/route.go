package policy

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// Route is a route as it is used: compiled, with defaults applied, read only.
// Its fields hide those of the configured route that have the same name. The configured route
// is the one in the bundle: copies would double the memory of a table.
type Route struct {
	*mezu.Route
	// Upstream is the target if HasUpstream; else the Warpgate's own upstream is.
	Upstream    mezu.Upstream
	HasUpstream bool
	// Timeout and IdleTimeout are above zero.
	Timeout, IdleTimeout time.Duration
	// MaxBody in bytes; 0 is no limit.
	MaxBody   int64
	Retries   int
	WebSocket bool
	// CORS is nil if the route has none.
	CORS *CORS
	// Firewall is nil if it is off.
	Firewall *Firewall
	// Limit is nil if the route has none.
	Limit *Limit
	// SignedBy is the webhook whose signature lets a request pass, empty if none has to.
	SignedBy string
	// Closed, if not empty, is the field because of which the route answers
	// 503 route_unavailable.
	Closed string

	// RequestEdits and ResponseEdits are nil if the route has none.
	RequestEdits, ResponseEdits *Edits

	answer       *answer // nil if its workload answers
	closedDetail string
	conditions   []condition
	addresses    addresses
	// roles and permission sets are by the role of the user that satisfies them.
	roles       map[string]bool
	permissions []map[string]bool // for each one a role that has it
	any         map[string]bool
	// order sorts candidates that have as many conditions, so that their sequence does not
	// depend on that of the configuration.
	order [3]string
}

// condition is a header and the exact value that it must have.
type condition struct{ name, lower, value string }

func compileRoute(b *mezu.Bundle, i int) (*Route, error) {
	configured := &b.Routes[i]
	r := &Route{
		Route:       configured,
		Timeout:     time.Duration(min(configured.Timeout, mezu.MaxTimeout)),
		IdleTimeout: time.Duration(min(configured.IdleTimeout, mezu.MaxIdleTimeout)),
		MaxBody:     int64(min(configured.MaxBody, mezu.MaxBodyLimit)),
		Retries:     mezu.DefaultRetries,
		WebSocket:   configured.AllowsWebSocket(),
		SignedBy:    configured.Webhook(),
		order:       [3]string{configured.Name, configured.HeaderKey(), configured.MethodKey()},
	}
	if r.Timeout == 0 {
		r.Timeout = time.Duration(mezu.DefaultTimeout)
	}
	if r.IdleTimeout == 0 {
		r.IdleTimeout = time.Duration(mezu.DefaultIdleTimeout)
	}
	if configured.Retries != nil {
		r.Retries = *configured.Retries
	}
	if configured.Upstream != "" {
		u, err := mezu.ParseUpstream(configured.Upstream)
		if err != nil {
			return nil, err
		}
		r.Upstream, r.HasUpstream = u, true
	}
	for name, value := range configured.Headers {
		r.conditions = append(r.conditions, condition{name, strings.ToLower(name), value})
	}
	slices.SortFunc(r.conditions, func(a, b condition) int { return strings.Compare(a.name, b.name) })
	var err error
	if r.addresses, err = parseAddresses(configured.AllowIPs, configured.DenyIPs); err != nil {
		return nil, err
	}
	r.compileNeeds(b)
	if configured.CORS.Breaks() == nil {
		r.CORS = compileCORS(configured) // of a closed route, too: scripts read why it is closed
	}
	if r.close(b, b.Unknown(i)); r.Closed == "" {
		r.Firewall = compileFirewall(b, configured)
		r.Limit = compileLimit(b, configured)
		r.RequestEdits, r.ResponseEdits = compileEdits(configured.RequestHeaders, true), compileEdits(configured.ResponseHeaders, false)
		r.answer, err = compileAnswer(configured, r.AsksWho())
	}
	return r, err
}

// AsksWho reports whether the route looks at who the client is: not only if it turns
// strangers away, but also if it tells the workload of users alone.
func (r *Route) AsksWho() bool {
	return (r.Auth == mezu.AuthRequired || r.Auth == mezu.AuthOptional) && r.SignedBy == ""
}

// compileNeeds turns roles and permissions into sets of roles that satisfy them.
func (r *Route) compileNeeds(b *mezu.Bundle) {
	if len(r.Roles) > 0 {
		r.roles = make(map[string]bool, len(r.Roles))
		for _, role := range r.Roles {
			r.roles[role] = true
		}
	}
	holders := func(permission string, into map[string]bool) {
		for name, role := range b.Roles {
			if slices.Contains(role.Permissions, permission) {
				into[name] = true
			}
		}
	}
	for _, p := range r.Permissions {
		set := make(map[string]bool)
		holders(p, set)
		r.permissions = append(r.permissions, set)
	}
	if len(r.AnyPermissions) > 0 {
		r.any = make(map[string]bool)
		for _, p := range r.AnyPermissions {
			holders(p, r.any)
		}
	}
}

// close sets Closed if the route asks for something that can't be enforced. unknown is a field
// that this build doesn't know, or empty: it may ask for such a thing.
func (r *Route) close(b *mezu.Bundle, unknown string) {
	if unknown != "" {
		r.Closed = unknown
		r.closedDetail = "the route's configuration has a field that this version does not know"
		return
	}
	if broken, is := errors.AsType[*mezu.Error](r.Route.Breaks()); is {
		r.Closed, r.closedDetail = broken.Field, "the route has a value of "+broken.Field+" that this version does not take"
		return
	}
	if unenforced := r.Route.Unenforced(); len(unenforced) > 0 {
		r.Closed = unenforced[0]
	}
	if r.Closed == "" && b.DirectoryMissing && r.asksForLogin() {
		r.Closed, r.closedDetail = "directory", "the environment's directory does not exist"
		return
	}
	if r.Closed == "" && b.MFARequired && r.asksForLogin() {
		r.Closed, r.closedDetail = "mfa", "the environment's directory asks for a second factor, which this version does not enforce"
		return
	}
	if r.Closed != "" {
		r.closedDetail = "the route has " + r.Closed + ", which this version does not enforce"
		return
	}
	for _, role := range r.Roles {
		if _, known := b.Roles[role]; !known {
			r.Closed = "roles"
			r.closedDetail = "the route names a role that the project does not have"
			return
		}
	}
}

// asksForLogin reports whether the route makes a difference between users and strangers.
func (r *Route) asksForLogin() bool { return r.AsksWho() }

// lacks is what a user with these roles would need beside them, nil if that is nothing. It
// allocates only then.
func (r *Route) lacks(roles []string) *Missing {
	var m Missing
	if r.roles != nil && !hasOne(r.roles, roles) {
		m.Roles = r.Roles
	}
	for i, holders := range r.permissions {
		if !hasOne(holders, roles) {
			m.Permissions = append(m.Permissions, r.Permissions[i])
		}
	}
	if r.any != nil && !hasOne(r.any, roles) {
		m.AnyPermissions = r.AnyPermissions
	}
	if len(m.Roles)+len(m.Permissions)+len(m.AnyPermissions) == 0 {
		return nil
	}
	return &Missing{m.Roles, m.Permissions, m.AnyPermissions}
}

func hasOne(set map[string]bool, roles []string) bool {
	for _, role := range roles {
		if set[role] {
			return true
		}
	}
	return false
}

// meets reports whether the request carries every header that the route asks
// for; missing names the first that it does not.
func (r *Route) meets(carries func(name, value string) bool) (missing string, ok bool) {
	for _, c := range r.conditions {
		if carries == nil || !carries(c.lower, c.value) {
			return c.name, false
		}
	}
	return "", true
}
