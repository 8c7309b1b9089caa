package filter

import "github.com/mezusphere/mezu/relay"

// bodyLimit refuses a request that says itself that its body is too large. One that does
// not say how large it is is cut where the limit is reached, when its body is read.
type bodyLimit struct{}

func (bodyLimit) Request(x *Exchange) (*Answer, error) {
	if x.BodyLimit > 0 && x.Request.Framing == relay.Length && x.Request.Length > x.BodyLimit {
		return nil, relay.ErrOverrun
	}
	return nil, nil
}

func (bodyLimit) Response(*Exchange, *relay.ResponseHead, From) {}
