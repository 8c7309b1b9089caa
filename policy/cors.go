package policy

import (
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// Preflight is what a request asks for that may be a preflight (Fetch, 4.8): one with the method
// OPTIONS, an Origin and an Access-Control-Request-Method.
type Preflight struct {
	// Method is the one that the page wants to use.
	Method string
	// Fields are those that the page wants to send and has to ask for, by their names in lower case.
	Fields iter.Seq[string]
}

// names reports whether the page asks for a field, by its name in lower case.
func (p *Preflight) names(lower string) bool {
	for name := range p.Fields {
		if name == lower {
			return true
		}
	}
	return false
}

// preflight finds the route that the request which is asked for would have. It has CORS, or is
// closed, or the request is an ordinary one to its workload: then is is false. A header condition
// counts as met if the page may send the field, whatever the value will be. So there may be several
// routes that it may come to, and they have to agree.
func (t *Table) preflight(g *group, r *Request) (d Decision, is bool) {
	var first *Route
	same := true
	for route, sure := range g.asked(r) {
		if first == nil {
			first = route
		}
		same = same && reflect.DeepEqual(first.Route.CORS, route.Route.CORS)
		if sure {
			break
		}
	}
	switch {
	case first == nil, same && first.Route.CORS == nil:
		return Decision{}, false
	case !same:
		return refuse(first, StepPreflight, mezu.CodeForbidden, "the routes that the request may have differ in their cors"), true
	}
	d = t.admit(first, r)
	d.Preflight = d.Code == ""
	return d, true
}

// asked are the routes that a request with the method of the preflight may come to, the first
// choice first. After one that is sure no other is reached.
func (g *group) asked(r *Request) func(yield func(route *Route, sure bool) bool) {
	return func(yield func(*Route, bool) bool) {
		for _, anyMethod := range [...]bool{false, true} {
			for _, c := range g.routes {
				if (len(c.Methods) == 0) != anyMethod || !anyMethod && !slices.Contains(c.Methods, r.Preflight.Method) {
					continue
				}
				if may, sure := c.mayMeet(r); may && !yield(c, sure) {
					return
				}
			}
		}
	}
}

// mayMeet reports whether the request that a preflight is for may carry what the route asks for, and
// whether it surely does.
func (r *Route) mayMeet(ask *Request) (may, sure bool) {
	sure = true
	for _, c := range r.conditions {
		switch {
		case ask.Preflight.names(c.lower), unasked[c.lower]:
			sure = false
		case ask.Carries == nil || !ask.Carries(c.lower, c.value):
			return false, false
		}
	}
	return true, sure
}

// unasked are fields that a page sends without asking, and whose value in the preflight is another
// one (Fetch, 2.2.2, CORS-safelisted request-header).
var unasked = map[string]bool{"accept": true, "accept-language": true, "content-language": true, "content-type": true, "range": true}

// CORS is a cross-origin policy as it is used.
type CORS struct {
	// AnyOrigin says that pages of all origins may read answers. Then Credentials is false.
	AnyOrigin, Credentials bool
	// MaxAge is for how many seconds a preflight's answer may be kept, as text; empty if nothing is
	// said of it.
	MaxAge string
	// Expose are the fields that pages may read, as one list.
	Expose []byte
	// Headers are the fields that pages may send, and Methods the methods that they may use beside
	// those that need no leave, each as one list.
	Headers, Methods string

	exact                map[string][]byte
	below                []suffix
	methods              []string
	anyMethod, anyHeader bool
	headers              map[string]bool // in lower case
}

// suffix is all hosts below one.
type suffix struct{ scheme, rest string }

// exposed are the fields of the edge's own that every page may read.
const exposed = "X-Request-Id, Retry-After, RateLimit"

// compileCORS makes the policy of a route whose values are valid; nil for none.
func compileCORS(r *mezu.Route) *CORS {
	in := r.CORS
	if in == nil {
		return nil
	}
	c := &CORS{Credentials: in.AllowCredentials, exact: map[string][]byte{}, headers: map[string]bool{}}
	for _, o := range in.AllowOrigins {
		scheme, rest, _ := strings.Cut(o, "://")
		switch below, wild := strings.CutPrefix(rest, "*"); {
		case o == "*":
			c.AnyOrigin = true
		case wild:
			c.below = append(c.below, suffix{scheme + "://", below})
		default:
			c.exact[o] = []byte(o)
		}
	}
	if age := min(in.MaxAge, mezu.MaxCORSAge); age > 0 {
		c.MaxAge = strconv.Itoa(int(time.Duration(age) / time.Second))
	}
	c.methods = in.AllowMethods
	if len(c.methods) == 0 {
		c.methods = r.Methods
		c.anyMethod = len(c.methods) == 0
	}
	c.anyMethod = c.anyMethod || slices.Contains(c.methods, "*")
	c.Methods = strings.Join(c.methods, ", ")
	for _, h := range in.AllowHeaders {
		c.anyHeader = c.anyHeader || h == "*"
		c.headers[strings.ToLower(h)] = true
	}
	c.Headers = strings.Join(in.AllowHeaders, ", ")
	c.Expose = []byte(strings.Join(append([]string{exposed}, in.ExposeHeaders...), ", "))
	if slices.Contains(in.ExposeHeaders, "*") {
		c.Expose = []byte{'*'}
	}
	return c
}

// Readable reports whether pages of an origin, empty for none, may read answers.
func (c *CORS) Readable(origin string) bool {
	return c.AnyOrigin || len(c.AppendOrigin(nil, []byte(origin))) > 0
}

// AppendOrigin appends an origin if answers may be read by its pages, because it is named or below a
// host that is.
func (c *CORS) AppendOrigin(dst, origin []byte) []byte {
	if o, ok := c.exact[string(origin)]; ok {
		return append(dst, o...)
	}
	for _, s := range c.below {
		if s.holds(string(origin)) {
			return append(dst, origin...)
		}
	}
	return dst
}

// holds reports whether an origin is below the host. What stands before it is labels of letters,
// digits and hyphens, so that nothing else gets into an answer.
func (s suffix) holds(origin string) bool {
	name, ok := strings.CutPrefix(origin, s.scheme)
	if !ok || len(name) > mezu.MaxHostLength {
		return false
	}
	if name, ok = strings.CutSuffix(name, s.rest); !ok || name == "" {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
		if !letter && (c != '.' || i == 0 || i == len(name)-1 || name[i-1] == '.') {
			return false
		}
	}
	return true
}

// Refuses says why a preflight of a page is refused, empty if it is not. readable says that pages of
// its origin may read answers.
func (c *CORS) Refuses(p *Preflight, readable bool) string {
	switch {
	case !readable:
		return "the route's cors does not allow the origin"
	case !c.allowsMethod(p.Method):
		return "the route's cors does not allow the method"
	}
	for name := range p.Fields {
		if !c.allowsHeader(name) {
			return "the route's cors does not allow a header that is asked for"
		}
	}
	return ""
}

// allowsMethod reports whether a page may use a method. Those that need no leave are allowed.
func (c *CORS) allowsMethod(m string) bool {
	return c.anyMethod || m == "GET" || m == "HEAD" || m == "POST" || slices.Contains(c.methods, m)
}

// allowsHeader reports whether a page may send a field, by its name in lower case. A star stands for
// all but Authorization (Fetch, 4.8).
func (c *CORS) allowsHeader(lower string) bool {
	return c.headers[lower] || c.anyHeader && lower != "authorization"
}
