package edge

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/edgesvc/edge/waf"
	"github.com/mezusphere/mezu/edgesvc/edge/web"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/testkit"
)

func value(c prometheus.Counter) float64 {
	var m dto.Metric
	c.Write(&m)
	return m.GetCounter().GetValue()
}

// The log is told of the first refusal of an address at a step at once, and then once a minute of
// the last one, with how many there were.
func TestRefusals(t *testing.T) {
	var log testkit.Buffer
	now := time.Unix(1000, 0)
	l := newRefusals(slog.New(slog.NewTextHandler(&log, nil)))
	refuse := func(id, address string, step policy.Step, code mezu.Code, found *waf.Inspection) {
		l.note(&web.Refusal{Step: step, Code: code, RequestID: id, Environment: "env", Route: "r", Client: netip.MustParseAddr(address), Inspection: found}, now)
	}
	expect := func(what string, want ...string) {
		t.Helper()
		got := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		for i := range got {
			_, got[i], _ = strings.Cut(got[i], " ")
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: the log says\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for i := range 100 {
		refuse(fmt.Sprint("a", i), "192.0.2.1", policy.StepUserLimit, mezu.CodeRateLimited, nil)
	}
	first := `level=INFO msg="a request is refused" request_id=a0 step=user_limit count=1 code=rate_limited environment=env route=r address=192.0.2.1`
	expect("a hundred", first)
	attack := &waf.Inspection{Verdict: waf.Verdict{Result: waf.Attack, Score: 10, Rules: []int{942100}}}
	large := &waf.Inspection{Verdict: waf.Verdict{Result: waf.Exceeds, Partial: "body"}, Detect: true}
	refuse("b", "192.0.2.1", policy.StepHead, mezu.CodeForbidden, attack)
	refuse("c", "192.0.2.1", policy.StepHead, "", large)
	refuse("d", "2001:db8::1", policy.StepHead, mezu.CodeForbidden, attack)
	refuse("e", "2001:db8::2", policy.StepHead, mezu.CodeForbidden, attack)
	all := []string{first,
		`level=WARN msg="the firewall found something" request_id=b step=waf_head count=1 code=forbidden environment=env route=r address=192.0.2.1 mode=block score=10 rules=[942100]`,
		`level=WARN msg="the firewall found something" request_id=c step=waf_head count=1 environment=env route=r address=192.0.2.1 mode=detect score=0 rules=[] partial=body`,
		`level=WARN msg="the firewall found something" request_id=d step=waf_head count=1 code=forbidden environment=env route=r address=2001:db8::1 mode=block score=10 rules=[942100]`}
	expect("what the firewall finds", all...)
	now = now.Add(shed.TellEvery - 1)
	l.digest.Tell(now, false)
	expect("before a minute has passed", all...)
	now = now.Add(1)
	l.digest.Tell(now, false)
	got := log.String()
	if strings.Count(got, "\n") != 6 || !strings.Contains(got, "request_id=a99 step=user_limit count=99") || !strings.Contains(got, "request_id=e step=waf_head count=1") {
		t.Errorf("after a minute: %s", got)
	}
	now = now.Add(shed.TellEvery)
	l.digest.Tell(now, false)
	if log.String() != got || l.digest.Len() != 0 {
		t.Errorf("%d are kept of whom nothing more is to be told", l.digest.Len())
	}
	// What the firewall only detects does not say to be blocked when another step refuses it.
	refuse("g", "192.0.2.9", policy.StepBody, mezu.CodeUnauthenticated, large)
	if got := log.String(); !strings.Contains(got, "request_id=g step=body count=1 code=unauthenticated environment=env route=r address=192.0.2.9 mode=detect") {
		t.Errorf("detected and refused: %s", got)
	}
	now = now.Add(2 * shed.TellEvery)
	l.digest.Tell(now, false)
	// Of more addresses than have room the log tells together, and at the end at once.
	for a := range 10_000 {
		refuse("f", fmt.Sprintf("10.0.%d.%d", a/256, a%256), policy.StepAuth, mezu.CodeUnauthenticated, nil)
	}
	l.digest.Tell(now, true)
	if n := strings.Count(log.String(), "\n"); l.digest.Len() > maxTold+1 || n != 7+maxTold+2 || !strings.Contains(log.String(), fmt.Sprintf("count=%d code=unauthenticated environment=env route=r address=others", 10_000-maxTold-1)) {
		t.Errorf("%d lines, %d are kept", n, l.digest.Len())
	}
}

// The firewall's metrics count all that it judges.
func TestMetrics_Inspections(t *testing.T) {
	m := newMetrics()
	for range 100 {
		m.inspected(&waf.Inspection{Verdict: waf.Verdict{Result: waf.Attack, Took: time.Millisecond}})
		m.inspected(&waf.Inspection{Verdict: waf.Verdict{Result: waf.Passes}})
	}
	m.inspected(&waf.Inspection{Verdict: waf.Verdict{Result: waf.Exceeds}, Detect: true})
	if block, detect := value(m.wafMatches[false]), value(m.wafMatches[true]); block != 100 || detect != 1 {
		t.Errorf("%v matches, %v detected", block, detect)
	}
}
