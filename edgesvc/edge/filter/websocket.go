package filter

import "github.com/mezusphere/mezu/relay"

// webSocket makes an ordinary request of one that asks for WebSocket on a route that has
// it off: the workload answers as it does without.
type webSocket struct{}

func (webSocket) Request(x *Exchange) (*Answer, error) {
	if x.Request.Upgrade != "" && !x.Route.WebSocket {
		x.Request.Upgrade = ""
	}
	return nil, nil
}

func (webSocket) Response(*Exchange, *relay.ResponseHead, From) {}
