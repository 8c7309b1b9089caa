// Package meter counts the requests of one tunnel, and knows its rates over the last moments.
//
// What lives here: counters that a request passes without waiting for anybody, and the rates
// made of them. What may not: clocks and goroutines, which are its caller's; what a request
// said. Package daemon imports it.
package meter

import (
	"math/bits"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// rateSeconds is over how many seconds the rate is.
	rateSeconds = 10
	// spanSeconds is how long a histogram counts, and spans how many make up the last minute
	// beside the one that counts now.
	spanSeconds = 10
	spans       = 6
	// octave is into how many buckets a doubling is divided: what is told is off by a
	// sixteenth at most.
	octave     = 8
	octaveBits = 3
	// buckets reach from a microsecond to more than an hour.
	buckets = 256
)

// Meter counts. Its methods are safe for concurrent use, but Tick, which one goroutine calls.
type Meter struct {
	requests, in, out atomic.Uint64
	classes           [5]atomic.Uint64 // of the answers' statuses, 1xx first
	inFlight, sockets atomic.Int64

	ticks   atomic.Uint64
	seconds [rateSeconds + 1]atomic.Uint32
	times   [spans + 1][buckets]atomic.Uint32
	// busy is the tick of the last request that ended.
	busy atomic.Uint64
}

// Begin counts a request that begins. upgrade says that it asks for another protocol.
func (m *Meter) Begin(upgrade bool) {
	m.inFlight.Add(1)
	if upgrade {
		m.sockets.Add(1)
	}
}

// End counts a request that has ended, for which Begin was called, with the status of its
// answer and the bytes of both bodies.
func (m *Meter) End(upgrade bool, status int, took time.Duration, in, out int64) {
	m.inFlight.Add(-1)
	if upgrade {
		m.sockets.Add(-1)
	}
	m.requests.Add(1)
	if class := status/100 - 1; class >= 0 && class < len(m.classes) {
		m.classes[class].Add(1)
	}
	m.in.Add(uint64(max(in, 0)))
	m.out.Add(uint64(max(out, 0)))
	now := m.ticks.Load()
	m.busy.Store(now)
	m.seconds[now%(rateSeconds+1)].Add(1)
	if status != http.StatusSwitchingProtocols {
		m.times[now/spanSeconds%(spans+1)][bucket(took)].Add(1)
	}
}

// Tick says that a second is over. A request that ends at the same moment may be counted for
// neither of both seconds; the totals have it.
func (m *Meter) Tick() {
	next := m.ticks.Load() + 1
	m.seconds[next%(rateSeconds+1)].Store(0)
	if next%spanSeconds == 0 && next-m.busy.Load() <= (spans+2)*spanSeconds {
		for i := range m.times[next/spanSeconds%(spans+1)] {
			m.times[next/spanSeconds%(spans+1)][i].Store(0)
		}
	}
	m.ticks.Store(next)
}

// InFlight is how many requests have begun and not ended.
func (m *Meter) InFlight() int { return int(m.inFlight.Load()) }

// Stats are those of now. Rates are of the seconds that are over.
func (m *Meter) Stats() mezu.TunnelStats {
	s := mezu.TunnelStats{Requests: m.requests.Load(), BytesIn: m.in.Load(), BytesOut: m.out.Load(),
		InFlight: m.InFlight(), Sockets: int(m.sockets.Load())}
	for i := range m.classes {
		s.Classes[i] = m.classes[i].Load()
	}
	s.Failed = s.Classes[http.StatusInternalServerError/100-1]
	now := m.ticks.Load()
	if n := min(now, rateSeconds); n > 0 {
		sum := uint64(0)
		for back := uint64(1); back <= n; back++ {
			sum += uint64(m.seconds[(now-back)%(rateSeconds+1)].Load())
		}
		s.PerSecond = float64(sum) / float64(n)
	}
	if now-m.busy.Load() <= (spans+1)*spanSeconds && s.Requests > 0 {
		s.P50MS, s.P99MS = m.quantiles()
	}
	return s
}

// quantiles are the median and the 99th percentile of the last minute, in milliseconds.
func (m *Meter) quantiles() (p50, p99 float64) {
	var sums [buckets]uint64
	total := uint64(0)
	for i := range m.times {
		for b := range m.times[i] {
			n := uint64(m.times[i][b].Load())
			sums[b] += n
			total += n
		}
	}
	if total == 0 {
		return 0, 0
	}
	passed := uint64(0)
	for b, n := range sums {
		before := passed
		passed += n
		if half := (total + 1) / 2; before < half && passed >= half {
			p50 = middle(b)
		}
		if most := total - total/100; before < most && passed >= most {
			return p50, middle(b)
		}
	}
	return p50, p99
}

// bucket is where a time is counted: microseconds, by the three bits after the first one.
func bucket(t time.Duration) int {
	us := uint64(max(t.Microseconds(), 0))
	if us < octave {
		return int(us)
	}
	e := bits.Len64(us) - 1 - octaveBits
	return min((e+1)*octave+int(us>>e&(octave-1)), buckets-1)
}

// middle is the middle of a bucket in milliseconds.
func middle(b int) float64 {
	const perMS = 1000
	if b < octave {
		return float64(b) / perMS
	}
	e := b/octave - 1
	low := uint64(octave+b%octave) << e
	return (float64(low) + float64(uint64(1)<<e)/2) / perMS
}
