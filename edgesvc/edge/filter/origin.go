package filter

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// origin refuses requests that another site's page has sent with the cookie of a user's
// session, if they can change something: what they do is done, whether the page may read the answer
// or not. Browsers send the cookie along for pages on hosts beside this one (SameSite goes by the
// registrable domain, RFC 6265bis, 5.2). Pages of an origin that the route's cors allows with
// credentials may.
type origin struct{}

func (origin) Request(x *Exchange) (*Answer, error) {
	if x.Visitor.Grant() == nil || safe(x.Request.Method) || ownPage(&x.Request) || x.allowedOrigin() && x.Route.CORS.Credentials {
		return nil, nil
	}
	return nil, errOtherSite
}

func (origin) Response(*Exchange, *relay.ResponseHead, From) {}

// upgradeOrigin refuses a WebSocket of another site's page (policy.Decision.AdmitsUpgrade).
type upgradeOrigin struct{}

func (upgradeOrigin) Request(x *Exchange) (*Answer, error) {
	if x.Request.Upgrade == "" {
		return nil, nil
	}
	d := policy.Decision{Route: x.Route, Behind: x.behind}
	if d.AdmitsUpgrade(ownPage(&x.Request), x.allowedOrigin()) {
		return nil, nil
	}
	return nil, errOtherSite
}

func (upgradeOrigin) Response(*Exchange, *relay.ResponseHead, From) {}

var errOtherSite = &mezu.Error{Code: mezu.CodeForbidden, Detail: "the request comes from a page of another site"}

// safe reports whether a request with the method is not meant to change anything (RFC 9110,
// 9.2.1).
func safe(method string) bool { return method == "GET" || method == "HEAD" || method == "OPTIONS" }

// ownPage reports whether a request comes from a page of its own host or from none
// (policy.OwnPage). One with a field twice does not.
func ownPage(r *relay.Request) bool {
	from, site, twice := "", "", false
	for i := range r.Fields {
		switch f := &r.Fields[i]; {
		case f.Is("origin"):
			twice = twice || from != ""
			from = string(f.Value)
		case f.Is("sec-fetch-site"):
			twice = twice || site != ""
			site = string(f.Value)
		}
	}
	return !twice && policy.OwnPage(r.Authority, from, site)
}
