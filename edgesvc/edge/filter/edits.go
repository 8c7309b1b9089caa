package filter

import "github.com/mezusphere/mezu/relay"

// edits are the fields that a route removes from responses and sets in them: of its workload, of its
// redirect and of its respond. The edge's own refusals stay as they are, and so does what other
// filters add afterwards: CORS, the rate limit, cookies of ours.
type edits struct{}

func (edits) Request(*Exchange) (*Answer, error) { return nil, nil }

func (edits) Response(x *Exchange, h *relay.ResponseHead, from From) {
	if e := x.Route.ResponseEdits; e != nil && from != FromRefusal && x.asked.Method == "" {
		h.Fields = relay.Edit(h.Fields, e)
	}
}

// early takes the fields that are set or removed out of a 1xx response.
func (edits) early(x *Exchange, h *relay.ResponseHead) {
	if e := x.Route.ResponseEdits; e != nil {
		h.Fields = relay.Without(h.Fields, e)
	}
}
