package filter

import (
	"bytes"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// limit counts requests of a route's clients at one of the two steps where it may be known whose
// they are. A preflight never comes to it. Whose a request is depends on what was verified alone: the
// user of a session, or the address at the other end of the connection.
type limit struct {
	table *gcra.Table
	step  policy.Step
}

// Fields of limits (draft-ietf-httpapi-ratelimit-headers-11).
var (
	fieldPolicy = []byte("RateLimit-Policy")
	fieldLimit  = []byte("RateLimit")
)

var errLimited = &mezu.Error{Code: mezu.CodeRateLimited, Detail: "more requests than the route's rate_limit lets through"}

func (f limit) Request(x *Exchange) (*Answer, error) {
	l := x.Route.Limit
	if l == nil || l.Step() != f.step {
		return nil, nil
	}
	x.left, x.counted = f.table.Take(&l.Rule, f.client(x), f.table.Now()), true
	if !x.left.Refused {
		return nil, nil
	}
	x.Wait = x.left.Wait
	return nil, errLimited
}

// client is whose request it is.
func (f limit) client(x *Exchange) gcra.Key {
	if g := x.Visitor.Grant(); g != nil && x.Route.Limit.By == mezu.LimitByUser {
		return f.table.Text(g.User)
	}
	return gcra.Address(x.Client)
}

// Response says what the limit is and what is left of it. Of a request that was refused before it was
// counted, and of a preflight, nothing is left to say.
func (f limit) Response(x *Exchange, h *relay.ResponseHead, from From) {
	l := x.Route.Limit
	if l == nil || l.Step() != f.step || x.asked.Method != "" {
		return
	}
	if from == FromWorkload {
		h.Fields = withoutDefault(h.Fields)
	}
	h.Fields = append(h.Fields, relay.Field{Name: fieldPolicy, Value: l.Policy})
	if x.counted {
		x.quota = strconv.AppendInt(append(x.quota[:0], `"default";r=`...), int64(x.left.Left), 10)
		x.quota = strconv.AppendInt(append(x.quota, ";t="...), Seconds(x.left.Wait), 10)
		h.Fields = append(h.Fields, relay.Field{Name: fieldLimit, Value: x.quota})
	}
}

// withoutDefault takes away, in place, what the workload says of a policy that has the name of ours:
// a response has each policy once. What it says of others stays beside ours.
func withoutDefault(fields []relay.Field) []relay.Field {
	left := fields[:0]
	for _, f := range fields {
		if !(f.Is("ratelimit") || f.Is("ratelimit-policy")) || !bytes.Contains(f.Value, []byte(`"default"`)) {
			left = append(left, f)
		}
	}
	return left
}

// Seconds is a wait in whole seconds, rounded up: whoever waits so long is not too early.
func Seconds(wait time.Duration) int64 { return int64((wait + time.Second - 1) / time.Second) }
