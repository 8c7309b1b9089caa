package policy

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/mezusphere/mezu"
)

// maxHops is how many redirects of an environment an edge follows to find out whether they lead back
// to the first. Browsers give up after twenty.
const maxHops = 20

// answer is what a route says in its workload's place.
type answer struct {
	redirect *mezu.Redirect
	to       *mezu.Target
	status   int
	said     *Answer // of respond
	private  bool    // a cache that many share must not keep it
}

// compileAnswer prepares the answer of a route whose values are valid; nil if it has none.
func compileAnswer(r *mezu.Route, asks bool) (*answer, error) {
	switch {
	case r.Redirect != nil:
		to, err := mezu.ParseTarget(r.Redirect.To)
		return &answer{redirect: r.Redirect, to: to, status: cmp.Or(r.Redirect.Status, http.StatusFound), private: asks}, err
	case r.Respond != nil:
		said := &Answer{Status: cmp.Or(r.Respond.Status, http.StatusOK), Body: []byte(r.Respond.Body)}
		if len(said.Body) > 0 {
			said.Header = append(said.Header, Header{"Content-Type", cmp.Or(r.Respond.ContentType, "text/plain; charset=utf-8")}, Header{"X-Content-Type-Options", "nosniff"})
		}
		if asks {
			said.Header = append(said.Header, private)
		}
		return &answer{said: said}, nil
	}
	return nil, nil
}

// private keeps the answer of a route that asks for a login out of caches that others read.
var private = Header{"Cache-Control", "private"}

// Answer is what a route that answers itself says to a request, which was made of authority, with
// the query as it came. A redirect that leads back to its own route says nothing but that: a browser
// would go round in it.
func (t *Table) Answer(route *Route, r *Request, authority, query string) (*Answer, error) {
	a := route.answer
	if a.said != nil {
		return a.said, nil
	}
	query = strings.TrimPrefix(query, "?")
	location, path := a.to.Fill(route.Sent(r.Path.Path), query)
	if t.returns(route, r, authority, path) {
		return nil, &mezu.Error{Code: mezu.CodeRouteUnavailable, Detail: "the route's redirect leads back to itself"}
	}
	out := &Answer{Status: a.status, Header: []Header{{"Location", location}}}
	if a.private {
		out.Header = append(out.Header, private)
	}
	return out, nil
}

// returns reports whether a client that follows a route's redirect to a path, and those behind it,
// comes to the same route again by a path that is not shorter: then the next time does not end it.
// Conditions are judged by what this request carries.
func (t *Table) returns(route *Route, r *Request, authority, path string) bool {
	next, at := *r, route
	for range maxHops {
		if to := at.answer.to; to.Origin != "" && to.Authority != authority {
			return false
		}
		canonical, err := mezu.CanonicalPath(path)
		if err != nil {
			return false
		}
		next.Method, next.Path = at.answer.redirect.Next(next.Method), canonical
		g, d := t.match(canonical.Path, nil)
		if g == nil || d.Code != "" {
			return false
		}
		if at, _ = g.choose(&next, nil); at == nil || at.answer == nil || at.answer.to == nil {
			return false
		}
		if at == route && len(canonical.Path) >= len(r.Path.Path) {
			return true
		}
		_, path = at.answer.to.Fill(at.Sent(canonical.Path), "")
	}
	return false
}
