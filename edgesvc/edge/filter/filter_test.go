package filter

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/trust"
)

// noting is a filter that notes that it was asked.
type noting struct {
	name   string
	answer *Answer
	err    error
	asked  *[]string
}

func (s noting) Request(*Exchange) (*Answer, error) {
	*s.asked = append(*s.asked, s.name)
	return s.answer, s.err
}

func (s noting) Response(*Exchange, *relay.ResponseHead, From) { *s.asked = append(*s.asked, s.name) }

// Filters are asked in the order of their steps. The first answer or refusal counts, and no filter
// behind it is asked; the response goes through all of them, backwards.
func TestChain(t *testing.T) {
	answer, refusal := &Answer{Status: 308}, &mezu.Error{Code: mezu.CodeRateLimited}
	for _, c := range []struct {
		second noting
		want   []string
	}{
		{noting{}, []string{"a", "b", "c"}},
		{noting{answer: answer}, []string{"a", "b"}},
		{noting{err: refusal}, []string{"a", "b"}},
	} {
		var asked []string
		c.second.name, c.second.asked = "b", &asked
		all := chain(placed{policy.StepHead, noting{name: "d", asked: &asked}}, placed{policy.StepAddressLimit, noting{name: "c", asked: &asked}},
			placed{policy.StepPreflight, noting{name: "a", asked: &asked}}, placed{policy.StepSize, c.second})
		x := &Exchange{}
		a, err := all.Before(x)
		if a != c.second.answer || err != c.second.err || !slices.Equal(asked, c.want) {
			t.Errorf("%v, %v, asked %q", a, err, asked)
		}
		if (x.Step == policy.StepSize) != (a != nil || err != nil) {
			t.Errorf("at step %s", x.Step)
		}
		asked = nil
		if all.After(x); !slices.Equal(asked, []string{"d"}) {
			t.Errorf("afterwards %q", asked)
		}
		asked = nil
		if all.Response(x, nil, FromWorkload); !slices.Equal(asked, []string{"d", "c", "b", "a"}) {
			t.Errorf("shown to %q", asked)
		}
	}
}

// request has a chain look at a request, as if it were authorized.
func (c *Chain) request(x *Exchange) (*Answer, error) {
	if a, err := c.Before(x); a != nil || err != nil {
		return a, err
	}
	return c.After(x)
}

// all are the filters of an edge that knows nobody.
func all() *Chain {
	none := func() *trust.Anchor { return nil }
	c := All(Config{Sessions: session.New(session.Config{Trust: none, Limits: gcra.NewTable(nil), Now: time.Now}), Limits: gcra.NewTable(nil), Domain: func() string { return "edge.example" }})
	return &c
}

func TestAll_WebSocket(t *testing.T) {
	for on, want := range map[bool]string{true: "websocket", false: ""} {
		x := &Exchange{Request: relay.Request{Upgrade: "websocket"}, Route: &policy.Route{Route: &mezu.Route{}, WebSocket: on}}
		if a, err := all().request(x); a != nil || err != nil || x.Request.Upgrade != want {
			t.Errorf("%v: %v, %v, upgrade to %q", on, a, err, x.Request.Upgrade)
		}
	}
}

func TestAll_BodyLimit(t *testing.T) {
	for _, c := range []struct {
		framing       relay.Framing
		length, limit int64
		passes        bool
	}{
		{relay.Length, 10, 0, true},
		{relay.Length, 10, 10, true},
		{relay.Length, 11, 10, false},
		{relay.Chunked, 0, 10, true},
		{relay.NoBody, 0, 10, true},
	} {
		x := &Exchange{Request: relay.Request{Framing: c.framing, Length: c.length}, Route: &policy.Route{Route: &mezu.Route{}}, BodyLimit: c.limit}
		if a, err := all().request(x); a != nil || c.passes != (err == nil) || !c.passes && !errors.Is(err, relay.ErrOverrun) {
			t.Errorf("%+v: %v, %v", c, a, err)
		}
	}
}

// Filters cost no memory where a route asks for nothing.
func TestAll_AllocatesNothing(t *testing.T) {
	chain, x, h := all(), &Exchange{Route: &policy.Route{Route: &mezu.Route{}}}, &relay.ResponseHead{}
	h.Fields = fields("Content-Type", "text/html", "Set-Cookie", "a=b; Path=/", "Date", "today")
	if n := testing.AllocsPerRun(100, func() {
		chain.request(x)
		chain.Response(x, h, FromWorkload)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
