package inspect

import (
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// Rates of exchanges a second, over a window, at which less is kept.
const (
	// mostWithBodies is more than anybody looks through; past it bodies are left out.
	mostWithBodies = 1000
	// mostWithHeads is a load test; past it failures alone are kept, and the rest is counted.
	mostWithHeads = 5000
	// window is what a rate is measured over. Less is kept as soon as there are so many within
	// it; more again behind one with fewer than calm of that, so that it doesn't change all the
	// time.
	window = time.Second
	calm   = 0.8
)

// rate says how much is kept of an exchange. It is safe for concurrent use.
type rate struct {
	base  time.Time
	start atomic.Int64 // of the window, after base
	count atomic.Int64 // in the window
	level atomic.Int32 // of depths
}

var depths = [...]mezu.ExchangeDepth{mezu.DepthAll, mezu.DepthHeads, mezu.DepthNone}

var bounds = [...]int64{mostWithBodies, mostWithHeads}

// begin counts an exchange, and says how much is kept of it.
func (r *rate) begin(at time.Time) mezu.ExchangeDepth {
	r.roll(at)
	n, level := r.count.Add(1), r.level.Load()
	for int(level) < len(bounds) && n > bounds[level] {
		if r.level.CompareAndSwap(level, level+1) {
			level++
		} else {
			level = r.level.Load()
		}
	}
	return depths[level]
}

// depth is how much is kept now.
func (r *rate) depth(at time.Time) mezu.ExchangeDepth {
	r.roll(at)
	return depths[r.level.Load()]
}

// roll ends the window, if it is over.
func (r *rate) roll(at time.Time) {
	now, start := int64(at.Sub(r.base)), r.start.Load()
	if now-start < int64(window) || !r.start.CompareAndSwap(start, now) {
		return
	}
	per := float64(r.count.Swap(0)) * float64(window) / float64(now-start)
	level := r.level.Load()
	for level > 0 && per < calm*float64(bounds[level-1]) {
		level--
	}
	r.level.Store(level)
}
