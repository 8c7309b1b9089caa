// Package filter is the edge's own policy on requests for which a route was chosen: what only the
// edge enforces, on the request before anything of it goes to a Warpgate, and on the response
// before anything of it goes to the client.
//
// What lives here: filters, one a file, and the steps at which they are asked (policy.Order). What
// may not: the choice of the route, authorization and address rules, which a Warpgate proves a
// second time (package policy); reading and writing messages (package relay); sockets.
// edgesvc/edge/web alone imports it, and calls each method of Chain in one place, for all versions
// of HTTP.
package filter

import (
	"net/netip"
	"slices"
	"time"

	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/edgesvc/edge/webhook"
	"github.com/mezusphere/mezu/gcra"
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
	// Visitor is who the client is, as far as the route asks. Before policy.StepAuth it isn't known.
	Visitor session.Visitor
	// Route is the one that was chosen, nil if none was. It is read only.
	Route *policy.Route
	// Environment is the id of the route's.
	Environment string
	// BodyLimit bounds the request's body in bytes; zero is no bound. A filter may lower it.
	BodyLimit int64
	// Keep is how much of the body filters want to see before anything of it goes on; zero is
	// nothing. A filter may raise it.
	Keep int64
	// Judge judges the body as it comes, nil if nobody does. A filter may set it.
	Judge Judge
	// Step is the one that has refused or answered the request, zero while none has.
	Step policy.Step
	// Inspection is what the firewall has found last, nil if it has found nothing, and InspectedAt is at which
	// step.
	Inspection  *Inspection
	InspectedAt policy.Step
	// Wait is how long a client has to wait that was refused because it asks too often.
	Wait time.Duration

	table   *policy.Table    // by which the route was chosen
	behind  *policy.Route    // policy.Decision.Behind
	asked   policy.Preflight // what a preflight asks for
	reader  []byte           // which origin may read the answer, empty if none
	left    gcra.State       // of the route's limit, if the request was counted
	counted bool
	quota   []byte // the same for the client
	// verifier is of the route's webhook, nil if it has none, and taken is to be told whether the
	// workload has taken the delivery, nil if nobody asks.
	verifier *webhook.Verifier
	taken    func(bool)
}

// Answer is a response that is given in the workload's place.
type Answer = policy.Answer

// From is who has made a response.
type From uint8

// Who makes responses.
const (
	FromWorkload From = iota
	FromRoute         // what the route says: a redirect, a text, the answer to a preflight
	FromRefusal       // the edge's own
)

// Filter is one rule. Its methods are called from many goroutines, for every request for which a
// route was chosen: what a route does not ask for must cost next to nothing.
type Filter interface {
	// Request looks at a request whose body was not read yet. It lets it pass with neither
	// an answer nor an error; an error that is a *mezu.Error is told to the client.
	Request(x *Exchange) (*Answer, error)
	// Response looks at the head of a response, and may change its fields, but neither its status
	// nor its framing.
	Response(x *Exchange, h *relay.ResponseHead, from From)
}

// bodyFilter is a Filter that looks at bodies that are kept.
type bodyFilter interface {
	// Body looks at the body of a request whose Request has asked to see it. whole says that it
	// is not longer than that.
	Body(x *Exchange, body []byte, whole bool) error
}

// Judge judges a body piece by piece. What it is given and what it gives is valid until the next
// call. An error that is a *mezu.Error is told to the client, if nothing else was.
type Judge interface {
	// Write takes the next bytes, and gives those that may go on.
	Write(b []byte) ([]byte, error)
	// End takes the end, and gives what is left to go on.
	End() ([]byte, error)
	// Held is how many bytes are kept until they are judged.
	Held() int
}

// placed is a filter at the step at which it sees requests.
type placed struct {
	step policy.Step
	Filter
}

// Chain is filters in the order in which they see a request. They see the response in the
// opposite order, so that what the first one says of it counts.
type Chain struct {
	all []placed
	// authorized is the first that knows who the client is.
	authorized int
}

// Config is what filters need of the edge. All of it is required.
type Config struct {
	Sessions *session.Sessions
	// Limits counts requests by the routes' limits.
	Limits *gcra.Table
	// Domain is the one below which the environments of all tenants have their hosts, empty
	// before the edge has enrolled.
	Domain func() string
	// Firewall judges the requests of routes that have it on, and Inspected is told of each. Many
	// goroutines call it.
	Firewall  *Firewall
	Inspected func(*Inspection)
	// Webhooks verify deliveries, by the time that Now tells.
	Webhooks *Webhooks
	Now      func() time.Time
}

// All are the filters of this build.
func All(cfg Config) Chain {
	firewall := &firewall{cfg.Firewall, cfg.Inspected}
	return chain(
		placed{policy.StepPreflight, cors{}},
		placed{policy.StepSize, webSocket{}}, placed{policy.StepSize, upgradeOrigin{}}, placed{policy.StepSize, bodyLimit{}},
		placed{policy.StepAddressLimit, limit{cfg.Limits, policy.StepAddressLimit}},
		placed{policy.StepAuth, origin{}},
		placed{policy.StepAnswer, answers{}},
		placed{policy.StepHead, firewallHead{firewall}}, placed{policy.StepBody, signature{cfg.Webhooks, cfg.Now}}, placed{policy.StepBody, firewallBody{firewall}},
		placed{policy.StepUserLimit, limit{cfg.Limits, policy.StepUserLimit}},
		placed{policy.StepResponse, cookies{cfg.Sessions, cfg.Domain}}, placed{policy.StepResponse, edits{}}, placed{policy.StepResponse, paths{}},
	)
}

// chain puts filters in the order of their steps.
func chain(all ...placed) Chain {
	slices.SortStableFunc(all, func(a, b placed) int { return int(a.step) - int(b.step) })
	after := slices.IndexFunc(all, func(p placed) bool { return p.step >= policy.StepAuth })
	if after < 0 {
		after = len(all)
	}
	return Chain{all, after}
}

// Before asks the filters that don't depend on who the client is until one answers or refuses.
func (c *Chain) Before(x *Exchange) (*Answer, error) { return ask(c.all[:c.authorized], x) }

// After asks the others.
func (c *Chain) After(x *Exchange) (*Answer, error) { return ask(c.all[c.authorized:], x) }

func ask(filters []placed, x *Exchange) (*Answer, error) {
	for i := range filters {
		if a, err := filters[i].Request(x); a != nil || err != nil {
			x.Step = filters[i].step
			return a, err
		}
	}
	return nil, nil
}

// Body shows the kept body to each filter that looks at bodies, until one refuses.
func (c *Chain) Body(x *Exchange, body []byte, whole bool) error {
	for i := range c.all {
		if f, looks := c.all[i].Filter.(bodyFilter); looks {
			if err := f.Body(x, body, whole); err != nil {
				x.Step = c.all[i].step
				return err
			}
		}
	}
	return nil
}

// Response shows the response to each filter.
func (c *Chain) Response(x *Exchange, h *relay.ResponseHead, from From) {
	for i := len(c.all) - 1; i >= 0; i-- {
		c.all[i].Response(x, h, from)
	}
}

// Early shows a 1xx response of the workload to those that look at these, too.
func (c *Chain) Early(x *Exchange, h *relay.ResponseHead) { edits{}.early(x, h) }

// Begin forgets the request before.
func (x *Exchange) Begin() {
	x.Visitor.Reset()
	x.Request = relay.Request{Fields: x.Request.Fields[:0]}
	x.Route, x.table, x.BodyLimit, x.Step, x.reader, x.asked = nil, nil, 0, 0, x.reader[:0], policy.Preflight{}
	x.Keep, x.Judge, x.Inspection, x.verifier, x.taken, x.behind = 0, nil, nil, nil, nil, nil
	x.Wait, x.counted = 0, false
}

// Choose notes which route a table has chosen, if it has one, while the request's fields are there.
func (x *Exchange) Choose(t *policy.Table, d *policy.Decision) {
	x.table, x.Route, x.behind, x.Step = t, d.Route, d.Behind, d.Step
	if !d.Preflight {
		x.asked = policy.Preflight{}
	}
	if d.Route == nil {
		return
	}
	x.BodyLimit = d.Route.MaxBody
	if d.Route.CORS != nil {
		x.findReader()
	}
}
