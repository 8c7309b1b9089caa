package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// usualGarbage is GOGC's default: as much garbage may come as there is memory in use.
	usualGarbage = 100
	// leastGarbage is what may come whatever is in use, so that a small process doesn't collect
	// all the time.
	leastGarbage = 16 << 20
	// garbageStep is how much a percentage has to differ before it is changed, which stops the
	// process for a moment.
	garbageStep = 10
	// garbageEvery is how often it is looked at: the inspector fills in seconds.
	garbageEvery = time.Second
)

// keepSmall has the process take little more memory for what the inspector keeps than that itself.
// The collector by itself lets as much garbage come as there is in use, what is only kept included.
// kept is how much that is. Whoever has set GOGC knows better.
func keepSmall(ctx context.Context, kept func() int64) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	defer debug.SetGCPercent(usualGarbage)
	tick := time.NewTicker(garbageEvery)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for now := usualGarbage; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		metrics.Read(live)
		if next := garbageFor(int64(live[0].Value.Uint64()), kept()); next-now >= garbageStep || now-next >= garbageStep {
			debug.SetGCPercent(next)
			now = next
		}
	}
}

// garbageFor is how much garbage may come, in percent of what is in use: as much as of that is not
// kept.
func garbageFor(live, kept int64) int {
	if live <= 0 {
		return usualGarbage
	}
	return int(min(usualGarbage, max(garbageStep, usualGarbage*max(live-kept, leastGarbage)/live)))
}
