package edge

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/web"
)

// TestMetrics_EachEndIsCounted: a request counts for its cause alone, and as a refusal or
// as aborted.
func TestMetrics_EachEndIsCounted(t *testing.T) {
	value := func(c prometheus.Metric) float64 {
		var m dto.Metric
		if err := c.Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetCounter().GetValue()
	}
	for _, want := range mezu.Causes() {
		for _, refusal := range []mezu.Code{"", mezu.CodeNoRoute} {
			m := newMetrics()
			m.Ended(web.Outcome{Status: 404, Cause: want, Refusal: refusal, BytesIn: 3, BytesOut: 5})
			for _, cause := range mezu.Causes() {
				if n := value(m.failures[cause]); (n == 1) != (cause == want) {
					t.Errorf("%s: %v counted for %s", want, n, cause)
				}
			}
			if aborted, refused := value(m.aborted), value(m.refusals.WithLabelValues(string(mezu.CodeNoRoute))); (aborted == 1) != (refusal == "") || aborted+refused != 1 {
				t.Errorf("%s: %v aborted, %v refused", want, aborted, refused)
			}
			if in, out, class := value(m.bytesIn), value(m.bytesOut), value(m.classes[4]); in != 3 || out != 5 || class != 1 {
				t.Errorf("%v bytes in, %v out, %v of the class", in, out, class)
			}
		}
	}
	m := newMetrics()
	m.Panicked()
	if n := value(m.panics); n != 1 {
		t.Errorf("%v panics counted", n)
	}
}
