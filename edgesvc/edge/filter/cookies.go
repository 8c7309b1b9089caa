package filter

import (
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/relay"
)

// cookies lets no workload set a cookie of ours or one for the domain that tenants share (that of
// a tunnel is its Warpgate's to set), and gives the browser a newer grant of the visitor's session beside what the workload answers.
type cookies struct {
	sessions *session.Sessions
	domain   func() string
}

func (cookies) Request(*Exchange) (*Answer, error) { return nil, nil }

func (c cookies) Response(x *Exchange, h *relay.ResponseHead, from From) {
	if from == FromRefusal {
		return
	}
	c.foreign(h)
	if from != FromWorkload {
		return
	}
	if line := c.sessions.SetCookie(&x.Visitor); line != nil {
		h.Fields = append(h.Fields, relay.Field{Name: []byte("Set-Cookie"), Value: line},
			// A cache that many share must not give one user's session to another,
			// whatever the workload says of the rest.
			relay.Field{Name: []byte("Cache-Control"), Value: []byte("private")})
	}
}

// foreign takes away what is not the workload's to set.
func (c cookies) foreign(h *relay.ResponseHead) {
	left, domain := h.Fields[:0], c.domain()
	for i := range h.Fields {
		f := h.Fields[i]
		var ok bool
		if f.Value, ok = cookie.FromWarpgate(f.Name, f.Value, domain); ok {
			left = append(left, f)
		}
	}
	h.Fields = left
}
