package meter_test

import (
	"math"
	"testing"
	"time"

	"github.com/mezusphere/mezu/daemon/meter"
)

// near reports whether a figure is as close as buckets allow.
func near(got, want float64) bool { return math.Abs(got-want) <= want/14+0.001 }

func TestMeter(t *testing.T) {
	var m meter.Meter
	if s := m.Stats(); s.PerSecond != 0 || s.P50MS != 0 || s.P99MS != 0 {
		t.Errorf("before anything %+v", s)
	}
	for second := range 20 {
		for i := range 100 {
			m.Begin(false)
			took := 5 * time.Millisecond
			if i >= 98 {
				took = 900 * time.Millisecond
			}
			status := 200
			if i == 0 {
				status = 502
			}
			m.End(false, status, took, 10, 20)
		}
		if s := m.Stats(); second == 0 && s.PerSecond != 0 {
			t.Errorf("the rate of a second that is not over: %v", s.PerSecond)
		}
		m.Tick()
	}
	m.Begin(true)
	m.Begin(false)
	s := m.Stats()
	if s.Requests != 2000 || s.Failed != 20 || s.BytesIn != 20_000 || s.BytesOut != 40_000 || s.InFlight != 2 || s.Sockets != 1 {
		t.Errorf("totals %+v", s)
	}
	if s.Classes != [5]uint64{0, 1980, 0, 0, 20} {
		t.Errorf("classes %v", s.Classes)
	}
	if s.PerSecond != 100 || !near(s.P50MS, 5) || !near(s.P99MS, 900) {
		t.Errorf("rates %+v", s)
	}
	m.End(true, 101, time.Hour, 0, 0)
	m.End(false, 200, time.Millisecond, 0, 0)
	if s := m.Stats(); s.InFlight != 0 || s.Sockets != 0 || !near(s.P99MS, 900) {
		t.Errorf("an upgraded connection counts among the times: %+v", s)
	}
	for range 10 {
		m.Tick()
	}
	if s := m.Stats(); s.PerSecond != 0.2 {
		t.Errorf("after ten quiet seconds %+v", s)
	}
	for range 65 {
		m.Tick()
	}
	if s := m.Stats(); s.PerSecond != 0 || s.P50MS != 0 || s.P99MS != 0 || s.Requests != 2002 {
		t.Errorf("after a quiet minute %+v", s)
	}
	for range 300 { // and nothing of it comes back
		m.Tick()
	}
	m.Begin(false)
	m.End(false, 200, 40*time.Microsecond, 0, 0)
	if s := m.Stats(); !near(s.P50MS, 0.04) || !near(s.P99MS, 0.04) {
		t.Errorf("the first after a long time %+v", s)
	}
}

// TestTimes: whatever a time is, what is told is close to it.
func TestTimes(t *testing.T) {
	for took := time.Microsecond; took < time.Hour; took = took*5/4 + 1 {
		var m meter.Meter
		m.Begin(false)
		m.End(false, 200, took, 0, 0)
		if got, want := m.Stats().P50MS, float64(took.Microseconds())/1000; !near(got, want) {
			t.Errorf("%v: %v ms", took, got)
		}
	}
	var m meter.Meter
	for _, took := range []time.Duration{-time.Second, 0, 1000 * time.Hour} {
		m.Begin(false)
		m.End(false, 200, took, -1, -1)
	}
	if s := m.Stats(); s.BytesIn != 0 || s.Requests != 3 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkMeter(b *testing.B) {
	var m meter.Meter
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Begin(false)
			m.End(false, 200, time.Millisecond, 1, 1)
		}
	})
}
