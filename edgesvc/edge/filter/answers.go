package filter

import (
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// answers gives the answers of routes that have one in their workload's place.
type answers struct{}

func (answers) Request(x *Exchange) (*Answer, error) {
	if !x.Route.Answers() {
		return nil, nil
	}
	return x.table.Answer(x.Route, &policy.Request{Method: x.Request.Method, Path: x.Request.Path, Client: x.Client, Carries: x.Request.Carries}, x.Request.Authority, x.Request.Query)
}

func (answers) Response(*Exchange, *relay.ResponseHead, From) {}
