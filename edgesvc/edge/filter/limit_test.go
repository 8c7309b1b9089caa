package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/trust"
)

// counting is a chain whose limits have a clock that the test moves.
func counting() (c *Chain, clock *time.Duration) {
	clock = new(time.Duration)
	*clock = time.Hour
	table := gcra.NewTable(func() time.Duration { return *clock })
	all := All(Config{Sessions: session.New(session.Config{Trust: func() *trust.Anchor { return nil }, Limits: table, Now: time.Now}), Limits: table, Domain: func() string { return "edge.example" }})
	return &all, clock
}

// limited are routes with a limit.
func limited(requests int, per time.Duration, by mezu.LimitBy) mezu.Route {
	return mezu.Route{RateLimit: &mezu.RateLimit{Requests: requests, Per: mezu.Duration(per), By: by}}
}

// said is what the response of the workload says of the limit.
func said(c *Chain, x *Exchange, workload ...string) []string {
	h := &relay.ResponseHead{}
	h.Fields = fields(workload...)
	c.Response(x, h, FromWorkload)
	return slices.DeleteFunc(lines(h.Fields), func(l string) bool { return !strings.HasPrefix(strings.ToLower(l), "ratelimit") })
}

// Each response says what is left, and a refusal how long to wait: the true time, rounded up.
func TestLimit_Fields(t *testing.T) {
	c, clock := counting()
	x := chosen(t, limited(3, 4*time.Second, mezu.LimitByIP), "GET")
	x.Client = netip.MustParseAddr("192.0.2.1")
	policyLine := `RateLimit-Policy: "default";q=3;w=4`
	for i, want := range []struct {
		after time.Duration
		left  string
		code  mezu.Code
	}{
		{0, `"default";r=2;t=2`, ""}, {0, `"default";r=1;t=3`, ""}, {0, `"default";r=0;t=2`, ""}, {0, `"default";r=0;t=2`, mezu.CodeRateLimited},
		{time.Second, `"default";r=0;t=1`, mezu.CodeRateLimited}, {333 * time.Millisecond, `"default";r=0;t=1`, mezu.CodeRateLimited}, {time.Millisecond, `"default";r=0;t=2`, ""}, {time.Minute, `"default";r=2;t=2`, ""},
	} {
		*clock += want.after
		x.Wait, x.counted, x.Step = 0, false, 0
		_, err := c.request(x)
		if got := said(c, x); mezu.CodeOf(err) != want.code || !slices.Equal(got, []string{policyLine, "RateLimit: " + want.left}) {
			t.Errorf("request %d: %v, %q", i, err, got)
		}
		if (want.code != "") != (x.Step == policy.StepAddressLimit) || (want.code != "") != (x.Wait > 0) {
			t.Errorf("request %d: refused at %s, to come again in %v", i, x.Step, x.Wait)
		}
	}
	// What the workload says of policies of its own stays.
	got := said(c, x, "ratelimit", `"default";r=5`, "RateLimit-Policy", `"daily";q=1000`)
	if !slices.Equal(got, []string{`RateLimit-Policy: "daily";q=1000`, policyLine, `RateLimit: "default";r=2;t=2`}) {
		t.Errorf("beside the workload's: %q", got)
	}
	if got := said(c, chosen(t, mezu.Route{}, "GET"), "RateLimit", `"default";r=5`); !slices.Equal(got, []string{`RateLimit: "default";r=5`}) {
		t.Errorf("without a limit: %q", got)
	}
}

// H9: a request counts by what was verified: the address of the other end, which nothing in the head
// changes, and with it all that one subscriber of IPv6 has.
func TestH9_LimitsCountByTheAddressOfThePeer(t *testing.T) {
	for _, by := range []mezu.LimitBy{mezu.LimitByIP, mezu.LimitByKey, mezu.LimitByUser} {
		c, _ := counting()
		ask := func(address string, in ...string) mezu.Code {
			x := chosen(t, limited(1, time.Hour, by), "GET", in...)
			x.Client = netip.MustParseAddr(address)
			_, err := c.request(x)
			return mezu.CodeOf(err)
		}
		for _, step := range []struct {
			address string
			in      []string
			want    mezu.Code
		}{
			{"192.0.2.1", nil, ""},
			{"192.0.2.1", []string{"X-Forwarded-For", "198.51.100.1, 198.51.100.2, 198.51.100.3, 198.51.100.4, 198.51.100.5"}, mezu.CodeRateLimited},
			{"192.0.2.1", []string{"Forwarded", "for=198.51.100.1", "X-Real-IP", "198.51.100.1", "True-Client-IP", "198.51.100.1", "Authorization", "Bearer a", "X-API-Key", "b", "Cookie", "a=b"}, mezu.CodeRateLimited},
			{"::ffff:192.0.2.1", nil, mezu.CodeRateLimited},
			{"192.0.2.2", nil, ""},
			{"2001:db8:0:1::1", nil, ""},
			{"2001:db8:0:1:2:3:4:5", nil, mezu.CodeRateLimited},
			{"2001:db8:0:1:ffff:ffff:ffff:ffff", nil, mezu.CodeRateLimited},
			{"2001:db8:0:2::1", nil, ""},
		} {
			if got := ask(step.address, step.in...); got != step.want {
				t.Errorf("by %s, %s %q: %q, want %q", by, step.address, step.in, got, step.want)
			}
		}
	}
}

// Preflights are not counted, and are told nothing of the limit.
func TestLimit_PreflightsAreFree(t *testing.T) {
	c, _ := counting()
	r := limited(1, time.Hour, mezu.LimitByIP)
	r.CORS = &mezu.CORS{AllowOrigins: []string{"https://a.example"}}
	for range 3 {
		x := chosen(t, r, "OPTIONS", "Origin", "https://a.example", "Access-Control-Request-Method", "GET")
		if a, err := c.Before(x); a == nil || err != nil || len(said(c, x)) != 0 {
			t.Fatalf("%v, %v, %q", a, err, said(c, x))
		}
	}
	if _, err := c.Before(chosen(t, r, "GET", "Origin", "https://a.example")); err != nil {
		t.Error(err)
	}
}

// The clients of one environment take an eighth of the table at most, however many there are. The limits of another
// environment go on as if nothing was.
func TestLimit_OneEnvironmentOfMany(t *testing.T) {
	c, _ := counting()
	route := limited(1, 24*time.Hour, mezu.LimitByIP)
	x := chosen(t, route, "GET")
	passed := 0
	for i := range 4 * gcra.MaxTable / 8 {
		x.Client, x.Wait, x.counted, x.Step = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 0, false, 0
		if _, err := c.Before(x); err == nil {
			passed++
		}
	}
	table := c.all[slices.IndexFunc(c.all, func(p placed) bool { return p.step == policy.StepAddressLimit })].Filter.(limit).table
	if n := table.Keys(); n > gcra.MaxTable/8+1 || passed > n {
		t.Errorf("%d keys, %d passed", n, passed)
	}
	bundle := &mezu.Bundle{Position: mezu.Position{Epoch: 1, Revision: 1}, Environment: "env_00000000000000000000000002", Endpoint: "blog-acme", Enabled: true, Routes: []mezu.Route{{Prefix: "/", RateLimit: route.RateLimit}}}
	another, err := policy.Compile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	d := another.Choose(&policy.Request{Method: "GET", Path: mezu.Path{Path: "/"}})
	for i := range 100 {
		x.Begin()
		x.Choose(nil, &d)
		x.Client = netip.MustParseAddr(fmt.Sprint("192.0.2.", i))
		if _, err := c.Before(x); err != nil {
			t.Fatalf("a client of another environment: %v", err)
		}
	}
}

func TestLimit_AllocatesNothing(t *testing.T) {
	c, _ := counting()
	for _, by := range []mezu.LimitBy{mezu.LimitByIP, mezu.LimitByUser} {
		x, h := chosen(t, limited(1_000_000, time.Second, by), "GET"), &relay.ResponseHead{}
		x.Client = netip.MustParseAddr("2001:db8::1")
		h.Fields = make([]relay.Field, 0, 8)
		if n := testing.AllocsPerRun(100, func() {
			c.request(x)
			h.Fields = h.Fields[:0]
			c.Response(x, h, FromWorkload)
		}); n > 0 {
			t.Errorf("by %s: %v allocations", by, n)
		}
	}
}

// BenchmarkLimit is what a limit costs a request and its response.
func BenchmarkLimit(b *testing.B) {
	table := gcra.NewTable(nil)
	for _, by := range []mezu.LimitBy{mezu.LimitByIP, mezu.LimitByUser} {
		b.Run(string(by), func(b *testing.B) {
			x, h := chosen(b, limited(1_000_000, time.Second, by), "GET"), &relay.ResponseHead{}
			h.Fields = make([]relay.Field, 0, 8)
			f := limit{table, x.Route.Limit.Step()}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				x.Client = netip.AddrFrom4([4]byte{10, 0, byte(i>>8) & 0x3f, byte(i)})
				f.Request(x)
				h.Fields = h.Fields[:0]
				f.Response(x, h, FromWorkload)
				i++
			}
		})
	}
}
