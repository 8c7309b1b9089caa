package filter

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/trust"
)

// step is a filter that notes that it was asked.
type step struct {
	name   string
	answer *Answer
	err    error
	asked  *[]string
}

func (s step) Request(*Exchange) (*Answer, error) {
	*s.asked = append(*s.asked, s.name)
	return s.answer, s.err
}

func (s step) Response(*Exchange, *relay.ResponseHead) { *s.asked = append(*s.asked, s.name) }

// The first answer or refusal counts, and no filter behind it is asked; the response goes
// through all of them, backwards.
func TestChain(t *testing.T) {
	answer, refusal := &Answer{Status: 308}, &mezu.Error{Code: mezu.CodeRateLimited}
	for _, c := range []struct {
		second step
		want   []string
	}{
		{step{}, []string{"a", "b", "c"}},
		{step{answer: answer}, []string{"a", "b"}},
		{step{err: refusal}, []string{"a", "b"}},
	} {
		var asked []string
		c.second.name, c.second.asked = "b", &asked
		chain := Chain{step{name: "a", asked: &asked}, c.second, step{name: "c", asked: &asked}}
		if a, err := chain.Request(&Exchange{}); a != c.second.answer || err != c.second.err || !slices.Equal(asked, c.want) {
			t.Errorf("%v, %v, asked %q", a, err, asked)
		}
		asked = nil
		if chain.Response(&Exchange{}, nil); !slices.Equal(asked, []string{"c", "b", "a"}) {
			t.Errorf("shown to %q", asked)
		}
	}
}

// all are the filters of an edge that knows nobody.
func all() Chain {
	none := func() *trust.Anchor { return nil }
	return All(Config{Sessions: session.New(session.Config{Trust: none, Now: time.Now}), Domain: func() string { return "edge.example" }})
}

func TestAll_WebSocket(t *testing.T) {
	for on, want := range map[bool]string{true: "websocket", false: ""} {
		x := &Exchange{Request: relay.Request{Upgrade: "websocket"}, Route: &policy.Route{WebSocket: on}}
		if a, err := all().Request(x); a != nil || err != nil || x.Request.Upgrade != want {
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
		x := &Exchange{Request: relay.Request{Framing: c.framing, Length: c.length}, Route: &policy.Route{}, BodyLimit: c.limit}
		if a, err := all().Request(x); a != nil || c.passes != (err == nil) || !c.passes && !errors.Is(err, relay.ErrOverrun) {
			t.Errorf("%+v: %v, %v", c, a, err)
		}
	}
}

// Filters cost no memory where a route asks for nothing.
func TestAll_AllocatesNothing(t *testing.T) {
	chain, x, h := all(), &Exchange{Route: &policy.Route{}}, &relay.ResponseHead{}
	h.Fields = fields("Content-Type", "text/html", "Set-Cookie", "a=b; Path=/", "Date", "today")
	if n := testing.AllocsPerRun(100, func() {
		chain.Request(x)
		chain.Response(x, h)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
