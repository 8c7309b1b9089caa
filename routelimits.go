package mezu

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The most that a route may ask for. An earlier build without these limits may have stored a
// route with more. Such a route is served with the limit instead, and with a warning.
const (
	// MaxTimeout is longer than a person or a program waits for an answer in silence. It is
	// bounded because each request that waits holds a connection to the workload.
	MaxTimeout = Duration(3600e9)
	// MaxIdleTimeout lets a stream be silent for a day. A stream that is silent for longer
	// can't be told from a dead one.
	MaxIdleTimeout = Duration(24 * 3600e9)
	// MaxBodyLimit is more than any upload in one request, and so small that sums of bytes
	// don't overflow. A route without max_body has no limit.
	MaxBodyLimit = Size(1 << 40)
	// MaxCORSAge is the most that any browser honours (Firefox: a day).
	MaxCORSAge = Duration(24 * 3600e9)
	// MaxRatePer bounds how long a client's requests are remembered.
	MaxRatePer = Duration(24 * 3600e9)
	// MaxRateRequests is more than one edge carries for one client.
	MaxRateRequests = 1_000_000
	// MaxRouteEdits bounds the fields that a route sets and removes, and the entries of each
	// list of its CORS, because every request looks at each of them.
	MaxRouteEdits = 64
)

// excess is what a route asks for beyond a limit.
type excess struct {
	field string
	// has and most are texts for messages.
	has, most string
	// served: a stored route is served with the limit instead.
	served bool
}

// excesses lists what a route asks for beyond a limit.
func (r *Route) excesses() []excess {
	var out []excess
	span := func(field string, has, most Duration) {
		if has > most {
			out = append(out, excess{field, shortSpan(has), shortSpan(most), true})
		}
	}
	count := func(field string, has, most int) {
		if has > most {
			out = append(out, excess{field, strconv.Itoa(has), strconv.Itoa(most), false})
		}
	}
	text := func(field string, has string) {
		if len(has) > MaxRouteHeaderLen {
			out = append(out, excess{field, strconv.Itoa(len(has)) + " bytes", strconv.Itoa(MaxRouteHeaderLen) + " bytes", false})
		}
	}
	list := func(field string, has []string) {
		count(field, len(has), MaxRouteEdits)
		for i := range has[:min(len(has), MaxRouteEdits)] {
			text(indexed(field, i), has[i])
		}
	}
	if r.MaxBody > MaxBodyLimit {
		out = append(out, excess{"max_body", sizeText(r.MaxBody), sizeText(MaxBodyLimit), true})
	}
	span("timeout", r.Timeout, MaxTimeout)
	span("idle_timeout", r.IdleTimeout, MaxIdleTimeout)
	if c := r.CORS; c != nil {
		span("cors.max_age", c.MaxAge, MaxCORSAge)
		list("cors.allow_origins", c.AllowOrigins)
		list("cors.allow_methods", c.AllowMethods)
		list("cors.allow_headers", c.AllowHeaders)
		list("cors.expose_headers", c.ExposeHeaders)
	}
	if l := r.RateLimit; l != nil {
		span("rate_limit.per", l.Per, MaxRatePer)
		count("rate_limit.requests", l.Requests, MaxRateRequests)
	}
	text("strip_prefix", r.StripPrefix)
	if r.Redirect != nil {
		text("redirect.to", r.Redirect.To)
	}
	edits := func(field string, e *HeaderEdits) {
		if e == nil {
			return
		}
		count(field+".set", len(e.Set), MaxRouteEdits)
		list(field+".remove", e.Remove)
		for _, k := range slices.Sorted(maps.Keys(e.Set)) {
			text(field+".set", k)
			text(field+".set", e.Set[k])
		}
	}
	edits("request_headers", r.RequestHeaders)
	edits("response_headers", r.ResponseHeaders)
	slices.SortStableFunc(out, func(a, b excess) int { return strings.Compare(a.field, b.field) })
	return out
}

// validateLimits checks rules that earlier builds did not have. A stored route may fail them.
func (r *Route) validateLimits() error {
	if all := r.excesses(); len(all) > 0 {
		return Invalid(all[0].field, "is at most %s, not %s", all[0].most, all[0].has)
	}
	for _, k := range r.neverSent() {
		return Invalid("headers", "%q can never match, because no client may send it", k)
	}
	return r.Breaks()
}

// neverSent names header conditions that no request can meet, because their field is
// dropped or refused when a client sends it.
func (r *Route) neverSent() []string {
	if len(r.Headers) == 0 {
		return nil // most routes: they need no memory for names
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(r.Headers)) {
		if ReservedHeader(k) || LookalikeHeader(k) {
			out = append(out, k)
		}
	}
	return out
}

// closedRemark ends a warning about a route that a field closes.
const closedRemark = "; the route answers 503 route_unavailable"

// limitWarnings are warnings about a stored route that could not be written any more.
func (r *Route) limitWarnings() []string {
	var out []string
	for _, e := range r.excesses() {
		remark := r.Label() + ": " + e.field + " is at most " + e.most + ", not " + e.has
		if e.served {
			remark += "; " + e.most + " is used in its place"
		} else {
			remark += closedRemark
		}
		out = append(out, remark)
	}
	if err := r.misfit(); err != nil {
		out = append(out, r.Label()+": "+err.Error()+closedRemark)
	}
	for _, k := range r.neverSent() {
		out = append(out, r.Label()+": no request matches, because no client may send the header "+k)
	}
	return out
}

// shortSpan writes a span without the parts that are zero: 24h, not 24h0m0s.
func shortSpan(d Duration) string {
	text, _ := d.MarshalText()
	s := string(text)
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeText writes a size with the largest unit that divides it.
func sizeText(s Size) string {
	for _, u := range []struct {
		suffix string
		factor Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s != 0 && s%u.factor == 0 {
			return strconv.FormatInt(int64(s/u.factor), 10) + " " + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10) + " B"
}

// indexed is the name of an entry of a list.
func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
