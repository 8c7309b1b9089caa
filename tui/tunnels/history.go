package tunnels

import (
	"time"

	"github.com/mezusphere/mezu"
)

// maxSamples is how many seconds of a tunnel's figures are kept: as many as the longest sparkline
// shows, and the one before.
const maxSamples = 121

// trafficOver is over how many seconds the bytes a second are.
const trafficOver = 5

// sample are the figures of a tunnel at a second.
type sample struct {
	second int64
	rate   float64 // requests in the second before
	stats  mezu.TunnelStats
}

// history are the figures of a tunnel in the last moments, oldest first.
type history struct{ samples []sample }

// add takes figures. Those of another daemon, or from before a jump of the clock, are no history
// of these.
func (h *history) add(at time.Time, is mezu.TunnelStats) {
	now := sample{second: at.Unix(), stats: is}
	if n := len(h.samples); n > 0 {
		last := h.samples[n-1]
		switch gap := now.second - last.second; {
		case gap < 0, gap > maxSamples, is.Requests < last.stats.Requests:
			h.samples = h.samples[:0]
		case gap == 0:
			now.rate = last.rate
			if n > 1 {
				now.rate = perSecond(is.Requests-h.samples[n-2].stats.Requests, now.second-h.samples[n-2].second)
			}
			h.samples = h.samples[:n-1]
		default:
			now.rate = perSecond(is.Requests-last.stats.Requests, gap)
		}
	}
	if len(h.samples) == maxSamples {
		h.samples = append(h.samples[:0], h.samples[1:]...)
	}
	h.samples = append(h.samples, now)
}

func perSecond(n uint64, seconds int64) float64 { return float64(n) / float64(max(seconds, 1)) }

// less is a difference, and none if a counter went back.
func less(a, b uint64) uint64 { return a - min(a, b) }

// last is the newest sample.
func (h *history) last() (sample, bool) {
	if h == nil || len(h.samples) == 0 {
		return sample{}, false
	}
	return h.samples[len(h.samples)-1], true
}

// before is the newest sample that is at least so many seconds older than the last, or the oldest.
func (h *history) before(seconds int64) sample {
	end := h.samples[len(h.samples)-1].second
	for i := len(h.samples) - 1; i >= 0; i-- {
		if end-h.samples[i].second >= seconds {
			return h.samples[i]
		}
	}
	return h.samples[0]
}

// series are the values of the last seconds in so many cells, the newest last. A second that was
// not told of is like the one before. most is whether a cell shows its greatest value, and not
// their mean.
func (h *history) series(seconds, cells int, most bool, value func(sample) float64) []float64 {
	if h == nil || len(h.samples) == 0 || cells <= 0 {
		return nil
	}
	end := h.samples[len(h.samples)-1].second
	var all []float64
	at := 0
	for second := end - int64(seconds) + 1; second <= end; second++ {
		for at+1 < len(h.samples) && h.samples[at+1].second <= second {
			at++
		}
		if h.samples[at].second <= second {
			all = append(all, value(h.samples[at]))
		}
	}
	if seconds <= cells {
		return all
	}
	// The cells are filled from the right: what there is of a cell's seconds counts.
	var out []float64
	for c := range cells {
		from, to := len(all)-seconds+c*seconds/cells, len(all)-seconds+(c+1)*seconds/cells
		if to <= 0 {
			continue
		}
		from = max(from, 0)
		sum, top := 0.0, 0.0
		for _, v := range all[from:to] {
			sum, top = sum+v, max(top, v)
		}
		if most {
			out = append(out, top)
		} else {
			out = append(out, sum/float64(to-from))
		}
	}
	return out
}

// traffic is how many bytes a second came and went in the last seconds.
func (h *history) traffic() (in, out float64) {
	last, ok := h.last()
	if !ok {
		return 0, 0
	}
	was := h.before(trafficOver)
	gap := last.second - was.second
	in, out = perSecond(less(last.stats.BytesIn, was.stats.BytesIn), gap), perSecond(less(last.stats.BytesOut, was.stats.BytesOut), gap)
	return in, out
}

// shares are which part of the answers were 1xx to 5xx: of the last minute, or if there were none,
// of all. ok is false if there were none at all.
func shares(h *history, is mezu.TunnelStats) (out [5]float64, ok bool) {
	counts := is.Classes
	if last, known := h.last(); known {
		was := h.before(60).stats.Classes
		recent, some := last.stats.Classes, false
		for i := range recent {
			recent[i] = less(recent[i], was[i])
			some = some || recent[i] > 0
		}
		if some {
			counts = recent
		}
	}
	sum := uint64(0)
	for _, n := range counts {
		sum += n
	}
	if sum == 0 {
		return out, false
	}
	for i, n := range counts {
		out[i] = float64(n) / float64(sum)
	}
	return out, true
}
