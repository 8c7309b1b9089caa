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

	"github.com/mezusphere/mezu/edgesvc/edge/waf"
	"github.com/mezusphere/mezu/testkit"
)

func value(c prometheus.Counter) float64 {
	var m dto.Metric
	c.Write(&m)
	return m.GetCounter().GetValue()
}

// The log is told of the first finding of an address and of one a minute then, with a count of the
// others; metrics count all.
func TestInspections(t *testing.T) {
	var log testkit.Buffer
	now := time.Unix(0, 0)
	i := &inspections{metrics: newMetrics(), log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }, told: map[findings]*told{}}
	find := func(address string, result waf.Result, detect bool) {
		i.inspected(&waf.Inspection{Verdict: waf.Verdict{Result: result, Score: 10, Rules: []int{942100}, Partial: map[bool]string{true: "body"}[result == waf.Exceeds], Took: time.Millisecond},
			Detect: detect, RequestID: "id", Environment: "e", Route: "r", Client: netip.MustParseAddr(address)})
	}
	lines := func() int { return strings.Count(log.String(), "\n") }
	for range 100 {
		find("192.0.2.1", waf.Attack, false)
		find("192.0.2.1", waf.Passes, false)
	}
	if got := log.String(); lines() != 1 || !strings.Contains(got, "request_id=id environment=e route=r address=192.0.2.1 score=10 rules=[942100] mode=block") {
		t.Errorf("%s", got)
	}
	find("192.0.2.1", waf.Exceeds, true)
	find("192.0.2.2", waf.Attack, false)
	if got := log.String(); lines() != 3 || !strings.Contains(got, "partial=body mode=detect") {
		t.Errorf("%s", got)
	}
	now = now.Add(time.Minute)
	if find("192.0.2.1", waf.Attack, false); !strings.Contains(log.String(), "more=99") {
		t.Errorf("%s", log.String())
	}
	for a := range 10_000 {
		find(fmt.Sprintf("10.0.%d.%d", a/256, a%256), waf.Attack, false)
	}
	if len(i.told) > maxTold {
		t.Errorf("%d addresses", len(i.told))
	}
	if got := value(i.metrics.wafMatches[false]); got != 100+1+1+10_000 {
		t.Errorf("%v matches", got)
	}
	if got := value(i.metrics.wafMatches[true]); got != 1 {
		t.Errorf("%v detected", got)
	}
}
