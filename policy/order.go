package policy

import "github.com/mezusphere/mezu"

// Step is one of the steps in which a request is judged, from the first byte of its connection to
// the last field of its response. A request that one step refuses does not come to the next.
type Step uint8

// The steps in their order, alike in every version of HTTP. A WebSocket, an event stream and a call
// of gRPC are judged once, at their start.
const (
	StepLoad         Step = iota + 1 // how much there is, and how much of one address
	StepForm                         // canonical form, host, environment
	StepRoute                        // the choice of the route
	StepAddress                      // address rules of the environment, then of the route
	StepPreflight                    // the answer to a preflight of CORS
	StepSize                         // the declared length, upgrades and their origin
	StepAddressLimit                 // limits by address, and of failed credentials
	StepAuth                         // login, roles, permissions
	StepUserLimit                    // limits by user and key
	StepAnswer                       // redirect, respond
	StepHead                         // firewall on the head
	StepBody                         // webhook signature and firewall on the body
	StepRewrite                      // what the workload sees instead of what the client sent
	StepResponse                     // what the client sees instead of what the workload sent
)

// Sides are where a step is taken.
type Sides uint8

// Sides of a tunnel.
const (
	AtEdge Sides = 1 << iota
	AtWarpgate
	AtBoth = AtEdge | AtWarpgate
)

// Rule is what a step is. Name is its label in metrics and logs, Title is for people, and Codes
// are those of its refusals.
type Rule struct {
	Step  Step
	Name  string
	Title string
	Sides Sides
	Codes []mezu.Code
}

// order is the one table that code, routes test and docs/traffic.md share.
var order = [...]Rule{
	{StepLoad, "load", "shedding; connections, handshakes and requests of an address", AtEdge, []mezu.Code{mezu.CodeRateLimited, mezu.CodeOverloaded}},
	{StepForm, "form", "canonical form, host, environment on; maintenance (edge)", AtBoth, []mezu.Code{mezu.CodeNotCanonical, mezu.CodeUnknownHost, mezu.CodeEnvironmentDisabled, mezu.CodeMaintenance}},
	{StepRoute, "route", "route, and that of a stripped path; closed field", AtBoth, []mezu.Code{mezu.CodeNoRoute, mezu.CodeMethodNotAllowed, mezu.CodeRouteUnavailable}},
	{StepAddress, "address", "address rules: the environment's, then the route's", AtBoth, []mezu.Code{mezu.CodeForbidden}},
	{StepPreflight, "preflight", "preflight of CORS", AtEdge, []mezu.Code{mezu.CodeForbidden}},
	{StepSize, "size", "declared length; upgrade (its Origin: edge)", AtBoth, []mezu.Code{mezu.CodeForbidden, mezu.CodeBodyTooLarge}},
	{StepAddressLimit, "address_limit", "limit by ip; failed credentials", AtEdge, []mezu.Code{mezu.CodeRateLimited}},
	{StepAuth, "auth", "login, roles, permissions", AtBoth, []mezu.Code{mezu.CodeUnauthenticated, mezu.CodeForbidden}},
	{StepUserLimit, "user_limit", "limit by user or key", AtEdge, []mezu.Code{mezu.CodeRateLimited}},
	{StepAnswer, "answer", "redirect, respond (the Warpgate refuses such a route)", AtEdge, []mezu.Code{mezu.CodeRouteUnavailable}},
	{StepHead, "waf_head", "firewall on the head", AtEdge, []mezu.Code{mezu.CodeForbidden}},
	{StepBody, "body", "webhook signature over the whole body; firewall over what it inspects", AtEdge, []mezu.Code{mezu.CodeUnauthenticated, mezu.CodeForbidden, mezu.CodeBodyTooLarge}},
	{StepRewrite, "rewrite", "strip_prefix, request_headers, host_header, X-Forwarded-*", AtWarpgate, nil},
	{StepResponse, "response", "paths, response_headers; then foreign cookies, RateLimit, CORS", AtEdge, nil},
}

// Order are the steps in their order.
func Order() []Rule { return append([]Rule(nil), order[:]...) }

// String is the name of the step, empty for none.
func (s Step) String() string {
	if s == 0 || int(s) > len(order) {
		return ""
	}
	return order[s-1].Name
}
