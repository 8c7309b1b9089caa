// Package filter is the edge's own policy on requests that a route allows: what only the
// edge enforces, on the request before anything of it goes to a Warpgate, and on the
// response before anything of it goes to the client.
//
// What lives here: filters, one a file, and the order in which they are asked. What may
// not: the choice of the route, authorization and address rules, which a Warpgate proves a
// second time (package policy); reading and writing messages (package relay); sockets.
// edgesvc/edge/web alone imports it, and calls each of the two methods of Chain in one
// place, for all versions of HTTP.
package filter

import (
	"net/netip"

	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// Exchange is what filters see of a request.
type Exchange struct {
	// Request is in its canonical form. A filter may take from it what the route does not
	// let pass.
	Request relay.Request
	// Client is the client's address.
	Client netip.Addr
	// Visitor is who the client is, as far as the route asks.
	Visitor session.Visitor
	// Route is the one that was chosen. It is read only.
	Route *policy.Route
	// BodyLimit bounds the request's body in bytes; zero is no bound. A filter may lower it.
	BodyLimit int64
}

// Answer is a response that is given in the workload's place.
type Answer = policy.Answer

// Filter is one rule. Its methods are called from many goroutines, for every request that
// a route allows: what a route does not ask for must cost next to nothing.
type Filter interface {
	// Request looks at a request whose body was not read yet. It lets it pass with neither
	// an answer nor an error; an error that is a *mezu.Error is told to the client.
	Request(x *Exchange) (*Answer, error)
	// Response looks at the head of a workload's response, and may change its fields, but
	// neither its status nor its framing.
	Response(x *Exchange, h *relay.ResponseHead)
}

// Chain is filters in the order in which they see a request. They see the response in the
// opposite order, so that what the first one says of it counts.
type Chain []Filter

// Config is what filters need of the edge. All of it is required.
type Config struct {
	Sessions *session.Sessions
	// Domain is the one below which the environments of all tenants have their hosts, empty
	// before the edge has enrolled.
	Domain func() string
}

// All are the filters of this build.
func All(cfg Config) Chain {
	return Chain{cookies{cfg.Sessions, cfg.Domain}, webSocket{}, origin{}, bodyLimit{}}
}

// Request asks each filter until one answers or refuses.
func (c Chain) Request(x *Exchange) (*Answer, error) {
	for _, f := range c {
		if a, err := f.Request(x); a != nil || err != nil {
			return a, err
		}
	}
	return nil, nil
}

// Response shows the response to each filter.
func (c Chain) Response(x *Exchange, h *relay.ResponseHead) {
	for i := len(c) - 1; i >= 0; i-- {
		c[i].Response(x, h)
	}
}
