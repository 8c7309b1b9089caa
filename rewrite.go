package mezu

import (
	"maps"
	"slices"
	"strings"
)

// Sent is the path that the workload gets in place of a canonical one: without StripPrefix, if that
// ends where a segment does. A path that only begins with the same letters stays as it is.
func (r *Route) Sent(path string) string {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(r.StripPrefix, "/"))
	switch {
	case !ok:
		return path
	case rest == "":
		return "/"
	case rest[0] == '/':
		return rest
	}
	return path
}

// breaksStrip checks StripPrefix: it is in the form in which paths are matched, or it would never be
// cut off.
func (r *Route) breaksStrip() error {
	const field = "strip_prefix"
	if r.StripPrefix == "" {
		return nil
	}
	canonical, err := CanonicalPath(r.StripPrefix)
	switch {
	case err != nil:
		return Invalid(field, "can never be cut off: %v", err)
	case canonical.Path != r.StripPrefix:
		return Invalid(field, "can never be cut off, because paths are in canonical form; write %q", canonical.Path)
	case r.StripPrefix == "/":
		return Invalid(field, "takes nothing off; leave it out")
	case canonical.EncodedSlash && !r.EncodedSlashes:
		return Invalid(field, "has %%2F or %%5C and can never be cut off without encoded_slashes: true")
	case strings.HasPrefix(r.StripPrefix+"/", ReservedPath):
		return Invalid(field, "can never be cut off: %s is the edge's own", ReservedPath)
	}
	return nil
}

// strips reports whether StripPrefix is cut off any path that the route matches, as far as its
// match says.
func (r *Route) strips() bool {
	strip := strings.TrimSuffix(r.StripPrefix, "/")
	switch r.Mode() {
	case MatchExact:
		return r.Sent(r.Exact) != r.Exact
	case MatchPrefix:
		return strings.HasPrefix(strip+"/", r.Prefix) || r.Sent(r.Prefix) != r.Prefix
	}
	return true
}

// Names of fields in lower case and with hyphens. Prefixes end in an asterisk.
var (
	// hopFields are those of the connection and of framing, by which messages are told apart
	// (RFC 9110, 7.6.1): what one side sends is not what the next one gets.
	hopFields = []string{"host", "content-length", "transfer-encoding", "trailer", "te", "connection", "keep-alive", "proxy-*", "upgrade", "http2-settings", "expect"}
	// unedited are further ones that nobody edits: those of the WebSocket handshake both sides
	// verify.
	unedited = []string{"x-request-id", "sec-websocket-key", "sec-websocket-accept", "sec-websocket-version"}
)

// isOneOf reports whether a name is one of these.
func isOneOf(name string, fields []string) bool {
	return slices.ContainsFunc(fields, func(f string) bool {
		family, is := strings.CutSuffix(f, "*")
		return name == f || is && strings.HasPrefix(name, family)
	})
}

// Which side edits are of.
const (
	requestEdits  = "request_headers"
	responseEdits = "response_headers"
)

// breaksEdits checks the names and the values of the fields that a route edits.
func (r *Route) breaksEdits() error {
	if err := r.RequestHeaders.breaks(requestEdits, false); err != nil {
		return err
	}
	return r.ResponseHeaders.breaks(responseEdits, r.CORS != nil)
}

// breaks checks the edits of one side; nil means none.
func (e *HeaderEdits) breaks(field string, cors bool) error {
	if e == nil {
		return nil
	}
	names := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(e.Set)) {
		lower := strings.ToLower(k)
		switch v := e.Set[k]; {
		case uneditable(field, k, true, cors) != "":
			return Invalid(field+".set", "%q can't be set: %s", k, uneditable(field, k, true, cors))
		case names[lower]:
			return Invalid(field+".set", "names %q twice", k)
		case v != strings.Trim(v, " \t"):
			return Invalid(field+".set", "the value of %q begins or ends with a space, which is no part of a value", k)
		}
		names[lower] = true
	}
	for _, k := range e.Remove {
		if why := uneditable(field, k, false, cors); why != "" {
			return Invalid(field+".remove", "%q can't be removed: %s", k, why)
		}
	}
	return nil
}

// uneditable says why a field can't be set or removed, empty if it can. Some servers read '_' and
// '.' in a name as '-', so that a name with those is judged by what it would be for them.
func uneditable(field, name string, set, cors bool) string {
	if class := ClassifyHeader(name); class == HeaderReserved || class == HeaderLookalike {
		return "it says who the client is or what it asked for, and only the Warpgate writes that"
	}
	name = strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
	if isOneOf(name, hopFields) || isOneOf(name, unedited) {
		return "it belongs to the connection, or to the edge"
	}
	switch {
	case set && field == requestEdits && name == "cookie":
		return "it would replace all cookies of the visitor"
	case set && field == responseEdits && name == "set-cookie":
		return "it would replace all cookies of the workload"
	case cors && field == responseEdits && strings.HasPrefix(name, "access-control-"):
		return "the route's cors says what it says"
	}
	return ""
}

// rewriteWarnings are warnings about fields that have no effect on any request.
func (r *Route) rewriteWarnings() (out []string) {
	if r.StripPrefix != "" && !r.strips() {
		out = append(out, r.Label()+": strip_prefix "+r.StripPrefix+" is no beginning of a path that the route matches, so that nothing is cut off")
	}
	if r.StripPrefix != "" && r.Respond != nil {
		out = append(out, r.Label()+": strip_prefix has no effect beside respond, since nothing is forwarded")
	}
	if r.RequestHeaders != nil && r.Answers() {
		out = append(out, r.Label()+": request_headers has no effect beside redirect or respond, since nothing is forwarded")
	}
	return out
}

// behindWarnings name, for each route that cuts a prefix off, the routes to whose paths that leads:
// they have to let a request pass, too (package policy). patterns has those of the regexps of others.
func behindWarnings(cutting, others []Route, patterns []*Pattern) (out []string) {
	var bySource map[string]*Pattern
	work := 0
	for i := range cutting {
		r := &cutting[i]
		if r.StripPrefix == "" || r.Answers() || !r.strips() {
			continue
		}
		if bySource == nil {
			bySource = make(map[string]*Pattern, len(patterns))
			for _, p := range patterns {
				bySource[p.Source] = p
			}
		}
		begin, whole := r.behind()
		for j := range others {
			o := &others[j]
			if len(out) > MaxWarnings {
				return out
			}
			if work += 1 + len(begin); work > maxShadowSteps {
				return append(out, "there are too many routes to look for all to whose paths a strip_prefix leads")
			}
			if o.Upstream == r.Upstream && !o.sameAs(r) && o.asksMoreThan(r) && o.mayMatch(begin, whole, bySource) {
				out = append(out, r.Label()+": strip_prefix "+r.StripPrefix+" leads to paths of "+o.Label()+", which has to let a request pass, too")
			}
		}
	}
	return out
}

// sameAs reports whether two are one route, perhaps read twice.
func (r *Route) sameAs(o *Route) bool { return r == o || r.Identity() == o.Identity() }

// behind is how the paths begin that are left of those that the route matches. whole says that there
// is only this one.
func (r *Route) behind() (begin string, whole bool) {
	switch {
	case r.Mode() == MatchExact:
		return r.Sent(r.Exact), true
	case r.Mode() == MatchPrefix && r.Sent(r.Prefix) != r.Prefix:
		return r.Sent(r.Prefix), false
	}
	return "/", false
}

// mayMatch reports whether the route matches a path that begins so.
func (r *Route) mayMatch(begin string, whole bool, bySource map[string]*Pattern) bool {
	switch r.Mode() {
	case MatchExact:
		return r.Exact == begin || !whole && strings.HasPrefix(r.Exact, begin)
	case MatchPrefix:
		return strings.HasPrefix(begin, r.Prefix) || !whole && strings.HasPrefix(r.Prefix, begin)
	}
	p := bySource[r.Regexp]
	return p == nil || p.canStartWith(begin)
}

// asksMoreThan reports whether the route refuses a request that another may let pass, as far as their
// own fields say.
func (r *Route) asksMoreThan(o *Route) bool {
	other := func(mine, others []string) bool { return len(mine) > 0 && !slices.Equal(mine, others) }
	return r.Auth == AuthRequired && o.Auth != AuthRequired || other(r.Roles, o.Roles) || other(r.Permissions, o.Permissions) || other(r.AnyPermissions, o.AnyPermissions) ||
		other(r.AllowIPs, o.AllowIPs) || other(r.DenyIPs, o.DenyIPs) || other(r.Methods, o.Methods) || len(r.Headers) > 0 && !maps.Equal(r.Headers, o.Headers) ||
		r.Answers() || r.Webhook() != "" && r.Webhook() != o.Webhook() || len(r.Unenforced()) > 0 || r.Breaks() != nil
}
