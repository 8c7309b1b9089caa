package policy_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// A limit is the same one as long as the environment, the route and its values are, whatever else
// changes around it.
func TestLimit_Identity(t *testing.T) {
	limited := func(change func(*mezu.Route)) *policy.Limit {
		t.Helper()
		r := mezu.Route{Name: "api", Prefix: "/api/", RateLimit: &mezu.RateLimit{Requests: 100, Per: mezu.Duration(time.Minute), By: mezu.LimitByIP}}
		change(&r)
		d := table(t, r, mezu.Route{Prefix: "/"}).Decide(request(t, "GET", "/api/v2/"))
		if d.Route == nil || d.Route.Limit == nil {
			t.Fatalf("%+v", d)
		}
		return d.Route.Limit
	}
	first := limited(func(*mezu.Route) {})
	if got := string(first.Policy); got != `"default";q=100;w=60` {
		t.Errorf("the policy is %s", got)
	}
	if first.Interval != 600*time.Millisecond || first.Tolerance != 99*600*time.Millisecond || first.Step() != policy.StepAddressLimit {
		t.Errorf("%+v at %s", first.Rule, first.Step())
	}
	for name, c := range map[string]struct {
		change func(*mezu.Route)
		same   bool
	}{
		"nothing":           {func(*mezu.Route) {}, true},
		"its path":          {func(r *mezu.Route) { r.Prefix = "/api/v2/" }, true},
		"what it does":      {func(r *mezu.Route) { r.Retries, r.Upstream = new(int), "localhost:9000" }, true},
		"the same in words": {func(r *mezu.Route) { r.RateLimit.Burst, r.RateLimit.Per = 100, mezu.Duration(60e9) }, true},
		"its name":          {func(r *mezu.Route) { r.Name = "web" }, false},
		"how many":          {func(r *mezu.Route) { r.RateLimit.Requests = 101 }, false},
		"how many at once":  {func(r *mezu.Route) { r.RateLimit.Burst = 10 }, false},
		"in which time":     {func(r *mezu.Route) { r.RateLimit.Per = mezu.Duration(time.Hour) }, false},
		"by what":           {func(r *mezu.Route) { r.RateLimit.By = mezu.LimitByKey }, false},
	} {
		if got := limited(c.change); (got.ID == first.ID) != c.same || got.Owner != first.Owner {
			t.Errorf("%s: the same limit %v, of the same environment %v", name, got.ID == first.ID, got.Owner == first.Owner)
		}
	}
	if l := limited(func(r *mezu.Route) {
		r.RateLimit = &mezu.RateLimit{Requests: 3, Burst: 1, Per: mezu.Duration(1500 * time.Millisecond), By: mezu.LimitByUser}
	}); string(l.Policy) != `"default";q=3;w=2` || l.Interval != 500*time.Millisecond || l.Tolerance != 0 || l.Step() != policy.StepUserLimit {
		t.Errorf("%+v %s", l, l.Policy)
	}
	// More than may be asked for, which an earlier build has stored.
	if l := limited(func(r *mezu.Route) { r.RateLimit.Per = 30 * mezu.MaxRatePer }); string(l.Policy) != `"default";q=100;w=86400` {
		t.Errorf("%s", l.Policy)
	}
}
